//! What a waker of Linux rings: a counter that a descriptor shows.

use aurora_http_core::reactor::Wake;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, read, write};

use crate::waker::{TryClone, Waker};

/// An eventfd: readable from a wake until it is [emptied](Self::empty), by as many descriptors as it has.
#[derive(Debug)]
pub struct Eventfd(OwnedFd);

impl Eventfd {
    /// One that nobody has rung; non-blocking and closed on exec.
    ///
    /// # Errors
    /// The system's: EMFILE, ENFILE, ENOMEM.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Forgets the wakes so far.
    pub fn empty(&self) {
        // It fails when there was none.
        let _ = read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Eventfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl TryClone for Eventfd {
    fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self(rustix::io::fcntl_dupfd_cloexec(&self.0, 0)?))
    }
}

impl Wake for Eventfd {
    fn wake(&self) {
        // Epoll watches it edge-triggered: every write is an event of its own, and nobody has to read the counter back. A
        // ring polls it and then empties it, so that any number of wakes is one. Only when it would overflow, after
        // 2^64 - 2 wakes, is it emptied first.
        loop {
            match write(&self.0, &1u64.to_ne_bytes()) {
                Err(Errno::AGAIN) => self.empty(),
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

const _: fn(&Waker<Eventfd>) -> &(dyn Send + Sync + 'static) = |waker| waker;
