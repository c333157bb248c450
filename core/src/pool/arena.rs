//! Bump allocation for one call.

use core::fmt;
use core::mem;

use super::{Buf, Lend};

/// Scratch memory that is handed out in pieces during one call and is free again after it.
///
/// ```
/// use aurora_http_core::pool::{Arena, Loans, return_loans};
/// # use aurora_http_core::pool::{BufferPool, ClassCounts};
/// # let mut free = [];
/// # let mut pool = BufferPool::new(&mut free, ClassCounts::NONE)?;
/// # let mut table = [const { None }; 4];
/// let mut base = [0; 256];
/// let mut arena = Arena::new(&mut base);
/// {
///     let mut loans = Loans::new(&mut pool, &mut table);
///     let mut scope = arena.scope(&mut loans);
///     let (name, value) = (scope.alloc(10)?, scope.alloc(20)?);
///     name.fill(b'n');
///     value.fill(b'v');
/// }
/// return_loans(&mut pool, &mut table);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Arena<'p> {
    base: &'p mut [u8],
}

impl<'p> Arena<'p> {
    /// An arena over `base`.
    #[must_use]
    pub const fn new(base: &'p mut [u8]) -> Self {
        Self { base }
    }

    /// Starts a scope. When the scope and the slices from it are gone, the whole arena is free again; the borrow
    /// checker enforces this. What `overflow` lent has to be returned by its owner
    /// ([`return_loans`](super::return_loans)).
    #[inline]
    #[must_use]
    pub fn scope<'a>(&'a mut self, overflow: &'a mut dyn Lend<'a>) -> Scope<'a> {
        Scope { rest: self.base, overflow }
    }

    /// Bytes that can be allocated before the arena overflows.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.base.len()
    }

    /// Returns the memory.
    #[must_use]
    pub fn into_memory(self) -> &'p mut [u8] {
        self.base
    }
}

impl<'p> From<Buf<'p>> for Arena<'p> {
    /// An arena over all memory of a buffer; `Buf::new(arena.into_memory())` is the buffer again.
    fn from(buf: Buf<'p>) -> Self {
        Self::new(buf.into_memory())
    }
}

/// The alignment of an allocation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum Align {
    /// The alignment that [`Scope::alloc`] uses.
    #[default]
    Bytes8 = 8,
    /// For 128-bit vectors.
    Bytes16 = 16,
    /// For 256-bit vectors.
    Bytes32 = 32,
    /// A cache line.
    Bytes64 = 64,
}

impl Align {
    /// The alignment in bytes.
    #[inline]
    #[must_use]
    pub const fn bytes(self) -> usize {
        self as usize
    }
}

/// Neither the arena nor the pool that backs it has this many bytes left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ArenaFull;

impl fmt::Display for ArenaFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the arena is full, and so is the pool that backs it")
    }
}

impl core::error::Error for ArenaFull {}

/// Hands out scratch memory for the duration of one call: first the arena's own, then blocks that the overflow lends.
///
/// The slices do not overlap, and live as long as `'a`. They are not cleared and may contain bytes of another request:
/// write before you read.
pub struct Scope<'a> {
    /// The unused rest of the base or of the latest block.
    rest: &'a mut [u8],
    overflow: &'a mut dyn Lend<'a>,
}

impl<'a> Scope<'a> {
    /// Allocates `len` bytes, aligned to 8 bytes.
    ///
    /// # Errors
    /// [`ArenaFull`]; smaller allocations may still succeed.
    #[inline]
    pub fn alloc(&mut self, len: usize) -> Result<&'a mut [u8], ArenaFull> {
        self.alloc_aligned(len, Align::Bytes8)
    }

    /// Allocates `len` bytes with the given alignment. Empty slices are not aligned.
    ///
    /// # Errors
    /// [`ArenaFull`]; smaller allocations may still succeed.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn alloc_aligned(&mut self, len: usize, align: Align) -> Result<&'a mut [u8], ArenaFull> {
        if len == 0 {
            return Ok(&mut []);
        }
        match cut(&mut self.rest, len, align) {
            Some(slice) => Ok(slice),
            None => self.alloc_from_overflow(len, align),
        }
    }

    /// The lender that backs the scope: for blocks of a whole class, such as a larger send buffer.
    #[inline]
    #[must_use]
    pub fn lender(&mut self) -> &mut (dyn Lend<'a> + 'a) {
        self.overflow
    }

    #[cold]
    fn alloc_from_overflow(&mut self, len: usize, align: Align) -> Result<&'a mut [u8], ArenaFull> {
        let mut block = self.overflow.lend(len).ok_or(ArenaFull)?;
        let slice = cut(&mut block, len, align).ok_or(ArenaFull)?;
        // Only the larger remainder is kept: checking a single one keeps the common path short.
        if block.len() > self.rest.len() {
            self.rest = block;
        }
        Ok(slice)
    }
}

/// Cuts an aligned slice off the front of `rest`; `None`, with `rest` unchanged, if it is too short.
#[cfg_attr(not(feature = "small"), inline)]
fn cut<'a>(rest: &mut &'a mut [u8], len: usize, align: Align) -> Option<&'a mut [u8]> {
    let padding = rest.as_ptr().addr().wrapping_neg() & (align.bytes() - 1);
    let end = padding.checked_add(len)?;
    if end > rest.len() {
        return None;
    }
    let (front, tail) = mem::take(rest).split_at_mut(end);
    *rest = tail;
    front.get_mut(padding..)
}
