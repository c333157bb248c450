//! Status codes and their reason phrases (RFC 9110 §15 and IANA's registry of HTTP status codes).

/// Whether `status` is allowed in a status line: three digits, 100 to 999.
///
/// RFC 9110 §15 defines the classes up to 599; a client treats higher statuses as server errors.
#[inline]
#[must_use]
pub const fn is_valid(status: u16) -> bool {
    matches!(status, 100..=999)
}

/// The registered reason phrase; empty for a code without one.
///
/// 306 and 418 are registered as unused, 104 only temporarily; for them it is empty, too.
#[cfg(not(feature = "small"))]
#[must_use]
pub fn reason(status: u16) -> &'static str {
    line(status).and_then(|line| line.get(REASON_AT..line.len() - 2)).unwrap_or("")
}

/// The registered reason phrase; empty for a code without one.
#[cfg(feature = "small")]
#[must_use]
pub fn reason(status: u16) -> &'static str {
    let mut code = [0; 3];
    if crate::format::format_uint(status.into(), &mut code) != Ok(3) {
        return "";
    }
    let mut lines = REASONS.as_bytes().split(|&byte| byte == b'\n');
    let reason = lines.find_map(|line| line.strip_prefix(&code)?.strip_prefix(b" "));
    core::str::from_utf8(reason.unwrap_or_default()).unwrap_or_default()
}

/// A field that responses with some status must have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    /// The field's name.
    pub name: &'static str,
    /// Whether its value may be empty: a list without members.
    pub may_be_empty: bool,
}

impl Demand {
    /// Whether a field with this name and value satisfies the demand.
    #[must_use]
    pub fn is_met_by(self, name: &[u8], value: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name.as_bytes()) && (self.may_be_empty || !value.trim_ascii().is_empty())
    }

    /// Whether one of these field lines satisfies the demand.
    #[must_use]
    pub(crate) fn is_met_in(self, lines: &[u8]) -> bool {
        lines.split(|&byte| byte == b'\n').any(|line| {
            let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
            let (name, value) = line.split_at(colon);
            self.is_met_by(name, value.get(1..).unwrap_or_default())
        })
    }
}

/// The field that a response with this status must have (RFC 9110: "MUST generate"), whatever the request was.
///
/// Fields that a response only should have, or must have in cases that only the handler can recognise (`Content-Range`
/// in a 206 with one part), are not included.
#[must_use]
pub const fn demand(status: u16) -> Option<Demand> {
    let (name, may_be_empty) = match status {
        101 | 426 => ("Upgrade", false),      // §7.8, §15.2.2, §15.5.22
        401 => ("WWW-Authenticate", false),   // §15.5.2
        405 => ("Allow", true),               // §15.5.6, empty where no method is allowed: §10.2.1
        407 => ("Proxy-Authenticate", false), // §15.5.8
        _ => return None,
    };
    Some(Demand { name, may_be_empty })
}

/// Where the reason starts in a status line.
#[cfg(not(feature = "small"))]
const REASON_AT: usize = "HTTP/1.1 200 ".len();

macro_rules! status_lines {
    ($($code:literal $reason:literal,)*) => {
        /// The codes and reasons, line by line: a third of what whole status lines take.
        #[cfg(feature = "small")]
        const REASONS: &str = concat!($($code, " ", $reason, "\n",)*);

        /// The whole status line of a registered code, including CRLF.
        #[cfg(any(test, not(feature = "small")))]
        pub(crate) const fn line(status: u16) -> Option<&'static str> {
            Some(match status {
                $($code => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n"),)*
                _ => return None,
            })
        }

        #[cfg(test)]
        const REGISTERED: &[(u16, &str)] = &[$(($code, $reason),)*];
    };
}

status_lines! {
    100 "Continue",
    101 "Switching Protocols",
    102 "Processing", // RFC 2518
    103 "Early Hints", // RFC 8297
    200 "OK",
    201 "Created",
    202 "Accepted",
    203 "Non-Authoritative Information",
    204 "No Content",
    205 "Reset Content",
    206 "Partial Content",
    207 "Multi-Status", // RFC 4918
    208 "Already Reported", // RFC 5842
    226 "IM Used", // RFC 3229
    300 "Multiple Choices",
    301 "Moved Permanently",
    302 "Found",
    303 "See Other",
    304 "Not Modified",
    305 "Use Proxy",
    307 "Temporary Redirect",
    308 "Permanent Redirect",
    400 "Bad Request",
    401 "Unauthorized",
    402 "Payment Required",
    403 "Forbidden",
    404 "Not Found",
    405 "Method Not Allowed",
    406 "Not Acceptable",
    407 "Proxy Authentication Required",
    408 "Request Timeout",
    409 "Conflict",
    410 "Gone",
    411 "Length Required",
    412 "Precondition Failed",
    413 "Content Too Large",
    414 "URI Too Long",
    415 "Unsupported Media Type",
    416 "Range Not Satisfiable",
    417 "Expectation Failed",
    421 "Misdirected Request",
    422 "Unprocessable Content",
    423 "Locked", // RFC 4918
    424 "Failed Dependency", // RFC 4918
    425 "Too Early", // RFC 8470
    426 "Upgrade Required",
    428 "Precondition Required", // RFC 6585
    429 "Too Many Requests", // RFC 6585
    431 "Request Header Fields Too Large", // RFC 6585
    451 "Unavailable For Legal Reasons", // RFC 7725
    500 "Internal Server Error",
    501 "Not Implemented",
    502 "Bad Gateway",
    503 "Service Unavailable",
    504 "Gateway Timeout",
    505 "HTTP Version Not Supported",
    506 "Variant Also Negotiates", // RFC 2295
    507 "Insufficient Storage", // RFC 4918
    508 "Loop Detected", // RFC 5842
    510 "Not Extended", // RFC 2774
    511 "Network Authentication Required", // RFC 6585
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn lines_and_reasons_of_every_code() {
        let mut registered = 0;
        for status in 0..=u16::MAX {
            let entry = REGISTERED.iter().find(|(code, _)| *code == status);
            match entry {
                Some((_, text)) => {
                    registered += 1;
                    assert_eq!(reason(status), *text);
                    assert_eq!(line(status), Some(format!("HTTP/1.1 {status} {text}\r\n").as_str()));
                    assert!(is_valid(status));
                }
                None => {
                    assert_eq!(reason(status), "", "{status}");
                    assert_eq!(line(status), None, "{status}");
                }
            }
        }
        assert_eq!(registered, REGISTERED.len(), "a code is registered twice");
        // IANA's registry without 104, 306 and 418.
        assert_eq!(registered, 61);
    }

    #[test]
    fn renamed_phrases_are_those_of_rfc_9110() {
        for (status, text) in [(413, "Content Too Large"), (414, "URI Too Long"), (422, "Unprocessable Content")] {
            assert_eq!(reason(status), text);
        }
    }

    #[test]
    fn three_digits_are_valid() {
        assert!(is_valid(100) && is_valid(999));
        assert!(!is_valid(0) && !is_valid(99) && !is_valid(1000) && !is_valid(u16::MAX));
    }
}
