//! A kqueue that can be woken.

use core::mem::MaybeUninit;

use aurora_http_core::reactor::Wake;
use aurora_http_sockets::TryClone;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::time::Timespec;

use crate::bell::Bell;
use crate::sys::{self, Event};

/// A kqueue with an event of its own, by which it is woken.
#[derive(Debug)]
pub struct Queue {
    events: sys::Queue,
    bell: Bell,
}

impl Queue {
    pub(crate) fn new() -> Result<Self, Errno> {
        let queue = Self { events: sys::Queue::new()?, bell: Bell::new()? };
        queue.bell.add_to(&queue.events)?;
        Ok(queue)
    }

    /// The list of events, to register sockets with.
    pub(crate) fn events(&self) -> &sys::Queue {
        &self.events
    }

    /// Takes the events that are there; waits for the first up to `timeout` (`None`: for ever).
    pub(crate) fn wait<'e>(
        &self,
        events: &'e mut [MaybeUninit<Event>],
        timeout: Option<&Timespec>,
    ) -> Result<&'e mut [Event], Errno> {
        let events = self.events.wait(events, timeout)?;
        self.bell.silence(events);
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
        Ok(Self { events: self.events.try_clone()?, bell: self.bell.try_clone()? })
    }
}

impl Wake for Queue {
    fn wake(&self) {
        // It fails when the queue is gone, and then there is nobody to wake.
        let _ = self.bell.ring(&self.events);
    }
}

const _: fn(&aurora_http_sockets::Waker<Queue>) -> &(dyn Send + Sync + 'static) = |waker| waker;
