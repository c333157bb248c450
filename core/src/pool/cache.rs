//! Keeping data on separate cache lines.

use core::ops::{Deref, DerefMut};

/// Puts `T` on cache lines that it does not share with anything: aligned to 64 bytes, its size rounded up to a multiple
/// of 64.
///
/// For counters that one thread writes and another reads, and to keep data that every request writes apart from data
/// that is only read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(align(64))]
pub struct CacheAligned<T>(pub T);

impl<T> Deref for CacheAligned<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for CacheAligned<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

static_assertions::const_assert_eq!(align_of::<CacheAligned<u8>>(), 64);
static_assertions::const_assert_eq!(size_of::<CacheAligned<u8>>(), 64);
static_assertions::const_assert_eq!(size_of::<CacheAligned<[u8; 65]>>(), 128);
