//! Server-sent events from another thread: `cargo run --release --example events`, then
//! `curl -N http://127.0.0.1:8080/events`, or open <http://127.0.0.1:8080/> in a browser.

mod support;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use aurora_http::{BodySender, ChannelBody, Either, Request, ResponseWriter, Resumer, ServerError, WriteError};
use aurora_http::{body_channel, handler_fn};

const PAGE: &str = "<!doctype html><title>events</title><ol id=list></ol><script>
new EventSource('/events').onmessage = (event) =>
  list.appendChild(document.createElement('li')).textContent = event.data;
</script>\n";

/// Everybody who listens.
type Listeners = Arc<Mutex<Vec<BodySender>>>;

/// The page, or the events that it shows.
fn answer(
    request: &Request<'_>,
    response: &mut ResponseWriter<'_>,
    listeners: &Listeners,
    resumer: &Resumer,
) -> Result<Either<(), ChannelBody>, WriteError> {
    if request.path() != b"/events" {
        response.field("Content-Type", "text/html")?;
        return response.body(PAGE).map(Either::Left);
    }
    response.field("Content-Type", "text/event-stream")?;
    response.field("Cache-Control", "no-store")?;
    let (body, sender) = body_channel(resumer, 4_096);
    listeners.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    Ok(Either::Right(body))
}

fn main() -> Result<(), ServerError> {
    let listeners = Listeners::default();
    let shared = Arc::clone(&listeners);
    thread::spawn(move || {
        for number in 0_u64.. {
            thread::sleep(Duration::from_millis(500));
            // Who is gone, or does not read, listens no more.
            let event = format!("id: {number}\ndata: event {number}\n\n");
            let send = |sender: &BodySender| sender.try_send(&event) == Ok(event.len());
            listeners.lock().unwrap_or_else(PoisonError::into_inner).retain(send);
        }
    });
    support::server("events: GET /events sends an event each half second, GET / shows them").serve(move |worker| {
        let (shared, resumer) = (Arc::clone(&shared), worker.resumer());
        handler_fn(move |request: &Request<'_>, response| answer(request, response, &shared, &resumer))
    })?;
    Ok(())
}
