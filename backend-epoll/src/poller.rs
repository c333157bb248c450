//! The table of sockets and the wait.

use core::mem::MaybeUninit;
use core::net::SocketAddr;
use core::time::Duration;

use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Peer, Ready, ReadyFn, Seen, Shutdown};
use aurora_http_core::readiness::Batches;
use aurora_http_core::time::Instant;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::outq;
use crate::socket::{self, os_error};
use crate::waker::Waker;

/// Events taken per wait; what is left comes with the next one. 3 KiB of stack.
const EVENTS_PER_WAIT: usize = 256;

/// In place of an index in an event's data: the waker's.
const WAKER_DATA: u64 = u64::MAX;

/// Bits of [`Entry::link`] that hold an index; the others hold the generation.
const INDEX_BITS: u32 = 24;
const NO_INDEX: u32 = (1 << INDEX_BITS) - 1;
/// In place of the index in an entry that is in use: it is a listener.
const LISTENER: u32 = 1;

/// One place for a socket in the caller's storage: 8 bytes with the feature `std`, else 12.
///
/// A generation tells late events of a closed socket from those of its successor. It has 8 bits: an event that survives
/// 256 successors only causes attempts in vain.
#[derive(Debug)]
pub struct Entry {
    socket: Option<OwnedFd>,
    /// Generation, and in a free entry the index of the next free one; in others whether it is a [`LISTENER`].
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
}

impl Default for Entry {
    fn default() -> Self {
        Self::new()
    }
}

/// Non-blocking sockets and an epoll instance over a caller's table; an [`IoHandle`] is an index into that table.
///
/// Every socket is registered once, edge-triggered, for everything; no request costs a registration. Dropping it closes
/// all its sockets. Its descriptor ([`AsFd`]) is readable while events are pending, so that it can stand inside another
/// event loop: drive the reactor with a zero timeout whenever that loop reports it.
#[derive(Debug)]
pub struct Epoll<'s> {
    epoll: OwnedFd,
    waker: Waker,
    table: &'s mut [Entry],
    /// First free entry, or [`NO_INDEX`].
    free: u32,
    batches: Batches,
}

impl<'s> Epoll<'s> {
    /// An epoll instance that holds as many sockets, listeners included, as `table` has entries (at most 16 777 215).
    /// Sockets that the table still holds are closed.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] or [`IoError::NoBuffers`] when the system has no descriptor or memory left.
    pub fn new(table: &'s mut [Entry]) -> Result<Self, IoError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(os_error)?;
        let waker = Waker::new().map_err(os_error)?;
        let data = EventData::new_u64(WAKER_DATA);
        epoll::add(&epoll, waker.descriptor(), data, EventFlags::IN | EventFlags::ET).map_err(os_error)?;
        let length = table.len().min(NO_INDEX as usize);
        let table = &mut table[..length];
        let last = length.saturating_sub(1);
        for (index, entry) in table.iter_mut().enumerate() {
            *entry = Entry { socket: None, link: if index == last { NO_INDEX } else { index as u32 + 1 } };
        }
        let free = if length == 0 { NO_INDEX } else { 0 };
        Ok(Self { epoll, waker, table, free, batches: Batches::new(EVENTS_PER_WAIT) })
    }

    /// Takes a listening socket in, inherited ones too; it is made non-blocking.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when the table is full, or what registering it said. The socket is closed then.
    pub fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&listener, true).map_err(os_error)?;
        let io = self.insert(listener, EventFlags::IN | EventFlags::ET)?;
        if let Some(entry) = self.table.get_mut(io.0 as usize) {
            entry.link |= LISTENER;
        }
        Ok(io)
    }

    /// Takes a connected stream socket in; it is made non-blocking.
    ///
    /// # Errors
    /// As for [`add_listener`](Self::add_listener).
    pub fn add_stream(&mut self, stream: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&stream, true).map_err(os_error)?;
        self.insert(stream, STREAM_EVENTS)
    }

    /// Gives a socket away, still open and non-blocking; its handle is free afterwards. `None` for an invalid handle.
    ///
    /// No operation may be in flight on it.
    pub fn detach(&mut self, io: IoHandle) -> Option<OwnedFd> {
        let socket = self.remove(io)?;
        // The registration would outlive this table's interest in the socket. Failure would mean that there is none.
        let _ = epoll::delete(&self.epoll, &socket);
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
        let address = rustix::net::getpeername(socket).map_err(os_error)?;
        socket::to_socket_addr(address.ok_or(IoError::Unsupported)?)
    }

    /// What ends a wait from another thread.
    ///
    /// # Errors
    /// As for [`Waker::try_clone`].
    pub fn waker(&self) -> Result<Waker, IoError> {
        self.waker.try_clone()
    }

    /// Puts a socket into a free entry and registers it; closes it when that fails.
    fn insert(&mut self, socket: OwnedFd, events: EventFlags) -> Result<IoHandle, IoError> {
        let index = self.free;
        let Some(entry) = self.table.get_mut(index as usize) else { return Err(IoError::FileLimit) };
        let data = u64::from(entry.generation()) << 32 | u64::from(index);
        epoll::add(&self.epoll, &socket, EventData::new_u64(data), events).map_err(os_error)?;
        entry.socket = Some(socket);
        self.free = entry.link & NO_INDEX;
        entry.link &= !NO_INDEX;
        Ok(IoHandle(index))
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

const STREAM_EVENTS: EventFlags = EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);

