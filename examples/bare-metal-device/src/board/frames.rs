//! Frames wake whoever waits for them, for programs of tasks.

use core::cell::Cell;
use core::task::Waker;

use cortex_m::interrupt::{self, Mutex};
use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;

use super::Ethernet;
use super::lm3s6965::{FRAME_EVENTS, FRAME_LINE, FRAME_MASK, FRAME_RECEIVED};

/// Who waits.
static WAITING: Mutex<Cell<Option<Waker>>> = Mutex::new(Cell::new(None));

impl Ethernet {
    /// Wakes `waker`, and nobody who asked before, once a frame comes. One that is there already does not count: look for it
    /// after this call, so that none is missed.
    pub fn wake_by_frame(waker: &Waker) {
        interrupt::free(|critical| {
            WAITING.borrow(critical).set(Some(waker.clone()));
            FRAME_EVENTS.write(FRAME_RECEIVED);
            FRAME_MASK.write(FRAME_RECEIVED);
            // SAFETY: nothing in this program relies on holding this interrupt back.
            unsafe { NVIC::unmask(FRAME_LINE) };
        });
    }
}

/// Only the controller has an interrupt without a handler of its own. It interrupts once, until somebody waits again.
#[exception]
unsafe fn DefaultHandler(_line: i16) {
    FRAME_MASK.write(0);
    if let Some(waker) = interrupt::free(|critical| WAITING.borrow(critical).take()) {
        waker.wake();
    }
}
