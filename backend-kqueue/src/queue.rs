//! A kqueue with a wake event.

use core::mem::MaybeUninit;

use aurora_http_core::reactor::Wake;
use aurora_http_sockets::TryClone;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::time::Timespec;

use crate::sys::{self, Event};
use crate::wake_event::WakeEvent;

/// A kqueue, and the event that wakes a wait on it.
#[derive(Debug)]
pub struct Queue {
    events: sys::Queue,
    wake_event: WakeEvent,
}

impl Queue {
    pub(crate) fn new() -> Result<Self, Errno> {
        let queue = Self { events: sys::Queue::new()?, wake_event: WakeEvent::new()? };
        queue.wake_event.register(&queue.events)?;
        Ok(queue)
    }

    /// The kqueue itself, to register sockets with.
    pub(crate) fn events(&self) -> &sys::Queue {
        &self.events
    }

    /// Waits up to `timeout` (`None`: forever) for an event, and takes those that are pending.
    pub(crate) fn wait<'e>(
        &self,
        events: &'e mut [MaybeUninit<Event>],
        timeout: Option<&Timespec>,
    ) -> Result<&'e mut [Event], Errno> {
        let events = self.events.wait(events, timeout)?;
        self.wake_event.clear(events);
        Ok(events)
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

impl TryClone for Queue {
    fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self { events: self.events.try_clone()?, wake_event: self.wake_event.try_clone()? })
    }
}

impl Wake for Queue {
    fn wake(&self) {
        // It fails only when the queue is gone, and then no wait is left to end.
        let _ = self.wake_event.trigger(&self.events);
    }
}

const _: fn(&aurora_http_sockets::Waker<Queue>) -> &(dyn Send + Sync + 'static) = |waker| waker;
