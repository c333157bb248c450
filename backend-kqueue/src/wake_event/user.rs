//! The wake event where the kernel has events that a program triggers itself (`EVFILT_USER`).

use rustix::event::kqueue::UserFlags;
use rustix::io::Errno;

use crate::sys::{Event, EventFlags, Queue};

/// Needs no descriptor: the event belongs to the queue.
#[derive(Debug)]
pub(crate) struct WakeEvent;

impl WakeEvent {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self)
    }

    pub(crate) fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self)
    }

    /// Registers the event with a queue.
    pub(crate) fn register(&self, queue: &Queue) -> Result<(), Errno> {
        queue.change_own(EventFlags::ADD | EventFlags::CLEAR, UserFlags::NOINPUT)
    }

    /// Triggers the event. Fails only if it is not registered with the queue.
    pub(crate) fn trigger(&self, queue: &Queue) -> Result<(), Errno> {
        queue.change_own(EventFlags::empty(), UserFlags::TRIGGER)
    }

    /// Nothing to do: taking the event has cleared it (`EV_CLEAR`).
    pub(crate) fn clear(&self, _taken: &[Event]) {}
}
