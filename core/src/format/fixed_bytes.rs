//! Text and bytes in memory of a fixed size.

use core::fmt;

use crate::error::BufferFull;
use crate::part::{copy, part};

/// Bytes that are appended, also by `write!`, in memory of a fixed size: `[u8; N]`, or `&mut [u8]` of a caller's.
///
/// ```
/// use std::fmt::Write;
///
/// use aurora_http_core::format::FixedBytes;
///
/// # fn main() -> std::fmt::Result {
/// let mut tag = FixedBytes::new([0; 10]);
/// write!(tag, "\"{:08x}\"", 0xbeef)?;
/// assert_eq!(tag.as_bytes(), b"\"0000beef\"");
/// assert!(tag.push(b"!").is_err(), "there is no room");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FixedBytes<B> {
    memory: B,
    len: usize,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> FixedBytes<B> {
    /// Nothing yet, with room for as many bytes as the memory has.
    pub const fn new(memory: B) -> Self {
        Self { memory, len: 0 }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`BufferFull`] if there is no room for all of them; none is appended then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        let end = self.len.saturating_add(bytes.len());
        copy(self.memory.as_mut().get_mut(self.len..end).ok_or(BufferFull)?, bytes);
        self.len = end;
        Ok(())
    }

    /// What was appended.
    pub fn as_bytes(&self) -> &[u8] {
        part(self.memory.as_ref(), ..self.len)
    }
}

/// What does not fit is an error, and is not appended; of several pieces, as in `write!`, the first ones are.
impl<B: AsRef<[u8]> + AsMut<[u8]>> fmt::Write for FixedBytes<B> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes()).map_err(|_| fmt::Error)
    }
}
