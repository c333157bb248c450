//! The table of sockets and the wait.

use core::mem::MaybeUninit;
use core::net::SocketAddr;
use core::time::Duration;

use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Peer, Ready, ReadyFn, Seen, Shutdown};
use aurora_http_core::readiness::Batches;
use aurora_http_core::time::Instant;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::socket::{self, os_error};
use crate::sys::{self, Event, EventFilter, EventFlags};
use crate::waker::Waker;

/// Events taken per wait; what is left comes with the next one. 4 KiB of stack on macOS,
/// 8 KiB on FreeBSD.
const EVENTS_PER_WAIT: usize = 128;

/// Bits of [`Entry::link`], and of an event's data, that hold an index; the others hold the generation.
const INDEX_BITS: u32 = 24;
const NO_INDEX: u32 = (1 << INDEX_BITS) - 1;

/// One place for a socket in the caller's storage: 8 bytes with the feature `std`, else 12.
///
/// A generation tells late events of a closed socket from those of its successor. It has 8 bits, so that it travels
/// with the index where pointers have 32: an event that survives 256 successors only causes attempts in vain.
#[derive(Debug)]
pub struct Entry {
    socket: Option<OwnedFd>,
    /// Generation, and in a free entry the index of the next free one.
    link: u32,
}

#[cfg(feature = "std")]
const _: () = assert!(size_of::<Entry>() == 8);

impl Entry {
    /// A free entry.
    #[must_use]
    pub const fn new() -> Self {
        Self { socket: None, link: NO_INDEX }
    }

    fn generation(&self) -> u32 {
        self.link >> INDEX_BITS
    }

    /// What the events of a socket in this entry carry.
    fn data(&self, index: u32) -> usize {
        (self.generation() << INDEX_BITS | index) as usize
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self::new()
    }
}

/// Non-blocking sockets and a kqueue over a caller's table; an [`IoHandle`] is an index into that table.
///
/// Every socket is registered once for reading, edge-triggered (`EV_CLEAR`); no request costs a registration. For writing
/// it is registered when a send did not go through, and for one event (`EV_ONESHOT`): the filter of a socket with room
/// would report every segment that the peer acknowledges.
/// Dropping it closes all its sockets. Its descriptor ([`AsFd`]) is readable while events are pending, so that it can
/// stand inside another event loop: drive the reactor with a zero timeout whenever that loop reports it.
#[derive(Debug)]
pub struct Kqueue<'s> {
    /// Holds the queue: a wake is an event of the queue's own.
    waker: Waker,
    table: &'s mut [Entry],
    /// First free entry, or [`NO_INDEX`].
    free: u32,
    /// The last accept found no descriptor.
    short: bool,
    batches: Batches,
}

impl<'s> Kqueue<'s> {
    /// A kqueue that holds as many sockets, listeners included, as `table` has entries (at most 16 777 215).
    /// Sockets that the table still holds are closed.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] or [`IoError::NoBuffers`] when the system has no descriptor or memory left.
    pub fn new(table: &'s mut [Entry]) -> Result<Self, IoError> {
        let waker = Waker::new().map_err(os_error)?;
        let length = table.len().min(NO_INDEX as usize);
        let table = &mut table[..length];
        let last = length.saturating_sub(1);
        for (index, entry) in table.iter_mut().enumerate() {
            *entry = Entry { socket: None, link: if index == last { NO_INDEX } else { index as u32 + 1 } };
        }
        let free = if length == 0 { NO_INDEX } else { 0 };
        Ok(Self { waker, table, free, short: false, batches: Batches::new(EVENTS_PER_WAIT) })
    }

