//! A safe wrapper of kevent(2): the only `unsafe` of this crate. It makes system calls and contains no other logic.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use core::slice;

use aurora_http_sockets::Key;
use rustix::event::kqueue;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::time::Timespec;

pub(crate) use rustix::event::kqueue::{Event, EventFilter, EventFlags};

/// A kqueue, close-on-exec.
#[derive(Debug)]
pub(crate) struct Queue {
    queue: OwnedFd,
}

impl Queue {
    pub(crate) fn new() -> Result<Self, Errno> {
        let queue = kqueue::kqueue()?;
        fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
        Ok(Self { queue })
    }

    /// The same kqueue through another descriptor.
    pub(crate) fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self { queue: fcntl_dupfd_cloexec(&self.queue, 0)? })
    }

    /// Adds or deletes a filter of a socket; its events carry `key`.
    pub(crate) fn change(
        &self,
        socket: BorrowedFd<'_>,
        filter: fn(RawFd) -> EventFilter,
        flags: EventFlags,
        key: Key,
    ) -> Result<(), Errno> {
        let data = core::ptr::without_provenance_mut(key.0 as usize);
        self.submit(&Event::new(filter(socket.as_raw_fd()), flags, data))
    }

    /// Adds or triggers the user event, which belongs to no descriptor.
    #[cfg(not(any(target_os = "netbsd", target_os = "openbsd")))]
    pub(crate) fn change_own(&self, flags: EventFlags, action: kqueue::UserFlags) -> Result<(), Errno> {
        let user_flags = kqueue::UserDefinedFlags::new(0);
        let filter = EventFilter::User { ident: 0, flags: action, user_flags };
        self.submit(&Event::new(filter, flags, core::ptr::null_mut()))
    }

    fn submit(&self, change: &Event) -> Result<(), Errno> {
        let none: &mut [MaybeUninit<Event>] = &mut [];
        // SAFETY: a descriptor in `change` comes from the method `change`, which borrows it, so it is open. It may be closed
        // during the queue's life: closing a descriptor deletes its events (kevent(2)). The kernel keeps no reference to our
        // memory, since `data` is a number that is never dereferenced.
        match unsafe { kqueue::kevent_timespec(&self.queue, slice::from_ref(change), none, None) } {
            // The change was applied even if the call was interrupted.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits up to `timeout` (`None`: forever) for an event, and takes those that are pending.
    pub(crate) fn wait<'e>(
        &self,
        events: &'e mut [MaybeUninit<Event>],
        timeout: Option<&Timespec>,
    ) -> Result<&'e mut [Event], Errno> {
        // SAFETY: there are no changes, so no descriptor is passed.
        let (events, _) = unsafe { kqueue::kevent_timespec(&self.queue, &[], events, timeout) }?;
        Ok(events)
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}
