//! The bell of a queue, where the kernel has no events that a program raises itself: a pipe to its own process. For
//! NetBSD, of which rustix does not know that it has them by now, and OpenBSD.

use aurora_http_sockets::Key;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::sys::{Event, EventFilter, EventFlags, Queue};

#[derive(Debug)]
pub(crate) struct Bell {
    out: OwnedFd,
    into: OwnedFd,
}

impl Bell {
    pub(crate) fn new() -> Result<Self, Errno> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { out, into })
    }

    pub(crate) fn try_clone(&self) -> Result<Self, Errno> {
        let duplicate = |end: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(end, 0);
        Ok(Self { out: duplicate(&self.out)?, into: duplicate(&self.into)? })
    }

    /// Makes a queue hear it.
    pub(crate) fn add_to(&self, queue: &Queue) -> Result<(), Errno> {
        queue.change(self.out.as_fd(), EventFilter::Read, EventFlags::ADD | EventFlags::CLEAR, Key::NONE)
    }

    /// Makes the event happen; a pipe that is full has one coming.
    pub(crate) fn ring(&self, _queue: &Queue) -> Result<(), Errno> {
        match write(&self.into, &[0]) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Empties the pipe when its event is among those that were taken. What is written meanwhile is an event again.
    pub(crate) fn silence(&self, taken: &[Event]) {
        if taken.iter().any(|event| event.udata().addr() == Key::NONE.0 as usize) {
            let mut bytes = [0; 64];
            while read(&self.out, &mut bytes) == Ok(bytes.len()) {}
        }
    }
}
