//! An emulation of `src/sys.rs` for tests on Linux, which implements the same interface with epoll in place of kevent(2).
//! Wakes use the pipe that also serves NetBSD and OpenBSD (`src/wake_event/pipe.rs`).
//!
//! It tests this crate's own logic over real sockets, not the behaviour of macOS or a BSD. Where epoll differs from kqueue,
//! it follows kqueue: reading and writing are separate registrations, each with its own user data and events; a one-shot
//! registration lasts for one event; adding a registration again makes the kernel check again; and the end is a flag on
//! events (`EV_EOF`), which may come with bytes still to be read. It also does what a kqueue is free to do: the write event
//! of a socket comes before its read event, and every seventh event is repeated.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ops::BitOr;
use core::sync::atomic::{AtomicU32, Ordering};

use aurora_http_sockets::Key;
use rustix::event::epoll::{self, EventData, EventFlags as Epoll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::time::Timespec;

/// How many events of each kind are taken at once.
const BATCH: usize = 32;

/// The most events that those become: two kinds, each event repeated.
const EVENTS_MAX: usize = 4 * BATCH;

#[derive(Clone, Copy, Debug)]
pub(crate) enum EventFilter {
    Read(#[allow(dead_code)] RawFd),
    Write(#[allow(dead_code)] RawFd),
    /// Any other filter.
    #[allow(dead_code)]
    Unknown,
}

/// The flags that the crate uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct EventFlags(u16);

impl EventFlags {
    pub(crate) const ADD: Self = Self(1);
    pub(crate) const DELETE: Self = Self(2);
    pub(crate) const CLEAR: Self = Self(4);
    pub(crate) const EOF: Self = Self(8);
    pub(crate) const ONESHOT: Self = Self(16);

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
    /// Readable while one of the other two is; this is the descriptor that others see.
    both: OwnedFd,
    reads: OwnedFd,
    writes: OwnedFd,
    /// How many events there were, to repeat every seventh.
    count: AtomicU32,
}

impl Queue {
    pub(crate) fn new() -> Result<Self, Errno> {
        let epoll = || epoll::create(epoll::CreateFlags::CLOEXEC);
        let (both, reads, writes) = (epoll()?, epoll()?, epoll()?);
        for one in [&reads, &writes] {
            epoll::add(&both, one, EventData::new_u64(0), Epoll::IN)?;
        }
        Ok(Self { both, reads, writes, count: AtomicU32::new(0) })
    }

    pub(crate) fn try_clone(&self) -> Result<Self, Errno> {
        let duplicate = |descriptor: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(descriptor, 0);
        Ok(Self {
            both: duplicate(&self.both)?,
            reads: duplicate(&self.reads)?,
            writes: duplicate(&self.writes)?,
            count: AtomicU32::new(0),
        })
    }

    pub(crate) fn change(
        &self,
        socket: BorrowedFd<'_>,
        filter: fn(RawFd) -> EventFilter,
        flags: EventFlags,
        key: Key,
    ) -> Result<(), Errno> {
        let number = socket.as_raw_fd();
        let (epoll, interest) = match filter(number) {
            EventFilter::Read(_) => (&self.reads, Epoll::IN | Epoll::RDHUP),
            EventFilter::Write(_) => (&self.writes, Epoll::OUT),
            EventFilter::Unknown => return Err(Errno::INVAL),
        };
        if flags == EventFlags::DELETE {
            return epoll::delete(epoll, socket);
        }
        assert!(flags.contains(EventFlags::ADD));
        let once = if flags.contains(EventFlags::ONESHOT) { Epoll::ONESHOT } else { Epoll::ET };
        let data = EventData::new_u64((number as u64) << 32 | u64::from(key.0));
        match epoll::add(epoll, socket, data, interest | once) {
            // After its event, epoll keeps a one-shot registration disabled, where kqueue deletes it.
            Err(Errno::EXIST) => epoll::modify(epoll, socket, data, interest | once),
            result => result,
        }
    }

    pub(crate) fn wait<'e>(
        &self,
        events: &'e mut [MaybeUninit<Event>],
        timeout: Option<&Timespec>,
    ) -> Result<&'e mut [Event], Errno> {
        epoll::wait(&self.both, &mut [MaybeUninit::uninit(); 2][..], timeout)?;
        let mut translated = [NO_EVENT; EVENTS_MAX];
        let (mut count, mut more) = (0, false);
        for (epoll, filter) in
            [(&self.writes, EventFilter::Write as fn(RawFd) -> EventFilter), (&self.reads, EventFilter::Read)]
        {
            let mut batch = [const { MaybeUninit::uninit() }; BATCH];
            let (batch, _) = epoll::wait(epoll, &mut batch[..], Some(&Timespec::default()))?;
            more |= batch.len() == BATCH;
            for event in batch {
                let again = self.count.fetch_add(1, Ordering::Relaxed) % 7 == 6;
                for place in &mut translated[count..][..1 + usize::from(again)] {
                    *place = translate(event, filter);
                    count += 1;
                }
            }
        }
        if more {
            // More events may be pending, and a kqueue would have filled the batch: only a batch that is not full means that
            // none are left.
            count = EVENTS_MAX;
        }
        Ok(events[..count].write_copy_of_slice(&translated[..count]))
    }
}

/// `EV_EOF` for reading is the peer's FIN or a broken connection; for writing only the latter.
fn translate(event: &epoll::Event, filter: fn(RawFd) -> EventFilter) -> Event {
    let (bits, flags) = (event.data.u64(), event.flags);
    let filter = filter((bits >> 32) as RawFd);
    let fin = matches!(filter, EventFilter::Read(_)) && flags.contains(Epoll::RDHUP);
    let ended = fin || flags.intersects(Epoll::HUP | Epoll::ERR);
    let flags = if ended { EventFlags::CLEAR | EventFlags::EOF } else { EventFlags::CLEAR };
    Event::new(filter, flags, core::ptr::without_provenance_mut(bits as u32 as usize))
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.both.as_fd()
    }
}
