//! What epoll, kqueue and a polling ring share: a table of sockets, the non-blocking calls on them, and the wait for events.

use core::net::SocketAddr;
use core::time::Duration;

#[cfg(feature = "std")]
use aurora_http_core::reactor::FileRange;
use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Peer, Ready, ReadyFn, Seen, Shutdown, Wake};
use aurora_http_core::time::Instant;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::Timespec;

#[cfg(feature = "std")]
use crate::announced::Announced;
use crate::error::{os_error, stream_error};
use crate::table::{Entry, Key, Role, Table};
use crate::waker::{TryClone, Waker};
use crate::{address, clock, make, outq, stream};

/// The system's event queue: sockets are registered with it, and a wait returns their events.
///
/// Its descriptor ([`AsFd`]) is readable while events are pending.
pub trait Selector: AsFd + Sized {
    /// What its wakers act on.
    type Waking: Wake + TryClone;

    /// Why one cannot be made.
    type Refusal;

    /// An empty event queue for at most so many sockets, close-on-exec, with a waker.
    ///
    /// # Errors
    /// Descriptors or memory are used up, or the system does not allow such a queue.
    fn new(sockets: usize) -> Result<Self, Self::Refusal>;

    /// The waker that ends a wait.
    fn waker(&self) -> &Waker<Self::Waking>;

    /// Registers a socket that is not registered, edge-triggered; its events carry `key`.
    ///
    /// # Errors
    /// ENOMEM or ENOSPC.
    fn register(&mut self, socket: BorrowedFd<'_>, role: Role, key: Key) -> Result<(), Errno>;

    /// Deregisters a socket that stays open, through this descriptor or a duplicate.
    fn deregister(&mut self, socket: BorrowedFd<'_>, key: Key);

    /// A registered stream is closed next, or any socket of a poller that is dropped. Where closing its last descriptor ends
    /// the registration there is nothing to do.
    #[inline]
    fn closing(&mut self, key: Key) {
        let _ = key;
    }

    /// After a short send: reports when a registered stream is writable, even if it already is. A system that registers
    /// streams for writing from the start has nothing to do.
    ///
    /// # Errors
    /// As for [`register`](Self::register).
    #[inline]
    fn report_writable(&mut self, socket: BorrowedFd<'_>, key: Key) -> Result<(), Errno> {
        let _ = (socket, key);
        Ok(())
    }

    /// Accepts a connection; `Ok(None)` when none is pending.
    ///
    /// # Errors
    /// As for [`accept`](crate::accept).
    fn accept(&mut self, listener: BorrowedFd<'_>) -> Result<Option<OwnedFd>, IoError> {
        stream::accept(listener)
    }

    /// Waits up to `timeout` (`None`: forever) for an event, then takes those that are pending and passes them to `each`,
    /// which returns the socket of a key, or `None` if that was closed. Returns what it has seen, in the sense of
    /// [`NonBlocking::wait`].
    ///
    /// # Errors
    /// EINTR, and any error that makes waiting impossible.
    fn wait<'t>(
        &mut self,
        timeout: Option<&Timespec>,
        each: impl FnMut(Key, Ready) -> Option<BorrowedFd<'t>>,
    ) -> Result<Seen, Errno>;

    /// Whether there may be more events than the last wait took, which the descriptor does not show.
    fn has_more(&self) -> bool;

    /// Passes to the system what calls have only queued, so that the descriptor shows all events from now on.
    #[inline]
    fn flush(&mut self) {}
}

/// Non-blocking sockets and a [`Selector`] over the caller's table; an [`IoHandle`] is an index into that table.
///
/// As long as sends are not short, a request costs no registration. Dropping the poller closes all its sockets. Its
/// descriptor ([`AsFd`]) is readable while events are pending, so it can be nested in another event loop: drive the reactor
/// with a zero timeout and [`flush`](aurora_http_core::reactor::Reactor::flush) it whenever that loop reports the descriptor,
/// and again at once while it [has work](aurora_http_core::reactor::Reactor::has_work).
#[derive(Debug)]
pub struct Poller<'s, S: Selector> {
    // First, so that sockets are closed before the event queue.
    table: Table<'s>,
    selector: S,
    /// Present if connections begin with a PROXY header.
    #[cfg(feature = "std")]
    announced: Option<Announced>,
}

