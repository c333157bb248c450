//! One thread's share of a server: storage, engine and reactor.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use aurora_http_core::counters::Counters;
use aurora_http_core::engine::{Detached, Engine};
use aurora_http_core::handler::Handler;
use aurora_http_core::reactor::IoError;
use aurora_http_core::run::run;
use aurora_http_core::stop::StopFlag;

use super::address::{ListenAddr, first_ip};
use super::any::AnyReactor;
use super::error::ServerError;
use super::listen;
use super::sockets::{Open, SocketReactor};
use super::storage::WorkerStorage;
use super::tally::SharedCounters;
use super::unix::SocketFile;

/// Takes connections that a handler gave away: the socket, what had arrived behind the request, and the handler's state.
pub(super) type OnDetached<'t, E> = dyn Fn(OwnedFd, &[u8], E) + 't;

/// Serves on the thread that calls it: the one thing that every thread of a [`Server`](super::Server) has.
///
/// ```no_run
/// use aurora_http::{Server, StopFlag, Worker, handler_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut storage = Server::bind("127.0.0.1:8080")?.connections(64).storage()?;
/// let mut worker = Worker::new(&mut storage, handler_fn(|_request, response| response.body("Hello!\n")))?;
/// println!("listening on {}", worker.local_addr());
/// worker.run(&StopFlag::new())?;
/// # Ok(())
/// # }
/// ```
///
/// # In an event loop of the program's own
/// Call [`poll`](Self::poll) when the worker's descriptor (`AsFd`) is readable, and at the latest after
/// [`timeout`](Self::timeout), to be asked again after every `poll`: it is zero while the worker holds work that no
/// descriptor shows, as what had its share of a turn.
///
/// | backend | the descriptor | level-triggered: poll, select, epoll | edge-triggered: mio, tokio's `AsyncFd`, `EPOLLET` |
/// |---|---|---|---|
/// | epoll | the epoll instance | sound | sound |
/// | kqueue | the kqueue | sound | sound (`EV_CLEAR`) |
/// | io_uring | one made for this when it is first asked for | sound | sound |
///
/// Not sound is to wait without the timeout, to forget an edge that came after the last `poll` began, or to watch anything
/// else than this descriptor: that of the ring, for one, does not become readable. With tokio: wait for `readable` or for the
/// timeout, clear the readiness that was seen, then `poll`. The folder `embedding/` of the repository has such programs, for
/// mio, tokio, smol's async-io, calloop and C.
// On cache lines of its own, wherever a program puts several of them.
#[repr(align(64))]
pub struct Worker<'s, H: Handler, R = AnyReactor<'s>> {
    engine: Engine<'s, 'static, H>,
    reactor: R,
    counters: Arc<SharedCounters>,
    addresses: Vec<ListenAddr>,
    /// Removed at the end.
    _files: Vec<SocketFile>,
}

impl<H: Handler, R: SocketReactor> Worker<'_, H, R> {
    /// Serves until `stop` says otherwise and everything is closed.
    ///
    /// Take [`StopHandle::flag`](super::StopHandle::flag) of a [`Server::stop_handle`](super::Server::stop_handle), which
    /// other threads and the handler can stop it by; or a flag of your own, which the handler may set, or another thread that
    /// then [wakes](Self::waker) the worker.
    ///
    /// # Errors
    /// What made the reactor unusable.
    pub fn run(&mut self, stop: &StopFlag) -> Result<(), IoError> {
        self.run_with(stop, None)
    }

    /// Has detached connections taken, or closes them.
    pub(super) fn run_with(
        &mut self,
        stop: &StopFlag,
        on_detached: Option<&OnDetached<'_, H::Exchange>>,
    ) -> Result<(), IoError> {
        while !self.engine.is_drained() {
            let result = self.turn(stop);
            if self.engine.has_detached() {
                match on_detached {
                    Some(take) => self.take_detached(take),
                    None => self.engine.close_detached(self.reactor.now()),
                }
            }
            result?;
        }
        // Nothing is left to do but to take the lent buffers back.
        run(&mut self.engine, &mut self.reactor, stop)
    }

    /// One pass of the loop. Waits until something happens.
    ///
    /// # Errors
    /// What made the reactor unusable.
    pub fn turn(&mut self, stop: &StopFlag) -> Result<(), IoError> {
        self.turn_within(stop, None)
    }

    /// One pass of the loop that does not wait, and hands on what it asked for; `true` when a stop has run its course.
    ///
    /// # Errors
    /// What made the reactor unusable.
    pub fn poll(&mut self, stop: &StopFlag) -> Result<bool, IoError> {
        self.turn_within(stop, Some(Duration::ZERO))?;
        Ok(self.engine.is_drained())
    }

    fn turn_within(&mut self, stop: &StopFlag, wait_max: Option<Duration>) -> Result<(), IoError> {
        let result = self.reactor.turn(&mut self.engine, stop, wait_max);
        self.publish();
        result
    }

    /// Lets others see the counters.
    fn publish(&self) {
        self.counters.publish(self.engine.counters());
    }

    /// How long nothing has to be done unless the descriptor is readable; `None`: for ever. Zero while the worker holds
    /// work that no descriptor shows.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        if self.reactor.has_work() {
            return Some(Duration::ZERO);
        }
        self.engine.poll_timeout().map(|at| self.reactor.now().until(at))
    }

    /// The first address and port it listens on, the real one where 0 was asked for; all zeros when there are Unix-domain
    /// sockets alone.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        first_ip(&self.addresses)
    }

    /// Where it listens.
    #[must_use]
    pub fn listeners(&self) -> &[ListenAddr] {
        &self.addresses
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        self.engine.counters()
    }

    /// The engine: its pool, its handler.
    #[must_use]
    pub const fn engine(&self) -> &Engine<'_, 'static, H> {
        &self.engine
    }

    /// The handler.
    pub const fn handler_mut(&mut self) -> &mut H {
        self.engine.handler_mut()
    }

    /// The reactor: its sockets.
    #[must_use]
    pub const fn reactor(&self) -> &R {
        &self.reactor
    }
}

