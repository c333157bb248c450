//! An emulation, for tests on Linux: it takes the place of `src/sys.rs` and makes of epoll what that one makes of
//! kevent(2). Wakes come through the pipe that serves on NetBSD and OpenBSD (`src/bell/pipe.rs`).
//!
//! What it proves is this crate's own logic over real sockets; it proves nothing of how macOS or a BSD behaves. It keeps
//! to the shapes of kqueue where epoll has others: reading and writing are registrations of their own, each with its own
//! data and its own events, a one-shot registration lasts for one event, adding one again has the kernel look again, and
//! the end comes as a flag on events (`EV_EOF`), with bytes still there or not. It also does what kqueue may do: the
//! write event comes before the read event of the same socket, and every seventh event comes once more.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ops::BitOr;
use core::sync::atomic::{AtomicU32, Ordering};

use aurora_http_sockets::Key;
use rustix::event::epoll::{self, EventData, EventFlags as Epoll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::time::Timespec;

/// Events of either kind that are taken at once.
const BATCH: usize = 32;

/// What they become at most: as many of each kind, all of them twice.
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
    /// Readable while one of the other two is.
    both: OwnedFd,
    reads: OwnedFd,
    writes: OwnedFd,
    /// Events so far, to repeat every seventh.
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
            // A one-shot registration that had its event lies idle in epoll, where kqueue has none any more.
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
            // A kqueue would have gone on to a full batch, so that a batch with room left is the end.
            count = EVENTS_MAX;
        }
        Ok(events[..count].write_copy_of_slice(&translated[..count]))
    }
}

/// The end of reading is the peer's FIN or a broken connection, the end of writing only the latter.
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
