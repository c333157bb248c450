//! The length of the content of a request (RFC 9112 §6.3), as one table.

use core::fmt;

use super::bytes::{TOKEN, span};
use crate::request::Version;

/// How the content of a request is delimited.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyLength {
    /// No content was announced: the next request follows the head.
    None,
    /// Exactly this many bytes, possibly 0.
    Length(u64),
    /// Delimited by the chunked coding: see [`ChunkedDecoder`](super::ChunkedDecoder).
    Chunked,
}

impl BodyLength {
    /// Whether bytes of a message body follow the head.
    #[must_use]
    pub const fn has_content(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}

/// How often a field occurred that may occur only once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Occurrence<'a> {
    Never,
    Once(&'a [u8]),
    Repeated,
}

/// Why the length of the content cannot be determined with certainty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FramingError {
    /// Both Content-Length and Transfer-Encoding: a smuggling attempt or a broken client.
    BothLengths,
    /// A Content-Length that is not one or more digits, or more than `u64::MAX`.
    ContentLength,
    /// More than one Content-Length, even if they are equal.
    ContentLengthRepeated,
    /// Transfer-Encoding on HTTP/1.0, which does not define it.
    TransferEncodingOnHttp10,
    /// A Transfer-Encoding that is not `chunked`.
    TransferEncoding,
    /// More than one Transfer-Encoding.
    TransferEncodingRepeated,
    /// Codings other than `chunked` before a final `chunked`: valid, but not supported.
    TransferCodingUnsupported,
}

impl FramingError {
    /// The status code of the answer: 400 or 501.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TransferCodingUnsupported => 501,
            _ => 400,
        }
    }
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BothLengths => "both Content-Length and Transfer-Encoding",
            Self::ContentLength => "a malformed Content-Length",
            Self::ContentLengthRepeated => "more than one Content-Length",
            Self::TransferEncodingOnHttp10 => "Transfer-Encoding on HTTP/1.0",
            Self::TransferEncoding => "a Transfer-Encoding that is not chunked",
            Self::TransferEncodingRepeated => "more than one Transfer-Encoding",
            Self::TransferCodingUnsupported => "an unsupported transfer coding",
        })
    }
}

impl core::error::Error for FramingError {}

/// The table. The method does not matter: content is legal with every one (RFC 9110 §6.4).
#[cfg_attr(not(feature = "small"), inline)]
pub(super) fn body_length(
    transfer_encoding: Occurrence<'_>,
    content_length: Occurrence<'_>,
    version: Version,
) -> Result<BodyLength, FramingError> {
    use FramingError as E;
    use Occurrence::{Never, Once, Repeated};

    match (transfer_encoding, content_length, version) {
        // §6.3 rule 7: a request with neither has no content.
        (Never, Never, _) => Ok(BodyLength::None),
        // Rule 6: a valid Content-Length is the length.
        (Never, Once(value), _) => digits(value).map(BodyLength::Length).ok_or(E::ContentLength),
        // Rule 5: several are invalid. A recipient may merge equal ones, but an intermediary may have treated them
        // differently.
        (Never, Repeated, _) => Err(E::ContentLengthRepeated),
        // Rule 3: both together ought to be handled as an error, whatever their values and order.
        (Once(_) | Repeated, Once(_) | Repeated, _) => Err(E::BothLengths),
        // §6.1: on HTTP/1.0 the framing is faulty; a 1.0 intermediary would not have understood it.
        (Once(_) | Repeated, Never, Version::Http10) => Err(E::TransferEncodingOnHttp10),
        // Several fields are one list of several codings, and only a single coding is supported.
        (Repeated, Never, Version::Http11) => Err(E::TransferEncodingRepeated),
        // Rule 4: chunked delimits the content; it is supported as the only coding.
        (Once(value), Never, Version::Http11) => transfer_coding(value),
    }
}

/// `chunked` in any case, and nothing else.
fn transfer_coding(value: &[u8]) -> Result<BodyLength, FramingError> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(BodyLength::Chunked);
    }
    if is_unsupported_list(value) {
        return Err(FramingError::TransferCodingUnsupported);
    }
    Err(FramingError::TransferEncoding)
}

/// Whether `value` lists other codings, as plain tokens, before one final `chunked`: well-formed, but a server that
/// does not support the coding answers it with 501 (RFC 9112 §6.1).
#[cold]
fn is_unsupported_list(value: &[u8]) -> bool {
    let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).rev();
    let last_is_chunked = codings.next().is_some_and(is_chunked);
    last_is_chunked && codings.all(|coding| is_token(coding) && !is_chunked(coding))
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && span(bytes, TOKEN) == bytes.len()
}

/// One or more digits as a number; no sign, no white space, no separator.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
