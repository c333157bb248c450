//! One thread's part of a server: an engine and a reactor on a storage.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use aurora_http_core::counters::Counters;
use aurora_http_core::engine::{Detached, Engine};
use aurora_http_core::handler::Handler;
use aurora_http_core::reactor::IoError;
use aurora_http_core::run::{leave, run};
use aurora_http_core::stop::StopFlag;
use aurora_http_core::timers::{Fired, Timers};

use super::address::{ListenAddr, first_ip};
use super::any::AnyReactor;
use super::error::ServerError;
use super::listen;
use super::sockets::{Open, SocketReactor};
use super::storage::WorkerStorage;
use super::tally::SharedCounters;
use super::unix::SocketFile;

/// Takes a detached connection: the socket, the bytes that had arrived after the request, and the handler's state.
pub(super) type OnDetached<'t, E> = dyn Fn(OwnedFd, &[u8], E) + 't;

/// A server on the calling thread, for programs with their own threads or event loop. A [`Server`](super::Server) has
/// one on each of its threads.
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
/// # In your own event loop
/// Call [`poll`](Self::poll) whenever the worker's descriptor (`AsFd`) is readable, and at the latest after
/// [`timeout`](Self::timeout). Call `timeout` again after every `poll`: it is zero while the worker has work that the
/// descriptor does not show, such as input that was left over because it exceeded its share of a turn. The example
/// `in_poll` shows a complete loop.
///
/// | backend | the descriptor | level-triggered: poll, select, epoll | edge-triggered: mio, tokio's `AsyncFd`, `EPOLLET` |
/// |---|---|---|---|
/// | epoll | the epoll instance | sound | sound |
/// | kqueue | the kqueue | sound | sound (`EV_CLEAR`) |
/// | io_uring | an epoll instance, made on first use | sound | sound |
///
/// It is a mistake to wait without the timeout, to discard an edge that arrived after the last `poll` began, or to
/// watch any other descriptor: the ring's own, for example, does not become readable. With tokio, wait for `readable`
/// or the timeout, clear the readiness, then `poll`. The `embedding/` folder of the repository has complete programs for
/// mio, tokio, smol's async-io, calloop and C.
// Aligned so that several workers in one program never share a cache line.
#[repr(align(64))]
pub struct Worker<'s, H: Handler, R = AnyReactor<'s>> {
    engine: Engine<'s, 'static, H>,
    reactor: R,
    counters: Arc<SharedCounters>,
    addresses: Vec<ListenAddr>,
    /// Socket files, removed when the worker is dropped.
    _files: Vec<SocketFile>,
}

