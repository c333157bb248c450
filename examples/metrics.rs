//! Metrics for Prometheus, health checks, and a page for people, next to a program's own pages: `cargo run --release --example
//! metrics`, then `curl http://127.0.0.1:8080/metrics`, or `/status`, `/healthz`, `/readyz`.

mod support;

use aurora_http::ServerError;
use aurora_http_web::Routes;
use aurora_http_web::metrics::{Registry, Status, healthy, ready};
use aurora_http_web::middleware::Wrap;

fn main() -> Result<(), ServerError> {
    let server = support::server("metrics: GET /metrics, /status, /healthz and /readyz of all workers");
    let (counters, registry) = (server.counters(), Registry::new());
    server.serve(move |_worker| {
        let (numbers, counters, all) = (counters.clone(), counters.clone(), registry.clone());
        Routes::new()
            .get("/", |_, _, response| response.body("hello\n"))
            .get("/healthz", healthy)
            .get("/readyz", ready)
            .get("/status", move |_, _, response| response.body_fmt(format_args!("{}", Status(&numbers.read()))))
            .get("/metrics", move |_, _, response| {
                all.respond(response, &counters.read(), |class| counters.buffers(class))
            })
            .with_state(())
            .wrap(registry.metrics())
    })?;
    Ok(())
}
