//! Size classes, and the number of buffers of each.

/// A size of buffers. Each is four times the one before it.
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
    /// The number of classes.
    pub const COUNT: usize = 5;

    /// All classes, the smallest first.
    pub const ALL: [Self; Self::COUNT] = [Self::Tiny, Self::Small, Self::Medium, Self::Large, Self::Huge];

    /// Bytes of a buffer of this class.
    #[inline]
    #[must_use]
    pub const fn size(self) -> usize {
        1024 << (2 * self as u32)
    }

    /// Its index in [`ALL`](Self::ALL): 0 to 4.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The smallest class that holds `len` bytes; `None` beyond 256 KiB.
    #[cfg_attr(not(feature = "small"), inline)]
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
    #[cfg_attr(not(feature = "small"), inline)]
    #[must_use]
    pub const fn of_size(size: usize) -> Option<Self> {
        match Self::for_len(size) {
            Some(class) if class.size() == size => Some(class),
            _ => None,
        }
    }

    /// The next larger class; `None` above [`Huge`](Self::Huge).
    #[cfg_attr(not(feature = "small"), inline)]
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
    /// No buffers of any class, as the start of a chain of [`with`](Self::with).
    pub const NONE: Self = Self([0; Class::COUNT]);

    /// Takes counts in the order of [`Class::ALL`]: the smallest class first.
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

    /// The count for `class`.
    #[must_use]
    pub const fn of(self, class: Class) -> u32 {
        self.0[class.index()]
    }

    /// The number of buffers of all classes together: the length of the table that
    /// [`BufferPool::new`](super::BufferPool::new) needs. `usize::MAX` if it does not fit into a `usize`.
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

    /// Bytes of all buffers together: the length of slab that [`BufferPool::carve`](super::BufferPool::carve) needs if
    /// it is aligned to 64 bytes; add 63 if it may not be. `usize::MAX` if it does not fit into a `usize`.
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
