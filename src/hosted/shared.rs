//! The state that the threads of one server share. It exists as soon as the server is being configured, so that a
//! program can hand out counters, stop handles and resumers before anything starts; the workers' parts are sized at the
//! start.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aurora_http_core::counters::Counters;
use aurora_http_core::stop::{Mode, StopFlag};

use super::error::ServerError;
use super::resumer::Board;
use super::tally::SharedCounters;
use super::unix::SocketFile;

/// Is called when the last worker has ended.
pub(super) type OnEnd = Box<dyn Fn() + Send + Sync>;

/// The state that all threads of one server share.
pub(super) struct Shared {
    pub(super) stop: StopFlag,
    /// For deferred answers, and to wake workers.
    pub(super) board: Arc<Board>,
    /// Made when the server starts.
    posts: OnceLock<Posts>,
    pub(super) alive: AtomicUsize,
    /// When a stop was first requested.
    stopped: OnceLock<Instant>,
    /// When the last worker ended.
    ended: Mutex<Option<Instant>>,
    /// The files of Unix-domain sockets. They are removed before the sockets are closed, so that no client connects to
    /// a socket that is about to close, and the next server need not check whether anything still listens.
    files: Mutex<Vec<SocketFile>>,
    /// Set when the workers begin to serve.
    pub(super) on_end: OnceLock<OnEnd>,
}

/// One of each for every worker.
struct Posts {
    counters: Vec<Arc<SharedCounters>>,
    places: Vec<Place>,
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            stop: StopFlag::new(),
            board: Board::new(),
            posts: OnceLock::new(),
            alive: AtomicUsize::new(0),
            stopped: OnceLock::new(),
            ended: Mutex::new(None),
            files: Mutex::new(Vec::new()),
            on_end: OnceLock::new(),
        })
    }

    /// Prepares for this many workers, before any of them runs. Called again when the workers could not be made on one
    /// backend and are made on another.
    pub(super) fn begin(&self, workers: usize, files: Vec<SocketFile>) {
        self.board.seat(workers);
        self.posts.get_or_init(|| Posts {
            counters: (0..workers).map(|_| Arc::default()).collect(),
            places: (0..workers).map(|_| Place::default()).collect(),
        });
        self.alive.store(workers, Ordering::Release);
        *lock(&self.ended) = None;
        *lock(&self.files) = files;
    }

    /// One per worker; none before the start.
    pub(super) fn counters(&self) -> &[Arc<SharedCounters>] {
        self.posts.get().map_or(&[], |posts| &posts.counters)
    }

    /// One per worker; none before the start.
    pub(super) fn places(&self) -> &[Place] {
        self.posts.get().map_or(&[], |posts| &posts.places)
    }

    pub(super) fn read_counters(&self) -> Counters {
        let mut sum = Counters::default();
        for counters in self.counters() {
            sum += &counters.read();
        }
        sum
    }

    pub(super) fn stop(&self) {
        self.stop_by(StopFlag::drain);
    }

    pub(super) fn abort(&self) {
        self.stop_by(StopFlag::abort);
    }

    fn stop_by(&self, ask: fn(&StopFlag)) {
        // Only the first request sets the time.
        let _ = self.stopped.set(Instant::now());
        ask(&self.stop);
        self.remove_files();
        self.close_places();
        // A worker that has not started yet, or is just being replaced, checks the flag before it waits.
        for worker in 0..self.places().len() {
            self.board.wake(worker);
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.mode() != Mode::Run
    }

    pub(super) fn close_places(&self) {
        self.places().iter().for_each(Place::close);
    }

    pub(super) fn remove_files(&self) {
        lock(&self.files).clear();
    }

    /// Called when the last worker has ended.
    pub(super) fn end(&self) {
        lock(&self.ended).get_or_insert_with(Instant::now);
        self.remove_files();
        if let Some(on_end) = self.on_end.get() {
            on_end();
        }
    }

    /// From the first request to stop to the end of the last worker.
    pub(super) fn stop_took(&self) -> Option<Duration> {
        let ended = *lock(&self.ended);
        Some(ended?.saturating_duration_since(*self.stopped.get()?))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("stop", &self.stop).field("alive", &self.alive).finish_non_exhaustive()
    }
}

/// A worker's place, which outlives a worker that is replaced.
#[derive(Default)]
pub(super) struct Place {
    /// Duplicates of its listeners, so that they stay open while it is replaced and no client in a backlog is refused.
    /// `None` once a stop has been requested, so that they can close.
    listeners: Mutex<Option<Vec<OwnedFd>>>,
    pub(super) restarts: AtomicU64,
    last_panic: Mutex<Option<String>>,
}

impl Place {
    pub(super) fn keep(&self, listeners: Vec<OwnedFd>) {
        *lock(&self.listeners) = Some(listeners);
    }

    /// Duplicates the listeners for a worker; `None` once a stop has been requested.
    pub(super) fn listeners(&self) -> Result<Option<Vec<OwnedFd>>, ServerError> {
        let kept = lock(&self.listeners);
        let duplicate = |listener: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(listener, 0);
        let listeners = kept.as_ref().map(|kept| kept.iter().map(duplicate).collect()).transpose();
        listeners.map_err(|error| ServerError::System { what: "duplicate a listener", error: error.into() })
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.listeners).is_none()
    }

    pub(super) fn close(&self) {
        *lock(&self.listeners) = None;
    }

    pub(super) fn note_panic(&self, message: &str) {
        *lock(&self.last_panic) = Some(message.to_owned());
    }

    pub(super) fn last_panic(&self) -> Option<String> {
        lock(&self.last_panic).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
