//! Chunked content with trailers, in pieces, for a handler that holds it back, takes it bit by bit, or asks for trailers,
//! and a request directly after it: content and trailers are those of a model, and that request is answered.
//!
//! Options: what the handler does, and how long a piece is. Then the message body.

use std::cell::RefCell;

use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use super::harness::Bench;
use super::reply;

/// The handler asks for trailers.
const KEEPS: u8 = 1;
/// It waits until all of the content has arrived.
const HOLDS: u8 = 2;
/// It echoes a few bytes with each call.
const ECHOES: u8 = 4;
/// It asks for trailers only with the first content.
const KEEPS_LATE: u8 = 8;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
const BEHIND: &[u8] = b"GET /behind HTTP/1.1\r\nHost: x\r\n\r\n";

type Fields = Vec<(String, Vec<u8>)>;

/// What the first request's handler saw.
#[derive(Default)]
struct Seen {
    option: u8,
    content: Vec<u8>,
    /// The trailers of the last call, and of each call that was offered the end.
    trailers: Vec<Option<Fields>>,
    finished: bool,
    behind: usize,
}

impl Handler for Seen {
    /// Whether the response has begun.
    type Exchange = bool;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        assert!(request.fields().get("a").is_none(), "trailers are never merged");
        if request.path() == b"/behind" {
            self.behind += 1;
            let _ = response.body("behind");
            return Flow::Finish;
        }
        if self.option & KEEPS != 0 {
            response.keep_trailers();
        }
        Flow::Receive(false)
    }

    fn receive(&mut self, begun: bool, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        if self.option & KEEPS_LATE != 0 && !content.ended() {
            response.keep_trailers();
        }
        let trailers = content.trailers();
        if content.ended() {
            self.trailers.push(
                trailers.map(|all| all.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect()),
            );
        } else {
            assert!(trailers.is_none(), "trailers come with the end");
            if self.option & HOLDS != 0 {
                content.hold();
                return Flow::Receive(begun);
            }
        }
        let bytes = content.bytes();
        let mut count = bytes.len();
        if self.option & ECHOES != 0 {
            if !begun {
                response.stream(None).expect("a response begins");
            }
            count = response.write(&bytes[..count.min(1 + usize::from(self.option >> 4))]).expect("room for it");
        }
        self.content.extend_from_slice(&bytes[..count]);
        content.consume(count);
        if !content.ended() || count < bytes.len() {
            return Flow::Receive(self.option & ECHOES != 0);
        }
        self.finished = true;
        Flow::Finish
    }
}

thread_local! {
    /// Its memory is never freed, so there is only one.
    static BENCH: RefCell<Bench<Seen>> = RefCell::new({
        let mut bench = Bench::new(Seen::default());
        bench.fin();
        bench
    });
}

pub fn check(input: &[u8]) {
    let Some(([option, piece], bytes)) = super::options(input) else { return };
    let message = message(bytes);
    // After a body without an end, no further request is seen.
    let (body, behind) = message.as_ref().map_or((bytes, &b""[..]), |message| (&bytes[..message.len], BEHIND));
    let all = [HEAD, body, behind].concat();
    BENCH.with_borrow_mut(|bench| {
        bench.reopen();
        bench.handler = Seen { option, ..Seen::default() };
        for piece in all.chunks(1 + usize::from(piece)) {
            bench.send(piece);
        }
        match message {
            Some(message) => check_whole(bench, &message),
            None => assert!(!bench.handler.finished && bench.handler.behind == 0, "no end: {}", super::text(bytes)),
        }
        bench.fin();
        bench.elapse(1_000_000);
        assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0), "{:?}", bench.connection);
    });
}

fn check_whole(bench: &Bench<Seen>, message: &Message) {
    let seen = &bench.handler;
    assert!(seen.finished, "{:?}", bench.connection);
    assert_eq!(seen.content, message.content);
    // If requested before the end, they come with every offer of the end.
    let early = seen.option & KEEPS != 0;
    for trailers in &seen.trailers {
        match trailers {
            Some(trailers) => assert_eq!(trailers, &message.trailers),
            None => assert!(!early),
        }
    }
    assert!(early || seen.option & KEEPS_LATE != 0 || seen.trailers.iter().all(Option::is_none));
    let echo = if seen.option & ECHOES != 0 { &message.content[..] } else { b"" };
    let mut at = 0;
    for body in [echo, b"behind"] {
        let read = reply::read(&bench.output[at..], false, false).expect("a response").expect("a whole one");
        assert_eq!((read.0.status, read.0.body.as_slice()), (200, body));
        at += read.1;
    }
    assert_eq!((at, seen.behind, bench.state()), (bench.output.len(), 1, State::KeepAlive));
}

