//! Memory that may be refused.

use std::alloc::{Layout, alloc_zeroed};
use std::ptr::{self, NonNull};

/// Zeroed memory for as long as the process lives, or `None` when the system has none. Large memory comes untouched: the
/// system provides its pages when they are first used. (`vec![0; bytes]` does that too, and ends the process when there is
/// none.)
#[must_use]
pub fn zeroed(bytes: usize) -> Option<&'static mut [u8]> {
    if bytes == 0 {
        return Some(&mut []);
    }
    let layout = Layout::array::<u8>(bytes).ok()?;
    // SAFETY: the layout has a size, which is not 0.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        return None;
    }
    // SAFETY: the allocator gave so many bytes, all initialized, which nobody else has and nobody frees; a layout is no
    // longer than isize::MAX.
    Some(unsafe { std::slice::from_raw_parts_mut(memory, bytes) })
}

/// Memory that nobody uses: it shows that there is so much, and is given back when it is dropped. It comes from the system
/// itself, past the allocator, which may keep what is given back to it.
#[derive(Debug)]
pub struct Reservation {
    start: NonNull<libc::c_void>,
    bytes: usize,
}

impl Reservation {
    /// `None` when the system has less.
    #[must_use]
    pub fn new(bytes: usize) -> Option<Self> {
        if bytes == 0 {
            return Some(Self { start: NonNull::dangling(), bytes });
        }
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
        // SAFETY: a new mapping, at an address that the system chooses, has nothing to do with memory that is in use.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
        if start == libc::MAP_FAILED { None } else { Some(Self { start: NonNull::new(start)?, bytes }) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: the mapping is this one's, unmapped once, and nobody was ever given its address.
            unsafe { libc::munmap(self.start.as_ptr(), self.bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_zeroed_and_refused_when_there_is_none() {
        let memory = zeroed(100_000).unwrap();
        assert!(memory.len() == 100_000 && memory.iter().all(|byte| *byte == 0));
        memory.fill(1);
        assert!(zeroed(0).is_some());
        for bytes in [usize::MAX, isize::MAX as usize] {
            assert!(zeroed(bytes).is_none());
        }
    }

    #[test]
    fn what_is_reserved_comes_back() {
        assert!(Reservation::new(0).is_some());
        assert!(Reservation::new(usize::MAX).is_none());
        // More than any address space holds, if it did not.
        for _ in 0..200_000 {
            assert!(Reservation::new(1 << 30).is_some());
        }
    }
}
