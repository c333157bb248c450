//! Memory that is given out once.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use super::without_interrupts;

/// A `static` that the program takes as `&'static mut`, once: for buffers and tables. What is all zeros lies in `.bss`, and
/// is never moved over the stack.
pub struct Once<T> {
    value: UnsafeCell<T>,
    is_taken: AtomicBool,
}

// SAFETY: the value is given out at most once, to whoever takes it first.
unsafe impl<T: Send> Sync for Once<T> {}

impl<T> Once<T> {
    /// Not taken yet.
    pub const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), is_taken: AtomicBool::new(false) }
    }

    /// The value; `None` once it was taken.
    // It is given out once, however often this is called.
    #[allow(clippy::mut_from_ref)]
    pub fn take(&'static self) -> Option<&'static mut T> {
        // Cores without compare-and-swap have no exchange; there is one core, and nothing comes in between here.
        let was_taken = without_interrupts(|| {
            let was_taken = self.is_taken.load(Ordering::Relaxed);
            self.is_taken.store(true, Ordering::Relaxed);
            was_taken
        });
        if was_taken {
            return None;
        }
        // SAFETY: nobody else has it, nor will.
        Some(unsafe { &mut *self.value.get() })
    }
}
