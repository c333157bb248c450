//! A running server: its threads, and how to stop them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use aurora_http_core::counters::Counters;

use super::address::ListenAddr;
use super::announce::Announcement;
use super::error::ServerError;
use super::handles::{ServerCounters, StopHandle};
use super::heap::Seat;
use super::report::{Report, WorkerOutcome, WorkerReport};
use super::resumer::Resumer;
use super::shared::{Place, Shared};
use super::tally::SharedCounters;

/// A server that runs on threads of its own; made by [`Server::start`](super::Server::start).
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
///
/// use aurora_http::{Server, handler_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if cfg!(not(any(feature = "epoll", feature = "uring", feature = "kqueue"))) { return Ok(()) }
/// let server = Server::bind("127.0.0.1:0")?.workers(1);
/// let running = server.start(|_worker| handler_fn(|_request, response| response.body("hello")))?;
///
/// let mut client = TcpStream::connect(running.local_addr())?;
/// client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
/// let mut response = String::new();
/// client.read_to_string(&mut response)?;
/// assert!(response.ends_with("hello"));
///
/// running.stop();
/// assert_eq!(running.join()?.counters.requests, 1);
/// # Ok(())
/// # }
/// ```
///
/// Dropping it aborts the server and waits for its threads; for a graceful end, call [`stop`](Self::stop) and then
/// [`join`](Self::join). When a handler of the server drops it, the server is aborted too, but nothing is waited for.
#[derive(Debug)]
pub struct Running {
    pub(super) announcement: Announcement,
    pub(super) shared: Arc<Shared>,
    pub(super) threads: Vec<JoinHandle<WorkerOutcome>>,
}

impl Running {
    /// The first IP address and port that it listens on: the actual one if port 0 was configured; all zeros when there
    /// are only Unix-domain sockets.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.announcement.address
    }

    /// Where it listens, in the order of the configuration.
    #[must_use]
    pub fn listeners(&self) -> &[ListenAddr] {
        &self.announcement.listeners
    }

    /// The description of the server; its `Display` is the start-up line.
    #[must_use]
    pub const fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// Why [`Backend::Auto`](super::Backend::Auto) did not choose a better backend, if a better one exists.
    #[must_use]
    pub fn backend_note(&self) -> Option<&str> {
        self.announcement.note.as_deref()
    }

    /// Requests a graceful stop: the server accepts no more connections than are waiting already, closes idle ones, and
    /// finishes exchanges, for at most [`stop_timeout_ms`](aurora_http_core::limits::Timeouts::stop_timeout_ms).
    /// Returns immediately; [`join`](Self::join) waits for the end.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Requests an immediate end: connections are cut off. Returns without waiting for it.
    pub fn abort(&self) {
        self.shared.abort();
    }

    /// Whether a stop or an abort has been requested; see [`StopHandle::is_stopping`].
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    /// A handle that stops the server, from any thread.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle::new(&self.shared)
    }

    /// The sum of all workers' counters so far. It takes no lock, and each worker's numbers are as of its last turn.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.read_counters()
    }

    /// One worker's counters so far, as of its last turn; `None` if there is no such worker.
    #[must_use]
    pub fn worker_counters(&self, worker: usize) -> Option<Counters> {
        self.shared.counters().get(worker).map(|counters| counters.read())
    }

    /// The number of workers that have not ended. It is lower than the number that was started if one has failed.
    #[must_use]
    pub fn workers_alive(&self) -> usize {
        self.shared.alive.load(Ordering::Acquire)
    }

    /// How often workers have been replaced so far because their handler had panicked; see
    /// [`restarts_per_minute`](super::Server::restarts_per_minute).
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.shared.places().iter().map(|place| place.restarts.load(Ordering::Relaxed)).sum()
    }

    /// How often this worker has been replaced so far; `None` if there is no such worker.
    #[must_use]
    pub fn worker_restarts(&self, worker: usize) -> Option<u64> {
        self.shared.places().get(worker).map(|place| place.restarts.load(Ordering::Relaxed))
    }

    /// Waits until every worker has ended, after a [`stop`](Self::stop) or because all of them failed, and reports what
    /// they did.
    ///
    /// # Errors
    /// [`ServerError::OwnThread`] when a handler of this server calls it, since that would wait for itself. The server
    /// is then aborted, as by dropping this. To stop its server, a handler uses a [`StopHandle`].
    pub fn join(mut self) -> Result<Report, ServerError> {
        if self.is_own_thread() {
            return Err(ServerError::OwnThread);
        }
        let workers = self.join_all();
        Ok(Report::new(workers, self.shared.stop_took()))
    }

    /// Whether the caller is one of the workers.
    fn is_own_thread(&self) -> bool {
        let current = thread::current().id();
        self.threads.iter().any(|thread| thread.thread().id() == current)
    }

    fn join_all(&mut self) -> Vec<WorkerReport> {
        let threads = std::mem::take(&mut self.threads);
        let outcomes = threads.into_iter().map(|thread| {
            // Workers catch their panics and return them as their outcome, so this is a fallback.
            thread.join().unwrap_or_else(|_| WorkerOutcome::Panicked("no message".into()))
        });
        let shared = &self.shared;
        let report = |((outcome, counters), place): ((WorkerOutcome, &Arc<SharedCounters>), &Place)| WorkerReport {
            counters: counters.read(),
            outcome,
            restarts: place.restarts.load(Ordering::Relaxed),
            last_panic: place.last_panic(),
        };
        outcomes.zip(shared.counters()).zip(shared.places()).map(report).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.abort();
            if !self.is_own_thread() {
                self.join_all();
            }
        }
    }
}

/// The worker that a handler is made for, and handles of its server: the argument of the factory of handlers.
///
/// ```no_run
/// use aurora_http::{Server, handler_fn};
///
/// # fn main() -> Result<(), aurora_http::ServerError> {
/// Server::bind("127.0.0.1:8080")?.serve(|worker| {
///     let greeting = format!("hello from worker {} of {}\n", worker.id(), worker.workers());
///     handler_fn(move |_request, response| response.body(&greeting))
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WorkerContext {
    pub(super) id: usize,
    pub(super) shared: Arc<Shared>,
}

impl WorkerContext {
    /// The worker's number, from 0.
    #[must_use]
    pub const fn id(&self) -> usize {
        self.id
    }

    /// The number of workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.counters().len()
    }

    /// A handle that stops the server, as from [`Server::stop_handle`](super::Server::stop_handle).
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle::new(&self.shared)
    }

    /// Whether a stop or an abort has been requested; see [`StopHandle::is_stopping`].
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    /// A handle that reads the server's counters, as from [`Server::counters`](super::Server::counters).
    #[must_use]
    pub fn counters(&self) -> ServerCounters {
        ServerCounters::new(&self.shared)
    }

    /// A handle that resolves the tokens of deferred answers from any thread, as from
    /// [`Server::resumer`](super::Server::resumer).
    #[must_use]
    pub fn resumer(&self) -> Resumer {
        self.shared.board.resumer()
    }

    pub(super) fn seat(&self) -> Seat {
        Seat { shared: Arc::clone(&self.shared), worker: self.id }
    }
}
