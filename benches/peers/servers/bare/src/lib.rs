//! What the bare loops share: prepared responses, and just enough of HTTP to know when to send one.
//!
//! Nothing is checked, so these are not servers. They show what the system calls of a server cost, and so how close to that a
//! server can come.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// The beginning of every response, as long as that of a server. Its date is never right.
const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: peer\r\nDate: Mon, 23 Nov 2026 03:00:00 GMT\r\n";

/// The most pipelined requests that are answered together.
const PIPELINED_MAX: usize = 512;

static ONE: LazyLock<Vec<u8>> = LazyLock::new(|| response("Content-Type: text/plain\r\n", common::HELLO.as_bytes()));
static MANY: LazyLock<Vec<u8>> = LazyLock::new(|| ONE.repeat(PIPELINED_MAX));
static LAST: LazyLock<Vec<u8>> =
    LazyLock::new(|| response("Connection: close\r\nContent-Type: text/plain\r\n", common::HELLO.as_bytes()));
static BYTES_64_KIB: LazyLock<Vec<u8>> = LazyLock::new(|| long_response("/bytes/65536"));
static BYTES_10_MIB: LazyLock<Vec<u8>> = LazyLock::new(|| long_response("/bytes/10485760"));

static END_OF_HEAD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\r\n\r\n"));
static LENGTH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("ontent-Length: "));

fn response(fields: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("{HEAD}{fields}Content-Length: {}\r\n\r\n", content.len());
    [head.as_bytes(), content].concat()
}

fn long_response(path: &str) -> Vec<u8> {
    response("Content-Type: application/octet-stream\r\n", common::bytes(path).expect("not too long"))
}

/// What to do about the input.
pub struct Answer {
    /// Bytes of the input that it is about.
    pub consumed: usize,
    pub output: Output,
    /// Whether the client has asked for the connection to be closed.
    pub closes: bool,
}

pub enum Output {
    Prepared(&'static [u8]),
    /// What was written to `scratch`.
    Scratch,
    /// What was written to `scratch`, then this many bytes.
    Bytes(u64),
    /// What was written to `scratch`, after this many further bytes were received and dropped.
    AfterUpload(u64),
}

/// The answer to all complete requests of the input; `None` if there are none. Only GETs can be pipelined.
pub fn answer(input: &[u8], scratch: &mut Vec<u8>) -> Option<Answer> {
    if input.starts_with(b"GET /plaintext") {
        return plaintext(input);
    }
    let head_len = END_OF_HEAD.find(input)? + 4;
    let head = &input[..head_len];
    scratch.clear();
    if head.starts_with(b"POST") {
        let length = content_length(head);
        if head.starts_with(b"POST /upload") {
            let count = length.to_string();
            scratch.extend(response("Content-Type: text/plain\r\n", count.as_bytes()));
            let dropped = length.min((input.len() - head_len) as u64);
            let output = Output::AfterUpload(length - dropped);
            return Some(Answer { consumed: head_len + dropped as usize, output, closes: false });
        }
        let content = input.get(head_len..head_len + length as usize)?;
        let fields = "Content-Type: application/octet-stream\r\n";
        scratch.extend(format!("{HEAD}{fields}Content-Length: {length}\r\n\r\n").as_bytes());
        scratch.extend(content);
        return Some(Answer { consumed: head_len + content.len(), output: Output::Scratch, closes: false });
    }
    let output = match head.split(|byte| *byte == b' ').nth(1)? {
        b"/bytes/65536" => Output::Prepared(&BYTES_64_KIB),
        b"/bytes/10485760" => Output::Prepared(&BYTES_10_MIB),
        path => bytes(path, scratch),
    };
    Some(Answer { consumed: head_len, output, closes: false })
}

fn plaintext(input: &[u8]) -> Option<Answer> {
    let ends = END_OF_HEAD.find_iter(input).take(PIPELINED_MAX);
    let (count, last) = ends.fold((0, 0), |(count, _), end| (count + 1, end));
    if count == 0 {
        return None;
    }
    let closes = input[..last].ends_with(b"close");
    let prepared = if closes { &LAST } else { &MANY[..count * ONE.len()] };
    Some(Answer { consumed: last + 4, output: Output::Prepared(prepared), closes })
}

fn bytes(path: &[u8], scratch: &mut Vec<u8>) -> Output {
    let path = std::str::from_utf8(path).unwrap_or_default();
    let count = path.strip_prefix("/bytes/").and_then(|count| count.parse().ok());
    let Some(count) = count else {
        scratch.extend(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        return Output::Scratch;
    };
    let fields = "Content-Type: application/octet-stream\r\n";
    scratch.extend(format!("{HEAD}{fields}Content-Length: {count}\r\n\r\n").as_bytes());
    Output::Bytes(count)
}

fn content_length(head: &[u8]) -> u64 {
    let Some(at) = LENGTH.find(head) else { return 0 };
    let digits = head[at + LENGTH.needle().len()..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}
