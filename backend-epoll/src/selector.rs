//! How sockets are registered with an epoll instance, and what its events mean.

use core::mem::MaybeUninit;

use aurora_http_core::reactor::Ready;
use aurora_http_sockets::{Eventfd, Key, Role, Selector, Waker};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::Timespec;

/// An epoll instance in which every socket is registered once, edge-triggered, for every kind of event.
#[derive(Debug)]
pub struct EpollSelector {
    epoll: OwnedFd,
    waker: Waker<Eventfd>,
}

impl Selector for EpollSelector {
    type Waking = Eventfd;

    /// 3 KiB of stack.
    const EVENTS_PER_WAIT: usize = 256;

    const REGISTRATIONS_PER_SOCKET: usize = 1;

    fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let eventfd = Eventfd::new()?;
        epoll::add(&epoll, &eventfd, data(Key::NONE), EventFlags::IN | EventFlags::ET)?;
        Ok(Self { epoll, waker: Waker::new(eventfd) })
    }

    fn waker(&self) -> &Waker<Eventfd> {
        &self.waker
    }

    fn register(&self, socket: BorrowedFd<'_>, role: Role, key: Key) -> Result<(), Errno> {
        let events = match role {
            Role::Listener => EventFlags::IN,
            Role::Stream => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP,
        };
        epoll::add(&self.epoll, socket, data(key), events | EventFlags::ET)
    }

    fn deregister(&self, socket: BorrowedFd<'_>) {
        // It can only fail because the socket is not registered.
        let _ = epoll::delete(&self.epoll, socket);
    }

    #[inline]
    fn wait(&mut self, timeout: Option<&Timespec>, mut each: impl FnMut(Key, Ready)) -> Result<usize, Errno> {
        let mut events = [MaybeUninit::uninit(); Self::EVENTS_PER_WAIT];
        let (events, _) = epoll::wait(&self.epoll, &mut events[..], timeout)?;
        for event in &*events {
            each(Key(event.data.u64() as u32), ready_of(event.flags));
        }
        Ok(events.len())
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
