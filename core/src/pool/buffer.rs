//! Buffers in size classes: fixed capacity, O(1), with exhaustion reported as a value.

use core::fmt;
use core::mem;

#[cfg(not(feature = "small"))]
use super::CacheAligned;
use super::{Buf, Class, ClassCounts, ClassSizes};

/// Every buffer of a pool starts at a multiple of this many bytes: a cache line.
pub const BUFFER_ALIGNMENT: usize = 64;

/// Memory for `COUNT` buffers of `LEN` bytes each, aligned to 64 bytes; `LEN` must be the size of a class in one of the
/// [`ClassSizes`]: a power of two from 256 to 262144.
///
/// For programs that know their sizes at compile time. It is all zeros, so a `static` of it (in whichever cell the
/// program uses to get a `&'static mut` once) is in `.bss` and takes no flash. Large ones do not belong on the stack;
/// hosted programs should rather pass one slab to [`BufferPool::carve`].
///
/// ```
/// use aurora_http_core::pool::{BufferPool, Buffers, Class, ClassCounts};
///
/// let mut memory = Buffers::<4, 1024>::new();
/// let mut table = [const { None }; 4];
/// let mut pool = BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Tiny, 4))?;
/// pool.add_buffers(&mut memory)?;
/// let buf = pool.acquire(Class::Tiny).ok_or("exhausted")?;
/// assert_eq!(buf.capacity(), 1024);
/// pool.release(buf).map_err(|_| "foreign")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Any other length does not compile:
///
/// ```compile_fail
/// let memory = aurora_http_core::pool::Buffers::<4, 1000>::new();
/// ```
#[repr(align(64))]
pub struct Buffers<const COUNT: usize, const LEN: usize> {
    blocks: [[u8; LEN]; COUNT],
}

impl<const COUNT: usize, const LEN: usize> Buffers<COUNT, LEN> {
    const LEN_IS_A_CLASS_SIZE: () = assert!(ClassSizes::with(LEN).is_some(), "LEN must be the size of a class");

    /// Blocks of zeros.
    #[must_use]
    pub const fn new() -> Self {
        let () = Self::LEN_IS_A_CLASS_SIZE;
        Self { blocks: [[0; LEN]; COUNT] }
    }

    /// The blocks, each `LEN` bytes long.
    pub fn blocks(&mut self) -> impl ExactSizeIterator<Item = &mut [u8]> {
        self.blocks.iter_mut().map(<[u8; LEN]>::as_mut_slice)
    }
}

impl<const COUNT: usize, const LEN: usize> Default for Buffers<COUNT, LEN> {
    fn default() -> Self {
        Self::new()
    }
}

static_assertions::const_assert_eq!(align_of::<Buffers<3, 1024>>(), BUFFER_ALIGNMENT);
static_assertions::const_assert_eq!(size_of::<Buffers<3, 1024>>(), 3 * 1024);

/// A pool of buffers of five [classes](Class), with a fixed capacity for each.
///
/// The table (`'s`) holds the memory of the free buffers (`'p`), which is the program's. An acquired buffer is owned by the
/// holder of its [`Buf`]: it cannot be released twice, and it may outlive the pool.
pub struct BufferPool<'s, 'p> {
    lists: [FreeList<'s, 'p>; Class::COUNT],
    sizes: ClassSizes,
    /// A buffer was released after the last [`forget_released`](Self::forget_released).
    released: bool,
    stats: Stats,
}

/// A stack: the buffer that was released last is acquired first, because it is most likely still in the cache.
struct FreeList<'s, 'p> {
    /// `Some` below `free`; the others are never read.
    entries: &'s mut [Option<&'p mut [u8]>],
    free: usize,
}

/// Counters of one class of a pool.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClassStats {
    /// Bytes of a buffer.
    pub bytes: usize,
    /// Buffers acquired and not yet released.
    pub in_use: u32,
    /// The most that have been in use at once.
    pub high_water: u32,
    /// How often a buffer was requested and none was free, including when a larger class served instead.
    pub refused: u64,
}

/// What is counted for one class; see [`ClassStats`].
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    in_use: u32,
    high_water: u32,
    refused: u64,
}