impl<H: Handler, R> fmt::Debug for Worker<'_, H, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("addresses", &self.addresses)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl<H: Handler, R: SocketReactor> Worker<'_, H, R> {
    /// What ends the worker's wait from another thread.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when no descriptor is left.
    pub fn waker(&self) -> Result<R::Waker, IoError> {
        self.reactor.waker()
    }

    /// Takes the connections that the handler gave away by [`Flow::Detach`](crate::Flow::Detach): the open,
    /// non-blocking socket, what had arrived behind the request, and the handler's state. Call it after every turn;
    /// [`run`](Self::run) closes such connections, and a [`Server`](crate::Server) does unless it has
    /// [`on_detached`](crate::Server::on_detached).
    pub fn take_detached(&mut self, mut take: impl FnMut(OwnedFd, &[u8], H::Exchange)) {
        while let Some(Detached { io, leftover, state }) = self.engine.next_detached() {
            if let Some(socket) = self.reactor.detach(io) {
                take(socket, leftover.as_ref().map_or(&[], |buf| buf.filled()), state);
            }
            if let Some(buf) = leftover {
                self.engine.release(buf);
            }
        }
        self.publish();
    }
}

impl<H: Handler, R: SocketReactor> AsFd for Worker<'_, H, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reactor.descriptor()
    }
}

impl<'s, H: Handler> Worker<'s, H> {
    /// A worker with listeners of its own, as the storage is configured for, on the backend that the configuration names.
    ///
    /// With [`Backend::Auto`](crate::Backend::Auto) it is the one that [`Server::storage`](crate::Server::storage) has found
    /// ([`WorkerStorage::backend`]), or the next one if that refuses to work now: [`AnyReactor::backend`] tells.
    ///
    /// # Errors
    /// What [`Server::start`](crate::Server::start) says about listeners, [`ServerError::Reactor`], or
    /// [`ServerError::Backend`] with the reason why the backend cannot be used.
    pub fn new(storage: &'s mut WorkerStorage<H::Exchange>, handler: H) -> Result<Self, ServerError> {
        open(storage, handler)
    }

    /// As [`new`](Self::new), with listeners that the program opened, as many as the storage is configured for: `[socket]`
    /// for one. On io_uring they are made non-blocking. Accepted connections inherit a socket's `TCP_NODELAY`.
    ///
    /// # Errors
    /// [`ServerError::Reactor`], with [`IoError::FileLimit`] when there are too many, or [`ServerError::Backend`] with the
    /// reason why the backend cannot be used.
    pub fn with_listeners(
        storage: &'s mut WorkerStorage<H::Exchange>,
        listeners: impl IntoIterator<Item = OwnedFd>,
        handler: H,
    ) -> Result<Self, ServerError> {
        open_with(storage, listeners, handler)
    }
}

/// For programs that name their reactor, to move a worker to another thread, say, which the one of [`Worker::new`] cannot
/// be.
#[cfg(has_epoll)]
impl<'s, H: Handler> Worker<'s, H, aurora_http_epoll::Reactor<'s, 'static>> {
    /// A worker on epoll, with listeners of its own as the storage is configured for.
    ///
    /// # Errors
    /// What [`Server::start`](crate::Server::start) says about listeners, or [`ServerError::Reactor`].
    pub fn epoll(storage: &'s mut WorkerStorage<H::Exchange>, handler: H) -> Result<Self, ServerError> {
        open(storage, handler)
    }