impl<H: Handler, R: SocketReactor> Worker<'_, H, R> {
    /// Serves until `stop` is set and all connections are closed.
    ///
    /// Pass the [`StopHandle::flag`](super::StopHandle::flag) of a [`Server::stop_handle`](super::Server::stop_handle),
    /// with which handlers and other threads can stop the worker. Or pass a flag of your own: a handler may set it, or
    /// another thread, which must then [wake](Self::waker) the worker.
    ///
    /// # Errors
    /// The error that made the reactor unusable.
    pub fn run(&mut self, stop: &StopFlag) -> Result<(), IoError> {
        self.run_with(stop, None)
    }

    /// As [`run`](Self::run), but also calls `fire` for each of the program's timers that is due, between two turns.
    ///
    /// # Errors
    /// The error that made the reactor unusable.
    pub fn run_with_timers(
        &mut self,
        stop: &StopFlag,
        timers: &mut Timers<'_>,
        mut fire: impl FnMut(&mut H, &mut Timers<'_>, Fired),
    ) -> Result<(), IoError> {
        while !self.engine.is_drained() {
            let now = self.reactor.now();
            if timers.poll_timeout().is_some_and(|at| at <= now) {
                // The program's timers may take long, so what is queued is submitted first.
                self.reactor.flush();
                timers.fire(now, |timers, fired| fire(self.engine.handler_mut(), timers, fired));
            }
            self.pass(stop, timers.poll_timeout().map(|at| now.until(at)))?;
            if self.engine.has_detached() {
                self.engine.close_detached(self.reactor.now());
            }
        }
        run(&mut self.engine, &mut self.reactor, stop)
    }

    /// Serves until `stop` is set; passes detached connections to `on_detached`, or closes them.
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
        // All that is left is to take the lent buffers back.
        run(&mut self.engine, &mut self.reactor, stop)
    }

    /// Runs one pass of the loop, waiting until something happens.
    ///
    /// # Errors
    /// The error that made the reactor unusable.
    pub fn turn(&mut self, stop: &StopFlag) -> Result<(), IoError> {
        self.pass(stop, None)
    }

    /// Runs one pass of the loop without waiting, including the submission of all operations. Returns `true` once a
    /// stop is complete.
    ///
    /// # Errors
    /// The error that made the reactor unusable.
    pub fn poll(&mut self, stop: &StopFlag) -> Result<bool, IoError> {
        self.turn_within(stop, Some(Duration::ZERO))?;
        Ok(self.engine.is_drained())
    }

    /// Runs one pass of the loop, waiting no longer than `wait_max`, for programs with work of their own between turns.
    ///
    /// # Errors
    /// The error that made the reactor unusable.
    pub fn turn_within(&mut self, stop: &StopFlag, wait_max: Option<Duration>) -> Result<(), IoError> {
        let result = self.pass(stop, wait_max);
        if wait_max.is_some() {
            leave(&mut self.engine, &mut self.reactor, stop);
        }
        result
    }

    /// Runs one pass of the loop, and publishes the counters.
    fn pass(&mut self, stop: &StopFlag, wait_max: Option<Duration>) -> Result<(), IoError> {
        let result = self.reactor.turn(&mut self.engine, stop, wait_max);
        self.publish();
        result
    }

    /// Publishes the counters for other threads.
    fn publish(&self) {
        self.counters.publish(self.engine.counters());
        self.counters.publish_buffers(|class| self.engine.pool().stats(class));
    }

    /// How long an event loop may wait for the descriptor before it must [`poll`](Self::poll); `None` means any length
    /// of time. Zero while the worker has work that the descriptor does not show.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        if self.reactor.has_work() {
            return Some(Duration::ZERO);
        }
        self.engine.poll_timeout().map(|at| self.reactor.now().until(at))
    }

    /// The first IP address and port that it listens on: the actual one if port 0 was configured; all zeros when there
    /// are only Unix-domain sockets.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        first_ip(&self.addresses)
    }

    /// The addresses that it listens on.
    #[must_use]
    pub fn listeners(&self) -> &[ListenAddr] {
        &self.addresses
    }

    /// The counters so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        self.engine.counters()
    }

    /// The engine, with its pool and its handler.
    #[must_use]
    pub const fn engine(&self) -> &Engine<'_, 'static, H> {
        &self.engine
    }

    /// The handler.
    pub const fn handler_mut(&mut self) -> &mut H {
        self.engine.handler_mut()
    }

    /// The reactor, with its sockets.
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
    /// Makes a waker, which ends the worker's wait from another thread.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when no descriptor is left.
    pub fn waker(&self) -> Result<R::Waker, IoError> {
        self.reactor.waker()
    }

    /// Passes each connection that the handler has detached with [`Flow::Detach`](crate::Flow::Detach) to `take`: the
    /// open, non-blocking socket, the bytes that had arrived after the request, and the handler's state. Call it after
    /// every [`turn`](Self::turn) or [`poll`](Self::poll). [`run`](Self::run) closes such connections, and so does a
    /// [`Server`](crate::Server) without [`on_detached`](crate::Server::on_detached).
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
    /// Makes a worker that opens the configured listeners, on the configured backend.
    ///
    /// With [`Backend::Auto`](crate::Backend::Auto) that is the backend that
    /// [`Server::storage`](crate::Server::storage) chose ([`WorkerStorage::backend`]), or the next one if that cannot
    /// be set up now; [`AnyReactor::backend`] tells which.
    ///
    /// # Errors
    /// The errors of [`Server::start`](crate::Server::start) about listeners, [`ServerError::Reactor`], or
    /// [`ServerError::Backend`] with the reason why the backend cannot be used.
    pub fn new(storage: &'s mut WorkerStorage<H::Exchange>, handler: H) -> Result<Self, ServerError> {
        open(storage, handler)
    }

    /// As [`new`](Self::new), but with listeners that the program has opened, as many as are configured: `[socket]` for
    /// one. On io_uring they are made non-blocking. Accepted connections inherit a socket's `TCP_NODELAY`.
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

