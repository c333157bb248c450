//! Memory that is given out once, and where an image begins.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// A `static` that is taken as `&'static mut`, once: so that tables lie in `.bss` or `.data`, as they do in a program.
pub struct Once<T> {
    value: UnsafeCell<T>,
    is_taken: AtomicBool,
}

// SAFETY: the value is given out at most once, to whoever takes it first; these images have one thread and no interrupts.
unsafe impl<T: Send> Sync for Once<T> {}

impl<T> Once<T> {
    /// Not taken yet.
    pub const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), is_taken: AtomicBool::new(false) }
    }

    /// The value; `None` once it was taken.
    #[allow(clippy::mut_from_ref)] // it is given out once, however often this is called
    pub fn take(&'static self) -> Option<&'static mut T> {
        if self.is_taken.load(Ordering::Relaxed) {
            return None;
        }
        self.is_taken.store(true, Ordering::Relaxed);
        // SAFETY: nobody else has it, nor will.
        Some(unsafe { &mut *self.value.get() })
    }
}

/// Where an image begins.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        // SAFETY: no other symbol has this name, and what it names never returns.
        #[unsafe(no_mangle)]
        extern "C" fn _start() -> ! {
            $main()
        }
    };
}
