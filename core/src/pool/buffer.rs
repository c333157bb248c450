//! Buffers in size classes: fixed capacity, O(1), exhaustion is a value.

use core::fmt;
use core::mem;

use super::{Buf, CacheAligned, Class, ClassCounts};

/// Every buffer of a pool starts at a multiple of this many bytes: a cache line.
pub const BUFFER_ALIGNMENT: usize = 64;

/// Memory for `COUNT` buffers of `LEN` bytes each, aligned to 64 bytes; `LEN` must be the size of a [`Class`].
///
/// For programs that know their sizes when they are compiled. It is all zeros, so a `static` of it (in whichever cell
/// the program uses to get a `&'static mut` once) lies in `.bss` and costs no flash. Large ones do not belong on the
/// stack; a hosted program rather gives one slab to [`BufferPool::carve`].
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
    const LEN_IS_A_CLASS_SIZE: () = assert!(Class::of_size(LEN).is_some(), "LEN must be the size of a class");

    /// All zeros.
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

/// Free buffers of five [classes](Class), with a capacity per class that is fixed at creation.
///
/// The table (`'s`) holds the buffers that are free; their memory (`'p`) is the program's. What was acquired is owned
/// by whoever holds the [`Buf`]: it cannot be released twice, and the pool need not exist while it is in use.
pub struct BufferPool<'s, 'p> {
    lists: [FreeList<'s, 'p>; Class::COUNT],
    /// A buffer was released since [`forget_released`](Self::forget_released).
    released: bool,
    stats: CacheAligned<[ClassStats; Class::COUNT]>,
}

/// A stack: the buffer that was released last is acquired first, because it is most likely still in the cache.
struct FreeList<'s, 'p> {
    /// `Some` below `free`; what lies above is never read.
    entries: &'s mut [Option<Buf<'p>>],
    free: usize,
}

/// What happened to one class of a pool.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClassStats {
    /// Buffers acquired and not yet released.
    pub in_use: u32,
    /// The most that were ever in use at once.
    pub high_water: u32,
    /// How often one was asked for and none was free, also when a larger class served instead.
    pub refused: u64,
}

static_assertions::const_assert_eq!(core::mem::offset_of!(BufferPool<'static, 'static>, stats) % 64, 0);
static_assertions::const_assert_eq!(align_of::<BufferPool<'static, 'static>>(), 64);
static_assertions::const_assert_eq!(size_of::<BufferPool<'static, 'static>>() % 64, 0);

/// Why a pool could not be made or filled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PoolError {
    /// The table has fewer entries than buffers were asked for.
    TableTooShort {
        /// Entries needed.
        needed: usize,
        /// Entries there.
        has: usize,
    },
    /// The slab does not hold all buffers.
    SlabTooShort {
        /// Bytes needed, the ones in front of the first 64-byte boundary included.
        needed: usize,
        /// Bytes there.
        has: usize,
    },
    /// The memory is not exactly as long as a buffer of some class.
    NotAClassSize {
        /// Its length in bytes.
        len: usize,
    },
    /// The memory does not start at a multiple of 64 bytes.
    Misaligned,
    /// The class has all the buffers that its capacity allows.
    ClassFull(Class),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableTooShort { needed, has } => write!(f, "the table has {has} entries, {needed} are needed"),
            Self::SlabTooShort { needed, has } => write!(f, "the slab has {has} bytes, {needed} are needed"),
            Self::NotAClassSize { len } => write!(f, "no class of buffers is {len} bytes long"),
            Self::Misaligned => write!(f, "the memory is not aligned to {BUFFER_ALIGNMENT} bytes"),
            Self::ClassFull(class) => write!(f, "the class of {} bytes has all its buffers", class.size()),
        }
    }
}

impl core::error::Error for PoolError {}