    /// Takes a listening socket in, inherited ones too; it is made non-blocking.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when the table is full, or what registering it said. The socket is closed then.
    pub fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&listener, true).map_err(os_error)?;
        // What it accepts inherits it. It is no listener where this fails, and accepting will say so.
        let _ = socket::no_sigpipe(&listener);
        self.insert(listener)
    }

    /// Takes a connected stream socket in; it is made non-blocking, and writing to it raises no SIGPIPE.
    ///
    /// # Errors
    /// As for [`add_listener`](Self::add_listener).
    pub fn add_stream(&mut self, stream: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&stream, true).map_err(os_error)?;
        socket::no_sigpipe(&stream).map_err(socket::stream_error)?;
        let io = self.insert(stream)?;
        // Nobody knows yet that it takes bytes: the index may have been another socket's.
        match self.report_writable(io) {
            Ok(()) => Ok(io),
            Err(error) => {
                self.close(io);
                Err(error)
            }
        }
    }

    /// Gives a socket away, still open and non-blocking; its handle is free afterwards. `None` for an invalid handle.
    ///
    /// No operation may be in flight on it.
    pub fn detach(&mut self, io: IoHandle) -> Option<OwnedFd> {
        let socket = self.remove(io)?;
        // The registrations would outlive this table's interest in the socket. Where no send waits there is none for
        // writing, and failure says so.
        for filter in [EventFilter::Read as Filter, EventFilter::Write] {
            let _ = self.waker.queue().change(socket.as_fd(), filter, EventFlags::DELETE, 0);
        }
        Some(socket)
    }

    /// The socket behind a handle, to read or set options.
    #[must_use]
    pub fn descriptor(&self, io: IoHandle) -> Option<BorrowedFd<'_>> {
        Some(self.table.get(io.0 as usize)?.socket.as_ref()?.as_fd())
    }

    /// The address that a socket is bound to.
    ///
    /// # Errors
    /// [`IoError::Unsupported`] for an invalid handle; [`IoError::Os`] when the socket is no IP socket.
    pub fn local_addr(&self, io: IoHandle) -> Result<SocketAddr, IoError> {
        let socket = self.descriptor(io).ok_or(IoError::Unsupported)?;
        socket::to_socket_addr(rustix::net::getsockname(socket).map_err(os_error)?)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// As for [`local_addr`](Self::local_addr), and [`IoError::ConnectionReset`] when it is not connected.
    pub fn peer_addr(&self, io: IoHandle) -> Result<SocketAddr, IoError> {
        let socket = self.descriptor(io).ok_or(IoError::Unsupported)?;
        let address = rustix::net::getpeername(socket).map_err(socket::stream_error)?;
        socket::to_socket_addr(address.ok_or(IoError::Unsupported)?)
    }

    /// What ends a wait from another thread.
    ///
    /// # Errors
    /// As for [`Waker::try_clone`].
    pub fn waker(&self) -> Result<Waker, IoError> {
        self.waker.try_clone()
    }

    /// Puts a socket into a free entry and registers it for reading; closes it when that fails.
    fn insert(&mut self, socket: OwnedFd) -> Result<IoHandle, IoError> {
        let index = self.free;
        let Some(entry) = self.table.get_mut(index as usize) else { return Err(IoError::FileLimit) };
        let flags = EventFlags::ADD | EventFlags::CLEAR;
        self.waker.queue().change(socket.as_fd(), EventFilter::Read, flags, entry.data(index)).map_err(os_error)?;
        entry.socket = Some(socket);
        self.free = entry.link & NO_INDEX;
        Ok(IoHandle(index))
    }

    /// Has it reported when a socket takes bytes again. Nothing is lost when it does so meanwhile: the kernel looks when
    /// it registers.
    #[cold]
    fn report_writable(&self, io: IoHandle) -> Result<(), IoError> {
        let entry = self.table.get(io.0 as usize).ok_or(IoError::Unsupported)?;
        let socket = entry.socket.as_ref().ok_or(IoError::Unsupported)?;
        let flags = EventFlags::ADD | EventFlags::ONESHOT;
        self.waker.queue().change(socket.as_fd(), EventFilter::Write, flags, entry.data(io.0)).map_err(os_error)
    }

    /// Frees an entry; its generation moves on.
    fn remove(&mut self, io: IoHandle) -> Option<OwnedFd> {
        let entry = self.table.get_mut(io.0 as usize)?;
        let socket = entry.socket.take()?;
        entry.link = entry.generation().wrapping_add(1) << INDEX_BITS | self.free;
        self.free = io.0;
        Some(socket)
    }
}

/// Makes a filter of a descriptor.
type Filter = fn(RawFd) -> EventFilter;

impl Drop for Kqueue<'_> {
    fn drop(&mut self) {
        // The table is the caller's and would keep them open.
        for entry in &mut *self.table {
            entry.socket = None;
        }
    }
}

impl AsFd for Kqueue<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.queue().as_fd()
    }
}

