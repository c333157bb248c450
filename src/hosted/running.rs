//! A server's threads, from their start to their end.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aurora_http_core::counters::Counters;
use aurora_http_core::stop::StopFlag;

use super::address::ListenAddr;
use super::announce::Announcement;
use super::error::ServerError;
use super::report::{Report, WorkerOutcome, WorkerReport};
use super::resumer::{Board, Resumer};
use super::shared::SharedCounters;
use super::storage;
use super::unix::SocketFile;

/// A server that serves on threads of its own.
///
/// Dropping it aborts the server and waits for its threads; [`stop`](Self::stop) and [`join`](Self::join) are the
/// graceful way. Dropped by one of its own threads, in a handler, it aborts the server and waits for nobody.
#[derive(Debug)]
pub struct Running {
    pub(super) announcement: Announcement,
    pub(super) shared: Arc<Shared>,
    pub(super) threads: Vec<JoinHandle<WorkerOutcome>>,
}

impl Running {
    /// The first address and port it listens on, the real one where 0 was asked for; all zeros when there are Unix-domain
    /// sockets alone.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.announcement.address
    }

    /// Where it listens, in the order of the configuration.
    #[must_use]
    pub fn listeners(&self) -> &[ListenAddr] {
        &self.announcement.listeners
    }

    /// What it says about itself: its `Display` is the start-up line.
    #[must_use]
    pub const fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// Why [`Backend::Auto`](super::Backend::Auto) took no better backend, if there is one.
    #[must_use]
    pub fn backend_note(&self) -> Option<&str> {
        self.announcement.note.as_deref()
    }

    /// Asks for a graceful stop: no more accepts, idle connections close at once, exchanges are finished, up to
    /// [`stop_timeout_ms`](aurora_http_core::limits::Timeouts::stop_timeout_ms). Returns at once.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Asks for the end at once. Returns at once.
    pub fn abort(&self) {
        self.shared.abort();
    }

    /// What stops the server from any thread.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle { shared: Arc::clone(&self.shared) }
    }

    /// What happened so far, over all workers. Takes no lock; the numbers are those of each worker's last turn.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for counters in &self.shared.counters {
            sum += &counters.read();
        }
        sum
    }

    /// What happened so far in one worker; `None` for a number that no worker has.
    #[must_use]
    pub fn worker_counters(&self, worker: usize) -> Option<Counters> {
        self.shared.counters.get(worker).map(SharedCounters::read)
    }

    /// Workers that have not ended: fewer than were started when one failed.
    #[must_use]
    pub fn workers_alive(&self) -> usize {
        self.shared.alive.load(Ordering::Acquire)
    }

    /// How often so far a worker was replaced whose handler had panicked; see
    /// [`restarts_per_minute`](super::Server::restarts_per_minute).
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.shared.places.iter().map(|place| place.restarts.load(Ordering::Relaxed)).sum()
    }

    /// How often so far this worker was replaced; `None` for a number that no worker has.
    #[must_use]
    pub fn worker_restarts(&self, worker: usize) -> Option<u64> {
        self.shared.places.get(worker).map(|place| place.restarts.load(Ordering::Relaxed))
    }

    /// Waits until every worker has ended: after [`stop`](Self::stop), or when all of them failed.
    ///
    /// # Errors
    /// [`ServerError::OwnThread`] at once when one of its own threads asks, from a handler: it would wait for itself. The
    /// server is aborted then, as by dropping this. A handler stops its server by a [`StopHandle`].
    pub fn join(mut self) -> Result<Report, ServerError> {
        if self.is_own_thread() {
            return Err(ServerError::OwnThread);
        }
        let workers = self.join_all();
        Ok(Report::new(workers, self.shared.stop_took()))
    }

    /// Whether a worker asks.
    fn is_own_thread(&self) -> bool {
        let current = thread::current().id();
        self.threads.iter().any(|thread| thread.thread().id() == current)
    }

    fn join_all(&mut self) -> Vec<WorkerReport> {
        let threads = std::mem::take(&mut self.threads);
        let outcomes = threads.into_iter().map(|thread| {
            // What a worker panics with is its outcome.
            thread.join().unwrap_or_else(|_| WorkerOutcome::Panicked("it did not say why".into()))
        });
        let shared = &self.shared;
        let report = |((outcome, counters), place): ((WorkerOutcome, &SharedCounters), &Place)| WorkerReport {
            counters: counters.read(),
            outcome,
            restarts: place.restarts.load(Ordering::Relaxed),
            last_panic: place.lock(&place.last_panic).clone(),
        };
        outcomes.zip(&shared.counters).zip(&shared.places).map(report).collect()
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

/// Stops a server, from any thread and from its own handlers.
#[derive(Clone, Debug)]
pub struct StopHandle {
    shared: Arc<Shared>,
}

impl StopHandle {
    /// As [`Running::stop`].
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// As [`Running::abort`].
    pub fn abort(&self) {
        self.shared.abort();
    }
}

/// What a worker's handler is made for.
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

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.counters.len()
    }

    /// What stops the server.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle { shared: Arc::clone(&self.shared) }
    }

    /// What resolves the tokens of deferred answers, from any thread.
    #[must_use]
    pub fn resumer(&self) -> Resumer {
        self.shared.board.resumer()
    }

    pub(super) fn seat(&self) -> storage::Seat {
        storage::Seat { board: Arc::clone(&self.shared.board), worker: self.id }
    }
}

