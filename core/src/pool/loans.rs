//! Buffers lent from a pool for the duration of one call.

use core::mem;

use super::{Buf, BufferPool};

/// The most buffers that one [`Loans`] tracks; further entries of a longer table are not used.
pub const LOANS_MAX: usize = 128;

/// A source of memory for the lifetime `'a` of one call.
///
/// It exists to have a single lifetime: the types that a handler sees ([`Scope`](super::Scope), the response writer) name
/// neither the pool's table nor its memory.
pub trait Lend<'a> {
    /// At least `len` bytes, aligned to 64 bytes; `None` if none are free. Their contents are unspecified.
    fn lend(&mut self, len: usize) -> Option<&'a mut [u8]>;

    /// How often [`lend`](Self::lend) has succeeded, which is the index in the table that the next successful call will
    /// use.
    fn lent_count(&self) -> usize;
}

/// Lends from a [`BufferPool`], and tracks the loans in a table that outlives it.
///
/// [`return_loans`] on the same table returns the memory to the pool. To keep one buffer in use, such as the one that a
/// response was written to, exchange it in the table for another one first.
///
/// ```
/// use aurora_http_core::pool::{BufferPool, Lend, Loans, return_loans};
/// # use aurora_http_core::pool::{Buffers, Class, ClassCounts};
/// # let mut memory = Buffers::<1, 1024>::new();
/// # let mut free = [const { None }; 1];
/// # let mut pool = BufferPool::new(&mut free, ClassCounts::NONE.with(Class::Tiny, 1))?;
/// # pool.add_buffers(&mut memory)?;
/// let mut table = [const { None }; 4];
/// let mut loans = Loans::new(&mut pool, &mut table);
/// let scratch = loans.lend(100).ok_or("exhausted")?;
/// assert_eq!((scratch.len(), loans.lent_count()), (1024, 1));
/// return_loans(&mut pool, &mut table);
/// assert_eq!(pool.in_use(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Loans<'a, 's, 'p> {
    pool: &'a mut BufferPool<'s, 'p>,
    /// The entries that have not been used yet.
    table: &'a mut [Option<Buf<'p>>],
    lent: usize,
}

impl<'a, 's, 'p> Loans<'a, 's, 'p> {
    /// Lends at most as many buffers as `table` has entries, and at most [`LOANS_MAX`]. All its entries should be
    /// `None`: a buffer that is still in one returns to the pool when the entry is used.
    #[inline]
    #[must_use]
    pub fn new(pool: &'a mut BufferPool<'s, 'p>, table: &'a mut [Option<Buf<'p>>]) -> Self {
        let entries = table.len().min(LOANS_MAX);
        Self { pool, table: &mut table[..entries], lent: 0 }
    }
}

impl<'a> Lend<'a> for Loans<'a, '_, '_> {
    fn lend(&mut self, len: usize) -> Option<&'a mut [u8]> {
        if self.table.is_empty() {
            return None;
        }
        let buf = self.pool.acquire_for(len)?;
        let (entry, rest) = mem::take(&mut self.table).split_first_mut()?;
        self.table = rest;
        self.lent += 1;
        if let Some(forgotten) = entry.take() {
            // Only a foreign buffer is refused, and it has no owner any more.
            let _ = self.pool.release(forgotten);
        }
        Some(entry.insert(buf).spare())
    }

    fn lent_count(&self) -> usize {
        self.lent
    }
}

/// Lends nothing: for an arena that is limited to its base.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLoans;

impl<'a> Lend<'a> for NoLoans {
    fn lend(&mut self, _len: usize) -> Option<&'a mut [u8]> {
        None
    }

    fn lent_count(&self) -> usize {
        0
    }
}

/// Returns all loans in `table` to the pool. It stops at the first `None`, because loans are contiguous.
#[cfg_attr(not(feature = "small"), inline)]
pub fn return_loans<'p>(pool: &mut BufferPool<'_, 'p>, table: &mut [Option<Buf<'p>>]) {
    for entry in table {
        let Some(buf) = entry.take() else { return };
        // Only a foreign buffer is refused, and a loan is not foreign.
        let _ = pool.release(buf);
    }
}