/// A parsed message body.
struct Message {
    content: Vec<u8>,
    trailers: Fields,
    len: usize,
}

/// The message body at the beginning of `bytes` by the grammar of RFC 9112 §7.1 and the default limits; `None` if it is
/// incomplete or malformed.
fn message(bytes: &[u8]) -> Option<Message> {
    let mut message = Message { content: Vec::new(), trailers: Vec::new(), len: 0 };
    let mut extensions_len = 0;
    loop {
        let line = line(bytes, &mut message.len)?;
        let digits_len = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, extensions) = line.split_at(digits_len);
        extensions_len += extensions.len();
        if digits_len > 16 || !are_extensions(extensions) || extensions_len > 4096 {
            return None;
        }
        let size = usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let data = bytes.get(message.len..)?.get(..size)?;
        message.content.extend_from_slice(data);
        message.len += size;
        if !bytes[message.len..].starts_with(b"\r\n") {
            return None;
        }
        message.len += 2;
    }
    let section_at = message.len;
    loop {
        let line = line(bytes, &mut message.len)?;
        if line.is_empty() {
            return Some(message);
        }
        if message.len - section_at > 8192 {
            return None;
        }
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if token_len(name) != colon || colon == 0 || !value.iter().all(|&byte| is_value(byte)) {
            return None;
        }
        let name = String::from_utf8(name.to_vec()).ok()?;
        if !is_withheld(&name.to_ascii_lowercase()) {
            message.trailers.push((name, value.trim_ascii().to_vec()));
        }
    }
}

/// A line that ends in CRLF and contains neither CR nor LF; `at` moves past it.
fn line<'b>(bytes: &'b [u8], at: &mut usize) -> Option<&'b [u8]> {
    let rest = &bytes[*at..];
    let len = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    *at += len + 2;
    rest[len..].starts_with(b"\r\n").then(|| &rest[..len])
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(name) = behind_blanks(rest).strip_prefix(b";") else { return false };
        let name = behind_blanks(name);
        let name_len = token_len(name);
        if name_len == 0 {
            return false;
        }
        rest = &name[name_len..];
        let Some(value) = behind_blanks(rest).strip_prefix(b"=") else { continue };
        let value = behind_blanks(value);
        let Some(value_len) = quoted_len(value).or(Some(token_len(value)).filter(|&len| len > 0)) else { return false };
        rest = &value[value_len..];
    }
    true
}

/// Without leading spaces and tabs; other white space stays.
fn behind_blanks(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &bytes[len..]
}

/// Length of the quoted string at the beginning (RFC 9110 §5.6.4).
fn quoted_len(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    bytes.strip_prefix(b"\"")?;
    for (at, &byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if !is_value(byte) => return None,
            _ if escaped => escaped = false,
            b'"' => return Some(at + 1),
            b'\\' => escaped = true,
            _ => {}
        }
    }
    None
}

fn token_len(bytes: &[u8]) -> usize {
    let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    bytes.iter().take_while(is_token).count()
}

fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Fields that are never passed on as trailers, by the kinds that `Trailers` documents: framing, routing, request modifiers,
/// authentication, content handling (RFC 9110 §6.5.1), response fields.
fn is_withheld(name: &str) -> bool {
    const NAMES: &str = " age authorization cache-control connection content-encoding content-language content-length \
        content-location content-range content-type cookie date expect expires forwarded host http2-settings keep-alive \
        location max-forwards origin pragma range referer retry-after set-cookie te trailer transfer-encoding upgrade \
        user-agent vary via warning www-authenticate x-forwarded-for x-real-ip ";
    let is_family = ["proxy-", "if-", "sec-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix));
    is_family || NAMES.contains(&format!(" {name} "))
}