impl<'s, S: Selector> Poller<'s, S> {
    /// A poller that holds as many sockets, listeners included, as `table` has entries (at most 16 777 215).
    /// Closes sockets that the table still holds.
    ///
    /// # Errors
    /// With epoll and kqueue, [`IoError::FileLimit`] when no descriptor is left, and [`IoError::NoBuffers`] when no memory is;
    /// with io_uring, the reason why that cannot be used here.
    pub fn new(table: &'s mut [Entry]) -> Result<Self, S::Refusal> {
        let table = Table::new(table);
        Ok(Self {
            selector: S::new(table.capacity())?,
            table,
            #[cfg(feature = "std")]
            announced: None,
        })
    }

    /// From now on, every connection that is accepted has to begin with a PROXY header, of version 1 or 2:
    /// [`peer`](NonBlocking::peer) is the client that it tells. A receive takes the header and returns what follows; it fails
    /// if there is none. Until then, the peer is the sender. Allocates 32 bytes for each handle.
    #[cfg(feature = "std")]
    pub fn expect_proxy_headers(&mut self) {
        self.announced = Some(Announced::new(self.table.capacity()));
    }

    /// Adds a listening socket, opened here or inherited, and makes it non-blocking.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when the table is full, or the error of registering it. The socket is closed then.
    pub fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&listener, true).map_err(os_error)?;
        // Accepted sockets inherit the option. If setting it fails, this is not a listener, and accept will report that.
        let _ = make::no_sigpipe(&listener);
        self.insert(listener, Role::Listener)
    }

    /// Adds a connected stream socket, makes it non-blocking, and disables SIGPIPE for it.
    ///
    /// # Errors
    /// As for [`add_listener`](Self::add_listener).
    pub fn add_stream(&mut self, stream: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&stream, true).map_err(os_error)?;
        make::no_sigpipe(&stream).map_err(stream_error)?;
        let io = self.insert(stream, Role::Stream)?;
        // The reactor may still remember the entry's previous socket as not writable: have it told.
        match self.report_writable(io) {
            Ok(()) => Ok(io),
            Err(error) => {
                self.close(io);
                Err(error)
            }
        }
    }

    /// Removes a socket and returns it, still open and non-blocking. `None` for an invalid handle.
    ///
    /// No operation may be in flight on it. The handle is invalid afterwards and may be assigned to another socket.
    pub fn detach(&mut self, io: IoHandle) -> Option<OwnedFd> {
        let (_, key) = self.table.get_with_key(io)?;
        let socket = self.table.remove(io)?;
        // The socket stays open, and so would its registrations.
        self.selector.deregister(socket.as_fd(), key);
        Some(socket)
    }

    /// The socket behind a handle, to read or set options.
    #[inline]
    #[must_use]
    pub fn descriptor(&self, io: IoHandle) -> Option<BorrowedFd<'_>> {
        self.table.get(io)
    }

    /// The local address of a socket.
    ///
    /// # Errors
    /// [`IoError::Unsupported`] for an invalid handle; [`IoError::Os`] when it is not an IP socket.
    pub fn local_addr(&self, io: IoHandle) -> Result<SocketAddr, IoError> {
        address::local_addr(self.descriptor(io).ok_or(IoError::Unsupported)?)
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// As for [`local_addr`](Self::local_addr), and [`IoError::ConnectionReset`] when it is not connected.
    pub fn peer_addr(&self, io: IoHandle) -> Result<SocketAddr, IoError> {
        address::peer_addr(self.descriptor(io).ok_or(IoError::Unsupported)?)
    }

    /// A waker, which ends a wait from any thread.
    ///
    /// # Errors
    /// As for [`Waker::try_clone`].
    pub fn waker(&self) -> Result<Waker<S::Waking>, IoError> {
        self.selector.waker().try_clone()
    }

    /// Puts a socket into a free entry and registers it; closes it if that fails.
    fn insert(&mut self, socket: OwnedFd, role: Role) -> Result<IoHandle, IoError> {
        let key = self.table.next_key().ok_or(IoError::FileLimit)?;
        self.selector.register(socket.as_fd(), role, key).map_err(os_error)?;
        self.table.insert(socket, role).ok_or(IoError::FileLimit)
    }

    fn report_writable(&mut self, io: IoHandle) -> Result<(), IoError> {
        let (socket, key) = self.table.get_with_key(io).ok_or(IoError::Unsupported)?;
        self.selector.report_writable(socket, key).map_err(os_error)
    }
}

