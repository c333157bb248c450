//! The part of a response head that changes at most once a second: status line of a 200, `Date`, `Server`.

use heapless::Vec;

use crate::error::BufferFull;
use crate::format::HttpDate;
use crate::part::{copy, part, part_mut};

/// The longest `Server` value, in bytes.
pub const SERVER_BYTES_MAX: usize = 64;

const STATUS_LINE_OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
const DATE: &[u8] = b"Date: ";
const SERVER: &[u8] = b"Server: ";
const SERVER_LINE_MAX: usize = SERVER.len() + SERVER_BYTES_MAX + 2;
const BYTES_MAX: usize = STATUS_LINE_OK.len() + DATE.len() + HttpDate::BYTES + 2 + SERVER_LINE_MAX;

/// Formatted when the second changes, and copied into every response.
#[derive(Clone, Debug)]
pub struct Preamble {
    /// Status line, `Date`, `Server`.
    bytes: Vec<u8, BYTES_MAX>,
    date: Option<HttpDate>,
    unix_time: Option<u64>,
}

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
        let mut preamble = Self { bytes: Vec::new(), date: None, unix_time: None };
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
        if self.unix_time != unix_time {
            self.unix_time = unix_time;
            let date = unix_time.and_then(HttpDate::from_unix_seconds);
            self.put_date(date.as_ref());
            self.date = date;
        }
    }

    /// Status line of a 200, then [`fields`](Self::fields).
    #[inline]
    pub(crate) fn ok(&self) -> &[u8] {
        &self.bytes
    }

    /// `Date` and `Server`, unless they are left out.
    #[inline]
    pub(crate) fn fields(&self) -> &[u8] {
        part(&self.bytes, STATUS_LINE_OK.len()..)
    }

    /// The formatted date, if there is a clock.
    pub(crate) fn date(&self) -> Option<&HttpDate> {
        self.date.as_ref()
    }

    /// Puts the date in the place of the one before.
    fn put_date(&mut self, date: Option<&HttpDate>) {
        let dated = if self.date.is_some() { DATE.len() + HttpDate::BYTES + 2 } else { 0 };
        // `Server`, the only thing behind the date.
        let mut server = [0; SERVER_LINE_MAX];
        let from = part(&self.bytes, STATUS_LINE_OK.len() + dated..);
        let server = part_mut(&mut server, ..from.len());
        copy(server, from);
        self.bytes.truncate(STATUS_LINE_OK.len());
        if let Some(date) = date {
            self.put(DATE);
            self.put(date.as_bytes());
            self.put(b"\r\n");
        }
        self.put(server);
    }

    fn put(&mut self, part: &[u8]) {
        let fits = self.bytes.extend_from_slice(part);
        debug_assert!(fits.is_ok(), "BYTES_MAX must cover every part");
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
