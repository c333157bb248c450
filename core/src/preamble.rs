//! The part of a response head that changes at most once a second: status line of a 200, `Date`, `Server`.

use heapless::String;

use crate::error::BufferFull;
use crate::format::HttpDate;
use crate::part::{copy, part, part_mut};

/// The longest `Server` value, in bytes.
pub const SERVER_BYTES_MAX: usize = 64;

const STATUS_LINE_OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
pub(crate) const BYTES_MAX: usize =
    STATUS_LINE_OK.len() + "Date: ".len() + 29 + 2 + "Server: ".len() + SERVER_BYTES_MAX + 2;

/// Formatted when the second changes, and copied into every response.
#[derive(Clone, Debug)]
pub struct Preamble {
    /// The first `len` of them.
    bytes: [u8; BYTES_MAX],
    len: usize,
    server: String<SERVER_BYTES_MAX>,
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
        let server = String::try_from(server).map_err(|_| BufferFull)?;
        let mut preamble = Self { bytes: [0; BYTES_MAX], len: 0, server, date: None, unix_time: None };
        preamble.format();
        Ok(preamble)
    }

    /// Sets the time of the wall clock, in seconds since 1970; `None` without one, which leaves out `Date` (RFC 9110
    /// §6.6.1).
    pub fn set_unix_time(&mut self, unix_time: Option<u64>) {
        if self.unix_time != unix_time {
            self.unix_time = unix_time;
            self.date = unix_time.and_then(HttpDate::from_unix_seconds);
            self.format();
        }
    }

    /// Status line of a 200, then [`fields`](Self::fields).
    #[inline]
    pub(crate) fn ok(&self) -> &[u8] {
        part(&self.bytes, ..self.len)
    }

    /// Writes what [`ok`](Self::ok) returns to the front of `out`, and anything after it, in one copy of constant length.
    /// Returns the length without the latter; `None` if `out` is too short for both.
    #[cfg(not(feature = "small"))]
    #[inline(always)]
    pub(crate) fn put_ok(&self, out: &mut [u8]) -> Option<usize> {
        *out.first_chunk_mut()? = self.bytes;
        Some(self.len)
    }

    /// `Date` and `Server`, unless they are left out.
    #[inline]
    pub(crate) fn fields(&self) -> &[u8] {
        part(&self.bytes, STATUS_LINE_OK.len()..self.len)
    }

    /// The formatted date, if there is a clock.
    pub(crate) fn date(&self) -> Option<&HttpDate> {
        self.date.as_ref()
    }

    fn format(&mut self) {
        self.len = 0;
        let mut put = |part: &[u8]| {
            copy(part_mut(&mut self.bytes, self.len..self.len + part.len()), part);
            self.len += part.len();
        };
        put(STATUS_LINE_OK);
        if let Some(date) = &self.date {
            put(b"Date: ");
            put(date.as_bytes());
            put(b"\r\n");
        }
        if !self.server.is_empty() {
            put(b"Server: ");
            put(self.server.as_bytes());
            put(b"\r\n");
        }
    }
}
