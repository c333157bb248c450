//! The part of a response head that changes at most once a second: status line of a 200, `Date`, `Server`.

use crate::error::BufferFull;
use crate::format::HttpDate;
use crate::part::{copy, part, part_mut};

/// The longest `Server` value, in bytes.
pub const SERVER_BYTES_MAX: usize = 64;

const STATUS_LINE_OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
const DATE: &[u8] = b"Date: ";
const SERVER: &[u8] = b"Server: ";
const SERVER_LINE_MAX: usize = SERVER.len() + SERVER_BYTES_MAX + 2;
pub(crate) const BYTES_MAX: usize = STATUS_LINE_OK.len() + DATE.len() + HttpDate::BYTES + 2 + SERVER_LINE_MAX;

/// Formatted when the second changes, and copied into every response.
#[derive(Clone, Debug)]
pub struct Preamble {
    /// Status line, `Date`, `Server`: the first `len` bytes.
    bytes: [u8; BYTES_MAX],
    len: u16,
    has_date: bool,
    /// The time of the date, [`NO_TIME`] without a clock.
    unix_time: u64,
}

const NO_TIME: u64 = u64::MAX;

impl Preamble {
    /// A preamble without a date. `server` is copied; if it is empty, the `Server` field (RFC 9110 §10.2.4) is left out.
    ///
    /// # Errors
    /// [`BufferFull`] if `server` is longer than [`SERVER_BYTES_MAX`] or contains bytes other than printable ASCII.
    pub fn new(server: &str) -> Result<Self, BufferFull> {
        if !server.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(BufferFull);
        }
        if server.len() > SERVER_BYTES_MAX {
            return Err(BufferFull);
        }
        let mut preamble = Self { bytes: [0; BYTES_MAX], len: 0, has_date: false, unix_time: NO_TIME };
        preamble.put(STATUS_LINE_OK);
        if !server.is_empty() {
            preamble.put(SERVER);
            preamble.put(server.as_bytes());
            preamble.put(b"\r\n");
        }
        Ok(preamble)
    }

    /// Sets the time of the wall clock, in seconds since 1970; `None` without one, which leaves out `Date` (RFC 9110
    /// §6.6.1).
    pub fn set_unix_time(&mut self, unix_time: Option<u64>) {
        let unix_time = unix_time.unwrap_or(NO_TIME);
        if self.unix_time != unix_time {
            self.unix_time = unix_time;
            self.put_date(HttpDate::from_unix_seconds(unix_time));
        }
    }

    /// Status line of a 200, then [`fields`](Self::fields).
    #[inline]
    pub(crate) fn ok(&self) -> &[u8] {
        part(&self.bytes, ..self.len())
    }

    /// Writes what [`ok`](Self::ok) returns to the front of `out`, and anything after it, in one copy of constant length.
    /// Returns the length without the latter; `None` if `out` is too short for both.
    #[cfg(not(feature = "small"))]
    #[inline(always)]
    pub(crate) fn put_ok(&self, out: &mut [u8]) -> Option<usize> {
        *out.first_chunk_mut()? = self.bytes;
        Some(self.len())
    }

    /// `Date` and `Server`, unless they are left out.
    #[inline]
    pub(crate) fn fields(&self) -> &[u8] {
        part(&self.bytes, STATUS_LINE_OK.len()..self.len())
    }

    /// The formatted date, if there is a clock.
    pub(crate) fn date(&self) -> Option<HttpDate> {
        let bytes = self.bytes.get(STATUS_LINE_OK.len() + DATE.len()..)?.first_chunk()?;
        if self.has_date { Some(HttpDate::from_text(*bytes)) } else { None }
    }

    #[inline]
    const fn len(&self) -> usize {
        self.len as usize
    }

    /// Puts the date in the place of the one before.
    fn put_date(&mut self, date: Option<HttpDate>) {
        let dated = if self.has_date { DATE.len() + HttpDate::BYTES + 2 } else { 0 };
        // `Server`, the only thing behind the date.
        let mut server = [0; SERVER_LINE_MAX];
        let from = part(&self.bytes, STATUS_LINE_OK.len() + dated..self.len());
        let server = part_mut(&mut server, ..from.len());
        copy(server, from);
        self.len = STATUS_LINE_OK.len() as u16;
        self.has_date = date.is_some();
        if let Some(date) = date {
            self.put(DATE);
            self.put(date.as_bytes());
            self.put(b"\r\n");
        }
        self.put(server);
    }

    fn put(&mut self, bytes: &[u8]) {
        let len = self.len();
        copy(part_mut(&mut self.bytes, len..len + bytes.len()), bytes);
        self.len += bytes.len() as u16;
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use super::*;

    #[test]
    fn the_date_comes_and_goes_before_the_server() {
        let longest = "x".repeat(SERVER_BYTES_MAX);
        for (server, line) in
            [("", String::new()), ("a", "Server: a\r\n".into()), (&longest, format!("Server: {longest}\r\n"))]
        {
            let mut preamble = Preamble::new(server).unwrap();
            for (time, date) in [
                (None, ""),
                (Some(784_111_777), "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
                (Some(784_111_778), "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"),
                (Some(u64::MAX), ""),
                (Some(0), "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
                (None, ""),
            ] {
                preamble.set_unix_time(time);
                let ok = String::from_utf8(preamble.ok().to_vec()).unwrap();
                assert_eq!(ok, format!("HTTP/1.1 200 OK\r\n{date}{line}"));
                assert_eq!(preamble.fields(), format!("{date}{line}").as_bytes());
                assert_eq!(preamble.date().is_some(), !date.is_empty());
            }
        }
        assert!(Preamble::new(&"x".repeat(SERVER_BYTES_MAX + 1)).is_err() && Preamble::new("a\n").is_err());
    }
}
