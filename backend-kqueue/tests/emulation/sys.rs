//! An emulation, for tests on Linux: it takes the place of `src/sys.rs` and makes of epoll what that one makes of
//! kevent(2). Wakes come through the pipe that serves on NetBSD and OpenBSD.
//!
//! What it proves is this crate's own logic over real sockets; it proves nothing of how macOS or a BSD behaves. It keeps
//! to the shapes of kqueue where epoll has others: reading and writing are events of their own, and the end comes as a
//! flag on them (`EV_EOF`), with bytes still there or not. It also does what kqueue may do: the write event comes before
//! the read event of the same socket, writable sockets are reported when they were so before, and every seventh event
//! comes once more.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ops::BitOr;
use core::sync::atomic::{AtomicU32, Ordering};

use rustix::event::epoll::{self, EventData, EventFlags as Epoll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::time::Timespec;

#[path = "../../src/sys/pipe.rs"]
mod bell;

use bell::Bell;

/// Events of epoll that are taken at once.
const BATCH: usize = 32;

/// What they become at most: a read event and a write event, each of them twice.
const EVENTS_MAX: usize = 4 * BATCH;

#[derive(Clone, Copy, Debug)]
pub(crate) enum EventFilter {
    Read(#[allow(dead_code)] RawFd),
    Write(#[allow(dead_code)] RawFd),
    /// Others that kqueue has.
    #[allow(dead_code)]
    Unknown,
}

/// Those that the crate uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct EventFlags(u16);

impl EventFlags {
    pub(crate) const ADD: Self = Self(1);
    pub(crate) const DELETE: Self = Self(2);
    pub(crate) const CLEAR: Self = Self(4);
    pub(crate) const EOF: Self = Self(8);

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for EventFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    filter: EventFilter,
    flags: EventFlags,
    data: usize,
}

impl Event {
    pub(crate) fn new(filter: EventFilter, flags: EventFlags, data: *mut c_void) -> Self {
        Self { filter, flags, data: data.addr() }
    }

    pub(crate) fn filter(&self) -> EventFilter {
        self.filter
    }

    pub(crate) fn flags(&self) -> EventFlags {
        self.flags
    }

    pub(crate) fn udata(&self) -> *mut c_void {
        core::ptr::without_provenance_mut(self.data)
    }
}

const NO_EVENT: Event = Event { filter: EventFilter::Unknown, flags: EventFlags::CLEAR, data: 0 };

#[derive(Debug)]
pub(crate) struct Queue {
    epoll: OwnedFd,
    bell: Bell,
    /// Events so far, to repeat every seventh.
    count: AtomicU32,
}

impl Queue {
    pub(crate) fn new() -> Result<Self, Errno> {
        let queue =
            Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, bell: Bell::new()?, count: AtomicU32::new(0) };
        queue.bell.add_to(&queue)?;
        Ok(queue)
    }

    #[cfg(not(feature = "std"))]
    pub(crate) fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self {
            epoll: rustix::io::fcntl_dupfd_cloexec(&self.epoll, 0)?,
            bell: self.bell.try_clone()?,
            count: AtomicU32::new(0),
        })
    }

    /// What epoll knows is a whole socket: the filters of one call are added together, and deleted together.
    pub(crate) fn change<const N: usize>(
        &self,
        socket: BorrowedFd<'_>,
        filters: [fn(RawFd) -> EventFilter; N],
        flags: EventFlags,
        data: usize,
    ) -> Result<(), Errno> {
        if flags == EventFlags::DELETE {
            return epoll::delete(&self.epoll, socket);
        }
        assert!(flags == EventFlags::ADD | EventFlags::CLEAR, "edge-triggered is all that this emulates");
        let number = socket.as_raw_fd();
        let interest = filters.iter().fold(Epoll::ET, |interest, filter| match filter(number) {
            EventFilter::Read(_) => interest | Epoll::IN | Epoll::RDHUP,
            EventFilter::Write(_) => interest | Epoll::OUT,
            EventFilter::Unknown => interest,
        });
        let data = u32::try_from(data).expect("data that a pointer of 32 bits holds");
        epoll::add(&self.epoll, socket, EventData::new_u64((number as u64) << 32 | u64::from(data)), interest)
    }

    pub(crate) fn wake(&self) -> Result<(), Errno> {
        self.bell.ring(self)
    }

    pub(crate) fn wait<'e>(
        &self,
        events: &'e mut [MaybeUninit<Event>],
        timeout: Option<&Timespec>,
    ) -> Result<&'e mut [Event], Errno> {
        let mut batch = [const { MaybeUninit::uninit() }; BATCH];
        let (batch, _) = epoll::wait(&self.epoll, &mut batch[..], timeout)?;
        let mut translated = [NO_EVENT; EVENTS_MAX];
        let mut count = 0;
        for event in batch.iter().flat_map(Self::translate).flatten() {
            let again = self.count.fetch_add(1, Ordering::Relaxed) % 7 == 6;
            for place in &mut translated[count..][..1 + usize::from(again)] {
                *place = event;
                count += 1;
            }
        }
        self.bell.silence(&translated[..count]);
        Ok(events[..count].write_copy_of_slice(&translated[..count]))
    }

    /// One event of epoll as events of kqueue.
    fn translate(event: &epoll::Event) -> [Option<Event>; 2] {
        let bits = event.data.u64();
        let (number, data) = ((bits >> 32) as RawFd, bits as u32 as usize);
        let flags = event.flags;
        let broken = flags.intersects(Epoll::HUP | Epoll::ERR);
        let ended = broken || flags.contains(Epoll::RDHUP);
        let filtered = |filter, there, ended| {
            let flags = if ended { EventFlags::CLEAR | EventFlags::EOF } else { EventFlags::CLEAR };
            Some(Event::new(filter, flags, core::ptr::without_provenance_mut(data))).filter(|_| there)
        };
        [
            filtered(EventFilter::Write(number), flags.contains(Epoll::OUT), broken),
            filtered(EventFilter::Read(number), ended || flags.contains(Epoll::IN), ended),
        ]
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
