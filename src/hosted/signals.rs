//! SIGINT and SIGTERM, while a server serves.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::{Handle, Signals};

const WATCHED: [i32; 2] = [SIGINT, SIGTERM];

/// Servers that watch now. The handlers stay installed for good, so that without any the default must be put back.
static WATCHING: Mutex<usize> = Mutex::new(0);

/// Nobody watches: the signals do what they do by default.
static UNWATCHED: AtomicBool = AtomicBool::new(false);

/// The signals come here and do not end the process.
pub(super) struct Watch {
    signals: Signals,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        static REGISTERED: AtomicBool = AtomicBool::new(false);
        let mut watching = WATCHING.lock().unwrap_or_else(PoisonError::into_inner);
        let signals = Signals::new(WATCHED)?;
        if !REGISTERED.swap(true, Ordering::Relaxed) {
            for signal in WATCHED {
                register_conditional_default(signal, &UNWATCHED)?;
            }
        }
        UNWATCHED.store(false, Ordering::SeqCst);
        *watching += 1;
        Ok(Self { signals })
    }

    /// Ends [`each`](Self::each) from another thread.
    pub(super) fn handle(&self) -> Handle {
        self.signals.handle()
    }

    /// Calls `on_signal` for every signal with how many there were before, until the handle is closed.
    pub(super) fn each(&mut self, mut on_signal: impl FnMut(usize)) {
        for (earlier, _signal) in self.signals.forever().enumerate() {
            on_signal(earlier);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watching = WATCHING.lock().unwrap_or_else(PoisonError::into_inner);
        *watching -= 1;
        if *watching == 0 {
            UNWATCHED.store(true, Ordering::SeqCst);
        }
    }
}
