//! What came of a server.

use std::fmt;

use aurora_http_core::counters::Counters;
use aurora_http_core::reactor::IoError;

/// What a server did, from its start to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The sum over all workers.
    pub counters: Counters,
    /// The workers, in the order of their ids.
    pub workers: Vec<WorkerReport>,
}

impl Report {
    pub(super) fn new(workers: Vec<WorkerReport>) -> Self {
        let mut counters = Counters::default();
        for worker in &workers {
            counters += &worker.counters;
        }
        Self { counters, workers }
    }

    /// Workers that did not finish in order.
    #[must_use]
    pub fn failed_workers(&self) -> usize {
        self.workers.iter().filter(|worker| worker.outcome != WorkerOutcome::Finished).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counters { accepted, requests, refused, failed, .. } = self.counters;
        write!(
            f,
            "connections={accepted} requests={requests} refused={refused} failed={failed} workers={} failed_workers={}",
            self.workers.len(),
            self.failed_workers()
        )
    }
}

/// What one worker did.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Its counters; of a worker that failed, as they were after its last complete turn.
    pub counters: Counters,
    /// How it ended.
    pub outcome: WorkerOutcome,
}

impl WorkerReport {
    pub(super) const fn new(counters: Counters, outcome: WorkerOutcome) -> Self {
        Self { counters, outcome }
    }
}

/// How a worker ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WorkerOutcome {
    /// It was stopped, and everything is closed.
    Finished,
    /// The handler panicked, with this message. Its connections were closed with it; the other workers served on.
    Panicked(String),
    /// Its reactor became unusable. Its connections were closed with it; the other workers served on.
    Failed(IoError),
}
