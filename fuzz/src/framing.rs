//! The framing of a request by our parser and by kawa, the parser of the proxy Sōzu, which shares no code with ours: where the
//! head ends, how long the content is, and where a chunked message ends.
//!
//! Request smuggling needs two parsers that read one request in two ways. So if we accept a request, the other must accept it
//! in the same way or refuse it, and it must not accept a head that we consider incomplete. Requests that we refuse do not
//! matter. Where the other refuses a request that we accept, the reason is one of [`refuses_rightly`].
//!
//! No options: an input is a request.

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{BodyLength, Chunk, ChunkedDecoder, HeadScan, with_head};
use kawa::h1::{ParserCallbacks, parse};
use kawa::{AsBuffer, BodySize, Buffer, Kawa, Kind, ParsingPhase, SliceBuffer};

/// A request as one of the two parsers reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Read {
    head_len: usize,
    body: BodyLength,
    /// Where a chunked message ends, if it is complete.
    chunked_end: Option<usize>,
}

/// The verdict of one of the two parsers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// The head is not complete.
    Partial,
    /// The request is refused.
    Refused,
    /// A head, and a chunked body that is malformed.
    RefusedBehind(usize),
    Read(Read),
}

pub fn check(input: &[u8]) {
    let (ours, other) = (ours(input), other(input));
    let fits = match (ours, other) {
        (Verdict::Refused, _) => true,
        (Verdict::Partial, Verdict::Partial | Verdict::Refused) => true,
        (Verdict::RefusedBehind(at), Verdict::Read(Read { head_len, .. }) | Verdict::RefusedBehind(head_len)) => {
            at == head_len
        }
        (Verdict::Read(ours), Verdict::Read(other)) => ours == other,
        (Verdict::Read(ours), Verdict::RefusedBehind(head_len)) => {
            let is_same_head = ours.head_len == head_len && ours.body == BodyLength::Chunked;
            is_same_head && (has_extensions(&input[head_len..]) || refuses_rightly(input))
        }
        (Verdict::Read(_) | Verdict::RefusedBehind(_), Verdict::Refused | Verdict::Partial) => refuses_rightly(input),
        _ => false,
    };
    assert!(fits, "ours {ours:?}, the other {other:?}: {}", super::text(input));
}

/// The known exceptions: allowed by RFC 9110 and 9112, but refused by the other parser.
fn refuses_rightly(input: &[u8]) -> bool {
    let line = input.trim_ascii_start().split(|&byte| byte == b'\r').next().unwrap_or_default();
    // A higher minor version of HTTP/1 is served as the highest that is known (RFC 9110 §2.5).
    let is_later_minor = matches!(line.last(), Some(b'2'..=b'9'));
    // Bytes of 0x80 and above in field values are opaque (RFC 9110 §5.5); it refuses those up to 0x9F.
    let is_opaque = input.iter().any(|byte| matches!(byte, 0x80..=0x9f));
    // Tabs are allowed in any value (RFC 9110 §5.5); it parses Cookie by the rules of RFC 6265 at once.
    let lines = input.split(|&byte| byte == b'\n');
    let is_tabbed_cookie = lines
        .into_iter()
        .any(|line| line.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"cookie:")) && line.contains(&b'\t'));
    is_later_minor || is_opaque || is_tabbed_cookie
}

/// Whether a chunk may have an extension, or the whitespace before one: recipients ignore unknown extensions
/// (RFC 9112 §7.1.1), and the other parser refuses all of them.
fn has_extensions(body: &[u8]) -> bool {
    body.iter().any(|byte| matches!(byte, b';' | b' ' | b'\t'))
}

fn ours(input: &[u8]) -> Verdict {
    let limits = Limits::default();
    let head = with_head(input, &limits, &mut HeadScan::default(), |parsed| {
        parsed.map(|request| request.map(|request| (request.head_len(), request.body_length())))
    });
    let (head_len, body) = match head {
        Err(_) => return Verdict::Refused,
        Ok(None) => return Verdict::Partial,
        Ok(Some(head)) => head,
    };
    let mut read = Read { head_len, body, chunked_end: None };
    if body == BodyLength::Chunked {
        let mut decoder = ChunkedDecoder::new();
        let mut at = head_len;
        while at < input.len() {
            match decoder.poll(&input[at..], &limits) {
                Err(_) => return Verdict::RefusedBehind(head_len),
                Ok(Chunk::NeedMore { consumed }) => at += consumed,
                Ok(Chunk::Data { skip, len }) => {
                    decoder.consume_data(len);
                    at += skip + len;
                }
                Ok(Chunk::End { consumed }) => {
                    read.chunked_end = Some(at + consumed);
                    break;
                }
            }
        }
    }
    Verdict::Read(read)
}

/// Records where the head ended.
#[derive(Default)]
struct HeadEnd(Option<usize>);

impl<T: AsBuffer> ParserCallbacks<T> for HeadEnd {
    fn on_headers(&mut self, kawa: &mut Kawa<T>) {
        self.0 = Some(kawa.storage.head);
    }
}

fn other(input: &[u8]) -> Verdict {
    let mut bytes = input.to_vec();
    let mut kawa = Kawa::new(Kind::Request, Buffer::new(SliceBuffer(&mut bytes)));
    // A server skips an empty line before a request (RFC 9112 §2.2); the other parser leaves that to its user.
    kawa.storage.start = if input.starts_with(b"\r\n") { 2 } else { 0 };
    kawa.storage.head = kawa.storage.start;
    kawa.storage.end = input.len();
    let mut head_end = HeadEnd::default();
    parse(&mut kawa, &mut head_end);
    let failed = matches!(kawa.parsing_phase, ParsingPhase::Error { .. });
    let head_len = match head_end.0 {
        None if failed => return Verdict::Refused,
        None => return Verdict::Partial,
        Some(head_len) if failed => return Verdict::RefusedBehind(head_len),
        Some(head_len) => head_len,
    };
    let body = match kawa.body_size {
        BodySize::Empty => BodyLength::None,
        BodySize::Length(length) => BodyLength::Length(length as u64),
        BodySize::Chunked => BodyLength::Chunked,
    };
    let is_whole = body == BodyLength::Chunked && kawa.parsing_phase == ParsingPhase::Terminated;
    Verdict::Read(Read { head_len, body, chunked_end: is_whole.then_some(kawa.storage.head) })
}
