//! Errors that several modules share.

use core::fmt;

/// The destination cannot take all of it; nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BufferFull;

impl fmt::Display for BufferFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer is full")
    }
}

impl core::error::Error for BufferFull {}
