//! What came of a server.

use std::fmt;
use std::time::Duration;

use aurora_http_core::counters::Counters;
use aurora_http_core::error::CloseReason;
use aurora_http_core::reactor::IoError;

/// What a server did, from its start to its end. `Display` gives one line:
///
/// ```text
/// connections=12 requests=21 refused=1 failed=0 workers=2 failed_workers=0 stop=15ms finished=1 idle=2 aborted=0 closed: peer_closed=9 bad_request=1 stopped=2
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The sum over all workers.
    pub counters: Counters,
    /// The workers, in the order of their ids.
    pub workers: Vec<WorkerReport>,
    /// How it was stopped; `None` when it ended without being told to.
    pub stop: Option<StopReport>,
}

/// What a stop did, on all workers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StopReport {
    /// From the moment when it was asked for to the end of the last worker.
    pub took: Duration,
    /// Connections on which something was under way and was finished, the last response with `Connection: close`.
    pub finished: u64,
    /// Connections that were closed at once, because nothing was under way on them.
    pub idle_closed: u64,
    /// Connections that were cut: at the deadline
    /// ([`stop_timeout_ms`](aurora_http_core::limits::Timeouts::stop_timeout_ms)), or by an abort.
    pub aborted: u64,
}

impl Report {
    pub(super) fn new(workers: Vec<WorkerReport>, took: Option<Duration>) -> Self {
        let mut counters = Counters::default();
        for worker in &workers {
            counters += &worker.counters;
        }
        let stop = took.map(|took| StopReport {
            took,
            finished: counters.stopped_finished,
            idle_closed: counters.stopped_idle,
            aborted: counters.closed.of(CloseReason::Aborted),
        });
        Self { counters, workers, stop }
    }

    /// Workers that did not finish in order.
    #[must_use]
    pub fn failed_workers(&self) -> usize {
        self.workers.iter().filter(|worker| worker.outcome != WorkerOutcome::Finished).count()
    }

    /// How often a worker was replaced whose handler had panicked.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.workers.iter().map(|worker| worker.restarts).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counters { accepted, requests, refused, failed, closed, .. } = self.counters;
        write!(
            f,
            "connections={accepted} requests={requests} refused={refused} failed={failed} workers={} failed_workers={}",
            self.workers.len(),
            self.failed_workers()
        )?;
        if self.restarts() > 0 {
            write!(f, " restarts={}", self.restarts())?;
        }
        if let Some(stop) = &self.stop {
            write!(f, " {stop}")?;
        }
        let mut separator = " closed: ";
        for reason in CloseReason::ALL.into_iter().filter(|reason| closed.of(*reason) > 0) {
            write!(f, "{separator}{reason}={}", closed.of(reason))?;
            separator = " ";
        }
        Ok(())
    }
}

impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { took, finished, idle_closed, aborted } = self;
        write!(f, "stop={}ms finished={finished} idle={idle_closed} aborted={aborted}", took.as_millis())
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
    /// How often its handler panicked and it was replaced by another one in its place, whose counts are in
    /// [`counters`](Self::counters) as well. Connections that were cut by that count as accepted, and not as closed.
    pub restarts: u64,
    /// What the last panic said, also when that was its end.
    pub last_panic: Option<String>,
}

/// How a worker ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WorkerOutcome {
    /// It was stopped, and everything is closed.
    Finished,
    /// The handler panicked, with this message, too often to be replaced again
    /// ([`restarts_per_minute`](super::Server::restarts_per_minute)), or during a stop. Its connections were closed with
    /// it; the other workers served on.
    Panicked(String),
    /// Its reactor became unusable. Its connections were closed with it; the other workers served on.
    Failed(IoError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(counters: Counters, outcome: WorkerOutcome) -> WorkerReport {
        WorkerReport { counters, outcome, restarts: 0, last_panic: None }
    }

    #[test]
    fn the_line_names_what_happened_and_no_reason_that_did_not() {
        let mut plain = [0; Counters::PLAIN];
        (plain[0], plain[2]) = (12, 21);
        let mut closed = [0; CloseReason::COUNT];
        assert_eq!(
            Report::new(vec![worker(Counters::from_arrays(plain, closed), WorkerOutcome::Finished)], None).to_string(),
            "connections=12 requests=21 refused=0 failed=0 workers=1 failed_workers=0"
        );
        closed[CloseReason::BadRequest as usize] = 1;
        closed[CloseReason::Aborted as usize] = 3;
        let mut failed = worker(Counters::from_arrays(plain, closed), WorkerOutcome::Failed(IoError::FileLimit));
        failed.restarts = 3;
        let report = Report::new(vec![failed], Some(Duration::from_micros(15_900)));
        let line = "connections=12 requests=21 refused=0 failed=0 workers=1 failed_workers=1 \
                    restarts=3 stop=15ms finished=0 idle=0 aborted=3 closed: bad_request=1 aborted=3";
        assert_eq!(report.to_string(), line);
    }
}
