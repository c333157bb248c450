//! Server-sent events from another thread and from a timer: `cargo run --release --example events`, then
//! `curl -N http://127.0.0.1:8080/events`, or open <http://127.0.0.1:8080/> in a browser. What was missed comes after
//! `curl -N -H 'Last-Event-ID: 3' http://127.0.0.1:8080/events`.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use aurora_http::{Either, EventFeed, Request, ResponseWriter, ServerError, handler_fn};

/// Everybody who listens, over all workers; with the last hundred events, for those who come back.
static EVENTS: EventFeed = EventFeed::new(100);

const PAGE: &str = include_str!("support/events.html");

fn main() -> Result<(), ServerError> {
    let server = support::server("events: GET /events sends an event each half second, GET / shows them");
    thread::spawn(|| {
        let begun = Instant::now();
        for number in 0_u64.. {
            thread::sleep(Duration::from_millis(500));
            EVENTS.send(&format!("event {number}"));
            if number % 10 == 9 {
                EVENTS.send_as("uptime", &format!("up for {} s", begun.elapsed().as_secs()));
            }
        }
    });
    server.serve(|worker| {
        let resumer = worker.resumer();
        handler_fn(move |request: &Request<'_>, response: &mut ResponseWriter<'_>| {
            if request.path() == b"/events" {
                // Whoever does not read has at most 16 events waiting, and is cut off then.
                return EVENTS.join(request, response, &resumer, 16).map(Either::Right);
            }
            response.field("Content-Type", "text/html; charset=utf-8")?;
            response.body(PAGE).map(Either::Left)
        })
    })?;
    Ok(())
}
