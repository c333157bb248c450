//! A metrics page for Prometheus, next to a program's own pages: `cargo run --release --example metrics`, then
//! `curl http://127.0.0.1:8080/metrics`.

mod support;

use aurora_http::{CloseReason, Counters, Request, ServerError, handler_fn};

/// Renders the counters in the text format of Prometheus.
fn page(Counters { accepted, active, requests, bytes_sent, closed, .. }: &Counters) -> String {
    let mut page = format!("http_connections_total {accepted}\nhttp_connections_open {active}\n");
    page += &format!("http_requests_total {requests}\nhttp_sent_bytes_total {bytes_sent}\n");
    for reason in CloseReason::ALL {
        page += &format!("http_connections_closed_total{{reason=\"{reason}\"}} {}\n", closed.of(reason));
    }
    page
}

fn main() -> Result<(), ServerError> {
    support::server("metrics: GET /metrics shows the counters of all workers").serve(|worker| {
        let counters = worker.counters();
        handler_fn(move |request: &Request<'_>, response| match request.path() {
            b"/metrics" => response.body(page(&counters.read())),
            _ => response.body("hello\n"),
        })
    })?;
    Ok(())
}
