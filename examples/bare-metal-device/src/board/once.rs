//! Memory that is given out once.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
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
        if !is_first(&self.is_taken) {
            return None;
        }
        // SAFETY: nobody else has it, nor will.
        Some(unsafe { &mut *self.value.get() })
    }
}

/// A `static` for what is made when the program starts, and then lives on: so that it is not on the stack.
pub struct Late<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    is_filled: AtomicBool,
}

// SAFETY: the value is given out at most once, to whoever makes it, so that it need not be `Send`.
unsafe impl<T> Sync for Late<T> {}

impl<T> Late<T> {
    /// Not filled yet.
    pub const fn new() -> Self {
        Self { value: UnsafeCell::new(MaybeUninit::uninit()), is_filled: AtomicBool::new(false) }
    }

    /// Makes the value in its place; `None` if it was made before.
    #[inline(always)]
    // It is given out once, however often this is called.
    #[allow(clippy::mut_from_ref)]
    pub fn fill(&'static self, make: impl FnOnce() -> T) -> Option<&'static mut T> {
        if !is_first(&self.is_filled) {
            return None;
        }
        // SAFETY: nobody else has it, nor will.
        let place = unsafe { &mut *self.value.get() };
        Some(place.write(make()))
    }
}

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Sets `flag`; whether it was not set. Cores without compare-and-swap have no exchange; there is one core, and nothing comes in
/// between here.
fn is_first(flag: &AtomicBool) -> bool {
    without_interrupts(|| {
        let was_set = flag.load(Ordering::Relaxed);
        flag.store(true, Ordering::Relaxed);
        !was_set
    })
}
