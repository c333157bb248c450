//! Hostile clients: their requests are refused as documented, with at most one answer, and never reach a handler.

use std::time::Duration;

use crate::book::Count;
use crate::clients::Client;
use crate::request::{Kind, Request};
use crate::response::{Fault, read_any_body, read_head};
use crate::wire::{End, Wire};

/// A request that no handler may see, because it follows one that is refused.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: soak\r\n\r\n";

/// Requests that are refused because of their head, and the status.
const REFUSED: [(&str, u16); 16] = [
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("GET / HTTP/1.1\nHost: a\n\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
];

/// The first bytes of a TLS handshake.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\x20\x21\x22\x23\x24\x25\x26\x27\x28\x29\x2a";

pub(crate) fn connections(client: &mut Client) -> Result<(), String> {
    match client.dice.below(20) {
        0..=5 => {
            let (head, status) = client.dice.pick(&REFUSED);
            refused(client, format!("{head}{SMUGGLED}").as_bytes(), status)
        }
        6..=9 => too_much(client),
        10 | 11 => bad_chunk(client),
        12 => refused(client, CLIENT_HELLO, 400),
        13 => garbage(client),
        14 | 15 => half_and_reset(client),
        16 | 17 => flood(client),
        18 => crowd(client, false),
        _ => crowd(client, true),
    }
}

/// Sends a request that must be refused with `status`, and checks that nothing else comes. There may be no answer if
/// the server makes room for others before the whole request has arrived.
fn refused(client: &mut Client, bytes: &[u8], status: u16) -> Result<(), String> {
    let mut wire = client.connect()?;
    wire.outgoing.begin_raw(bytes);
    answered(client, &mut wire, status).map_err(|what| format!("{what}, to {}", excerpt(bytes)))
}

fn answered(client: &Client, wire: &mut Wire, status: u16) -> Result<(), String> {
    match read_head(wire) {
        Ok(head) if head.status == status && head.closes => {
            match read_any_body(wire, &head) {
                Ok(()) | Err(Fault::Cut(End::Reset, _)) => {}
                Err(fault) => return Err(format!("{status} and {fault}")),
            }
            wire.outgoing.clear();
            wire.finish();
            wire.expect_end().map_err(|what| format!("after {status}: {what}"))?;
            client.book.count(Count::Refused);
        }
        Ok(head) => return Err(format!("{} instead of {status}", head.text.escape_debug())),
        Err(Fault::Unanswered(End::Closed | End::Reset) | Fault::Cut(End::Reset, _)) => {
            client.book.count(Count::Dropped);
        }
        Err(fault) => return Err(format!("{fault} instead of {status}")),
    }
    Ok(())
}

fn excerpt(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(120)].escape_ascii().to_string()
}

/// Exceeds a limit of the head.
fn too_much(client: &mut Client) -> Result<(), String> {
    let (head, status) = match client.dice.below(3) {
        0 => (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000)), 431),
        1 => (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(64)), 431),
        _ => (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9_000)), 414),
    };
    refused(client, format!("{head}{SMUGGLED}").as_bytes(), status)
}

