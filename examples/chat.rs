//! A chat room over WebSockets (RFC 6455): `cargo run --release --example chat`, then open <http://127.0.0.1:8080/> in two
//! windows. What one says, everybody in the room hears.
//!
//! tungstenite speaks the protocol, and the engine carries its bytes. Each member has a mailbox, so that all workers share
//! one room.

mod support;

use std::io::ErrorKind::WouldBlock;
use std::task::Poll;

use aurora_http::{
    Broadcast, Either, Mailbox, Progress, Request, ResponseWriter, ServerError, Wire, duplex, handler_fn,
};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Error, Message, Utf8Bytes};

/// Members are pinged this often, and have to send something in between.
const PING_MS: u32 = 30_000;

/// Everybody, over all workers.
static ROOM: Broadcast<Utf8Bytes> = Broadcast::new();

/// What a member's connection does whenever something happens to it.
fn member(mut inbox: Mailbox<Utf8Bytes>) -> impl FnMut(&mut Wire<'_, '_>) -> Progress {
    let config = WebSocketConfig::default().read_buffer_size(4_096).max_message_size(Some(65_536));
    let mut socket = WebSocketContext::new(Role::Server, Some(config));
    let mut is_alive = true;
    let mut talk = move |wire: &mut Wire<'_, '_>| {
        is_alive |= !wire.received().is_empty();
        if wire.response().is_woken_by_time() {
            if !std::mem::take(&mut is_alive) {
                return Ok(());
            }
            wire.response().wake_after(PING_MS);
            socket.write(wire, Message::Ping(Bytes::new()))?;
        }
        loop {
            socket.flush(wire)?;
            match inbox.poll(wire.response()) {
                Poll::Ready(Some(text)) => socket.write(wire, Message::Text(text))?,
                Poll::Ready(None) => return Ok(()), // it was too slow for the room
                Poll::Pending if wire.response().is_stopping() => {
                    return socket.close(wire, Some(CloseFrame { code: 1001.into(), reason: "".into() }));
                }
                Poll::Pending => {
                    // The socket answers pings and a close itself.
                    if let Message::Text(text) = socket.read(wire)? {
                        let _ = ROOM.send(&text);
                    }
                }
            }
        }
    };
    move |wire| match talk(wire) {
        Err(Error::Io(error)) if error.kind() == WouldBlock => Progress::More,
        _ => Progress::Done,
    }
}

fn main() -> Result<(), ServerError> {
    support::server("chat: GET / shows a page that talks to all others").serve(|worker| {
        let resumer = worker.resumer();
        handler_fn(move |request: &Request<'_>, response: &mut ResponseWriter<'_>| {
            let Some(key) = request.fields().get("Sec-WebSocket-Key").filter(|_| request.upgrades_to("websocket"))
            else {
                response.field("Content-Type", "text/html")?;
                return response.body(include_str!("support/chat.html")).map(Either::Left);
            };
            if request.fields().get("Sec-WebSocket-Version") != Some(b"13") {
                response.add_field("Sec-WebSocket-Version", "13")?;
                response.fail(400)?;
            }
            response.switch_protocols("websocket", &[("Sec-WebSocket-Accept", derive_accept_key(key).as_bytes())])?;
            response.wake_after(PING_MS);
            Ok(Either::Right(duplex(member(ROOM.join(&resumer, 64)))))
        })
    })?;
    Ok(())
}
