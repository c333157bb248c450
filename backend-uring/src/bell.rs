//! What another event loop watches.

use core::cell::OnceCell;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, read, write};

use crate::ring::Ring;

/// An eventfd that the kernel writes to when there is something to do for a ring. A ring's own descriptor does not become
/// readable by work that the kernel keeps for us (`DEFER_TASKRUN`).
///
/// Hung up when it is asked for, so that a reactor that nobody watches pays nothing.
pub(crate) struct Bell {
    /// `None` when the system had no descriptor, or no memory.
    eventfd: OnceCell<Option<OwnedFd>>,
}

impl Bell {
    pub(crate) const fn new() -> Self {
        Self { eventfd: OnceCell::new() }
    }

    pub(crate) fn descriptor<'a>(&'a self, ring: &'a Ring) -> BorrowedFd<'a> {
        match self.eventfd.get_or_init(|| hang_up(ring).ok()) {
            Some(eventfd) => eventfd.as_fd(),
            None => ring.as_fd(),
        }
    }

    /// It was asked for and could not be hung up: nobody will be told of anything.
    pub(crate) fn is_mute(&self) -> bool {
        matches!(self.eventfd.get(), Some(None))
    }

    /// Forgets what it has rung for. What comes later rings again.
    pub(crate) fn silence(&self) {
        if let Some(Some(eventfd)) = self.eventfd.get() {
            // It fails when it has not rung.
            let _ = read(eventfd, &mut [0; 8]);
        }
    }
}

fn hang_up(ring: &Ring) -> Result<OwnedFd, Errno> {
    let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    ring.announce_on(eventfd.as_fd())?;
    // For what is there already.
    write(&eventfd, &1u64.to_ne_bytes())?;
    Ok(eventfd)
}
