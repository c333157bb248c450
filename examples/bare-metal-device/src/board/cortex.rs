//! What the Cortex-M cores share: a clock that an interrupt moves on, sleep, reset.

use core::sync::atomic::{AtomicU32, Ordering};

use aurora_http_core::time::Instant;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::{NVIC, SCB};

static LOW: AtomicU32 = AtomicU32::new(0);
static HIGH: AtomicU32 = AtomicU32::new(0);

/// A millisecond has passed. For one interrupt alone.
pub fn tick() {
    let low = LOW.load(Ordering::Relaxed).wrapping_add(1);
    if low == 0 {
        // Before the low half: `now` reads this one twice.
        HIGH.store(HIGH.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
    LOW.store(low, Ordering::Relaxed);
}

/// Milliseconds since the start. In two halves, because these cores load no more than 32 bits at once.
pub fn now() -> Instant {
    loop {
        let high = HIGH.load(Ordering::Acquire);
        let low = LOW.load(Ordering::Acquire);
        if high == HIGH.load(Ordering::Acquire) {
            return Instant(u64::from(high) << 32 | u64::from(low));
        }
    }
}

/// A line of the interrupt controller.
#[derive(Clone, Copy)]
pub(super) struct Line(pub(super) u16);

// SAFETY: the number is always the same for the same line.
unsafe impl InterruptNumber for Line {
    fn number(self) -> u16 {
        self.0
    }
}

/// Sleeps until the next interrupt, or until `line` has one, which `enable` switches on and off at its device; not at all
/// when `is_ready`. What arrives while this looks is not missed: a sleep ends by an interrupt that is held back, too. It
/// is switched off before interrupts are let in, so that `line` needs no handler.
pub(super) fn sleep_unless(line: Line, enable: impl Fn(bool), is_ready: impl Fn() -> bool) {
    cortex_m::interrupt::free(|_| {
        enable(true);
        // SAFETY: interrupts are held back, and the line is masked again before they are let in.
        unsafe { NVIC::unmask(line) };
        if !is_ready() {
            cortex_m::asm::wfi();
        }
        NVIC::mask(line);
        enable(false);
        NVIC::unpend(line);
    });
}

pub(super) fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    cortex_m::interrupt::free(|_| f())
}

pub(super) fn reset() -> ! {
    SCB::sys_reset()
}
