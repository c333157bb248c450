//! The wake event where `EVFILT_USER` is not available: a pipe to our own process. For OpenBSD, and for NetBSD, which has
//! the filter by now, but not in rustix.

use aurora_http_sockets::Key;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::sys::{Event, EventFilter, EventFlags, Queue};

#[derive(Debug)]
pub(crate) struct WakeEvent {
    out: OwnedFd,
    into: OwnedFd,
}

impl WakeEvent {
    pub(crate) fn new() -> Result<Self, Errno> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { out, into })
    }

    pub(crate) fn try_clone(&self) -> Result<Self, Errno> {
        let duplicate = |end: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(end, 0);
        Ok(Self { out: duplicate(&self.out)?, into: duplicate(&self.into)? })
    }

    /// Registers the event with a queue.
    pub(crate) fn register(&self, queue: &Queue) -> Result<(), Errno> {
        queue.change(self.out.as_fd(), EventFilter::Read, EventFlags::ADD | EventFlags::CLEAR, Key::NONE)
    }

    /// Triggers the event. If the pipe is full, the event is pending already.
    pub(crate) fn trigger(&self, _queue: &Queue) -> Result<(), Errno> {
        match write(&self.into, &[0]) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Empties the pipe if its event is among those taken. A later write triggers the event again.
    pub(crate) fn clear(&self, taken: &[Event]) {
        if taken.iter().any(|event| event.udata().addr() == Key::NONE.0 as usize) {
            let mut bytes = [0; 64];
            while read(&self.out, &mut bytes) == Ok(bytes.len()) {}
        }
    }
}
