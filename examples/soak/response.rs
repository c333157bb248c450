//! Reads one response and checks every byte of it.

use std::fmt;

use crate::request::{Framing, Kind, Request};
use crate::wire::{End, Wire};

/// The greatest length of a head.
const HEAD_MAX: usize = 2048;

/// What is wrong with a response.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The connection ended before its first byte.
    Unanswered(End),
    /// The server refused the request, as too slow or for lack of room: 408 or 503, and the end of the connection.
    Refused(u16),
    /// The connection ended in the middle of it.
    Cut(End, String),
    /// It is not the expected response.
    Wrong(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered(end) => write!(f, "no answer; the connection: {end:?}"),
            Self::Refused(status) => write!(f, "refused with {status}"),
            Self::Cut(end, place) => write!(f, "cut ({end:?}) {place}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

/// Status line and fields.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    pub(crate) is_chunked: bool,
    pub(crate) closes: bool,
    pub(crate) keeps_alive: bool,
    /// The request that it belongs to: `X-Exchange`.
    pub(crate) exchange: Option<String>,
    pub(crate) text: String,
}

/// Reads and checks the response to `request`. Returns whether the connection is kept.
pub(crate) fn check(wire: &mut Wire, request: &Request) -> Result<bool, Fault> {
    let mut head = read_head(wire)?;
    while head.status == 100 && request.expects {
        head = read_head(wire)?;
    }
    let answer = request.answer();
    if matches!(head.status, 408 | 503) && head.status != answer.status && head.closes {
        read_any_body(wire, &head)?;
        return Err(Fault::Refused(head.status));
    }
    check_head(request, &head).map_err(|what| Fault::Wrong(format!("{what}: {}", head.text.escape_debug())))?;
    let end = match (head.length, head.is_chunked) {
        _ if request.method == "HEAD" || head.status == 204 => 0,
        _ if matches!(request.kind, Kind::Busy | Kind::Never) => {
            read_any_body(wire, &head)?;
            return Ok(keeps(request, &head));
        }
        _ if request.kind == Kind::Upgrade => check_piece(wire, request, 0, request.length)?,
        (Some(length), _) => check_piece(wire, request, 0, length)?,
        (None, true) => check_chunks(wire, request)?,
        (None, false) => check_rest(wire, request)?,
    };
    let has_body = request.method != "HEAD" && !matches!(request.kind, Kind::Empty | Kind::Ignore);
    if has_body && end != request.length {
        return Err(Fault::Wrong(format!("{end} bytes instead of {}", request.length)));
    }
    Ok(keeps(request, &head))
}

/// On HTTP/1.0 a connection is kept only if the response says so.
fn keeps(request: &Request, head: &Head) -> bool {
    if request.http10 { head.keeps_alive } else { !head.closes && request.kind != Kind::Upgrade }
}

pub(crate) fn read_head(wire: &mut Wire) -> Result<Head, Fault> {
    const END: &[u8] = b"\r\n\r\n";
    loop {
        let received = wire.received();
        if let Some(at) = received.windows(END.len()).position(|bytes| bytes == END) {
            let text = String::from_utf8_lossy(&received[..at + 2]).into_owned();
            let head = parse(&text);
            wire.take(at + END.len());
            return head.ok_or_else(|| Fault::Wrong(format!("malformed head: {}", text.escape_debug())));
        }
        if received.len() > HEAD_MAX {
            return Err(Fault::Wrong(format!("malformed head: {}", received[..200].escape_ascii())));
        }
        let begun = received.escape_ascii().to_string();
        wire.receive().map_err(|end| {
            if begun.is_empty() { Fault::Unanswered(end) } else { Fault::Cut(end, format!("in its head: {begun}")) }
        })?;
    }
}

/// Parses strictly: a status line, fields, and every framing field at most once.
fn parse(text: &str) -> Option<Head> {
    let mut lines = text.split_terminator("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let mut head = Head {
        status,
        length: None,
        is_chunked: false,
        closes: false,
        keeps_alive: false,
        exchange: None,
        text: text.to_owned(),
    };
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" if head.length.is_none() => head.length = Some(value.parse().ok()?),
            "transfer-encoding" if value == "chunked" && !head.is_chunked => head.is_chunked = true,
            "content-length" | "transfer-encoding" => return None,
            "connection" => {
                head.closes |= value.split(", ").any(|option| option.eq_ignore_ascii_case("close"));
                head.keeps_alive |= value.split(", ").any(|option| option.eq_ignore_ascii_case("keep-alive"));
            }
            "x-exchange" if head.exchange.is_none() => head.exchange = Some(value.to_owned()),
            "x-exchange" => return None,
            _ => {}
        }
    }
    (head.length.is_none() || !head.is_chunked).then_some(head)
}