/// On cache lines of their own, where there are some.
#[cfg(not(feature = "small"))]
type Stats = CacheAligned<[Tally; Class::COUNT]>;
#[cfg(feature = "small")]
type Stats = [Tally; Class::COUNT];

#[cfg(not(feature = "small"))]
static_assertions::const_assert_eq!(core::mem::offset_of!(BufferPool<'static, 'static>, stats) % 64, 0);
#[cfg(not(feature = "small"))]
static_assertions::const_assert_eq!(align_of::<BufferPool<'static, 'static>>(), 64);
#[cfg(not(feature = "small"))]
static_assertions::const_assert_eq!(size_of::<BufferPool<'static, 'static>>() % 64, 0);

/// Why a pool could not be created or filled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PoolError {
    /// The table has fewer entries than the requested number of buffers.
    TableTooShort {
        /// Entries needed.
        needed: usize,
        /// Entries of the table.
        has: usize,
    },
    /// The slab is too short for all buffers.
    SlabTooShort {
        /// Bytes needed, including those before the first 64-byte boundary.
        needed: usize,
        /// Bytes of the slab.
        has: usize,
    },
    /// The memory is not exactly as long as a buffer of some class.
    NotAClassSize {
        /// Its length in bytes.
        len: usize,
    },
    /// The memory does not start at a multiple of 64 bytes.
    Misaligned,
    /// The class of this length already has as many buffers as its capacity.
    ClassFull {
        /// Its length in bytes.
        len: usize,
    },
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableTooShort { needed, has } => write!(f, "the table has {has} entries, {needed} are needed"),
            Self::SlabTooShort { needed, has } => write!(f, "the slab has {has} bytes, {needed} are needed"),
            Self::NotAClassSize { len } => write!(f, "no class of the pool's buffers is {len} bytes long"),
            Self::Misaligned => write!(f, "the memory is not aligned to {BUFFER_ALIGNMENT} bytes"),
            Self::ClassFull { len } => write!(f, "the class of {len} bytes has all its buffers"),
        }
    }
}

impl core::error::Error for PoolError {}

