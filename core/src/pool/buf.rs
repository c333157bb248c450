//! Move-only buffers over memory that the program provides.

use core::fmt;

use crate::part::{copy, part, part_mut, shift};

/// The only owner of one pool buffer; moving it into an operation gives up access to it.
///
/// A `Buf` cannot be cloned, so a double release or a use after release does not compile. Its bytes are split into
/// three parts: consumed `[..start]`, filled `[start..end]` and spare `[end..]`.
///
/// ```
/// use aurora_http_core::pool::Buf;
///
/// let mut memory = [0; 8];
/// let mut buf = Buf::new(&mut memory);
/// buf.append(b"hello")?;
/// buf.consume(1);
/// assert_eq!((buf.filled(), buf.spare_len()), (&b"ello"[..], 3));
/// # Ok::<(), aurora_http_core::error::BufferFull>(())
/// ```
pub struct Buf<'p> {
    bytes: &'p mut [u8],
    start: u32,
    end: u32,
}

static_assertions::assert_eq_size!(Buf<'static>, Option<Buf<'static>>);

impl<'p> Buf<'p> {
    /// An empty buffer over `bytes`, of which at most the first `u32::MAX` are used.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'p mut [u8]) -> Self {
        let length = bytes.len().min(u32::MAX as usize);
        Self { bytes: &mut bytes[..length], start: 0, end: 0 }
    }

    /// An empty buffer over memory as long as that of a class.
    #[inline]
    pub(super) fn of_class(bytes: &'p mut [u8]) -> Self {
        Self { bytes, start: 0, end: 0 }
    }

    /// Bytes of its memory: consumed, filled and spare.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Where its memory starts.
    #[inline]
    pub(super) fn address(&self) -> usize {
        self.bytes.as_ptr().addr()
    }

    /// The bytes that were written and not yet consumed.
    #[inline]
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        part(self.bytes, self.start as usize..self.end as usize)
    }

    /// The bytes that were written and not yet consumed, mutably.
    #[inline]
    #[must_use]
    pub fn filled_mut(&mut self) -> &mut [u8] {
        part_mut(self.bytes, self.start as usize..self.end as usize)
    }

    /// The room after the filled part.
    #[inline]
    #[must_use]
    pub fn spare(&mut self) -> &mut [u8] {
        part_mut(self.bytes, self.end as usize..)
    }

    /// The filled part and the room after it, at the same time.
    #[cfg_attr(not(feature = "small"), inline)]
    #[must_use]
    pub fn split_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        let (start, end) = (self.start as usize, self.end as usize);
        match self.bytes.split_at_mut_checked(end) {
            Some((written, spare)) => (part_mut(written, start..), spare),
            None => Default::default(), // cannot happen: the end is inside
        }
    }

    /// The number of filled bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether no bytes are filled.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes of room after the filled part.
    #[inline]
    #[must_use]
    pub fn spare_len(&self) -> usize {
        self.bytes.len() - self.end as usize
    }

    /// Counts the first `count` spare bytes as filled, or all of them if there are fewer.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.end += count.min(self.spare_len()) as u32;
    }

    /// Drops the first `count` filled bytes, or all of them if there are fewer. Once empty, the buffer starts over at
    /// the front of its memory.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn consume(&mut self, count: usize) {
        self.start += count.min(self.len()) as u32;
        if self.start == self.end {
            self.clear();
        }
    }

    /// Drops all filled bytes except the first `count`.
    #[inline]
    pub fn truncate(&mut self, count: usize) {
        if count < self.len() {
            self.end = self.start + count as u32;
        }
    }

    /// Empties the buffer.
    #[inline]
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Moves the filled part to the front of the memory, so that all room is after it.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn compact(&mut self) {
        if self.start > 0 {
            shift(self.bytes, self.start as usize..self.end as usize, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Appends all of `data`, or nothing.
    ///
    /// # Errors
    /// [`BufferFull`](crate::error::BufferFull) if the spare part is shorter than `data`.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn append(&mut self, data: &[u8]) -> Result<(), crate::error::BufferFull> {
        let spare = self.spare().get_mut(..data.len()).ok_or(crate::error::BufferFull)?;
        spare.copy_from_slice(data);
        self.end += data.len() as u32;
        Ok(())
    }

    /// The filled part and the room after it as one slice, for writing; then tell [`set_len`](Self::set_len) how much
    /// of it is filled.
    #[inline]
    #[must_use]
    pub fn writable(&mut self) -> &mut [u8] {
        part_mut(self.bytes, self.start as usize..)
    }

    /// Counts the first `len` bytes of [`writable`](Self::writable) as filled, or all of them if there are fewer.
    #[inline]
    pub fn set_len(&mut self, len: usize) {
        self.end = self.start + len.min(self.bytes.len() - self.start as usize) as u32;
    }

    /// Removes `count` bytes from the filled part, starting at offset `at`; the bytes after them move up.
    pub fn cut(&mut self, at: usize, count: usize) {
        let filled = self.filled_mut();
        let at = at.min(filled.len());
        let count = count.min(filled.len() - at);
        shift(filled, at + count..filled.len(), at);
        self.end -= count as u32;
    }

    /// Inserts `data` into the filled part, at offset `at`; the bytes after it move down.
    ///
    /// # Errors
    /// [`BufferFull`](crate::error::BufferFull) if the spare part is shorter than `data`.
    pub(crate) fn insert(&mut self, at: usize, data: &[u8]) -> Result<(), crate::error::BufferFull> {
        let len = self.len();
        self.append(data)?;
        let filled = self.filled_mut();
        shift(filled, at..len, at + data.len());
        copy(part_mut(filled, at..at + data.len()), data);
        Ok(())
    }

    /// Returns the memory.
    #[inline]
    #[must_use]
    pub fn into_memory(self) -> &'p mut [u8] {
        self.bytes
    }
}

impl fmt::Debug for Buf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf({}..{} of {})", self.start, self.end, self.bytes.len())
    }
}
