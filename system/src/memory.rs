//! Memory that may be refused.

use std::alloc::{Layout, alloc_zeroed};

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
}