    /// A worker on epoll, with listeners that the program opened, as many as the storage is configured for: `[socket]`
    /// for one. Accepted connections inherit a socket's `TCP_NODELAY`.
    ///
    /// # Errors
    /// [`ServerError::Reactor`], with [`IoError::FileLimit`] when there are too many.
    pub fn epoll_with(
        storage: &'s mut WorkerStorage<H::Exchange>,
        listeners: impl IntoIterator<Item = OwnedFd>,
        handler: H,
    ) -> Result<Self, ServerError> {
        open_with(storage, listeners, handler)
    }
}

#[cfg(has_kqueue)]
impl<'s, H: Handler> Worker<'s, H, aurora_http_kqueue::Reactor<'s, 'static>> {
    /// A worker on kqueue, with listeners of its own as the storage is configured for.
    ///
    /// # Errors
    /// What [`Server::start`](crate::Server::start) says about listeners, or [`ServerError::Reactor`].
    pub fn kqueue(storage: &'s mut WorkerStorage<H::Exchange>, handler: H) -> Result<Self, ServerError> {
        open(storage, handler)
    }

    /// A worker on kqueue, with listeners that the program opened, as many as the storage is configured for: `[socket]`
    /// for one. Accepted connections inherit a socket's `TCP_NODELAY`.
    ///
    /// # Errors
    /// [`ServerError::Reactor`], with [`IoError::FileLimit`] when there are too many.
    pub fn kqueue_with(
        storage: &'s mut WorkerStorage<H::Exchange>,
        listeners: impl IntoIterator<Item = OwnedFd>,
        handler: H,
    ) -> Result<Self, ServerError> {
        open_with(storage, listeners, handler)
    }
}

#[cfg(has_uring)]
impl<'s, H: Handler> Worker<'s, H, aurora_http_uring::Uring<'s>> {
    /// A worker on io_uring, with listeners of its own as the storage is configured for. It stays on the thread that
    /// makes it.
    ///
    /// # Errors
    /// What [`Server::start`](crate::Server::start) says about listeners, [`ServerError::Reactor`], or
    /// [`ServerError::Backend`] with the reason why io_uring cannot be used.
    pub fn uring(storage: &'s mut WorkerStorage<H::Exchange>, handler: H) -> Result<Self, ServerError> {
        open(storage, handler)
    }

    /// A worker on io_uring, with listeners that the program opened, as many as the storage is configured for:
    /// `[socket]` for one. They are made non-blocking. Accepted connections inherit a socket's `TCP_NODELAY`.
    ///
    /// # Errors
    /// [`ServerError::Reactor`], with [`IoError::FileLimit`] when there are too many, or [`ServerError::Backend`] with the
    /// reason why io_uring cannot be used.
    pub fn uring_with(
        storage: &'s mut WorkerStorage<H::Exchange>,
        listeners: impl IntoIterator<Item = OwnedFd>,
        handler: H,
    ) -> Result<Self, ServerError> {
        open_with(storage, listeners, handler)
    }
}

/// A worker with listeners of its own.
fn open<'s, H: Handler, R: Open<'s>>(
    storage: &'s mut WorkerStorage<H::Exchange>,
    handler: H,
) -> Result<Worker<'s, H, R>, ServerError> {
    let mut opened = listen::open_one_each(R::backend(storage.found), &storage.heap.config)?;
    let sockets = opened.sockets.pop().unwrap_or_default();
    Ok(Worker { _files: opened.files, ..open_with(storage, sockets, handler)? })
}

/// A worker with listeners that are there.
fn open_with<'s, H: Handler, R: Open<'s>>(
    storage: &'s mut WorkerStorage<H::Exchange>,
    listeners: impl IntoIterator<Item = OwnedFd>,
    handler: H,
) -> Result<Worker<'s, H, R>, ServerError> {
    let seat = storage.heap.seat.clone();
    let counters = Arc::clone(seat.counters());
    counters.retire(); // what an earlier worker here has counted
    let backend = R::backend(storage.found);
    let failed = |error| ServerError::Reactor { backend: backend.name(), error };
    let (mut engine, tables) = storage.engine(backend, handler)?;
    let mut reactor = R::open(tables)?;
    seat.shared.board.set_waker(seat.worker, Some(Box::new(reactor.waker().map_err(failed)?)));
    let mut addresses = Vec::new();
    for listener in listeners {
        addresses.extend(ListenAddr::of(&listener));
        let listener = reactor.add_listener(listener).map_err(failed)?;
        engine.listen(listener).map_err(|_| failed(IoError::FileLimit))?;
    }
    Ok(Worker { engine, reactor, counters, addresses, _files: Vec::new() })
}
