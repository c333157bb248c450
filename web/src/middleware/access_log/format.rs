//! The formats of log lines.

use core::fmt::{self, Write as _};

use aurora_http_core::reactor::Peer;
use aurora_http_core::request::Version;

use super::Entry;
use super::date::LogDate;

/// An entry in the common log format: see [`Entry::common`].
#[derive(Clone, Copy, Debug)]
pub struct Common<'a>(&'a Entry<'a>);

/// An entry in the combined log format: see [`Entry::combined`].
#[derive(Clone, Copy, Debug)]
pub struct Combined<'a>(&'a Entry<'a>);

impl Entry<'_> {
    /// A line in the common log format: `127.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 123`.
    ///
    /// In what the client sent, quotes, backslashes and non-printable bytes are escaped as `\xHH`, so that nobody can forge a
    /// line. The last number is [`bytes`](Self::bytes), or `-` for 0. The status is 0 if the exchange ended without one.
    #[must_use]
    pub const fn common(&self) -> Common<'_> {
        Common(self)
    }

    /// A line in the combined log format: the common format, followed by `"Referer"` and `"User-Agent"`.
    #[must_use]
    pub const fn combined(&self) -> Combined<'_> {
        Combined(self)
    }
}

impl fmt::Display for Common<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.0;
        match entry.peer {
            Some(Peer::Ip(address)) => write!(f, "{}", address.ip())?,
            Some(_) => f.write_str("local")?,
            None => f.write_char('-')?,
        }
        write!(f, " - - [{}] \"", LogDate { unix_seconds: entry.began_unix_ms / 1_000 })?;
        if entry.method.is_empty() {
            escape(f, if entry.target.is_empty() { b"-" } else { entry.target })?;
        } else {
            let version = if entry.version == Version::Http10 { "1.0" } else { "1.1" };
            write!(f, "{} ", entry.method)?;
            escape(f, entry.target)?;
            write!(f, " HTTP/{version}")?;
        }
        write!(f, "\" {} ", entry.status)?;
        match entry.bytes {
            0 => f.write_char('-'),
            bytes => write!(f, "{bytes}"),
        }
    }
}

impl fmt::Display for Combined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Common(self.0).fmt(f)?;
        for value in [self.0.referer, self.0.user_agent] {
            f.write_str(" \"")?;
            escape(f, if value.is_empty() { b"-" } else { value })?;
            f.write_char('"')?;
        }
        Ok(())
    }
}

fn escape(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' | 0..=31 | 127.. => write!(f, "\\x{byte:02x}")?,
            _ => f.write_char(char::from(byte))?,
        }
    }
    Ok(())
}
