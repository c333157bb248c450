//! A server's threads, from their start to their end.

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

    /// Whether a stop or an abort was asked for: see [`StopHandle::is_stopping`].
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    /// What stops the server from any thread.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle::new(&self.shared)
    }

    /// What happened so far, over all workers. Takes no lock; the numbers are those of each worker's last turn.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.read_counters()
    }

    /// What happened so far in one worker; `None` for a number that no worker has.
    #[must_use]
    pub fn worker_counters(&self, worker: usize) -> Option<Counters> {
        self.shared.counters().get(worker).map(|counters| counters.read())
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
        self.shared.places().iter().map(|place| place.restarts.load(Ordering::Relaxed)).sum()
    }

    /// How often so far this worker was replaced; `None` for a number that no worker has.
    #[must_use]
    pub fn worker_restarts(&self, worker: usize) -> Option<u64> {
        self.shared.places().get(worker).map(|place| place.restarts.load(Ordering::Relaxed))
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
        self.shared.counters().len()
    }

    /// What stops the server: as [`Server::stop_handle`](super::Server::stop_handle).
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle::new(&self.shared)
    }

    /// Whether a stop or an abort was asked for: see [`StopHandle::is_stopping`].
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    /// What reads the server's counters: as [`Server::counters`](super::Server::counters).
    #[must_use]
    pub fn counters(&self) -> ServerCounters {
        ServerCounters::new(&self.shared)
    }

    /// What resolves the tokens of deferred answers, from any thread: as [`Server::resumer`](super::Server::resumer).
    #[must_use]
    pub fn resumer(&self) -> Resumer {
        self.shared.board.resumer()
    }

    pub(super) fn seat(&self) -> Seat {
        Seat { shared: Arc::clone(&self.shared), worker: self.id }
    }
}
