//! Size classes, and the number of buffers of each.

/// A size of buffers. Each is four times the one before it; [`ClassSizes`] says how many bytes that is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Class {
    /// By default 1 KiB: most responses.
    Tiny,
    /// By default 4 KiB: most heads.
    Small,
    /// By default 16 KiB.
    Medium,
    /// By default 64 KiB: the longest head that is accepted by default.
    Large,
    /// By default 256 KiB: the longest content that is collected by default.
    Huge,
}

impl Class {
    /// The number of classes.
    pub const COUNT: usize = 5;

    /// All classes, the smallest first.
    pub const ALL: [Self; Self::COUNT] = [Self::Tiny, Self::Small, Self::Medium, Self::Large, Self::Huge];

    /// Its index in [`ALL`](Self::ALL): 0 to 4.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
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

/// How many bytes the buffers of each [`Class`] have: three choices, named after the smallest class.
///
/// ```
/// use aurora_http_core::pool::{Class, ClassSizes};
///
/// assert_eq!(ClassSizes::default().of(Class::Small), 4096);
/// assert_eq!(ClassSizes::FROM_512.of(Class::Small), 2048);
/// assert_eq!(ClassSizes::FROM_512.for_len(600), Some(Class::Small));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClassSizes {
    /// The binary logarithm of the smallest size.
    log2: u8,
}

impl ClassSizes {
    /// 1 KiB, 4 KiB, 16 KiB, 64 KiB and 256 KiB: the default.
    pub const FROM_1024: Self = Self { log2: 10 };

    /// 512 bytes, 2 KiB, 8 KiB, 32 KiB and 128 KiB: for a device with little memory.
    pub const FROM_512: Self = Self { log2: 9 };

    /// 256 bytes, 1 KiB, 4 KiB, 16 KiB and 64 KiB: for short heads. Answers are written to buffers of 1 KiB or more, because
    /// those of the engine itself do not all fit into 256 bytes.
    pub const FROM_256: Self = Self { log2: 8 };

    /// The choice in which a class has exactly `bytes`; of two such choices, the one with the larger smallest class. `None` if
    /// there is none, because `bytes` is not a power of two from 256 to 262144.
    ///
    /// ```
    /// use aurora_http_core::pool::ClassSizes;
    ///
    /// assert_eq!(ClassSizes::with(2048), Some(ClassSizes::FROM_512));
    /// assert_eq!(ClassSizes::with(1000), None);
    /// ```
    #[must_use]
    pub const fn with(bytes: usize) -> Option<Self> {
        let choices = [Self::FROM_1024, Self::FROM_512, Self::FROM_256];
        let mut index = 0;
        while index < choices.len() {
            if choices[index].class_of(bytes).is_some() {
                return Some(choices[index]);
            }
            index += 1;
        }
        None
    }

    /// Bytes of a buffer of this class.
    #[inline]
    #[must_use]
    pub const fn of(self, class: Class) -> usize {
        1 << (self.log2 as u32 + 2 * class as u32)
    }

    /// The smallest class that holds `len` bytes; `None` beyond the largest.
    #[cfg_attr(not(feature = "small"), inline)]
    #[must_use]
    pub const fn for_len(self, len: usize) -> Option<Class> {
        // Each class has two more bits than the one before it.
        let beyond = len.saturating_sub(1) >> self.log2;
        match (usize::BITS - beyond.leading_zeros()).div_ceil(2) {
            0 => Some(Class::Tiny),
            1 => Some(Class::Small),
            2 => Some(Class::Medium),
            3 => Some(Class::Large),
            4 => Some(Class::Huge),
            _ => None,
        }
    }

    /// The class of exactly `size` bytes.
    #[cfg_attr(not(feature = "small"), inline)]
    #[must_use]
    pub const fn class_of(self, size: usize) -> Option<Class> {
        match self.for_len(size) {
            Some(class) if self.of(class) == size => Some(class),
            _ => None,
        }
    }
}

impl Default for ClassSizes {
    fn default() -> Self {
        Self::FROM_1024
    }
}

/// A number of buffers for each class.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClassCounts {
    counts: [u32; Class::COUNT],
    sizes: ClassSizes,
}

impl ClassCounts {
    /// No buffers of any class, as the start of a chain of [`with`](Self::with).
    pub const NONE: Self = Self::new([0; Class::COUNT]);

    /// Takes counts in the order of [`Class::ALL`]: the smallest class first.
    #[must_use]
    pub const fn new(counts: [u32; Class::COUNT]) -> Self {
        Self { counts, sizes: ClassSizes::FROM_1024 }
    }

    /// The same counts, of buffers of other sizes.
    ///
    /// ```
    /// use aurora_http_core::pool::{Class, ClassCounts, ClassSizes};
    ///
    /// const COUNTS: ClassCounts = ClassCounts::NONE.sized(ClassSizes::FROM_512).with(Class::Tiny, 4);
    /// assert_eq!(COUNTS.slab_bytes(), 2048);
    /// ```
    #[must_use]
    pub const fn sized(mut self, sizes: ClassSizes) -> Self {
        self.sizes = sizes;
        self
    }

    /// Bytes of the buffers of each class.
    #[inline]
    #[must_use]
    pub const fn sizes(self) -> ClassSizes {
        self.sizes
    }

    /// The same counts, but `count` for `class`.
    #[must_use]
    pub const fn with(mut self, class: Class, count: u32) -> Self {
        self.counts[class.index()] = count;
        self
    }

    /// The count for `class`.
    #[must_use]
    pub const fn of(self, class: Class) -> u32 {
        self.counts[class.index()]
    }

    /// Bytes of the largest buffers of which there is at least one; 0 if there is none.
    #[must_use]
    pub const fn largest(self) -> usize {
        let mut largest = 0;
        let mut index = 0;
        while index < Class::COUNT {
            if self.counts[index] > 0 {
                largest = self.sizes.of(Class::ALL[index]);
            }
            index += 1;
        }
        largest
    }

    /// The smallest class, from `first` on, of which there is at least one buffer.
    #[must_use]
    pub const fn first_from(self, first: Class) -> Option<Class> {
        let mut class = first;
        while self.of(class) == 0 {
            class = match class.larger() {
                Some(larger) => larger,
                None => return None,
            };
        }
        Some(class)
    }

    /// The number of buffers of all classes together: the length of the table that
    /// [`BufferPool::new`](super::BufferPool::new) needs. `usize::MAX` if it does not fit into a `usize`.
    #[must_use]
    pub const fn total(self) -> usize {
        let mut sum = 0_usize;
        let mut index = 0;
        while index < Class::COUNT {
            sum = sum.saturating_add(self.counts[index] as usize);
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
            sum = sum.saturating_add(self.sizes.of(Class::ALL[index]).saturating_mul(self.counts[index] as usize));
            index += 1;
        }
        sum
    }
}
