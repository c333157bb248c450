//! What another event loop watches.

use core::cell::OnceCell;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, read, write};

use crate::ring::Ring;

/// A descriptor that is readable while there is something to do for a ring. The ring's own does not become readable by
/// work that the kernel keeps for us (`DEFER_TASKRUN`); the kernel tells of that on an eventfd.
///
/// Hung up when it is asked for, so that a reactor that nobody watches pays nothing.
pub(crate) struct Bell {
    /// `None` when the system had no descriptor, or no memory.
    hung: OnceCell<Option<Hung>>,
}

struct Hung {
    /// Of what the kernel does.
    eventfd: OwnedFd,
    /// Readable while the eventfd or the waker is. A wake is a completion too, but writing to an eventfd is its cause, and
    /// Linux 6.18 tells of only the first completion of that kind.
    either: OwnedFd,
}

impl Bell {
    pub(crate) const fn new() -> Self {
        Self { hung: OnceCell::new() }
    }

    pub(crate) fn descriptor<'a>(&'a self, ring: &'a Ring, waker: BorrowedFd<'_>) -> BorrowedFd<'a> {
        match self.hung.get_or_init(|| hang_up(ring, waker).ok()) {
            Some(hung) => hung.either.as_fd(),
            None => ring.as_fd(),
        }
    }

    /// It was asked for and could not be hung up: nobody will be told of anything.
    pub(crate) fn is_mute(&self) -> bool {
        matches!(self.hung.get(), Some(None))
    }

    /// Forgets what it has rung for. What comes later rings again.
    pub(crate) fn silence(&self) {
        if let Some(Some(hung)) = self.hung.get() {
            // It fails when it has not rung.
            let _ = read(&hung.eventfd, &mut [0; 8]);
        }
    }
}

fn hang_up(ring: &Ring, waker: BorrowedFd<'_>) -> Result<Hung, Errno> {
    let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let either = epoll::create(CreateFlags::CLOEXEC)?;
    for one in [eventfd.as_fd(), waker] {
        epoll::add(&either, one, EventData::new_u64(0), EventFlags::IN)?;
    }
    ring.announce_on(eventfd.as_fd())?;
    // For what is there already.
    write(&eventfd, &1u64.to_ne_bytes())?;
    Ok(Hung { eventfd, either })
}
