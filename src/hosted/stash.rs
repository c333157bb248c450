//! Buffer memory between two servers.
//!
//! Buffers live as long as the process, because a kernel may still write into one when everything else is gone. So
//! their memory is leaked once; what a server gives back is kept here, and the next one takes from here first.

use std::sync::{Mutex, PoisonError};

use aurora_http_core::pool::{BUFFER_ALIGNMENT, Buf, BufferPool, Class, ClassCounts, PoolError};

/// Buffer memory of this process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct BufferMemory {
    /// Bytes allocated so far; they are never freed, but used again.
    pub allocated: usize,
    /// Of those, bytes that no server uses now.
    pub idle: usize,
}

/// How much buffer memory this process has, and how much of it waits for the next server.
///
/// A server takes what is idle before it allocates.
#[must_use]
pub fn buffer_memory() -> BufferMemory {
    let stash = STASH.lock().unwrap_or_else(PoisonError::into_inner);
    let idle = Class::ALL.iter().map(|class| stash.blocks[class.index()].len() * class.size()).sum();
    BufferMemory { allocated: stash.allocated, idle }
}

static STASH: Mutex<Stash> =
    Mutex::new(Stash { blocks: [const { Vec::new() }; Class::COUNT], away: [0; Class::COUNT], allocated: 0 });

struct Stash {
    blocks: [Vec<&'static mut [u8]>; Class::COUNT],
    /// Buffers that servers have.
    away: [usize; Class::COUNT],
    allocated: usize,
}

/// Bytes that would have to be allocated for so many workers' buffers.
pub(super) fn missing_bytes(counts: ClassCounts, workers: usize) -> usize {
    let stash = STASH.lock().unwrap_or_else(PoisonError::into_inner);
    let missing = Class::ALL.iter().map(|class| {
        let wanted = (counts.of(*class) as usize).saturating_mul(workers);
        wanted.saturating_sub(stash.blocks[class.index()].len()).saturating_mul(class.size())
    });
    missing.fold(0, usize::saturating_add)
}

/// Why a pool cannot be filled.
pub(super) enum Unfilled {
    /// The system gives no memory.
    Memory,
    /// It does not fit.
    Misfit(PoolError),
}

impl From<PoolError> for Unfilled {
    fn from(error: PoolError) -> Self {
        Self::Misfit(error)
    }
}

/// Fills a pool that has room for `counts`.
pub(super) fn fill(pool: &mut BufferPool<'_, 'static>, counts: ClassCounts) -> Result<(), Unfilled> {
    let stash = &mut *STASH.lock().unwrap_or_else(PoisonError::into_inner);
    let mut missing = counts;
    for class in Class::ALL {
        let (blocks, wanted) = (&mut stash.blocks[class.index()], counts.of(class));
        let found = (wanted as usize).min(blocks.len());
        missing = missing.with(class, wanted - found as u32);
        // Room for all of them to come back, so that a worker allocates nothing even at its end.
        let away = stash.away[class.index()] + wanted as usize;
        blocks.try_reserve((away + found).saturating_sub(blocks.len())).map_err(|_| Unfilled::Memory)?;
    }
    // It comes untouched from the system; a buffer's pages go to the worker that uses it first.
    let slab_bytes = if missing.total() > 0 { missing.slab_bytes() + BUFFER_ALIGNMENT - 1 } else { 0 };
    let slab = aurora_http_system::zeroed(slab_bytes).ok_or(Unfilled::Memory)?;
    stash.allocated += missing.slab_bytes();
    for class in Class::ALL {
        let blocks = &mut stash.blocks[class.index()];
        let found = counts.of(class) - missing.of(class);
        stash.away[class.index()] += counts.of(class) as usize;
        for block in blocks.drain(blocks.len() - found as usize..) {
            pool.add(block)?;
        }
    }
    pool.carve(slab)?;
    Ok(())
}

/// Takes buffers back.
pub(super) fn put(buffers: impl Iterator<Item = Buf<'static>>) {
    let mut stash = STASH.lock().unwrap_or_else(PoisonError::into_inner);
    for buf in buffers {
        let memory = buf.into_memory();
        if let Some(class) = Class::of_size(memory.len()) {
            stash.blocks[class.index()].push(memory);
            stash.away[class.index()] = stash.away[class.index()].saturating_sub(1);
        }
    }
}
