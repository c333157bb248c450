//! Size classes, and how many buffers of each a program wants.

/// A size of buffer. Each is four times the one before it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Class {
    /// 1 KiB: most responses.
    Tiny,
    /// 4 KiB: most heads.
    Small,
    /// 16 KiB.
    Medium,
    /// 64 KiB: the longest head that is accepted by default.
    Large,
    /// 256 KiB: the longest content that is collected by default.
    Huge,
}

impl Class {
    /// How many classes there are.
    pub const COUNT: usize = 5;

    /// All of them, the smallest first.
    pub const ALL: [Self; Self::COUNT] = [Self::Tiny, Self::Small, Self::Medium, Self::Large, Self::Huge];

    /// Bytes in a buffer of this class.
    #[inline]
    #[must_use]
    pub const fn size(self) -> usize {
        1024 << (2 * self as u32)
    }

    /// Its place in [`ALL`](Self::ALL): 0 to 4.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The smallest class that holds `len` bytes; `None` beyond 256 KiB.
    #[inline]
    #[must_use]
    pub const fn for_len(len: usize) -> Option<Self> {
        Some(match len {
            0..=0x400 => Self::Tiny,
            0x401..=0x1000 => Self::Small,
            0x1001..=0x4000 => Self::Medium,
            0x4001..=0x1_0000 => Self::Large,
            0x1_0001..=0x4_0000 => Self::Huge,
            _ => return None,
        })
    }

    /// The class of exactly `size` bytes.
    #[inline]
    #[must_use]
    pub const fn of_size(size: usize) -> Option<Self> {
        match Self::for_len(size) {
            Some(class) if class.size() == size => Some(class),
            _ => None,
        }
    }

    /// The next larger class; `None` above [`Huge`](Self::Huge).
    #[inline]
    #[must_use]
    pub const fn larger(self) -> Option<Self> {
        match self {
            Self::Tiny => Some(Self::Small),
            Self::Small => Some(Self::Medium),
            Self::Medium => Some(Self::Large),
            Self::Large => Some(Self::Huge),
            Self::Huge => None,
        }
    }
}

/// A number of buffers for each class.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClassCounts([u32; Class::COUNT]);

impl ClassCounts {
    /// No buffers at all; the start of a chain of [`with`](Self::with).
    pub const NONE: Self = Self([0; Class::COUNT]);

    /// From counts in the order of [`Class::ALL`]: the smallest class first.
    #[must_use]
    pub const fn new(counts: [u32; Class::COUNT]) -> Self {
        Self(counts)
    }

    /// The same counts, but `count` for `class`.
    #[must_use]
    pub const fn with(mut self, class: Class, count: u32) -> Self {
        self.0[class.index()] = count;
        self
    }

    /// The number for `class`.
    #[must_use]
    pub const fn of(self, class: Class) -> u32 {
        self.0[class.index()]
    }

    /// Buffers of all classes together: the length of the table that [`BufferPool::new`](super::BufferPool::new)
    /// wants. `usize::MAX` when it does not fit a `usize`.
    #[must_use]
    pub const fn total(self) -> usize {
        let mut sum = 0_usize;
        let mut index = 0;
        while index < Class::COUNT {
            sum = sum.saturating_add(self.0[index] as usize);
            index += 1;
        }
        sum
    }

    /// Bytes of all buffers together: what [`BufferPool::carve`](super::BufferPool::carve) needs of a slab that is
    /// aligned to 64 bytes; add 63 for one that may not be. `usize::MAX` when it does not fit a `usize`.
    #[must_use]
    pub const fn slab_bytes(self) -> usize {
        let mut sum = 0_usize;
        let mut index = 0;
        while index < Class::COUNT {
            sum = sum.saturating_add(Class::ALL[index].size().saturating_mul(self.0[index] as usize));
            index += 1;
        }
        sum
    }
}
