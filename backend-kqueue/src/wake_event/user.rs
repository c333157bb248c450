//! The bell of a queue, where the kernel has events that a program raises itself (`EVFILT_USER`).

use rustix::event::kqueue::UserFlags;
use rustix::io::Errno;

use crate::sys::{Event, EventFlags, Queue};

/// Costs no descriptor: the event is the queue's own.
#[derive(Debug)]
pub(crate) struct Bell;

impl Bell {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self)
    }

    pub(crate) fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self)
    }

    /// Makes a queue hear it.
    pub(crate) fn add_to(&self, queue: &Queue) -> Result<(), Errno> {
        queue.change_own(EventFlags::ADD | EventFlags::CLEAR, UserFlags::NOINPUT)
    }

    /// Makes the event happen. It is an error only when the queue has none.
    pub(crate) fn ring(&self, queue: &Queue) -> Result<(), Errno> {
        queue.change_own(EventFlags::empty(), UserFlags::TRIGGER)
    }

    /// Taking the event has cleared it.
    pub(crate) fn silence(&self, _taken: &[Event]) {}
}