impl Drop for Epoll<'_> {
    fn drop(&mut self) {
        // The table is the caller's and would keep them open.
        for entry in &mut *self.table {
            entry.socket = None;
        }
    }
}

impl AsFd for Epoll<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl NonBlocking for Epoll<'_> {
    fn accept(&mut self, listener: IoHandle) -> Attempt {
        if self.free == NO_INDEX {
            return Attempt::Failed(IoError::FileLimit);
        }
        let Some(listener) = self.descriptor(listener) else { return Attempt::Failed(IoError::Unsupported) };
        match socket::accept(listener) {
            Ok(None) => Attempt::WouldBlock,
            Ok(Some(stream)) => match self.insert(stream, STREAM_EVENTS) {
                Ok(IoHandle(index)) => Attempt::Done(index),
                Err(error) => Attempt::Failed(error),
            },
            Err(error) => Attempt::Failed(error),
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
        match self.descriptor(io) {
            Some(socket) => socket::send(socket, parts),
            None => Attempt::Failed(IoError::Unsupported),
        }
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        let how = match how {
            Shutdown::Both => rustix::net::Shutdown::Both,
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
        };
        if let Some(socket) = self.descriptor(io) {
            // It fails when the connection is gone, and then there is nothing left to end.
            let _ = rustix::net::shutdown(socket, how);
        }
    }

    fn close(&mut self, io: IoHandle) {
        // Closing the last descriptor of a socket ends its registration too. A listener may have others, in other
        // workers or processes, and every connection that comes to them would wake this one.
        if self.table.get(io.0 as usize).is_some_and(|entry| entry.socket.is_some() && entry.link & LISTENER != 0) {
            drop(self.detach(io));
        } else {
            drop(self.remove(io));
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError> {
        let timeout = timeout.map(round_up);
        let mut events = [MaybeUninit::uninit(); EVENTS_PER_WAIT];
        let events = match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(Seen::Part),
            Err(error) => return Err(os_error(error)),
        };
        // Of every socket, and the waker's.
        let seen = self.batches.taken(events.len(), self.table.len() + 1);
        for event in events {
            let data = event.data.u64();
            let index = data as u32;
            let Some(entry) = self.table.get(index as usize) else { continue };
            if entry.socket.is_some() && u64::from(entry.generation()) == data >> 32 {
                ready(IoHandle(index), ready_of(event.flags));
            }
        }
        Ok(seen)
    }

    fn has_more(&self) -> bool {
        self.batches.was_full()
    }

    #[inline]
    fn now(&self) -> Instant {
        let time = clock_gettime(ClockId::Monotonic);
        Instant(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000)
    }

    fn unix_time(&self) -> Option<u64> {
        // Whole seconds: the clock of the last tick will do, and is cheaper.
        u64::try_from(clock_gettime(ClockId::RealtimeCoarse).tv_sec).ok()
    }

    fn peer(&self, io: IoHandle) -> Option<Peer> {
        socket::peer(self.descriptor(io)?)
    }

    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        outq::unacknowledged(self.descriptor(io)?)
    }
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

/// The next whole millisecond, epoll's unit: rounding down would return before a deadline and spin up to it. What is
/// longer than 24 days becomes 24 days.
fn round_up(timeout: Duration) -> Timespec {
    let part = u64::from(timeout.subsec_nanos().div_ceil(1_000_000));
    let timeout_ms = timeout.as_secs().saturating_mul(1000).saturating_add(part).min(i32::MAX as u64);
    Timespec { tv_sec: (timeout_ms / 1000) as i64, tv_nsec: (timeout_ms % 1000 * 1_000_000) as _ }
}

#[cfg(test)]
mod tests {
    use super::*;

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