/// The outcome of a send of `wanted` bytes. If the socket did not take all of them, the next report is to be that it does.
#[inline]
fn sent<S: Selector>(
    selector: &mut S,
    (socket, key): (BorrowedFd<'_>, Key),
    attempt: Attempt,
    wanted: usize,
) -> Attempt {
    let is_full = match attempt {
        Attempt::Done(count) => (count as usize) < wanted,
        Attempt::WouldBlock => true,
        Attempt::Failed(_) => false,
    };
    match is_full.then(|| selector.report_writable(socket, key)) {
        Some(Err(error)) => Attempt::Failed(os_error(error)),
        Some(Ok(())) | None => attempt,
    }
}

impl<S: Selector> Drop for Poller<'_, S> {
    fn drop(&mut self) {
        for index in 0..self.table.capacity() as u32 {
            if let Some((_, key)) = self.table.get_with_key(IoHandle(index)) {
                self.selector.closing(key);
            }
        }
    }
}

impl<S: Selector> AsFd for Poller<'_, S> {
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
            Ok(Some(Ok(io))) => {
                #[cfg(feature = "std")]
                if let Some(announced) = &mut self.announced {
                    announced.accepted(io);
                }
                Attempt::Done(io.0)
            }
            Ok(Some(Err(error))) | Err(error) => Attempt::Failed(error),
        }
    }

    #[inline]
    fn recv(&mut self, io: IoHandle, spare: &mut [u8]) -> Attempt {
        let Some(socket) = self.table.get(io) else { return Attempt::Failed(IoError::Unsupported) };
        #[cfg(feature = "std")]
        if let Some(announced) = &mut self.announced
            && let Err(instead) = announced.take_header(io, socket)
        {
            return instead;
        }
        stream::recv(socket, spare)
    }

    #[inline]
    fn send(&mut self, io: IoHandle, parts: [&[u8]; 2]) -> Attempt {
        let Some((socket, key)) = self.table.get_with_key(io) else { return Attempt::Failed(IoError::Unsupported) };
        let attempt = stream::send(socket, parts);
        sent(&mut self.selector, (socket, key), attempt, parts[0].len() + parts[1].len())
    }

    #[cfg(feature = "std")]
    fn send_file(&mut self, io: IoHandle, head: &[u8], range: FileRange) -> Attempt {
        let Some((socket, key)) = self.table.get_with_key(io) else { return Attempt::Failed(IoError::Unsupported) };
        let attempt = crate::sendfile::send(socket, head, range);
        sent(&mut self.selector, (socket, key), attempt, head.len() + range.len as usize)
    }

    #[cfg(feature = "std")]
    fn sends_files(&self) -> bool {
        crate::sendfile::IS_SUPPORTED
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        if let Some(socket) = self.descriptor(io) {
            stream::shutdown(socket, how);
        }
    }

    fn close(&mut self, io: IoHandle) {
        // Closing the last descriptor of a socket ends its registrations. But a listener may have duplicates in other
        // workers or processes, and its registration here would go on reporting their connections.
        if self.table.is_listener(io) {
            drop(self.detach(io));
        } else if let Some((_, key)) = self.table.get_with_key(io) {
            self.selector.closing(key);
            drop(self.table.remove(io));
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError> {
        let timeout = timeout.map(clock::round_up);
        let table = &self.table;
        let seen = self.selector.wait(timeout.as_ref(), |key, flags| {
            let (io, socket) = table.named(key)?;
            ready(io, flags);
            Some(socket)
        });
        match seen {
            Ok(seen) => Ok(seen),
            Err(Errno::INTR) => Ok(Seen::Part),
            Err(error) => Err(os_error(error)),
        }
    }

    fn has_more(&self) -> bool {
        self.selector.has_more()
    }

    fn flush(&mut self) {
        self.selector.flush();
    }

    #[inline]
    fn now(&self) -> Instant {
        clock::now()
    }

    fn unix_time(&self) -> Option<u64> {
        clock::unix_time()
    }

    fn peer(&self, io: IoHandle) -> Option<Peer> {
        #[cfg(feature = "std")]
        if let Some(client) = self.announced.as_ref().and_then(|announced| announced.client(io)) {
            return Some(Peer::Ip(client));
        }
        address::peer(self.descriptor(io)?)
    }

    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        outq::unacknowledged(self.descriptor(io)?)
    }
}
