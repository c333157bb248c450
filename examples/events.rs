//! Server-sent events from another thread: `cargo run --release --example events`, then
//! `curl -N http://127.0.0.1:8080/events`, or open <http://127.0.0.1:8080/> in a browser.

mod support;

use std::thread;
use std::time::Duration;

use aurora_http::{Broadcast, Either, Request, ResponseWriter, ServerError, handler_fn};

/// Everybody who listens, over all workers.
static EVENTS: Broadcast<String> = Broadcast::new();

const PAGE: &str = "<!doctype html><title>events</title><ol id=list></ol><script>
new EventSource('/events').onmessage = (event) =>
  list.appendChild(document.createElement('li')).textContent = event.data;
</script>\n";

fn main() -> Result<(), ServerError> {
    let server = support::server("events: GET /events sends an event each half second, GET / shows them");
    thread::spawn(|| {
        for number in 0_u64.. {
            thread::sleep(Duration::from_millis(500));
            EVENTS.send(&format!("id: {number}\ndata: event {number}\n\n"));
        }
    });
    server.serve(|worker| {
        let resumer = worker.resumer();
        handler_fn(move |request: &Request<'_>, response: &mut ResponseWriter<'_>| {
            if request.path() != b"/events" {
                response.field("Content-Type", "text/html")?;
                return response.body(PAGE).map(Either::Left);
            }
            response.field("Content-Type", "text/event-stream")?;
            response.field("Cache-Control", "no-store")?;
            // Whoever does not read has at most 16 events waiting, and then listens no more.
            Ok(Either::Right(EVENTS.join(&resumer, 16)))
        })
    })?;
    Ok(())
}
