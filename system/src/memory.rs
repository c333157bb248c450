//! Fallible memory allocation.

use std::alloc::{Layout, alloc_zeroed};
use std::ptr::{self, NonNull};

use aurora_http_core::engine::Record;

/// Zeroed memory that lives as long as the process, or `None` when the allocation fails. The pages of a large allocation are
/// untouched: the system provides them on first use. (`vec![0; bytes]` does the same, but aborts the process on failure.)
///
/// ```
/// let memory: &'static mut [u8] = aurora_http_system::zeroed(4096).expect("4 KiB");
/// assert!(memory.iter().all(|byte| *byte == 0));
/// assert!(aurora_http_system::zeroed(isize::MAX as usize).is_none());
/// ```
#[must_use]
pub fn zeroed(bytes: usize) -> Option<&'static mut [u8]> {
    if bytes == 0 {
        return Some(&mut []);
    }
    let layout = Layout::array::<u8>(bytes).ok()?;
    // SAFETY: the layout's size is not 0.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        return None;
    }
    // SAFETY: the allocator returned `bytes` initialized bytes, which are exclusively ours and never freed; a layout is at
    // most isize::MAX long.
    Some(unsafe { std::slice::from_raw_parts_mut(memory, bytes) })
}

/// A type of which all zeros are a valid value: the one that a table begins with.
///
/// # Safety
/// Memory of the type's size and alignment in which every byte is 0 must be a valid value of it.
pub unsafe trait ZeroValid {}

// SAFETY: a record is `repr(transparent)` over an enum whose `repr` stores the discriminant as an integer at its beginning, and
// all zeros are the discriminant of the variant without fields; or it has no size. The core says so of it.
unsafe impl<E> ZeroValid for Record<'_, E> {}

// SAFETY: all zeros are the integer 0.
unsafe impl ZeroValid for u64 {}

/// A table of `len` values that are all zeros, or `None` when the allocation fails. As with [`zeroed`], a page of it takes no
/// memory until something is written there.
///
/// ```
/// use aurora_http_core::engine::Record;
///
/// let table: Vec<Record<'static, u64>> = aurora_http_system::zeroed_table(1_000).expect("a few KiB");
/// assert!(table.len() == 1_000 && table.iter().all(Record::is_unused));
/// assert!(aurora_http_system::zeroed_table::<u64>(usize::MAX / 8).is_none());
/// ```
#[must_use]
pub fn zeroed_table<T: ZeroValid>(len: usize) -> Option<Vec<T>> {
    let layout = Layout::array::<T>(len).ok()?;
    let start: *mut T = if layout.size() == 0 {
        NonNull::dangling().as_ptr()
    } else {
        // SAFETY: the layout's size is not 0.
        unsafe { alloc_zeroed(layout) }.cast()
    };
    if start.is_null() {
        return None;
    }
    // SAFETY: `start` is from the global allocator with the layout of `len` values, or dangling and aligned if that has no size;
    // and it has `len` valid values, since all their bytes are 0.
    Some(unsafe { Vec::from_raw_parts(start, len, len) })
}

/// Memory that is reserved but not used, to check that so much is available; released on drop. It is mapped directly from
/// the system, because an allocator may keep memory that was freed.
///
/// ```
/// use aurora_http_system::Reservation;
///
/// let reservation = Reservation::new(1 << 20).expect("1 MiB of address space");
/// drop(reservation);
/// assert!(Reservation::new(usize::MAX).is_none());
/// ```
#[derive(Debug)]
pub struct Reservation {
    start: NonNull<libc::c_void>,
    bytes: usize,
}

impl Reservation {
    /// Maps `bytes`; `None` when the system refuses.
    #[must_use]
    pub fn new(bytes: usize) -> Option<Self> {
        if bytes == 0 {
            return Some(Self { start: NonNull::dangling(), bytes });
        }
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
        // SAFETY: a new mapping at an address of the system's choice does not affect memory that is in use.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
        if start == libc::MAP_FAILED { None } else { Some(Self { start: NonNull::new(start)?, bytes }) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: the mapping is ours, is unmapped once, and its address was never handed out.
            unsafe { libc::munmap(self.start.as_ptr(), self.bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zeroed_and_none_when_there_is_too_little() {
        let memory = zeroed(100_000).unwrap();
        assert!(memory.len() == 100_000 && memory.iter().all(|byte| *byte == 0));
        memory.fill(1);
        assert!(zeroed(0).is_some());
        for bytes in [usize::MAX, isize::MAX as usize] {
            assert!(zeroed(bytes).is_none());
        }
    }

    #[test]
    fn a_table_is_made_of_values_and_none_when_there_is_too_little() {
        // Of whatever the handler keeps, also where that has values that zeros are not.
        type Kept = (NonNull<u8>, &'static str, Option<Box<u8>>);
        let mut table: Vec<Record<'static, Kept>> = zeroed_table(10_000).unwrap();
        assert!(table.len() == 10_000 && table.iter().all(Record::is_unused));
        table.fill_with(Record::new);
        assert!(table.iter().all(Record::is_unused));
        assert!(zeroed_table::<Record<'static, Kept>>(0).unwrap().is_empty());
        for len in [usize::MAX, isize::MAX as usize / 64] {
            assert!(zeroed_table::<u64>(len).is_none());
        }
    }

    #[test]
    fn a_reservation_is_released_on_drop() {
        assert!(Reservation::new(0).is_some());
        assert!(Reservation::new(usize::MAX).is_none());
        // In sum, more than any address space holds.
        for _ in 0..200_000 {
            assert!(Reservation::new(1 << 30).is_some());
        }
    }
}