/// What is wrong with a head.
fn check_head(request: &Request, head: &Head) -> Result<(), &'static str> {
    let answer = request.answer();
    if head.status != answer.status {
        return Err("wrong status");
    }
    // The server's own answers do not have the handler's field.
    let has_field = !matches!(request.kind, Kind::Busy | Kind::Never);
    if has_field && head.exchange != Some(format!("{}.{}", request.client, request.serial)) {
        return Err("the response to another request");
    }
    let (length, is_chunked) = match request.kind {
        Kind::Busy | Kind::Never => return Ok(()),
        Kind::Empty | Kind::Upgrade => (None, false),
        // A response to HEAD has no chunks, and does not announce any.
        _ => (answer.length, answer.length.is_none() && !request.http10 && request.method != "HEAD"),
    };
    if head.length != length || head.is_chunked != is_chunked {
        return Err("wrong framing");
    }
    if request.close && !request.http10 && !head.closes {
        return Err("it does not announce the close");
    }
    Ok(())
}

/// Checks `count` bytes of the body from offset `at`. Returns where they end.
fn check_piece(wire: &mut Wire, request: &Request, at: u64, count: u64) -> Result<u64, Fault> {
    let body = request.answer().body;
    let end = at + count;
    let mut at = at;
    while at < end {
        if wire.received().is_empty() {
            let inside = |end_of| Fault::Cut(end_of, format!("after {at} of {end} bytes"));
            wire.receive().map_err(inside)?;
        }
        let received = wire.received();
        let bytes = &received[..received.len().min(usize::try_from(end - at).unwrap_or(usize::MAX))];
        if let Some(place) = body.differs(at, bytes) {
            let rest = &bytes[(place - at) as usize..];
            let found = rest[..rest.len().min(16)].escape_ascii();
            return Err(Fault::Wrong(format!("a foreign byte at {place} of {end}: {found}")));
        }
        let count = bytes.len();
        wire.take(count);
        at += count as u64;
    }
    Ok(end)
}

fn check_chunks(wire: &mut Wire, request: &Request) -> Result<u64, Fault> {
    let mut at = 0;
    loop {
        let line = read_line(wire)?;
        let size = u64::from_str_radix(&line, 16).map_err(|_| Fault::Wrong(format!("malformed chunk: {line:?}")))?;
        at = check_piece(wire, request, at, size)?;
        let end = read_line(wire)?;
        if !end.is_empty() {
            return Err(Fault::Wrong(format!("after a chunk: {end:?}")));
        }
        if size == 0 {
            return Ok(at);
        }
    }
}

/// Checks a body that ends with the connection.
fn check_rest(wire: &mut Wire, request: &Request) -> Result<u64, Fault> {
    let mut at = 0;
    loop {
        let count = wire.received().len() as u64;
        at = check_piece(wire, request, at, count)?;
        match wire.receive() {
            Ok(()) => {}
            Err(End::Closed) => return Ok(at),
            Err(end) => return Err(Fault::Cut(end, format!("after {at} bytes"))),
        }
    }
}

/// Reads a line and returns it without its line end.
fn read_line(wire: &mut Wire) -> Result<String, Fault> {
    loop {
        let received = wire.received();
        if let Some(at) = received.windows(2).position(|bytes| bytes == b"\r\n") {
            let line = String::from_utf8_lossy(&received[..at]).into_owned();
            wire.take(at + 2);
            return Ok(line);
        }
        if received.len() > 64 {
            return Err(Fault::Wrong(format!("malformed chunk: {}", received[..64].escape_ascii())));
        }
        wire.receive().map_err(|end| Fault::Cut(end, "between chunks".into()))?;
    }
}

/// Reads the body of an answer of the server's own, which belongs to no particular request.
pub(crate) fn read_any_body(wire: &mut Wire, head: &Head) -> Result<(), Fault> {
    let mut left = head.length.unwrap_or(0);
    while left > 0 {
        if wire.received().is_empty() {
            wire.receive().map_err(|end| Fault::Cut(end, format!("{left} bytes before its end")))?;
        }
        let count = wire.received().len().min(usize::try_from(left).unwrap_or(usize::MAX));
        wire.take(count);
        left -= count as u64;
    }
    Ok(())
}

/// Describes a request, for the message of a fault.
pub(crate) fn describe(request: &Request) -> String {
    let Request { kind, method, serial, length, framing, http10, close, expects, .. } = request;
    let content = if *framing == Framing::None { String::new() } else { format!(", content {framing:?}") };
    let version = if *http10 { ", HTTP/1.0" } else { "" };
    let close = if *close { ", close" } else { "" };
    let expects = if *expects { ", expects 100" } else { "" };
    format!("request {serial}, {method} {} of {length} bytes{content}{version}{close}{expects}", kind.path())
}
