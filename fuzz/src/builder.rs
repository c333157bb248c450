//! A response as a value: it fits completely or is an error, its size is known beforehand, and a strict reader finds in it
//! what was put in.
//!
//! Options: bits for the request and the response; how much room there is; two bytes for the status. Then parts,
//! each a length byte and so many bytes: the reason, the protocols of Upgrade, the content, and names and values of
//! fields in alternation.

use aurora_http_core::response::{Response, ResponseError};

use super::reply::{self, Framing};

const HEAD: u8 = 1;
const CONNECT: u8 = 2;
const HTTP10: u8 = 4;
const CLOSE: u8 = 8;
const REASON: u8 = 16;
const UPGRADE: u8 = 32;
const BODY: u8 = 64;

pub fn check(input: &[u8]) {
    let Some(([bits, room, high, low], rest)) = super::options(input) else { return };
    let mut parts = parts(rest).into_iter();
    let (reason, upgrade, body) = (parts.next(), parts.next(), parts.next());
    let mut fields: Vec<(&str, &[u8])> = Vec::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        fields.push((str::from_utf8(name).unwrap_or("\u{e9}"), value));
    }
    // Usually a valid status, readable in the corpus file in decimal.
    let status = 100 * u16::from(high % 16) + u16::from(low % 128);
    let mut response = Response::new(status)
        .fields(&fields)
        .persistent(bits & CLOSE == 0)
        .http10(bits & HTTP10 != 0)
        .head_request(bits & HEAD != 0)
        .connect_request(bits & CONNECT != 0);
    if bits & REASON != 0 {
        response = response.reason(reason.unwrap_or_default());
    }
    if bits & UPGRADE != 0 {
        response = response.upgrade(upgrade.unwrap_or_default());
    }
    let body = (bits & BODY != 0).then(|| body.unwrap_or_default());
    if let Some(body) = body {
        response = response.body(body);
    }
    let Some(bytes) = built(&response, room) else { return };
    // A reason may have unusual bytes, which the reader does not accept.
    if bits & REASON == 0 || reason.is_none_or(|reason| reason.iter().all(|byte| matches!(byte, b' '..=b'~'))) {
        let bodiless = bits & HEAD != 0 || bits & CONNECT != 0 && (200..=299).contains(&status);
        check_content(&bytes, bodiless, status, &fields, body.unwrap_or_default());
    }
}

/// Pieces, each with a length byte; the last one may be short.
fn parts(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((&len, behind)) = rest.split_first() {
        let (part, behind) = behind.split_at(behind.len().min(len.into()));
        parts.push(part);
        rest = behind;
    }
    parts
}

/// The response in a buffer that is long enough; `None` if it is an error.
fn built(response: &Response<'_>, room: u8) -> Option<Vec<u8>> {
    let mut out = vec![0xee; response.estimate_size() + 300];
    let result = response.build_into(&mut out);
    assert_eq!(result, response.exact_size(), "{response:?}");
    let Ok(size) = result else { return None };
    assert!(size <= response.estimate_size());
    assert!(out[size..].iter().all(|&byte| byte == 0xee), "nothing behind the end");
    out.truncate(size);
    // With less room, however much is missing, it is an error.
    for short in [usize::from(room).min(size - 1), size - 1, size - 1 - usize::from(room) % size] {
        assert_eq!(response.build_into(&mut vec![0; short]), Err(ResponseError::Full), "{short} of {size}");
    }
    let mut exact = vec![0; size];
    assert_eq!((response.build_into(&mut exact), &exact), (Ok(size), &out));
    Some(out)
}

fn check_content(bytes: &[u8], bodiless: bool, status: u16, fields: &[(&str, &[u8])], body: &[u8]) {
    let read = reply::read(bytes, bodiless, true).unwrap_or_else(|wrong| panic!("{wrong} in {}", super::text(bytes)));
    let (read, length) = read.unwrap_or_else(|| panic!("incomplete: {}", super::text(bytes)));
    assert_eq!((read.status, length), (status, bytes.len()), "{}", super::text(bytes));
    let bodiless = bodiless || matches!(status, 100..=199 | 204 | 205 | 304);
    assert_eq!(read.body, if bodiless { b"" } else { body });
    assert!(read.framing != Framing::Close && read.framing != Framing::Chunked, "a length that is known is told");
    // After the core's own fields, in order.
    let own = read.fields.len() - fields.len();
    for ((name, value), (read_name, read_value)) in fields.iter().zip(&read.fields[own..]) {
        let value: String = value.iter().copied().map(char::from).collect();
        assert_eq!((*name, &value), (read_name.as_str(), read_value));
    }
}
