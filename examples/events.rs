//! Server-sent events from another thread: `cargo run --release --example events`, then
//! `curl -N http://127.0.0.1:8080/events`, or open <http://127.0.0.1:8080/> in a browser.

mod support;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aurora_http::{BodySender, Either, Request, ResponseWriter, ServerError, body_channel, handler_fn};

const PAGE: &str = "<!doctype html><title>events</title><ol id=list></ol><script>
new EventSource('/events').onmessage = (event) =>
  list.appendChild(document.createElement('li')).textContent = event.data;
</script>\n";

fn main() -> Result<(), ServerError> {
    let server = support::server("events: GET /events sends an event each half second, GET / shows them");
    let (resumer, (listens, listening)) = (server.resumer(), mpsc::channel());
    thread::spawn(move || {
        let mut listeners: Vec<BodySender> = Vec::new();
        for number in 0_u64.. {
            thread::sleep(Duration::from_millis(500));
            listeners.extend(listening.try_iter());
            // Who is gone, or does not read, listens no more.
            let event = format!("id: {number}\ndata: event {number}\n\n");
            listeners.retain(|sender| sender.try_send(&event) == Ok(event.len()));
        }
    });
    server.serve(move |_worker| {
        let (resumer, listens) = (resumer.clone(), listens.clone());
        handler_fn(move |request: &Request<'_>, response: &mut ResponseWriter<'_>| {
            if request.path() != b"/events" {
                response.field("Content-Type", "text/html")?;
                return response.body(PAGE).map(Either::Left);
            }
            response.field("Content-Type", "text/event-stream")?;
            response.field("Cache-Control", "no-store")?;
            let (body, sender) = body_channel(&resumer, 4_096);
            let _ = listens.send(sender); // there is always somebody who takes it
            Ok(Either::Right(body))
        })
    })?;
    Ok(())
}
