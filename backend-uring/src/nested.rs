//! The descriptor that another event loop watches.

use core::cell::OnceCell;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, read, write};

use crate::ring::Ring;

/// A descriptor that is readable while a ring has something to do. The ring's own descriptor does not become readable for
/// work that the kernel defers to us (`DEFER_TASKRUN`); the kernel signals that on a registered eventfd.
///
/// Created on first use, so that a reactor outside any other event loop does not pay for it.
pub(crate) struct NestedFd {
    /// `None` inside the cell: creating them failed for lack of descriptors or memory.
    descriptors: OnceCell<Option<Descriptors>>,
}

struct Descriptors {
    /// Registered with the ring: the kernel writes to it when the ring has something to do.
    eventfd: OwnedFd,
    /// An epoll instance, readable while the eventfd or the waker is. A wake is a completion as well, but it is caused by a
    /// write to an eventfd, and Linux 6.18 signals only the first completion of that kind.
    either: OwnedFd,
}

impl NestedFd {
    pub(crate) const fn new() -> Self {
        Self { descriptors: OnceCell::new() }
    }

    pub(crate) fn descriptor<'a>(&'a self, ring: &'a Ring, waker: BorrowedFd<'_>) -> BorrowedFd<'a> {
        match self.descriptors.get_or_init(|| create(ring, waker).ok()) {
            Some(descriptors) => descriptors.either.as_fd(),
            None => ring.as_fd(),
        }
    }

    /// Creating it failed: the other event loop gets no events.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.descriptors.get(), Some(None))
    }

    /// Makes it unreadable until something new happens.
    pub(crate) fn reset(&self) {
        if let Some(Some(descriptors)) = self.descriptors.get() {
            // The read fails with EAGAIN when nothing was signalled.
            let _ = read(&descriptors.eventfd, &mut [0; 8]);
        }
    }
}

fn create(ring: &Ring, waker: BorrowedFd<'_>) -> Result<Descriptors, Errno> {
    let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let either = epoll::create(CreateFlags::CLOEXEC)?;
    for one in [eventfd.as_fd(), waker] {
        epoll::add(&either, one, EventData::new_u64(0), EventFlags::IN)?;
    }
    ring.register_eventfd(eventfd.as_fd())?;
    // The ring may have something to do already.
    write(&eventfd, &1u64.to_ne_bytes())?;
    Ok(Descriptors { eventfd, either })
}
