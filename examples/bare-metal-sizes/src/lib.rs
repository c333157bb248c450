//! Images without a board: no runtime, no driver, nothing to subtract. `base` is what is left when nothing of Aurora is in
//! one. They are measured (`.ci/sizes`) and linked with a trap for panics (`.ci/panic-free`), and never run: what would move
//! bytes is a stand-in that the compiler knows nothing about.
//!
//! Programs that do run are in `bare-metal-uart`, `bare-metal-net` and `bare-metal-embassy`.
#![no_std]

mod handlers;
mod memory;
mod wires;

use core::panic::PanicInfo;

use aurora_http_core::time::Instant;

#[cfg(feature = "everything")]
pub use handlers::everything::{App, new as app};
#[cfg(all(feature = "full", not(feature = "everything")))]
pub use handlers::full::{Full as App, new as app};
#[cfg(not(feature = "full"))]
pub use handlers::smallest::{Smallest as App, new as app};
pub use memory::Once;
pub use wires::{Line, Sockets};

/// A clock that is somewhere else.
pub fn now() -> Instant {
    Instant(core::hint::black_box(0))
}

/// Sleeps until an interrupt.
pub fn sleep() {
    core::hint::black_box(());
}

/// What an image does that cannot go on.
pub fn give_up() -> ! {
    loop {
        sleep();
    }
}

#[cfg(not(feature = "trap"))]
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    give_up()
}

#[cfg(feature = "trap")]
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        // Nobody defines it: when the optimiser has removed every panic, nobody asks for it either.
        safe fn a_panic_is_reachable() -> !;
    }
    a_panic_is_reachable()
}