/// For programs that name the type of their reactor, for example to move a worker to another thread, which is not
/// possible with that of [`Worker::new`].
#[cfg(has_epoll)]
impl<'s, H: Handler> Worker<'s, H, aurora_http_epoll::Reactor<'s, 'static>> {
    /// Makes a worker on epoll that opens the configured listeners.
    ///
    /// # Errors
    /// The errors of [`Server::start`](crate::Server::start) about listeners, or [`ServerError::Reactor`].
    pub fn epoll(storage: &'s mut WorkerStorage<H::Exchange>, handler: H) -> Result<Self, ServerError> {
        open(storage, handler)
    }

    /// Makes a worker on epoll with listeners that the program has opened, as many as are configured: `[socket]` for
    /// one. Accepted connections inherit a socket's `TCP_NODELAY`.
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
    /// Makes a worker on kqueue that opens the configured listeners.
    ///
    /// # Errors
    /// The errors of [`Server::start`](crate::Server::start) about listeners, or [`ServerError::Reactor`].
    pub fn kqueue(storage: &'s mut WorkerStorage<H::Exchange>, handler: H) -> Result<Self, ServerError> {
        open(storage, handler)
    }

    /// Makes a worker on kqueue with listeners that the program has opened, as many as are configured: `[socket]` for
    /// one. Accepted connections inherit a socket's `TCP_NODELAY`.
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
    /// Makes a worker on io_uring that opens the configured listeners. It stays on the thread that makes it.
    ///
    /// # Errors
    /// The errors of [`Server::start`](crate::Server::start) about listeners, [`ServerError::Reactor`], or
    /// [`ServerError::Backend`] with the reason why io_uring cannot be used.
    pub fn uring(storage: &'s mut WorkerStorage<H::Exchange>, handler: H) -> Result<Self, ServerError> {
        open(storage, handler)
    }

    /// Makes a worker on io_uring with listeners that the program has opened, as many as are configured: `[socket]` for
    /// one. They are made non-blocking. Accepted connections inherit a socket's `TCP_NODELAY`.
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

/// Makes a worker that opens the configured listeners.
fn open<'s, H: Handler, R: Open<'s>>(
    storage: &'s mut WorkerStorage<H::Exchange>,
    handler: H,
) -> Result<Worker<'s, H, R>, ServerError> {
    let mut opened = listen::open_one_each(R::backend(storage.found), &storage.heap.config)?;
    let sockets = opened.sockets.pop().unwrap_or_default();
    Ok(Worker { _files: opened.files, ..open_with(storage, sockets, handler)? })
}

/// Makes a worker on listeners that are already open.
fn open_with<'s, H: Handler, R: Open<'s>>(
    storage: &'s mut WorkerStorage<H::Exchange>,
    listeners: impl IntoIterator<Item = OwnedFd>,
    handler: H,
) -> Result<Worker<'s, H, R>, ServerError> {
    let seat = storage.heap.seat.clone();
    let counters = Arc::clone(seat.counters());
    counters.retire(); // keeps the counts of an earlier worker on this storage
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
