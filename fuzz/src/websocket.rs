//! A WebSocket whose messages may be compressed, in one piece, in pieces and byte by byte: never a panic, and the same answers
//! however the frames arrive. The server sends every message back, compressed or not, and all that it sends is a sequence of frames.
//!
//! Option: bit 0 keeps contexts, bit 1 asks for the smallest window, bit 2 allows short messages only. Then frames: the first byte, how long
//! the payload is, and the payload; they are masked here.

use aurora_http_core::handler::handler_fn;
use aurora_http_core::limits::Limits;
use aurora_http_core::sim::with_server;
use aurora_http_core::writer::WriteError;
use aurora_http_websocket::{Budget, Deflate, Event, Options, websocket_deflate};

use super::text;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub fn check(input: &[u8]) {
    let Some(([option], mut records)) = super::options(input) else { return };
    let mut frames = Vec::new();
    while let [first, length, rest @ ..] = records {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        frames.push(*first);
        match payload.len() {
            short @ 0..126 => frames.push(0x80 | short as u8),
            long => frames.extend([0x80 | 126, 0, long as u8]),
        }
        frames.extend(MASK);
        frames.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        records = rest;
    }
    let whole = answer(option, &frames, usize::MAX);
    for size in [1, 7] {
        let pieces = answer(option, &frames, size);
        assert_eq!(text(&whole.0), text(&pieces.0), "in pieces of {size}");
        assert_eq!(whole, pieces, "in pieces of {size}");
    }
    let is_closed = check_frames(&whole.0);
    assert_eq!(is_closed, whole.1, "the connection ends with a close frame");
}

/// What the server sends, and whether it ends the connection.
fn answer(option: u8, frames: &[u8], size: usize) -> (Vec<u8>, bool) {
    let deflate = Deflate::new(&Budget::new(1)).context_takeover(option & 1 != 0).bytes_min(0);
    let message_bytes_max = if option & 4 != 0 { 300 } else { 1 << 16 };
    let handler = handler_fn(move |request, response| {
        let (_, agreed) = deflate.accept(request, response, &[])?;
        let options = Options { message_bytes_max, ..Options::default() };
        Ok::<_, WriteError>(websocket_deflate(options, agreed, move |event, link| match event {
            Event::Text(text) => link.send_text(text),
            Event::Binary(bytes) => {
                assert!(bytes.len() <= message_bytes_max as usize);
                link.send_binary(bytes);
            }
            _ => {}
        }))
    });
    let window = if option & 2 != 0 { "; server_max_window_bits=9" } else { "" };
    let handshake = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate{window}\r\n\r\n"
    );
    with_server(handler, Limits::default(), |server| {
        let client = server.connect();
        server.send(client, handshake.as_bytes());
        assert!(server.receive(client).starts_with(b"HTTP/1.1 101 "));
        let mut received = Vec::new();
        for piece in frames.chunks(size.min(frames.len().max(1))) {
            if server.has_ended(client) {
                break;
            }
            server.send(client, piece);
            received.extend(server.receive(client));
        }
        received.extend(server.receive(client));
        (received, server.has_ended(client))
    })
}

/// Whether the last of these frames is a close. Each is complete, and begins as a server's may.
fn check_frames(mut bytes: &[u8]) -> bool {
    let mut is_closed = false;
    while let [first, second, rest @ ..] = bytes {
        assert!(!is_closed, "nothing follows a close");
        assert!(matches!(*first, 0x81 | 0x82 | 0xc1 | 0xc2 | 0x88 | 0x8a), "{first:x}");
        let (length, rest) = match second {
            127 => (u64::from_be_bytes(rest[..8].try_into().expect("a length")) as usize, &rest[8..]),
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            short => (usize::from(*short), rest),
        };
        is_closed = *first == 0x88;
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty());
    is_closed
}
