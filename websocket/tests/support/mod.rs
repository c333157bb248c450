//! Frames of a client, and what a server has answered, written from RFC 6455 without the crate's own code.

// Every test crate uses its own part of this.
#![allow(dead_code)]

use aurora_http_core::handler::Handler;
use aurora_http_core::limits::Limits;
use aurora_http_core::sim::with_server;

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

pub(crate) const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A complete frame.
pub(crate) fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    raw(0x80 | opcode, payload)
}

/// A frame that others continue.
pub(crate) fn part(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    raw(opcode, payload)
}

/// A frame with any first byte.
pub(crate) fn raw(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

pub(crate) fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    frame(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

/// A message or a control frame of the server's.
pub(crate) type Said = (u8, Vec<u8>);

pub(crate) fn text(text: impl AsRef<[u8]>) -> Said {
    (TEXT, text.as_ref().to_vec())
}

pub(crate) fn binary(bytes: impl AsRef<[u8]>) -> Said {
    (BINARY, bytes.as_ref().to_vec())
}

/// One case: its number in Autobahn where it has one, what the client sends, what it hears before any close, and the code of
/// the server's close: `None` if the WebSocket stays open, 0 if there is no code in it.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) sent: Vec<u8>,
    pub(crate) heard: Vec<Said>,
    pub(crate) close: Option<u16>,
}

pub(crate) fn row(id: impl Into<String>, sent: Vec<u8>, heard: Vec<Said>, close: Option<u16>) -> Row {
    Row { id: id.into(), sent, heard, close }
}

impl Row {
    /// The lengths of the pieces in which it is sent, over and over.
    pub(crate) fn cuts(&self) -> &'static [&'static [usize]] {
        if self.sent.len() < 2_000 { &[&[usize::MAX], &[1], &[2, 3, 7, 1]] } else { &[&[30_000], &[4_093, 1]] }
    }
}

/// Takes the server's frames apart, and puts fragments together. Panics when they break the protocol.
pub(crate) fn said(bytes: &[u8]) -> Vec<Said> {
    said_compressed(bytes, &mut |_| panic!("reserved bits are 0"))
}

/// As `said`, with messages that may be compressed: `decompress` is given the payload of each of those.
pub(crate) fn said_compressed(mut bytes: &[u8], decompress: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Vec<Said> {
    let mut all = Vec::new();
    let mut message: Option<(bool, Said)> = None;
    while let [first, second, rest @ ..] = bytes {
        assert!(first & 0x30 == 0 && second & 0x80 == 0, "reserved bits and masks are 0");
        let (length, rest) = match second {
            126 => (u16::from_be_bytes(rest[..2].try_into().unwrap()).into(), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            length => (usize::from(*length), rest),
        };
        assert!(rest.len() >= length, "the last frame is complete");
        let (payload, rest) = rest.split_at(length);
        let (is_final, is_compressed, opcode) = (first & 0x80 != 0, first & 0x40 != 0, first & 0xf);
        bytes = rest;
        if opcode >= CLOSE {
            assert!(is_final && !is_compressed && length <= 125);
            all.push((opcode, payload.to_vec()));
            continue;
        }
        assert_eq!(opcode == 0, message.is_some(), "fragments follow each other");
        assert!(opcode != 0 || !is_compressed, "the first frame says it");
        let (is_compressed, (kind, mut so_far)) = message.take().unwrap_or((is_compressed, (opcode, Vec::new())));
        so_far.extend(payload);
        if is_final {
            all.push((kind, if is_compressed { decompress(&so_far) } else { so_far }));
        } else {
            message = Some((is_compressed, (kind, so_far)));
        }
    }
    // A message may have been begun before its sender was found to break the protocol.
    let is_closed = all.last().is_some_and(|(opcode, _)| *opcode == CLOSE);
    assert!(bytes.is_empty() && (message.is_none() || is_closed), "{bytes:?} {message:?}");
    all
}

/// What a server says to a handshake, and then to `sent`, which is passed to it in pieces of these lengths, again and again; and
/// whether it ends the connection.
pub(crate) fn converse(
    handler: impl Handler,
    handshake: &str,
    sent: &[u8],
    lengths: &[usize],
) -> (String, Vec<u8>, bool) {
    with_server(handler, Limits::default(), |server| {
        let client = server.connect();
        server.send(client, handshake.as_bytes());
        let head = String::from_utf8(server.receive(client)).unwrap();
        let (mut rest, mut received) = (sent, Vec::new());
        let mut lengths = lengths.iter().cycle();
        while !rest.is_empty() && !server.has_ended(client) {
            let (now, later) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
            server.send(client, now);
            received.extend(server.receive(client));
            rest = later;
        }
        received.extend(server.receive(client));
        (head, received, server.has_ended(client))
    })
}

/// The code of the close that the server has said last, which is taken off: `None` without one, 0 if there is no code in it.
pub(crate) fn take_close(heard: &mut Vec<Said>) -> Option<u16> {
    let (_, payload) = heard.pop_if(|(opcode, _)| *opcode == CLOSE)?;
    Some(match *payload {
        [] => 0,
        [high, low] => u16::from_be_bytes([high, low]),
        _ => panic!("{payload:?}"),
    })
}
