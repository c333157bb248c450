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
/// A server takes what is idle before it allocates. What a worker that panicked held at that moment is lost.
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

/// Fills a pool that has room for `counts`.
pub(super) fn fill(pool: &mut BufferPool<'_, 'static>, counts: ClassCounts) -> Result<(), PoolError> {
    let mut missing = counts;
    {
        let stash = &mut *STASH.lock().unwrap_or_else(PoisonError::into_inner);
        for class in Class::ALL {
            let blocks = &mut stash.blocks[class.index()];
            let wanted = counts.of(class);
            let found = (wanted as usize).min(blocks.len());
            for block in blocks.drain(blocks.len() - found..) {
                pool.add(block)?;
            }
            missing = missing.with(class, wanted - found as u32);
            // Room for all of them to come back, so that a worker allocates nothing even at its end.
            let away = stash.away[class.index()] + wanted as usize;
            blocks.reserve(away);
            stash.away[class.index()] = away;
        }
        stash.allocated += missing.slab_bytes();
    }
    if missing.total() > 0 {
        // Zeroed memory comes untouched from the system; a buffer's pages go to the worker that uses it first.
        let slab = vec![0; missing.slab_bytes() + BUFFER_ALIGNMENT - 1].leak();
        pool.carve(slab)?;
    }
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
