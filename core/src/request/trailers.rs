//! The trailer section of chunked content (RFC 9110 §6.5), for handlers that ask for it.

use core::{fmt, str};

use super::Field;

/// Fields that are meaningful only before the content: framing, routing, request modifiers, authentication, handling of
/// the content (RFC 9110 §6.5.1), and fields of responses. A trailer with such a name is a mistake or an attack, and is
/// left out. In lower case.
const WITHHELD: [&str; 37] = [
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "referer",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-forwarded-for",
    "x-real-ip",
];

/// Whole families: proxies, conditions, what proxies say about the client.
const WITHHELD_PREFIXES: [&str; 4] = ["proxy-", "if-", "sec-", "x-forwarded-"];

/// The trailer fields after a request's content, in the order they were sent.
///
/// They are never merged into the fields of the head. Those that could change what the request means (`Content-Length`,
/// `Host`, `Authorization`, `Cookie`, …) are left out.
#[derive(Clone, Copy)]
pub struct Trailers<'a> {
    /// Field lines by the rules of the head, each with its line end, and perhaps the empty line after them.
    section: &'a [u8],
}

impl<'a> Trailers<'a> {
    /// Wraps a section that the decoder has accepted.
    pub(crate) const fn new(section: &'a [u8]) -> Self {
        Self { section }
    }

    /// The value of the first field called `name`, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// All of them, in order.
    #[must_use]
    pub const fn iter(&self) -> TrailerIter<'a> {
        TrailerIter { rest: self.section }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<'a> IntoIterator for Trailers<'a> {
    type Item = Field<'a>;
    type IntoIter = TrailerIter<'a>;

    fn into_iter(self) -> TrailerIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Trailers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

/// The trailer fields of a request: see [`Trailers::iter`].
#[derive(Clone, Debug)]
pub struct TrailerIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for TrailerIter<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            // A carriage return stands nowhere but at the end of a line: the decoder has seen to that.
            let end = self.rest.iter().position(|&byte| byte == b'\r')?;
            let (line, rest) = self.rest.split_at(end);
            self.rest = rest.get(2..).unwrap_or_default();
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = str::from_utf8(&line[..colon]).ok()?;
            if !is_withheld(name) {
                return Some(Field { name, value: line[colon + 1..].trim_ascii() });
            }
        }
    }
}

fn is_withheld(name: &str) -> bool {
    let begins_with = |prefix: &&str| name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
    WITHHELD.iter().any(|withheld| name.eq_ignore_ascii_case(withheld)) || WITHHELD_PREFIXES.iter().any(begins_with)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn fields_come_in_order_and_what_could_change_the_request_does_not_come() {
        let section = b"Digest: sha-256=x\r\nContent-LENGTH: 5\r\nA:\r\nproxy-authorization: b\r\nA: \t 2 \t\r\nIF-Match: *\r\n\r\n";
        let trailers = Trailers::new(section);
        let all: Vec<_> = trailers.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(all, [("Digest", &b"sha-256=x"[..]), ("A", b""), ("A", b"2")]);
        assert_eq!((trailers.get("digest"), trailers.get("content-length")), (Some(&b"sha-256=x"[..]), None));
        assert!(!trailers.is_empty() && Trailers::new(b"\r\n").is_empty() && Trailers::new(b"").is_empty());
    }

    #[test]
    fn every_field_of_the_table_is_withheld_in_any_case() {
        for name in
            WITHHELD.into_iter().chain(["transfer-encoding", "host", "proxy-connection", "if-range", "sec-fetch-site"])
        {
            let section: String = [&name.to_ascii_uppercase(), ": x\r\n\r\n"].concat();
            assert!(Trailers::new(section.as_bytes()).is_empty(), "{name}");
        }
        assert!(WITHHELD.is_sorted(), "so that a name is found in it");
        for name in ["digest", "server-timing", "x-checksum", "grpc-status", "ifs", "proxy"] {
            assert!(!is_withheld(name), "{name}");
        }
    }
}
