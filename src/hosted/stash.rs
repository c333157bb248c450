//! Keeps buffer memory between one server and the next.
//!
//! Buffers live as long as the process, because the kernel may still write into one after its server is gone. So their
//! memory is leaked once; buffers that a server returns are kept here, and the next server takes them before it
//! allocates.

use std::sync::{Mutex, PoisonError};

use aurora_http_core::pool::{BUFFER_ALIGNMENT, Buf, BufferPool, Class, ClassCounts, ClassSizes, PoolError};

/// The buffer memory of this process; see [`buffer_memory`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct BufferMemory {
    /// Bytes allocated so far. They are never freed, but reused.
    pub allocated: usize,
    /// How many of those no server is using now.
    pub idle: usize,
}

/// How much buffer memory this process has allocated, and how much of it is idle. A server uses idle memory before it
/// allocates.
///
/// ```
/// let memory = aurora_http::buffer_memory();
/// assert!(memory.idle <= memory.allocated);
/// ```
#[must_use]
pub fn buffer_memory() -> BufferMemory {
    let stash = STASH.lock().unwrap_or_else(PoisonError::into_inner);
    let idle = Class::ALL.iter().map(|class| stash.blocks[class.index()].len() * SIZES.of(*class)).sum();
    BufferMemory { allocated: stash.allocated, idle }
}

/// The sizes of every server's buffers.
const SIZES: ClassSizes = ClassSizes::FROM_1024;

static STASH: Mutex<Stash> =
    Mutex::new(Stash { blocks: [const { Vec::new() }; Class::COUNT], away: [0; Class::COUNT], allocated: 0 });

struct Stash {
    blocks: [Vec<&'static mut [u8]>; Class::COUNT],
    /// The number of buffers that servers are using.
    away: [usize; Class::COUNT],
    allocated: usize,
}

/// The bytes that would have to be allocated for the buffers of this many workers.
pub(super) fn missing_bytes(counts: ClassCounts, workers: usize) -> usize {
    let stash = STASH.lock().unwrap_or_else(PoisonError::into_inner);
    let missing = Class::ALL.iter().map(|class| {
        let wanted = (counts.of(*class) as usize).saturating_mul(workers);
        wanted.saturating_sub(stash.blocks[class.index()].len()).saturating_mul(SIZES.of(*class))
    });
    missing.fold(0, usize::saturating_add)
}

/// Why a pool cannot be filled.
pub(super) enum Unfilled {
    /// The system has too little memory.
    Memory,
    /// The pool's tables do not fit the buffers.
    Misfit(PoolError),
}

impl From<PoolError> for Unfilled {
    fn from(error: PoolError) -> Self {
        Self::Misfit(error)
    }
}

/// Fills a pool, which has room for `counts`.
pub(super) fn fill(pool: &mut BufferPool<'_, 'static>, counts: ClassCounts) -> Result<(), Unfilled> {
    let stash = &mut *STASH.lock().unwrap_or_else(PoisonError::into_inner);
    let mut missing = counts;
    for class in Class::ALL {
        let (blocks, wanted) = (&mut stash.blocks[class.index()], counts.of(class));
        let found = (wanted as usize).min(blocks.len());
        missing = missing.with(class, wanted - found as u32);
        // Reserves room for all of them to be returned, so that a worker allocates nothing even at its end.
        let away = stash.away[class.index()] + wanted as usize;
        blocks.try_reserve((away + found).saturating_sub(blocks.len())).map_err(|_| Unfilled::Memory)?;
    }
    // The system's pages are untouched so far: each is placed near the worker that first uses it.
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
        if let Some(class) = SIZES.class_of(memory.len()) {
            stash.blocks[class.index()].push(memory);
            stash.away[class.index()] = stash.away[class.index()].saturating_sub(1);
        }
    }
}
