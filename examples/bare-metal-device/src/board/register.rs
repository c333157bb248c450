//! A register of a device.

use core::ptr;

/// A `T` at an address of the board's.
#[derive(Clone, Copy)]
pub(super) struct Register<T = u32>(*mut T);

impl<T: Copy> Register<T> {
    /// # Safety
    /// At `address` there is a register of this width, and neither reading nor writing it touches the program's memory.
    pub(super) const unsafe fn at(address: usize) -> Self {
        Self(ptr::without_provenance_mut(address))
    }

    pub(super) fn read(self) -> T {
        // SAFETY: it is a register, as whoever made this has promised.
        unsafe { ptr::read_volatile(self.0) }
    }

    pub(super) fn write(self, value: T) {
        // SAFETY: it is a register, as whoever made this has promised.
        unsafe { ptr::write_volatile(self.0, value) }
    }
}

#[cfg(board = "lm3s6965")]
impl Register {
    pub(super) fn set(self, bits: u32) {
        self.write(self.read() | bits);
    }
}
