//! Where lines go on systems that have the standard library.

use core::fmt;
use std::io::Write;
use std::time::UNIX_EPOCH;

use super::{AccessLog, Entry};

/// Longest line, in bytes; more of it is cut.
const LINE_BYTES_MAX: usize = 1024;

fn unix_ms() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() as u64)
}

impl AccessLog<fn(&Entry<'_>)> {
    /// Lines in the combined format on the standard error.
    #[must_use]
    pub fn to_stderr() -> Self {
        Self::new(unix_ms, |entry| {
            let mut line = Line { bytes: [0; LINE_BYTES_MAX], len: 0 };
            // What does not fit is cut.
            let _ = fmt::Write::write_fmt(&mut line, format_args!("{}", entry.combined()));
            line.bytes[line.len] = b'\n';
            // One write for each line, so that those of several workers do not mix. Nobody may be reading.
            let _ = std::io::stderr().write_all(&line.bytes[..=line.len]);
        })
    }

    /// Lines in the combined format, at the level `info`, for the target `access` of the `log` facade.
    #[cfg(feature = "log")]
    #[must_use]
    pub fn to_log() -> Self {
        Self::new(unix_ms, |entry| log::info!(target: "access", "{}", entry.combined()))
    }

    /// Events at the level `INFO`, for the target `access` of `tracing`: `status`, `took_ms`, `bytes`, `id`, and a line in the
    /// combined format.
    #[cfg(feature = "tracing")]
    #[must_use]
    pub fn to_tracing() -> Self {
        Self::new(unix_ms, |entry| {
            let Entry { status, took_ms, bytes, .. } = *entry;
            let id = entry.id.unwrap_or("-");
            tracing::info!(target: "access", status, took_ms, bytes, id, "{}", entry.combined());
        })
    }
}

/// A line that is being written; there is always room for its end.
struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    len: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LINE_BYTES_MAX - 1 - self.len;
        let count = text.len().min(room);
        self.bytes[self.len..self.len + count].copy_from_slice(&text.as_bytes()[..count]);
        self.len += count;
        if count == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