/// Called when the last worker has ended.
pub(super) type OnEnd = Box<dyn Fn() + Send + Sync>;

/// Seen by all threads of one server.
pub(super) struct Shared {
    pub(super) stop: StopFlag,
    pub(super) counters: Vec<SharedCounters>,
    /// One per worker.
    pub(super) places: Vec<Place>,
    /// For deferred answers, and to wake workers.
    pub(super) board: Arc<Board>,
    pub(super) alive: AtomicUsize,
    /// When a stop was first asked for.
    stopped: OnceLock<Instant>,
    /// When the last worker ended.
    pub(super) ended: OnceLock<Instant>,
    /// Of Unix-domain sockets; removed before they are closed, so that nobody connects to what is going to close, and
    /// the next server does not have to find out that nobody listens.
    files: Mutex<Vec<SocketFile>>,
    /// Set when the workers begin to serve.
    pub(super) on_end: OnceLock<OnEnd>,
}

/// A worker's place, which outlives a worker that is replaced.
#[derive(Default)]
pub(super) struct Place {
    /// Its listeners once more, so that they stay open while it is replaced, and nobody in a backlog is turned away.
    /// `None` from a stop on: then they are to close.
    listeners: Mutex<Option<Vec<OwnedFd>>>,
    pub(super) restarts: AtomicU64,
    last_panic: Mutex<Option<String>>,
}

impl Place {
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, listeners: Vec<OwnedFd>) {
        *self.lock(&self.listeners) = Some(listeners);
    }

    /// The listeners for a worker; `None` behind a stop.
    pub(super) fn listeners(&self) -> Result<Option<Vec<OwnedFd>>, ServerError> {
        let kept = self.lock(&self.listeners);
        let duplicate = |listener: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(listener, 0);
        let listeners = kept.as_ref().map(|kept| kept.iter().map(duplicate).collect()).transpose();
        listeners.map_err(|error| ServerError::System { what: "duplicate a listener", error: error.into() })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock(&self.listeners).is_none()
    }

    pub(super) fn close(&self) {
        *self.lock(&self.listeners) = None;
    }

    pub(super) fn note_panic(&self, message: &str) {
        *self.lock(&self.last_panic) = Some(message.to_owned());
    }
}

impl Shared {
    pub(super) fn new(workers: usize, files: Vec<SocketFile>) -> Self {
        Self {
            stop: StopFlag::new(),
            counters: (0..workers).map(|_| SharedCounters::default()).collect(),
            places: (0..workers).map(|_| Place::default()).collect(),
            board: Board::new(workers),
            alive: AtomicUsize::new(workers),
            stopped: OnceLock::new(),
            ended: OnceLock::new(),
            files: Mutex::new(files),
            on_end: OnceLock::new(),
        }
    }

    pub(super) fn stop(&self) {
        self.begin_stop();
        self.stop.drain();
        self.wake();
    }

    fn abort(&self) {
        self.begin_stop();
        self.stop.abort();
        self.wake();
    }

    fn begin_stop(&self) {
        // The first time counts.
        let _ = self.stopped.set(Instant::now());
        self.remove_files();
        for place in &self.places {
            place.close();
        }
    }

    pub(super) fn remove_files(&self) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// From the first request to stop to the end of the last worker.
    fn stop_took(&self) -> Option<Duration> {
        Some(self.ended.get()?.saturating_duration_since(*self.stopped.get()?))
    }

    /// A worker that is not there yet, or is just being replaced, looks at the flag before it waits.
    fn wake(&self) {
        for worker in 0..self.places.len() {
            self.board.wake(worker);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("stop", &self.stop).field("alive", &self.alive).finish_non_exhaustive()
    }
}
