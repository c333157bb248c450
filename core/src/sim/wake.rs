//! Wakes, which may come from another thread.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::reactor::Wake;

/// Whether the reactor has been woken.
#[derive(Debug, Default)]
pub(super) struct Woken(Arc<AtomicBool>);

impl Woken {
    pub(super) fn waker(&self) -> SimWaker {
        SimWaker { woken: Arc::clone(&self.0) }
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> bool {
        let woken = self.is_set();
        if woken {
            self.0.store(false, Ordering::Release);
        }
        woken
    }
}

/// Makes the next wait of a simulated reactor return without moving the clock.
#[derive(Clone, Debug)]
pub struct SimWaker {
    woken: Arc<AtomicBool>,
}

impl Wake for SimWaker {
    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
    }
}
