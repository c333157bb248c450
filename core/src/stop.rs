//! How a program tells a running engine to stop, from anywhere.

use core::sync::atomic::{AtomicU8, Ordering};

/// How an engine goes on.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Mode {
    /// Accepts and serves.
    #[default]
    Run,
    /// Accepts no more, closes what is idle, finishes what is under way, up to a deadline.
    Drain,
    /// Closes everything at once.
    Abort,
}

/// Shared between a running engine and whoever may stop it; wake the reactor after setting it.
///
/// Plain loads and stores where a core has no more, so that it exists on every one; there, set it from one place only.
/// It only moves forward: run, drain, abort.
#[derive(Debug, Default)]
pub struct StopFlag(AtomicU8);

impl StopFlag {
    /// Running.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU8::new(Mode::Run as u8))
    }

    /// Asks for a graceful stop, unless an abort was asked for already.
    pub fn drain(&self) {
        // Between a load and a store, another thread's abort would be lost.
        #[cfg(target_has_atomic = "8")]
        self.0.fetch_max(Mode::Drain as u8, Ordering::AcqRel);
        #[cfg(not(target_has_atomic = "8"))]
        if self.mode() == Mode::Run {
            self.0.store(Mode::Drain as u8, Ordering::Release);
        }
    }

    /// Asks for the end at once.
    pub fn abort(&self) {
        self.0.store(Mode::Abort as u8, Ordering::Release);
    }

    /// What was asked for.
    #[inline]
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.0.load(Ordering::Acquire) {
            0 => Mode::Run,
            1 => Mode::Drain,
            _ => Mode::Abort,
        }
    }
}
