//! Non-blocking calls on a table of sockets, and the wait: what epoll and kqueue have in common.

use core::net::SocketAddr;
use core::time::Duration;

use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Peer, Ready, ReadyFn, Seen, Shutdown, Wake};
use aurora_http_core::readiness::Batches;
use aurora_http_core::time::Instant;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::Timespec;

use crate::error::{os_error, stream_error};
use crate::table::{Entry, Key, Role, Table};
use crate::waker::{TryClone, Waker};
use crate::{address, clock, make, outq, stream};

/// What a system supplies: a list of events, to which sockets are registered and which can be waited for.
///
/// Its descriptor ([`AsFd`]) is readable while events are pending.
pub trait Selector: AsFd + Sized {
    /// What its wakers go through.
    type Waking: Wake + TryClone;

    /// Events that one [`wait`](Self::wait) takes at most; what is left comes with the next one.
    const EVENTS_PER_WAIT: usize;

    /// How many registrations one socket has at most: each is in the list of events once.
    const REGISTRATIONS_PER_SOCKET: usize;

    /// An empty list, closed on exec, with a waker.
    ///
    /// # Errors
    /// The system's: EMFILE, ENFILE, ENOMEM.
    fn new() -> Result<Self, Errno>;

    /// What ends a wait.
    fn waker(&self) -> &Waker<Self::Waking>;

    /// Registers a socket that was not registered, edge-triggered; its events carry `key`.
    ///
    /// # Errors
    /// The system's: ENOMEM, ENOSPC.
    fn register(&self, socket: BorrowedFd<'_>, role: Role, key: Key) -> Result<(), Errno>;

    /// Takes a socket out that stays open, or whose other descriptors do.
    fn deregister(&self, socket: BorrowedFd<'_>);

    /// Has it reported when a registered stream takes bytes, now or later, for a send that fell short. A system that
    /// registers streams for that from the start has nothing to do.
    ///
    /// # Errors
    /// As for [`register`](Self::register).
    #[inline]
    fn report_writable(&self, socket: BorrowedFd<'_>, key: Key) -> Result<(), Errno> {
        let _ = (socket, key);
        Ok(())
    }

    /// Takes a connection; `Ok(None)` when there is none.
    ///
    /// # Errors
    /// As for [`accept`](crate::accept).
    fn accept(&mut self, listener: BorrowedFd<'_>) -> Result<Option<OwnedFd>, IoError> {
        stream::accept(listener)
    }

    /// Takes the events that are there and tells `each` what they mean; waits for the first up to `timeout` (`None`: for
    /// ever). Returns how many it has taken, those of the waker included.
    ///
    /// # Errors
    /// EINTR, and what makes waiting impossible.
    fn wait(&mut self, timeout: Option<&Timespec>, each: impl FnMut(Key, Ready)) -> Result<usize, Errno>;
}

/// Non-blocking sockets and a [`Selector`] over a caller's table; an [`IoHandle`] is an index into that table.
///
/// No request costs a registration while sends go through. Dropping it closes all its sockets. Its descriptor ([`AsFd`])
/// is readable while events are pending, so that it can stand inside another event loop: drive the reactor with a zero
/// timeout whenever that loop reports it.
#[derive(Debug)]
pub struct Poller<'s, S> {
    // First, so that sockets are closed while the list of events is still there.
    table: Table<'s>,
    selector: S,
    batches: Batches,
}

impl<'s, S: Selector> Poller<'s, S> {
    /// A poller that holds as many sockets, listeners included, as `table` has entries (at most 16 777 215).
    /// Sockets that the table still holds are closed.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] or [`IoError::NoBuffers`] when the system has no descriptor or memory left.
    pub fn new(table: &'s mut [Entry]) -> Result<Self, IoError> {
        let selector = S::new().map_err(os_error)?;
        Ok(Self { table: Table::new(table), selector, batches: Batches::new(S::EVENTS_PER_WAIT) })
    }

