//! `method SP request-target SP HTTP-version CRLF` (RFC 9112 §3), read in one go.

use super::bytes::{PATH, TARGET, TOKEN, span};
use super::error::HeadError;
use super::target::Target;
use crate::part::part;
use crate::request::{MethodKind, TargetForm, Version};

/// Bytes of the longest method; a longer one is answered with 501 (RFC 9112 §3). The longest registered method has 17.
pub const METHOD_BYTES_MAX: usize = 32;

/// A parsed request line.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLine {
    pub(super) method: MethodKind,
    pub(super) method_len: usize,
    pub(super) target_len: usize,
    pub(super) target: Target,
    pub(super) version: Version,
}

impl RequestLine {
    /// Bytes of the line, CRLF included.
    #[inline(always)]
    pub(super) const fn len(&self) -> usize {
        self.method_len + 1 + self.target_len + VERSION_LEN
    }
}

/// Bytes from the space after the target to the end of the line.
const VERSION_LEN: usize = b" HTTP/1.1\r\n".len();

/// Reads the request line at the front of `bytes`.
///
/// An incomplete line is also an error, of any kind. The kind is meaningful only for a complete line that the scanner
/// found well-formed.
#[cfg_attr(not(feature = "small"), inline(always))]
pub(super) fn request_line(bytes: &[u8], target_bytes_max: u32) -> Result<RequestLine, HeadError> {
    let (method, method_len) = method(bytes)?;
    let rest = bytes.get(method_len + 1..).ok_or(HeadError::Target)?;
    let (target_len, path_len) = target_len(rest);
    let version = version(part(rest, target_len..))?;
    if target_len as u64 > u64::from(target_bytes_max) {
        return Err(HeadError::TargetTooLong);
    }
    let target = if path_len > 0 && method != MethodKind::Connect {
        Target { form: TargetForm::Origin, path_at: 0, path_len }
    } else {
        Target::other_form(method, part(rest, ..target_len))?
    };
    Ok(RequestLine { method, method_len, target_len, target, version })
}

/// The method and its length; it is followed by a space.
#[cfg_attr(not(feature = "small"), inline(always))]
fn method(bytes: &[u8]) -> Result<(MethodKind, usize), HeadError> {
    const fn word(method: &[u8]) -> u64 {
        let mut word = [0; 8];
        let mut at = 0;
        while at < method.len() {
            word[at] = method[at];
            at += 1;
        }
        u64::from_le_bytes(word)
    }
    /// The first `len` bytes of a word.
    const fn low(word: u64, len: u32) -> u64 {
        word & (u64::MAX >> (64 - 8 * len))
    }

    // Every complete request line is longer than a word.
    let start = u64::from_le_bytes(*bytes.first_chunk().ok_or(HeadError::Method)?);
    if low(start, 4) == word(b"GET ") {
        return Ok((MethodKind::Get, 3));
    }
    if low(start, 5) == word(b"POST ") {
        return Ok((MethodKind::Post, 4));
    }
    match start {
        _ if low(start, 4) == word(b"PUT ") => Ok((MethodKind::Put, 3)),
        _ if low(start, 5) == word(b"HEAD ") => Ok((MethodKind::Head, 4)),
        _ if low(start, 6) == word(b"PATCH ") => Ok((MethodKind::Patch, 5)),
        _ if low(start, 6) == word(b"TRACE ") => Ok((MethodKind::Trace, 5)),
        _ if low(start, 7) == word(b"DELETE ") => Ok((MethodKind::Delete, 6)),
        _ if start == word(b"OPTIONS ") => Ok((MethodKind::Options, 7)),
        _ if start == word(b"CONNECT ") => Ok((MethodKind::Connect, 7)),
        _ => extension_method(bytes),
    }
}

#[cold]
fn extension_method(bytes: &[u8]) -> Result<(MethodKind, usize), HeadError> {
    let len = span(bytes.get(..METHOD_BYTES_MAX + 1).unwrap_or(bytes), TOKEN);
    if len > METHOD_BYTES_MAX {
        return Err(HeadError::MethodTooLong);
    }
    if len == 0 || bytes.get(len) != Some(&b' ') {
        return Err(HeadError::Method);
    }
    Ok((MethodKind::Extension, len))
}

/// Length of the target at the front, and of its path if it is in origin-form (0 otherwise).
///
/// The target may end at a byte that its form does not allow; then `version` fails, because no space follows.
#[cfg_attr(not(feature = "small"), inline(always))]
fn target_len(bytes: &[u8]) -> (usize, usize) {
    if bytes.first() != Some(&b'/') {
        return (span(bytes, TARGET), 0);
    }
    let path_len = 1 + span(part(bytes, 1..), PATH);
    match bytes.get(path_len) {
        Some(b'?') => (path_len + 1 + span(part(bytes, path_len + 1..), TARGET), path_len),
        _ => (path_len, path_len),
    }
}

/// The version, from the space before it to the end of the line.
#[cfg_attr(not(feature = "small"), inline(always))]
fn version(bytes: &[u8]) -> Result<Version, HeadError> {
    let tail: &[u8; VERSION_LEN] = bytes.first_chunk().ok_or(HeadError::Version)?;
    if tail == b" HTTP/1.1\r\n" {
        return Ok(Version::Http11);
    }
    other_version(tail)
}

#[cold]
fn other_version(tail: &[u8; VERSION_LEN]) -> Result<Version, HeadError> {
    match tail {
        // Distinguished from 1.1, because it has neither chunked coding nor persistence by default.
        b" HTTP/1.0\r\n" => Ok(Version::Http10),
        // RFC 9110 §2.5: a higher minor version is treated as the highest one known.
        [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9', b'\r', b'\n'] => Ok(Version::Http11),
        [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', b'\r', b'\n'] => {
            Err(HeadError::VersionUnsupported)
        }
        // The target ended at a byte that its form does not allow.
        [first, ..] if *first != b' ' => Err(HeadError::Target),
        _ => Err(HeadError::Version),
    }
}