/// Malformed chunks after a valid head: the content is refused, or a response that has begun breaks off.
fn bad_chunk(client: &mut Client) -> Result<(), String> {
    let chunk = client.dice.pick(&[
        "x\r\n",
        "-1\r\n",
        "5 \r\nabcde\r\n",
        "5\r\nabcdeXX",
        "5\nabcde\r\n",
        "fffffffffffffffff\r\n",
    ]);
    let kind = client.dice.pick(&[Kind::Collect, Kind::Echo]);
    let request = client.request(kind, 0);
    let Request { client: number, serial, .. } = request;
    let path = kind.path();
    let head =
        format!("POST {path}?c={number}&s={serial}&n=0&ms=0 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let bytes = format!("{head}{chunk}{SMUGGLED}");
    let mut wire = client.connect()?;
    wire.outgoing.begin_raw(bytes.as_bytes());
    let is_echo = kind == Kind::Echo;
    let result = match read_head(&mut wire) {
        Ok(head) if head.status == 400 && head.closes => {
            client.book.count(Count::Refused);
            Ok(())
        }
        // The head of the echo had already been sent, so the body that follows must be incomplete.
        Ok(head) if head.status == 200 && is_echo => broken_off(client, &mut wire),
        Ok(head) => Err(head.text),
        Err(Fault::Unanswered(End::Closed | End::Reset) | Fault::Cut(End::Reset, _)) => {
            client.book.count(Count::Dropped);
            Ok(())
        }
        Err(fault) => Err(format!("{fault}")),
    };
    result.map_err(|what| format!("{what:?}, to {}", excerpt(bytes.as_bytes())))
}

/// Checks that the response has no last chunk.
fn broken_off(client: &Client, wire: &mut Wire) -> Result<(), String> {
    let mut last = Vec::with_capacity(64);
    loop {
        last.extend_from_slice(wire.received());
        let count = wire.received().len();
        wire.take(count);
        match wire.receive() {
            Ok(()) => {}
            Err(End::Closed | End::Reset) => break,
            Err(end) => return Err(format!("{end:?} instead of an end")),
        }
    }
    if last.ends_with(b"0\r\n\r\n") {
        return Err("a complete response to malformed content".into());
    }
    client.book.count(Count::Refused);
    Ok(())
}

/// Random bytes. They might even form a request, so any valid response will do.
fn garbage(client: &mut Client) -> Result<(), String> {
    let count = client.dice.length(4000) as usize + 1;
    let bytes: Vec<u8> = (0..count).map(|_| client.dice.next() as u8).collect();
    let mut wire = client.connect()?;
    wire.outgoing.begin_raw(&bytes);
    wire.send_all().map_err(|end| format!("garbage was not taken: {end:?}"))?;
    wire.finish();
    match read_head(&mut wire) {
        Ok(head) if head.status >= 400 && head.closes => client.book.count(Count::Refused),
        Ok(head) => return Err(format!("{:?}, to {}", head.text, excerpt(&bytes))),
        Err(Fault::Wrong(what)) => return Err(format!("{what}, to {}", excerpt(&bytes))),
        Err(_) => client.book.count(Count::Dropped),
    }
    Ok(())
}

/// Half a request, then a reset.
fn half_and_reset(client: &mut Client) -> Result<(), String> {
    let request = client.random_request();
    let mut wire = client.connect()?;
    wire.begin(&[request]);
    wire.outgoing.cut(client.dice.between(1, 100));
    wire.send_all().map_err(|end| format!("half a request was not taken: {end:?}"))?;
    wire.reset_on_close();
    client.book.count(Count::Dropped);
    Ok(())
}

/// Thousands of requests at once, none of whose responses is read.
fn flood(client: &mut Client) -> Result<(), String> {
    let mut wire = client.connect()?;
    let end = client.dice.between(5, 100);
    wire.patience = Duration::from_millis(300);
    for _ in 0..end {
        let mut bytes = Vec::with_capacity(16 * 1024);
        for _ in 0..100 {
            let length = client.dice.length(4000);
            client.request(Kind::Whole, length).put_head(&mut bytes);
        }
        wire.outgoing.begin_raw(&bytes);
        match wire.send_all() {
            // The server takes no more, as it should.
            Err(End::Late) | Ok(false) => break,
            Ok(true) => {}
            Err(end) => return Err(format!("a flood: {end:?}")),
        }
    }
    let pause = client.dice.length(1000);
    client.rest(Duration::from_millis(pause));
    if client.dice.percent(50) {
        wire.reset_on_close();
    }
    client.book.count(Count::Dropped);
    Ok(())
}

/// Many connections that send nothing, or never a complete head. The server must end each of them in time.
fn crowd(client: &mut Client, begins: bool) -> Result<(), String> {
    let count = client.dice.between(4, CROWD_MAX);
    let mut wires = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let mut wire = client.connect()?;
        if begins {
            wire.outgoing.begin_raw(b"GET /crowd HTTP/1.1\r\nHost: so");
            wire.send_all().map_err(|end| format!("a crowd: {end:?}"))?;
        }
        wires.push(wire);
    }
    if client.dice.percent(40) {
        let pause = client.dice.length(2000);
        client.rest(Duration::from_millis(pause));
        client.book.add(Count::Left, count);
        return Ok(());
    }
    for mut wire in wires {
        if client.book.is_done() {
            client.book.count(Count::Left);
            continue;
        }
        match read_head(&mut wire) {
            Ok(head) if begins && matches!(head.status, 408 | 503) && head.closes => client.book.count(Count::Refused),
            Err(Fault::Unanswered(End::Closed | End::Reset) | Fault::Cut(End::Reset, _)) => {
                client.book.count(Count::Dropped);
            }
            other => return Err(format!("a crowd (begins: {begins}): {other:?}")),
        }
    }
    Ok(())
}

/// The most connections in one crowd.
pub(crate) const CROWD_MAX: u64 = 40;
