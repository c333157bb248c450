//! kevent(2), made safe: the only `unsafe` of this crate. What it decides is which calls are made, and nothing else.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;

use rustix::event::kqueue;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::time::Timespec;

pub(crate) use rustix::event::kqueue::{Event, EventFilter, EventFlags};
use rustix::event::kqueue::{UserDefinedFlags, UserFlags};

/// A kqueue, closed on exec.
#[derive(Debug)]
pub(crate) struct Queue(OwnedFd);

impl Queue {
    pub(crate) fn new() -> Result<Self, Errno> {
        let queue = kqueue::kqueue()?;
        fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
        Ok(Self(queue))
    }

    /// The same queue by another descriptor.
    #[cfg(not(feature = "std"))]
    pub(crate) fn try_clone(&self) -> Result<Self, Errno> {
        rustix::io::fcntl_dupfd_cloexec(&self.0, 0).map(Self)
    }

    /// Adds or deletes filters of a socket, in order and up to the first that fails. `data` comes with their events.
    pub(crate) fn change<const N: usize>(
        &self,
        socket: BorrowedFd<'_>,
        filters: [fn(RawFd) -> EventFilter; N],
        flags: EventFlags,
        data: usize,
    ) -> Result<(), Errno> {
        let data = core::ptr::without_provenance_mut(data);
        self.submit(&filters.map(|filter| Event::new(filter(socket.as_raw_fd()), flags, data)))
    }

    /// Adds the queue's own event.
    pub(crate) fn add_user(&self) -> Result<(), Errno> {
        self.submit(&[user(EventFlags::ADD | EventFlags::CLEAR, UserFlags::NOINPUT)])
    }

    /// Raises the queue's own event; it is an error only when the queue has none.
    pub(crate) fn trigger_user(&self) -> Result<(), Errno> {
        self.submit(&[user(EventFlags::empty(), UserFlags::TRIGGER)])
    }

    fn submit(&self, changes: &[Event]) -> Result<(), Errno> {
        let none: &mut [MaybeUninit<Event>] = &mut [];
        // SAFETY: every descriptor in `changes` is borrowed by the caller of this module, hence open. It may be closed
        // while the queue lives: closing a descriptor deletes its events (kevent(2)), and the kernel holds no memory
        // of ours in between, `data` being a number that nobody dereferences.
        match unsafe { kqueue::kevent_timespec(&self.0, changes, none, None) } {
            // Changes are applied before a call is interrupted.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes the events that are there; waits for the first up to `timeout` (`None`: for ever).
    pub(crate) fn wait<'e>(
        &self,
        events: &'e mut [MaybeUninit<Event>],
        timeout: Option<&Timespec>,
    ) -> Result<&'e mut [Event], Errno> {
        // SAFETY: it changes nothing, so that no descriptor is named.
        let (events, _) = unsafe { kqueue::kevent_timespec(&self.0, &[], events, timeout) }?;
        Ok(events)
    }
}

fn user(flags: EventFlags, action: UserFlags) -> Event {
    let filter = EventFilter::User { ident: 0, flags: action, user_flags: UserDefinedFlags::new(0) };
    Event::new(filter, flags, core::ptr::null_mut())
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
