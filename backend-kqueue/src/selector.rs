//! How sockets are registered with a kqueue, and what its events mean.

use core::mem::MaybeUninit;

use aurora_http_core::reactor::{IoError, Ready, Seen};
use aurora_http_core::readiness::Batches;
use aurora_http_sockets::{Key, Role, Selector, Waker, os_error};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::time::Timespec;

use crate::queue::Queue;
use crate::sys::{Event, EventFilter, EventFlags};

/// A kqueue in which every socket is registered once for reading, edge-triggered (`EV_CLEAR`). It is registered for writing
/// after a short send, for one event (`EV_ONESHOT`): the write filter of a socket with free send buffer would report every
/// segment that the peer acknowledges.
#[derive(Debug)]
pub struct KqueueSelector {
    /// Holds the queue, since a wake is an event of that queue.
    waker: Waker<Queue>,
    /// The last accept failed for lack of a descriptor.
    out_of_descriptors: bool,
    batches: Batches,
    /// The most registrations: for reading and for writing of each socket, and the waker's. Each has at most one event
    /// pending.
    registrations: usize,
}

/// The most events that one wait takes, in 4 KiB of stack on macOS, 8 KiB on FreeBSD; the next wait gets the others.
const EVENTS_PER_WAIT: usize = 128;

impl KqueueSelector {
    fn queue(&self) -> &Queue {
        self.waker.get_ref()
    }
}

impl Selector for KqueueSelector {
    type Waking = Queue;

    type Refusal = IoError;

    fn new(sockets: usize) -> Result<Self, IoError> {
        let waker = Waker::new(Queue::new().map_err(os_error)?);
        let (batches, registrations) = (Batches::new(EVENTS_PER_WAIT), 2 * sockets + 1);
        Ok(Self { waker, out_of_descriptors: false, batches, registrations })
    }

    fn waker(&self) -> &Waker<Queue> {
        &self.waker
    }

    fn register(&mut self, socket: BorrowedFd<'_>, _role: Role, key: Key) -> Result<(), Errno> {
        self.queue().events().change(socket, EventFilter::Read, EventFlags::ADD | EventFlags::CLEAR, key)
    }

    fn deregister(&mut self, socket: BorrowedFd<'_>, _key: Key) {
        // Deleting the write filter fails unless a send is waiting for it; that is fine.
        for filter in [EventFilter::Read as Filter, EventFilter::Write] {
            let _ = self.queue().events().change(socket, filter, EventFlags::DELETE, Key::NONE);
        }
    }

    /// No event is lost if the socket becomes writable in between: the kernel checks when it registers the filter.
    #[cold]
    fn report_writable(&mut self, socket: BorrowedFd<'_>, key: Key) -> Result<(), Errno> {
        self.queue().events().change(socket, EventFilter::Write, EventFlags::ADD | EventFlags::ONESHOT, key)
    }

    /// macOS takes a connection from the backlog before it allocates the descriptor, and drops the connection if there is
    /// none left. After such a loss this checks first that a descriptor is available, so that only one connection is lost,
    /// not one with every attempt.
    fn accept(&mut self, listener: BorrowedFd<'_>) -> Result<Option<OwnedFd>, IoError> {
        if self.out_of_descriptors && fcntl_dupfd_cloexec(listener, 0).is_err() {
            return Err(IoError::FileLimit);
        }
        let accepted = aurora_http_sockets::accept(listener);
        self.out_of_descriptors = accepted.as_ref().is_err_and(|error| *error == IoError::FileLimit);
        accepted
    }

    #[inline]
    fn wait<'t>(
        &mut self,
        timeout: Option<&Timespec>,
        mut each: impl FnMut(Key, Ready) -> Option<BorrowedFd<'t>>,
    ) -> Result<Seen, Errno> {
        let mut events = [const { MaybeUninit::uninit() }; EVENTS_PER_WAIT];
        let events = self.queue().wait(&mut events, timeout)?;
        for event in &*events {
            // The wake event has no flags or the key `NONE`; it has served its purpose by ending the wait.
            if let Some(flags) = ready_of(event) {
                each(Key(event.udata().addr() as u32), flags);
            }
        }
        let taken = events.len();
        Ok(self.batches.taken(taken, self.registrations))
    }

    fn has_more(&self) -> bool {
        self.batches.was_full()
    }
}

impl AsFd for KqueueSelector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue().as_fd()
    }
}

/// Makes a filter for a descriptor.
type Filter = fn(RawFd) -> EventFilter;

/// What an event means; `None` for one that does not belong to a socket.
///
/// `EV_EOF` on the read filter: the peer has sent its FIN or the connection is broken. Bytes before it may still have to be
/// read, so only a receive of 0 is the end. `EV_EOF` on the write filter: sends fail from now on, also after our own
/// shutdown. The next send will report that; it says nothing about what can still be received.
#[inline]
fn ready_of(event: &Event) -> Option<Ready> {
    match event.filter() {
        EventFilter::Read(_) => {
            Some(Ready { readable: true, writable: false, ended: event.flags().contains(EventFlags::EOF) })
        }
        EventFilter::Write(_) => Some(Ready { readable: false, writable: true, ended: false }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_one_direction_says_nothing_about_the_other() {
        let none = Ready::default();
        let clear = EventFlags::CLEAR;
        for (filter, flags, expected) in [
            (EventFilter::Read(3), clear, Ready { readable: true, ..none }),
            (EventFilter::Read(3), clear | EventFlags::EOF, Ready { readable: true, ended: true, ..none }),
            (EventFilter::Write(3), clear, Ready { writable: true, ..none }),
            (EventFilter::Write(3), clear | EventFlags::EOF, Ready { writable: true, ..none }),
        ] {
            assert_eq!(ready_of(&Event::new(filter, flags, core::ptr::null_mut())), Some(expected));
        }
    }
}
