//! A chat room over WebSockets (RFC 6455): `cargo run --release --example chat`, then open <http://127.0.0.1:8080/> in two
//! windows. What one says, everybody in the room hears.
//!
//! Each member has a mailbox, so that all workers share one room. Browsers compress what they send, and are answered likewise.

mod support;

use std::sync::Arc;
use std::task::Poll;

use aurora_http::{Broadcast, Either, Request, ResponseWriter, ServerError, handler_fn};
use aurora_http_websocket::{Budget, Deflate, Event, Options, is_handshake, is_same_origin, websocket_deflate};

/// Everybody, over all workers.
static ROOM: Broadcast<Arc<str>> = Broadcast::new();

fn main() -> Result<(), ServerError> {
    // Everybody else is in the room without compression.
    let budget = Budget::new(1_000);
    support::server("chat: GET / shows a page that talks to all others").serve(move |worker| {
        let resumer = worker.resumer();
        let deflate = Deflate::new(&budget);
        handler_fn(move |request: &Request<'_>, response: &mut ResponseWriter<'_>| {
            if !is_handshake(request) {
                response.field("Content-Type", "text/html; charset=utf-8")?;
                return response.body(include_str!("support/chat.html")).map(Either::Left);
            }
            if !is_same_origin(request) {
                response.fail(403)?;
            }
            let (_, agreed) = deflate.accept(request, response, &[])?;
            let mut inbox = ROOM.join(&resumer, 64);
            Ok(Either::Right(websocket_deflate(Options::default(), agreed, move |event, link| match event {
                Event::Text(text) => _ = ROOM.send(&text.into()),
                Event::Ready => match inbox.poll(link.response()) {
                    Poll::Ready(Some(text)) => link.send_text(&text),
                    Poll::Ready(None) => link.close(1008, "too slow for the room"),
                    Poll::Pending => {}
                },
                _ => {}
            })))
        })
    })?;
    Ok(())
}