    /// Takes a listening socket in, inherited ones too; it is made non-blocking.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when the table is full, or what registering it said. The socket is closed then.
    pub fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&listener, true).map_err(os_error)?;
        // What it accepts inherits it. It is no listener where this fails, and accepting will say so.
        let _ = make::no_sigpipe(&listener);
        self.insert(listener, Role::Listener)
    }

    /// Takes a connected stream socket in; it is made non-blocking, and writing to it raises no SIGPIPE.
    ///
    /// # Errors
    /// As for [`add_listener`](Self::add_listener).
    pub fn add_stream(&mut self, stream: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&stream, true).map_err(os_error)?;
        make::no_sigpipe(&stream).map_err(stream_error)?;
        let io = self.insert(stream, Role::Stream)?;
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
        let socket = self.table.remove(io)?;
        // Its registrations would outlive this table's interest in it.
        self.selector.deregister(socket.as_fd());
        Some(socket)
    }

    /// The socket behind a handle, to read or set options.
    #[inline]
    #[must_use]
    pub fn descriptor(&self, io: IoHandle) -> Option<BorrowedFd<'_>> {
        self.table.get(io)
    }

    /// The address that a socket is bound to.
    ///
    /// # Errors
    /// [`IoError::Unsupported`] for an invalid handle; [`IoError::Os`] when the socket is no IP socket.
    pub fn local_addr(&self, io: IoHandle) -> Result<SocketAddr, IoError> {
        address::local_addr(self.descriptor(io).ok_or(IoError::Unsupported)?)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// As for [`local_addr`](Self::local_addr), and [`IoError::ConnectionReset`] when it is not connected.
    pub fn peer_addr(&self, io: IoHandle) -> Result<SocketAddr, IoError> {
        address::peer_addr(self.descriptor(io).ok_or(IoError::Unsupported)?)
    }

    /// What ends a wait from another thread.
    ///
    /// # Errors
    /// As for [`Waker::try_clone`].
    pub fn waker(&self) -> Result<Waker<S::Waking>, IoError> {
        self.selector.waker().try_clone()
    }

    /// Puts a socket into a free entry and registers it; closes it when that fails.
    fn insert(&mut self, socket: OwnedFd, role: Role) -> Result<IoHandle, IoError> {
        let key = self.table.next_key().ok_or(IoError::FileLimit)?;
        self.selector.register(socket.as_fd(), role, key).map_err(os_error)?;
        self.table.insert(socket, role).ok_or(IoError::FileLimit)
    }

    fn report_writable(&self, io: IoHandle) -> Result<(), IoError> {
        let (socket, key) = self.table.get_with_key(io).ok_or(IoError::Unsupported)?;
        self.selector.report_writable(socket, key).map_err(os_error)
    }
}

impl<S: AsFd> AsFd for Poller<'_, S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.selector.as_fd()
    }
}

impl<S: Selector> NonBlocking for Poller<'_, S> {
    fn accept(&mut self, listener: IoHandle) -> Attempt {
        if self.table.next_key().is_none() {
            return Attempt::Failed(IoError::FileLimit);
        }
        let Some(listener) = self.table.get(listener) else { return Attempt::Failed(IoError::Unsupported) };
        let accepted = self.selector.accept(listener);
        match accepted.map(|stream| stream.map(|stream| self.insert(stream, Role::Stream))) {
            Ok(None) => Attempt::WouldBlock,
            Ok(Some(Ok(IoHandle(index)))) => Attempt::Done(index),
            Ok(Some(Err(error))) | Err(error) => Attempt::Failed(error),
        }
    }

    #[inline]
    fn recv(&mut self, io: IoHandle, spare: &mut [u8]) -> Attempt {
        match self.table.get(io) {
            Some(socket) => stream::recv(socket, spare),
            None => Attempt::Failed(IoError::Unsupported),
        }
    }

    #[inline]
    fn send(&mut self, io: IoHandle, parts: [&[u8]; 2]) -> Attempt {
        let Some((socket, key)) = self.table.get_with_key(io) else { return Attempt::Failed(IoError::Unsupported) };
        let attempt = stream::send(socket, parts);
        let short = match attempt {
            Attempt::Done(count) => (count as usize) < parts[0].len() + parts[1].len(),
            Attempt::WouldBlock => true,
            Attempt::Failed(_) => false,
        };
        match short.then(|| self.selector.report_writable(socket, key)) {
            Some(Err(error)) => Attempt::Failed(os_error(error)),
            Some(Ok(())) | None => attempt,
        }
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        if let Some(socket) = self.descriptor(io) {
            stream::shutdown(socket, how);
        }
    }

    fn close(&mut self, io: IoHandle) {
        // Closing the last descriptor of a socket ends its registrations too. A listener may have others, in other workers
        // or processes, and every connection that comes to them would wake this one.
        if self.table.is_listener(io) {
            drop(self.detach(io));
        } else {
            drop(self.table.remove(io));
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError> {
        let timeout = timeout.map(clock::round_up);
        let table = &self.table;
        let taken = self.selector.wait(timeout.as_ref(), |key, flags| {
            if let Some(io) = table.named(key) {
                ready(io, flags);
            }
        });
        match taken {
            // Of every socket, and the waker's.
            Ok(taken) => Ok(self.batches.taken(taken, S::REGISTRATIONS_PER_SOCKET * table.capacity() + 1)),
            Err(Errno::INTR) => Ok(Seen::Part),
            Err(error) => Err(os_error(error)),
        }
    }

    fn has_more(&self) -> bool {
        self.batches.was_full()
    }

    #[inline]
    fn now(&self) -> Instant {
        clock::now()
    }

    fn unix_time(&self) -> Option<u64> {
        clock::unix_time()
    }

    fn peer(&self, io: IoHandle) -> Option<Peer> {
        address::peer(self.descriptor(io)?)
    }

    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        outq::unacknowledged(self.descriptor(io)?)
    }
}
