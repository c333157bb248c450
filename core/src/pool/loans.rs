//! Buffers lent out of a pool for the time of one call.

use core::mem;

use super::{Buf, BufferPool};

/// The most buffers that one [`Loans`] tracks; a longer table is used up to here.
pub const LOANS_MAX: usize = 128;

/// A source of memory for the lifetime `'a` of one call.
///
/// It exists to have a single lifetime: what a handler sees ([`Scope`](super::Scope), the response writer) names
/// neither the pool's table nor its memory.
pub trait Lend<'a> {
    /// At least `len` bytes, aligned to 64 bytes; `None` when there are none. They hold whatever was there before.
    fn lend(&mut self, len: usize) -> Option<&'a mut [u8]>;

    /// How often [`lend`](Self::lend) succeeded so far. Before a call, it is the index in the table that a successful
    /// one will use.
    fn lent_count(&self) -> usize;
}

/// Lends out of a [`BufferPool`], and tracks what it lent in a table that outlives it.
///
/// The memory is back in the pool after [`return_loans`] on the same table. To keep one buffer in use, such as the one a response
/// was written to, exchange it in the table for another one first.
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
    /// Entries not yet used.
    table: &'a mut [Option<Buf<'p>>],
    lent: usize,
}

impl<'a, 's, 'p> Loans<'a, 's, 'p> {
    /// Lends at most as many buffers as `table` has entries, and at most [`LOANS_MAX`]. All its entries should be
    /// `None`: what is still in one goes back to the pool when the entry is used.
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
            // Only a foreign buffer is refused, and nobody is left to have it.
            let _ = self.pool.release(forgotten);
        }
        Some(entry.insert(buf).spare())
    }

    fn lent_count(&self) -> usize {
        self.lent
    }
}

/// Lends nothing: for an arena that must do with its base.
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

/// Gives everything that was lent by way of `table` back to the pool. It stops at the first `None`: loans are dense.
#[inline]
pub fn return_loans<'p>(pool: &mut BufferPool<'_, 'p>, table: &mut [Option<Buf<'p>>]) {
    for entry in table {
        let Some(buf) = entry.take() else { return };
        // Only a foreign buffer is refused, and no loan is one.
        let _ = pool.release(buf);
    }
}
