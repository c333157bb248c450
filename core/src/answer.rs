//! The responses that a connection sends without a handler, as plain text.

use crate::encode::{self, BodyKind, Encoder, FieldLine, StatusError, connection_field, response_body};
use crate::error::BufferFull;
use crate::format::HttpDate;
use crate::status;

/// The interim response to `Expect: 100-continue` (RFC 9110 §10.1.1, §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The text of the 500 that replaces a response longer than `response_bytes_max`.
pub const RESPONSE_TOO_LONG: &str = "Response exceeds maximum size";

/// The longest text of an answer, in bytes; a longer one is truncated.
pub const ANSWER_TEXT_BYTES_MAX: usize = 64;

/// The longest answer, in bytes: [`write_answer`] never needs more, apart from added fields.
pub const ANSWER_BYTES_MAX: usize = encode::STATUS_LINE_BYTES
    + LONGEST_REASON.len()
    + encode::DATE_LINE_BYTES
    + connection_field(true, true, false).len()
    + "Content-Length: 65\r\n".len()
    + "Content-Type: text/plain\r\n".len()
    + "Retry-After: 4294967295\r\n".len()
    + "\r\n".len()
    + ANSWER_TEXT_BYTES_MAX
    + "\n".len();

/// Room that must be free in a send buffer before a handler is called, in bytes. It ensures that an answer can always be
/// written, and that a full buffer never makes a handler run twice.
pub(crate) const RESERVE: usize = ANSWER_BYTES_MAX + CONTINUE.len();

const LONGEST_REASON: &str = "Network Authentication Required";

const TEXT_PLAIN: FieldLine<'_> = FieldLine::new("Content-Type: text/plain").unwrap();

/// An answer, and the properties of the request and connection that it depends on.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// A client or server error, 400 to 599. Other statuses are sent as 500, and so are those that
    /// [require](status::demand) a field (401, 405, 407, 426) which was not added.
    pub status: u16,
    /// The current date; `None` without a clock.
    pub date: Option<&'a HttpDate>,
    /// Whether the request was HTTP/1.0.
    pub http10: bool,
    /// Whether the connection is closed after it.
    pub close: bool,
    /// Whether the request's method was HEAD: then only the head is sent.
    pub head_request: bool,
    /// `Retry-After` in seconds (RFC 9110 §10.2.3).
    pub retry_after_s: Option<u32>,
    /// The content; `None` for the reason phrase of the status. It is truncated to [`ANSWER_TEXT_BYTES_MAX`].
    pub text: Option<&'static str>,
}

impl Answer<'_> {
    /// An answer to a request about which nothing is known, with the reason phrase as its text, after which the
    /// connection is closed.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self { status, date: None, http10: false, close: true, head_request: false, retry_after_s: None, text: None }
    }
}

/// Writes `answer` to the front of `out`, with the field lines `added`, and returns the number of bytes written: at
/// most [`ANSWER_BYTES_MAX`] plus the length of `added`, which must be whole, valid lines.
///
/// # Errors
/// [`BufferFull`] if it does not fit; the contents of `out` are then unspecified.
#[cold]
pub fn write_answer(out: &mut [u8], answer: &Answer<'_>, added: &[u8]) -> Result<usize, BufferFull> {
    let status = sendable(answer.status, added);
    let text = answer.text.unwrap_or_else(|| status::reason(status));
    let text = text.get(..text.floor_char_boundary(ANSWER_TEXT_BYTES_MAX)).unwrap_or_default();
    // The text and a line feed.
    let length = BodyKind::Known(text.len() as u64 + 1);
    let framing = response_body(answer.head_request, false, status, answer.http10, length);

    let mut encoder = Encoder::new(out);
    encoder.status_line(status).map_err(|_: StatusError| BufferFull)?;
    if let Some(date) = answer.date {
        encoder.date_field(date)?;
    }
    encoder.put(connection_field(answer.http10, !answer.close, false))?;
    encoder.framing_field(framing)?;
    encoder.field_line(TEXT_PLAIN)?;
    if let Some(seconds) = answer.retry_after_s {
        encoder.uint_field(b"Retry-After: ", seconds.into())?;
    }
    encoder.put(added)?;
    encoder.end_of_head()?;
    if framing.has_body() {
        encoder.put(text.as_bytes())?;
        encoder.put(b"\n")?;
    }
    Ok(encoder.len())
}