impl NonBlocking for Kqueue<'_> {
    fn accept(&mut self, listener: IoHandle) -> Attempt {
        if self.free == NO_INDEX {
            return Attempt::Failed(IoError::FileLimit);
        }
        let Some(socket) = self.descriptor(listener) else { return Attempt::Failed(IoError::Unsupported) };
        // macOS takes a connection first, and drops it when it then finds no descriptor: one is lost that way, not one
        // with every try.
        if self.short && rustix::io::fcntl_dupfd_cloexec(socket, 0).is_err() {
            return Attempt::Failed(IoError::FileLimit);
        }
        let accepted = socket::accept(socket);
        self.short = accepted.as_ref().is_err_and(|error| *error == IoError::FileLimit);
        match accepted.map(|stream| stream.map(|stream| self.insert(stream))) {
            Ok(None) => Attempt::WouldBlock,
            Ok(Some(Ok(IoHandle(index)))) => Attempt::Done(index),
            Ok(Some(Err(error))) | Err(error) => Attempt::Failed(error),
        }
    }

    #[inline]
    fn recv(&mut self, io: IoHandle, spare: &mut [u8]) -> Attempt {
        match self.descriptor(io) {
            Some(socket) => socket::recv(socket, spare),
            None => Attempt::Failed(IoError::Unsupported),
        }
    }

    #[inline]
    fn send(&mut self, io: IoHandle, parts: [&[u8]; 2]) -> Attempt {
        let Some(socket) = self.descriptor(io) else { return Attempt::Failed(IoError::Unsupported) };
        let attempt = socket::send(socket, parts);
        let full = match attempt {
            Attempt::Done(count) => (count as usize) < parts[0].len() + parts[1].len(),
            Attempt::WouldBlock => true,
            Attempt::Failed(_) => false,
        };
        match full.then(|| self.report_writable(io)) {
            Some(Err(error)) => Attempt::Failed(error),
            Some(Ok(())) | None => attempt,
        }
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        use rustix::net::{Shutdown as Side, shutdown};
        let Some(socket) = self.descriptor(io) else { return };
        // One side at a time: macOS ends neither when reading has ended already, by the peer's FIN for one. Each fails
        // when there is nothing left to end.
        if how != Shutdown::Write {
            let _ = shutdown(socket, Side::Read);
        }
        if how != Shutdown::Read {
            let _ = shutdown(socket, Side::Write);
        }
    }

    fn close(&mut self, io: IoHandle) {
        // Closing a descriptor ends its registrations too.
        drop(self.remove(io));
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError> {
        let timeout = timeout.map(round_up);
        let mut events = [const { MaybeUninit::uninit() }; EVENTS_PER_WAIT];
        let events = match self.waker.queue().wait(&mut events, timeout.as_ref()) {
            Ok(events) => events,
            Err(Errno::INTR) => return Ok(Seen::Part),
            Err(error) => return Err(os_error(error)),
        };
        // Of every socket, for reading and for writing, and the waker's.
        let seen = self.batches.taken(events.len(), 2 * self.table.len() + 1);
        for event in events {
            // Not a socket's, here or by an index beyond the table: the wake, which has done its work by ending the wait.
            let Some(flags) = ready_of(event) else { continue };
            let data = event.udata().addr();
            let index = data as u32 & NO_INDEX;
            let Some(entry) = self.table.get(index as usize) else { continue };
            if entry.socket.is_some() && entry.data(index) == data {
                ready(IoHandle(index), flags);
            }
        }
        Ok(seen)
    }

    fn has_more(&self) -> bool {
        self.batches.was_full()
    }

    /// Milliseconds of the monotonic clock. On macOS it goes on while the machine sleeps and a wait does not, so that a
    /// deadline which passes in that time is noticed at the next event after it.
    #[inline]
    fn now(&self) -> Instant {
        let time = clock_gettime(ClockId::Monotonic);
        Instant(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000)
    }

    fn unix_time(&self) -> Option<u64> {
        u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).ok()
    }

    fn peer(&self, io: IoHandle) -> Option<Peer> {
        socket::peer(self.descriptor(io)?)
    }

    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        sys::unacknowledged(self.descriptor(io)?)
    }
}

/// What an event says; `None` for one that is no socket's.
///
/// `EV_EOF` on the read filter: the peer has sent its FIN or the connection is broken. Bytes before it may still be
/// there, so that only a receive of 0 is the end. `EV_EOF` on the write filter: sends fail from now on, after our own
/// shutdown too; that is for the next send to say, and tells nothing of what can still be received.
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

/// The next whole millisecond, the clock's unit: returning before a deadline would make the loop spin up to it. What is
/// longer than 24 days becomes 24 days; macOS refuses more than 100 000 000 seconds.
fn round_up(timeout: Duration) -> Timespec {
    let part = u64::from(timeout.subsec_nanos().div_ceil(1_000_000));
    let timeout_ms = timeout.as_secs().saturating_mul(1000).saturating_add(part).min(i32::MAX as u64);
    Timespec { tv_sec: (timeout_ms / 1000) as i64, tv_nsec: (timeout_ms % 1000 * 1_000_000) as _ }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_one_direction_says_nothing_of_the_other() {
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

    #[test]
    fn timeouts_are_rounded_up_to_milliseconds() {
        let max = Duration::from_millis(i32::MAX as u64);
        for (timeout, expected_ms) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(1), 1),
            (Duration::from_nanos(1_000_001), 2),
            (Duration::from_nanos(999_999_999), 1000),
            (Duration::from_secs(3), 3000),
            (max, i32::MAX as u64),
            (Duration::MAX, i32::MAX as u64),
        ] {
            let rounded = round_up(timeout);
            let rounded_ms = rounded.tv_sec as u64 * 1000 + rounded.tv_nsec as u64 / 1_000_000;
            assert_eq!((rounded_ms, rounded.tv_nsec % 1_000_000), (expected_ms, 0), "{timeout:?}");
        }
    }
}
