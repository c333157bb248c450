//! Destinations on systems with the standard library.

use core::fmt;
use std::io::Write;
use std::time::UNIX_EPOCH;

use super::{AccessLog, Entry};

/// Longest line, in bytes; the rest is cut off.
const LINE_BYTES_MAX: usize = 1024;

fn unix_ms() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() as u64)
}

impl AccessLog<fn(&Entry<'_>)> {
    /// Writes lines in the combined format to the standard error.
    #[must_use]
    pub fn to_stderr() -> Self {
        Self::new(unix_ms, |entry| {
            let mut line = Line { bytes: [0; LINE_BYTES_MAX], len: 0 };
            // An error means that the line was cut off.
            let _ = fmt::Write::write_fmt(&mut line, format_args!("{}", entry.combined()));
            line.bytes[line.len] = b'\n';
            // One write per line, so that lines of different workers do not mix. Errors are ignored: there may be no reader.
            let _ = std::io::stderr().write_all(&line.bytes[..=line.len]);
        })
    }

    /// Writes lines in the combined format to the `log` facade, with the level `info` and the target `access`.
    #[cfg(feature = "log")]
    #[must_use]
    pub fn to_log() -> Self {
        Self::new(unix_ms, |entry| log::info!(target: "access", "{}", entry.combined()))
    }

    /// Emits `tracing` events with the level `INFO` and the target `access`. They have the fields `status`, `took_ms`, `bytes`
    /// and `id`, and a line in the combined format as their message.
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

/// A line that is being written, with room for its newline.
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
