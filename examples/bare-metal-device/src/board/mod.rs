//! The boards that QEMU has, one for each target: `thumbv7m-none-eabi` is an lm3s6965evb, `thumbv6m-none-eabi` a BBC
//! micro:bit, and `riscv32imc-unknown-none-elf` the machine `virt`.
//!
//! Everything here that is `unsafe` is here: registers, and memory that is given out once. Each board has the same items:
//! `start`, `now`, `reset`, `Board` and `Uart`.

#[cfg(target_arch = "arm")]
mod cortex;
#[cfg(all(board = "lm3s6965", feature = "async"))]
mod frames;
#[cfg(board = "lm3s6965")]
mod lm3s6965;
#[cfg(board = "microbit")]
mod microbit;
mod once;
mod register;
#[cfg(board = "virt")]
mod virt;

use core::panic::PanicInfo;

use crate::pages::Hardware;

#[cfg(target_arch = "arm")]
pub use cortex::now;
#[cfg(all(target_arch = "arm", feature = "async"))]
pub use cortex::tick;
#[cfg(target_arch = "arm")]
use cortex::{reset, without_interrupts};
#[cfg(target_arch = "arm")]
pub use cortex_m_rt::entry;
#[cfg(board = "lm3s6965")]
pub use lm3s6965::*;
#[cfg(board = "microbit")]
pub use microbit::*;
pub use once::{Late, Once};
#[cfg(target_arch = "riscv32")]
pub use riscv_rt::entry;
#[cfg(board = "virt")]
pub use virt::*;
#[cfg(board = "virt")]
use virt::{reset, without_interrupts};

impl Hardware for Board {
    fn uptime_ms(&self) -> u64 {
        now().0
    }

    fn lamp(&self) -> bool {
        Self::lamp()
    }

    fn set_lamp(&mut self, on: bool) {
        Self::set_lamp(on);
    }

    /// There is no sensor: between 20 and 25 degrees, up and down.
    fn temperature_tenths(&self) -> u16 {
        let step = (now().0 as u32 / 100 % 100) as u16;
        200 + if step < 50 { step } else { 100 - step }
    }
}

/// What a program does that cannot go on.
pub fn give_up() -> ! {
    reset()
}

/// A device that hangs is of no use to anybody.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    reset()
}
