//! Tells a running engine to stop, from any thread or a signal handler.

use core::sync::atomic::{AtomicU8, Ordering};

/// What an engine has been asked to do.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Mode {
    /// Accept and serve.
    #[default]
    Run,
    /// Accept no more, close idle connections, and finish exchanges under way, up to a deadline.
    Drain,
    /// Close everything at once.
    Abort,
}

/// Shared between a running engine and the code that may stop it. Wake the reactor after setting it.
///
/// On cores without atomic read-modify-write operations it uses plain loads and stores; set it from one place only
/// there. It only moves forward: run, drain, abort.
///
/// ```
/// use aurora_http_core::stop::{Mode, StopFlag};
///
/// static STOP: StopFlag = StopFlag::new();
/// STOP.drain();
/// assert_eq!(STOP.mode(), Mode::Drain);
/// STOP.abort();
/// STOP.drain(); // too late: an abort stays an abort
/// assert_eq!(STOP.mode(), Mode::Abort);
/// ```
#[derive(Debug, Default)]
pub struct StopFlag(AtomicU8);

impl StopFlag {
    /// A flag that says to run.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU8::new(Mode::Run as u8))
    }

    /// Requests a graceful stop, unless an abort was requested already.
    pub fn drain(&self) {
        // A load and a store could overwrite an abort that another thread sets in between.
        #[cfg(target_has_atomic = "8")]
        self.0.fetch_max(Mode::Drain as u8, Ordering::AcqRel);
        #[cfg(not(target_has_atomic = "8"))]
        if self.mode() == Mode::Run {
            self.0.store(Mode::Drain as u8, Ordering::Release);
        }
    }

    /// Requests that everything be closed at once.
    pub fn abort(&self) {
        self.0.store(Mode::Abort as u8, Ordering::Release);
    }

    /// What was requested.
    #[cfg_attr(not(feature = "small"), inline)]
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.0.load(Ordering::Acquire) {
            0 => Mode::Run,
            1 => Mode::Drain,
            _ => Mode::Abort,
        }
    }
}