impl<'s, 'p> BufferPool<'s, 'p> {
    /// A pool of the given capacities without any buffer yet. The first [`ClassCounts::total`] entries of `table` are
    /// used; what they hold is overwritten.
    ///
    /// # Errors
    /// [`PoolError::TableTooShort`].
    pub fn new(table: &'s mut [Option<Buf<'p>>], counts: ClassCounts) -> Result<Self, PoolError> {
        let (needed, has) = (counts.total(), table.len());
        if has < needed {
            return Err(PoolError::TableTooShort { needed, has });
        }
        let mut rest = table;
        let lists = Class::ALL.map(|class| {
            let (entries, tail) = mem::take(&mut rest).split_at_mut(counts.of(class) as usize);
            rest = tail;
            FreeList { entries, free: 0 }
        });
        Ok(Self { lists, released: false, stats: CacheAligned::default() })
    }

    /// A pool without a table, which never has a buffer.
    #[must_use]
    pub fn empty() -> Self {
        let lists = Class::ALL.map(|_| FreeList { entries: &mut [], free: 0 });
        Self { lists, released: false, stats: CacheAligned::default() }
    }

    /// Adds one buffer; its length says its class.
    ///
    /// # Errors
    /// [`PoolError::NotAClassSize`], [`PoolError::Misaligned`] or [`PoolError::ClassFull`].
    pub fn add(&mut self, memory: &'p mut [u8]) -> Result<(), PoolError> {
        let len = memory.len();
        let class = Class::of_size(len).ok_or(PoolError::NotAClassSize { len })?;
        if misalignment(memory) != 0 {
            return Err(PoolError::Misaligned);
        }
        if self.missing(class) == 0 {
            return Err(PoolError::ClassFull(class));
        }
        self.push(class, Buf::new(memory)).map_err(|_| PoolError::ClassFull(class))
    }

    /// Adds all blocks of a [`Buffers`].
    ///
    /// # Errors
    /// [`PoolError::ClassFull`] when they do not all fit; those before stay in the pool.
    pub fn add_buffers<const COUNT: usize, const LEN: usize>(
        &mut self,
        memory: &'p mut Buffers<COUNT, LEN>,
    ) -> Result<(), PoolError> {
        memory.blocks().try_for_each(|block| self.add(block))
    }

    /// Cuts one slab into all buffers that the pool still has room for, the largest class first, and hands back what
    /// is left. No byte of the slab is touched, so each page goes to the worker that uses it first.
    ///
    /// [`ClassCounts::slab_bytes`] says how long the slab must be. When it does not start at a multiple of 64 bytes,
    /// the bytes in front of the first one (at most 63) are skipped.
    ///
    /// # Errors
    /// [`PoolError::SlabTooShort`]; then nothing was added.
    pub fn carve(&mut self, slab: &'p mut [u8]) -> Result<&'p mut [u8], PoolError> {
        let skipped = misalignment(slab).min(slab.len());
        let missing = ClassCounts::new(Class::ALL.map(|class| self.missing(class)));
        let (needed, has) = (missing.slab_bytes().saturating_add(skipped), slab.len());
        if has < needed {
            return Err(PoolError::SlabTooShort { needed, has });
        }
        let mut rest = &mut slab[skipped..];
        for class in Class::ALL.into_iter().rev() {
            for _ in 0..missing.of(class) {
                let (block, tail) = mem::take(&mut rest).split_at_mut(class.size());
                rest = tail;
                let added = self.push(class, Buf::new(block));
                debug_assert!(added.is_ok(), "room for it was counted");
            }
        }
        Ok(rest)
    }

    /// An empty buffer of exactly this class; `None`, and counted as refused, when none is free.
    #[inline]
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

    /// An empty buffer for `len` bytes: of the smallest class that holds them, else of the next larger one that has
    /// one free. Classes without any capacity are passed over. `None` when there is none, or none so large.
    #[inline]
    pub fn acquire_for(&mut self, len: usize) -> Option<Buf<'p>> {
        let mut next = Class::for_len(len);
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

    /// Takes a buffer back, empty; its capacity says its class.
    ///
    /// A foreign buffer of a class that is not complete becomes one of the pool's.
    ///
    /// # Errors
    /// Hands back a foreign buffer: its class is full or absent, or it is not aligned to 64 bytes; it may have been
    /// emptied. One that was acquired here is always taken, unless a foreign one took its place.
    #[inline]
    pub fn release(&mut self, mut buf: Buf<'p>) -> Result<(), Buf<'p>> {
        let Some(class) = class_of(&buf) else { return Err(buf) };
        buf.clear();
        self.push(class, buf)?;
        self.released = true;
        let in_use = &mut self.stats[class.index()].in_use;
        *in_use = in_use.saturating_sub(1);
        Ok(())
    }

    /// Exchanges a buffer for one of the next larger class that has one free, with the filled bytes at its front; the
    /// old one is released.
    ///
    /// # Errors
    /// Hands the buffer back as it was when no larger one is free, or when it is a foreign one that
    /// [`release`](Self::release) would not take.
    pub fn grow(&mut self, buf: Buf<'p>) -> Result<Buf<'p>, Buf<'p>> {
        // Asked first: once the larger one is acquired, nothing may fail.
        if class_of(&buf).is_none_or(|class| self.available(class) == self.capacity(class)) {
            return Err(buf);
        }
        let Some(mut larger) = self.acquire_for(buf.capacity() + 1) else { return Err(buf) };
        let copied = larger.append(buf.filled());
        debug_assert!(copied.is_ok(), "a larger class holds what a smaller one held");
        self.release(buf).map(|()| larger)
    }

    /// Takes a free buffer out of the pool for good, the largest classes first: at the end, so that the program can
    /// use the memory again. It does not count as in use.
    pub fn pop_any(&mut self) -> Option<Buf<'p>> {
        self.lists.iter_mut().rev().find_map(FreeList::pop)
    }

    /// Takes all free buffers out of the pool, as [`pop_any`](Self::pop_any) does.
    pub fn drain(&mut self) -> impl Iterator<Item = Buf<'p>> {
        core::iter::from_fn(|| self.pop_any())
    }

    /// From here on [`has_released`](Self::has_released) counts.
    pub(crate) const fn forget_released(&mut self) {
        self.released = false;
    }

    /// Whether a buffer was released since [`forget_released`](Self::forget_released).
    pub(crate) const fn has_released(&self) -> bool {
        self.released
    }

    /// Buffers of this class that are free now.
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

    /// Buffers of all classes that were acquired and not yet released.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.stats.iter().map(|stats| stats.in_use as usize).sum()
    }

    /// The counters of one class.
    #[must_use]
    pub fn stats(&self, class: Class) -> ClassStats {
        self.stats[class.index()]
    }

    /// How many buffers the class lacks: neither free nor in use.
    fn missing(&self, class: Class) -> u32 {
        let known = self.available(class) + self.stats(class).in_use as usize;
        self.capacity(class).saturating_sub(known) as u32
    }

    #[inline]
    fn push(&mut self, class: Class, buf: Buf<'p>) -> Result<(), Buf<'p>> {
        let list = &mut self.lists[class.index()];
        let Some(entry) = list.entries.get_mut(list.free) else { return Err(buf) };
        *entry = Some(buf);
        list.free += 1;
        Ok(())
    }
}

impl<'p> FreeList<'_, 'p> {
    #[inline]
    fn pop(&mut self) -> Option<Buf<'p>> {
        let top = self.free.checked_sub(1)?;
        let buf = self.entries.get_mut(top)?.take();
        self.free = top;
        buf
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

/// The class that a buffer belongs to; `None` when its length or alignment is not that of a pool's buffer.
#[inline]
fn class_of(buf: &Buf<'_>) -> Option<Class> {
    if buf.address().is_multiple_of(BUFFER_ALIGNMENT) { Class::of_size(buf.capacity()) } else { None }
}

/// Bytes from the start of `memory` to the next multiple of 64.
fn misalignment(memory: &[u8]) -> usize {
    memory.as_ptr().addr().wrapping_neg() % BUFFER_ALIGNMENT
}