/// The status that is sent for a requested one: itself if an answer with these added field lines can have it, otherwise
/// 500.
pub(crate) fn sendable(status: u16, added: &[u8]) -> u16 {
    let is_met = status::demand(status).is_none_or(|demand| demand.is_met_in(added));
    if matches!(status, 400..=599) && is_met { status } else { 500 }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    const DATE: HttpDate = HttpDate::from_unix_seconds(784_111_777).unwrap();

    fn written(answer: &Answer<'_>) -> String {
        let mut out = [0; ANSWER_BYTES_MAX];
        let length = write_answer(&mut out, answer, &[]).unwrap();
        assert_eq!(write_answer(&mut out[..length - 1], answer, &[]), Err(BufferFull));
        String::from_utf8(out[..length].to_vec()).unwrap()
    }

    #[test]
    fn an_answer_names_its_reason_and_announces_the_close() {
        let answer = Answer { date: Some(&DATE), ..Answer::new(431) };
        assert_eq!(
            written(&answer),
            "HTTP/1.1 431 Request Header Fields Too Large\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Connection: close\r\nContent-Length: 32\r\nContent-Type: text/plain\r\n\r\n\
             Request Header Fields Too Large\n"
        );
        let answer = Answer { text: Some(RESPONSE_TOO_LONG), close: false, ..Answer::new(500) };
        assert_eq!(
            written(&answer),
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 30\r\nContent-Type: text/plain\r\n\r\n\
             Response exceeds maximum size\n"
        );
        let answer =
            Answer { retry_after_s: Some(7), http10: true, close: false, head_request: true, ..Answer::new(503) };
        assert_eq!(
            written(&answer),
            "HTTP/1.1 503 Service Unavailable\r\nConnection: keep-alive\r\nContent-Length: 20\r\n\
             Content-Type: text/plain\r\nRetry-After: 7\r\n\r\n"
        );
    }

    #[test]
    fn statuses_other_than_errors_become_500() {
        for status in [0, 100, 204, 304, 399, 600, u16::MAX, 401, 405, 407, 426] {
            assert!(written(&Answer::new(status)).starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{status}");
        }
        assert!(written(&Answer::new(499)).starts_with("HTTP/1.1 499 \r\n"));
    }

    #[test]
    fn the_longest_answer_has_exactly_the_bytes_reserved_for_it() {
        let long = "€ has three bytes, so a cut at sixty-four must not split it: €€€€€€";
        let texts = [None, Some(RESPONSE_TOO_LONG), Some(long), Some(&"0123456789".repeat(7).leak()[..])];
        let mut lengths = Vec::new();
        for status in 0..=u16::MAX {
            // Every status with the longest of everything else, and errors with every combination.
            let combinations = if matches!(status, 400..=599) { 0..32 } else { 31..32 };
            for (flags, text) in combinations.flat_map(|flags| texts.map(|text| (flags, text))) {
                let answer = Answer {
                    status,
                    date: (flags & 1 != 0).then_some(&DATE),
                    http10: flags & 2 != 0,
                    close: flags & 4 == 0,
                    head_request: flags & 8 == 0,
                    retry_after_s: (flags & 16 != 0).then_some(u32::MAX),
                    text,
                };
                lengths.push(write_answer(&mut [0; ANSWER_BYTES_MAX], &answer, &[]).unwrap());
            }
        }
        assert_eq!(lengths.into_iter().max(), Some(ANSWER_BYTES_MAX));
    }

    #[test]
    fn the_interim_answer_agrees_with_the_table() {
        assert_eq!(CONTINUE, (status::line(100).unwrap().to_string() + "\r\n").as_bytes());
    }
}
