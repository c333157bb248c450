//! How sockets are registered with an epoll instance, and what its events mean.

use core::mem::MaybeUninit;

use aurora_http_core::reactor::{IoError, Ready, Seen};
use aurora_http_core::readiness::Batches;
use aurora_http_sockets::{Eventfd, Key, Role, Selector, Waker, os_error};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::Timespec;

/// An epoll instance in which every socket is registered once, edge-triggered, for every kind of event.
#[derive(Debug)]
pub struct EpollSelector {
    epoll: OwnedFd,
    waker: Waker<Eventfd>,
    batches: Batches,
    /// The most registrations: one for each socket, and the waker's. Each has at most one event pending.
    registrations: usize,
}

/// The most events that one wait takes, in 3 KiB of stack; the next wait gets the others.
const EVENTS_PER_WAIT: usize = 256;

impl Selector for EpollSelector {
    type Waking = Eventfd;

    type Refusal = IoError;

    fn new(sockets: usize) -> Result<Self, IoError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(os_error)?;
        let eventfd = Eventfd::new().map_err(os_error)?;
        epoll::add(&epoll, &eventfd, data(Key::NONE), EventFlags::IN | EventFlags::ET).map_err(os_error)?;
        let (batches, registrations) = (Batches::new(EVENTS_PER_WAIT), sockets + 1);
        Ok(Self { epoll, waker: Waker::new(eventfd), batches, registrations })
    }

    fn waker(&self) -> &Waker<Eventfd> {
        &self.waker
    }

    fn register(&mut self, socket: BorrowedFd<'_>, role: Role, key: Key) -> Result<(), Errno> {
        let events = match role {
            Role::Listener => EventFlags::IN,
            Role::Stream => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP,
        };
        epoll::add(&self.epoll, socket, data(key), events | EventFlags::ET)
    }

    fn deregister(&mut self, socket: BorrowedFd<'_>, _key: Key) {
        // It can only fail because the socket is not registered.
        let _ = epoll::delete(&self.epoll, socket);
    }

    #[inline]
    fn wait<'t>(
        &mut self,
        timeout: Option<&Timespec>,
        mut each: impl FnMut(Key, Ready) -> Option<BorrowedFd<'t>>,
    ) -> Result<Seen, Errno> {
        let mut events = [MaybeUninit::uninit(); EVENTS_PER_WAIT];
        let (events, _) = epoll::wait(&self.epoll, &mut events[..], timeout)?;
        for event in &*events {
            each(Key(event.data.u64() as u32), ready_of(event.flags));
        }
        Ok(self.batches.taken(events.len(), self.registrations))
    }

    fn has_more(&self) -> bool {
        self.batches.was_full()
    }
}

impl AsFd for EpollSelector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn data(key: Key) -> EventData {
    EventData::new_u64(key.0.into())
}

#[inline]
fn ready_of(flags: EventFlags) -> Ready {
    let broken = EventFlags::HUP.union(EventFlags::ERR);
    let ended = EventFlags::RDHUP.union(broken);
    Ready {
        readable: flags.intersects(EventFlags::IN.union(ended)),
        writable: flags.intersects(EventFlags::OUT.union(broken)),
        ended: flags.intersects(ended),
    }
}