impl<'s, 'p> BufferPool<'s, 'p> {
    /// A pool of the given capacities, without any buffers yet. It uses the first [`ClassCounts::total`] entries of
    /// `table`, and overwrites them.
    ///
    /// # Errors
    /// [`PoolError::TableTooShort`].
    pub fn new(table: &'s mut [Option<&'p mut [u8]>], counts: ClassCounts) -> Result<Self, PoolError> {
        let (needed, has) = (counts.total(), table.len());
        if has < needed {
            return Err(PoolError::TableTooShort { needed, has });
        }
        let mut rest = table;
        let lists = Class::ALL.map(|class| {
            // Always there: the table has room for all of them.
            let entries = rest.split_off_mut(..counts.of(class) as usize).unwrap_or_default();
            FreeList { entries, free: 0 }
        });
        Ok(Self { lists, sizes: counts.sizes(), released: false, stats: Stats::default() })
    }

    /// A pool without a table, which can never have a buffer.
    #[must_use]
    pub fn empty() -> Self {
        let lists = Class::ALL.map(|_| FreeList { entries: &mut [], free: 0 });
        Self { lists, sizes: ClassSizes::default(), released: false, stats: Stats::default() }
    }

    /// Adds one buffer, whose length determines its class.
    ///
    /// # Errors
    /// [`PoolError::NotAClassSize`], [`PoolError::Misaligned`] or [`PoolError::ClassFull`].
    pub fn add(&mut self, memory: &'p mut [u8]) -> Result<(), PoolError> {
        let len = memory.len();
        let class = self.sizes.class_of(len).ok_or(PoolError::NotAClassSize { len })?;
        if misalignment(memory) != 0 {
            return Err(PoolError::Misaligned);
        }
        if self.missing(class) == 0 {
            return Err(PoolError::ClassFull { len });
        }
        self.push(class, memory).map_err(|_| PoolError::ClassFull { len })
    }

    /// Adds all blocks of a [`Buffers`].
    ///
    /// # Errors
    /// [`PoolError::ClassFull`] if they do not all fit; those added until then stay in the pool.
    pub fn add_buffers<const COUNT: usize, const LEN: usize>(
        &mut self,
        memory: &'p mut Buffers<COUNT, LEN>,
    ) -> Result<(), PoolError> {
        memory.blocks().try_for_each(|block| self.add(block))
    }

    /// Cuts all buffers that the pool still has room for from one slab, the largest class first, and returns the rest
    /// of the slab. The slab is not written to, so each page ends up on the node of the worker that uses it first.
    ///
    /// [`ClassCounts::slab_bytes`] tells how long the slab must be. If it does not start at a multiple of 64 bytes, the
    /// bytes before the first one (at most 63) are skipped.
    ///
    /// # Errors
    /// [`PoolError::SlabTooShort`]; nothing was added then.
    pub fn carve(&mut self, slab: &'p mut [u8]) -> Result<&'p mut [u8], PoolError> {
        let skipped = misalignment(slab).min(slab.len());
        let missing = ClassCounts::new(Class::ALL.map(|class| self.missing(class))).sized(self.sizes);
        let (needed, has) = (missing.slab_bytes().saturating_add(skipped), slab.len());
        if has < needed {
            return Err(PoolError::SlabTooShort { needed, has });
        }
        let mut rest = &mut slab[skipped..];
        for class in Class::ALL.into_iter().rev() {
            for _ in 0..missing.of(class) {
                let (block, tail) = mem::take(&mut rest).split_at_mut(self.sizes.of(class));
                rest = tail;
                let added = self.push(class, block);
                debug_assert!(added.is_ok(), "the class must have room, it was counted above");
            }
        }
        Ok(rest)
    }

    /// An empty buffer of exactly this class. `None` if none is free, which is counted as refused.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn acquire(&mut self, class: Class) -> Option<Buf<'p>> {
        let list = &mut self.lists[class.index()];
        let stats = &mut self.stats[class.index()];
        let Some(buf) = list.pop() else {
            stats.refused += 1;
            return None;
        };
        stats.in_use += 1;
        stats.high_water = stats.high_water.max(stats.in_use);
        Some(buf)
    }

    /// An empty buffer for `len` bytes: of the smallest class that holds them, or of the next larger one that has one
    /// free. Classes with a capacity of 0 are skipped. `None` if none is free or no class is that large.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn acquire_for(&mut self, len: usize) -> Option<Buf<'p>> {
        let class = self.sizes.for_len(len)?;
        self.acquire_from(class)
    }

    /// An empty buffer of this class, or of the next larger one that has one free. Classes with a capacity of 0 are skipped.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn acquire_from(&mut self, class: Class) -> Option<Buf<'p>> {
        let mut next = Some(class);
        while let Some(class) = next {
            if self.capacity(class) > 0
                && let Some(buf) = self.acquire(class)
            {
                return Some(buf);
            }
            next = class.larger();
        }
        None
    }

    /// Takes a buffer back and empties it. Its capacity determines its class.
    ///
    /// A foreign buffer becomes the pool's if there is room for it in its class.
    ///
    /// # Errors
    /// Returns a foreign buffer whose class is full or absent, or which is not aligned to 64 bytes; it may have been
    /// emptied. A buffer that was acquired from this pool is always taken, unless a foreign one has taken its place.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn release(&mut self, buf: Buf<'p>) -> Result<(), Buf<'p>> {
        let Some(class) = self.class_of(&buf) else { return Err(buf) };
        self.push(class, buf.into_memory()).map_err(Buf::of_class)?;
        self.released = true;
        let in_use = &mut self.stats[class.index()].in_use;
        *in_use = in_use.saturating_sub(1);
        Ok(())
    }

    /// Exchanges a buffer for one of the next larger class that has one free, copies the filled bytes to its front, and
    /// releases the old one.
    ///
    /// # Errors
    /// Returns the buffer unchanged if no larger one is free, or if it is a foreign one that [`release`](Self::release)
    /// would not take.
    pub fn grow(&mut self, buf: Buf<'p>) -> Result<Buf<'p>, Buf<'p>> {
        // Checked first: once the larger one has been acquired, nothing may fail.
        if self.class_of(&buf).is_none_or(|class| self.available(class) == self.capacity(class)) {
            return Err(buf);
        }
        let Some(mut larger) = self.acquire_for(buf.capacity() + 1) else { return Err(buf) };
        let copied = larger.append(buf.filled());
        debug_assert!(copied.is_ok(), "the contents of a smaller buffer must fit");
        self.release(buf).map(|()| larger)
    }

    /// Removes a free buffer from the pool permanently, the largest classes first: at the end, so that the program can
    /// use the memory again. It does not count as in use.
    pub fn pop_any(&mut self) -> Option<Buf<'p>> {
        self.lists.iter_mut().rev().find_map(FreeList::pop)
    }

    /// Removes all free buffers from the pool, like [`pop_any`](Self::pop_any).
    pub fn drain(&mut self) -> impl Iterator<Item = Buf<'p>> {
        core::iter::from_fn(|| self.pop_any())
    }

    /// Resets [`has_released`](Self::has_released).
    pub(crate) const fn forget_released(&mut self) {
        self.released = false;
    }

    /// Whether a buffer was released after the last [`forget_released`](Self::forget_released).
    pub(crate) const fn has_released(&self) -> bool {
        self.released
    }

    /// The number of free buffers of this class.
    #[inline]
    #[must_use]
    pub fn available(&self, class: Class) -> usize {
        self.lists[class.index()].free
    }

    /// The most buffers of this class that the pool can have.
    #[inline]
    #[must_use]
    pub fn capacity(&self, class: Class) -> usize {
        self.lists[class.index()].entries.len()
    }

    /// Bytes of the buffers of each class.
    #[inline]
    #[must_use]
    pub const fn sizes(&self) -> ClassSizes {
        self.sizes
    }

    /// Bytes of the largest buffers that the pool can have.
    pub(crate) fn largest(&self) -> usize {
        Class::ALL.into_iter().rfind(|class| self.capacity(*class) > 0).map_or(0, |class| self.sizes.of(class))
    }

    /// The [`capacity`](Self::capacity) of each class.
    #[must_use]
    pub fn counts(&self) -> ClassCounts {
        ClassCounts::new(Class::ALL.map(|class| self.capacity(class) as u32)).sized(self.sizes)
    }

    /// The number of buffers of all classes that were acquired and not yet released.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.stats.iter().map(|stats| stats.in_use as usize).sum()
    }

    /// The counters of one class.
    #[must_use]
    pub fn stats(&self, class: Class) -> ClassStats {
        let Tally { in_use, high_water, refused } = self.stats[class.index()];
        ClassStats { bytes: self.sizes.of(class), in_use, high_water, refused }
    }

    /// The class that a buffer belongs to; `None` if its length or alignment is not that of a buffer of this pool.
    #[inline]
    fn class_of(&self, buf: &Buf<'_>) -> Option<Class> {
        if buf.address().is_multiple_of(BUFFER_ALIGNMENT) { self.sizes.class_of(buf.capacity()) } else { None }
    }

    /// The number of buffers that the class lacks: its capacity less those free or in use.
    fn missing(&self, class: Class) -> u32 {
        let known = self.available(class) + self.stats(class).in_use as usize;
        self.capacity(class).saturating_sub(known) as u32
    }

    #[cfg_attr(not(feature = "small"), inline)]
    fn push(&mut self, class: Class, memory: &'p mut [u8]) -> Result<(), &'p mut [u8]> {
        let list = &mut self.lists[class.index()];
        let Some(entry) = list.entries.get_mut(list.free) else { return Err(memory) };
        *entry = Some(memory);
        list.free += 1;
        Ok(())
    }
}

impl<'p> FreeList<'_, 'p> {
    #[cfg_attr(not(feature = "small"), inline)]
    fn pop(&mut self) -> Option<Buf<'p>> {
        let top = self.free.checked_sub(1)?;
        let memory = self.entries.get_mut(top)?.take();
        self.free = top;
        memory.map(Buf::of_class)
    }
}

impl fmt::Debug for BufferPool<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for class in Class::ALL {
            map.entry(&class, &(self.available(class), self.capacity(class), self.stats(class)));
        }
        map.finish()
    }
}

/// Bytes from the start of `memory` to the next address that is a multiple of 64.
fn misalignment(memory: &[u8]) -> usize {
    memory.as_ptr().addr().wrapping_neg() % BUFFER_ALIGNMENT
}
