//! The report of a server that has ended.

use std::fmt;
use std::time::Duration;

use aurora_http_core::counters::Counters;
use aurora_http_core::error::CloseReason;
use aurora_http_core::reactor::IoError;

/// What a server did, from its start to its end; returned by [`Server::serve`](super::Server::serve) and
/// [`Running::join`](super::Running::join). `Display` gives one line:
///
/// ```text
/// connections=12 requests=21 refused=1 failed=0 workers=2 failed_workers=0 stop=15ms finished=1 idle=2 aborted=0 closed: peer_closed=9 bad_request=1 stopped=2
/// ```
///
/// ```
/// use aurora_http::{Server, handler_fn};
///
/// # fn main() -> Result<(), aurora_http::ServerError> {
/// # if cfg!(not(any(feature = "epoll", feature = "uring", feature = "kqueue"))) { return Ok(()) }
/// let server = Server::bind("127.0.0.1:0")?.workers(1);
/// let running = server.start(|_worker| handler_fn(|_request, response| response.body("hello")))?;
/// running.stop();
/// let report = running.join()?;
/// assert_eq!((report.counters.requests, report.failed_workers(), report.restarts()), (0, 0, 0));
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The sum over all workers.
    pub counters: Counters,
    /// The reports of the workers, in the order of their ids.
    pub workers: Vec<WorkerReport>,
    /// How the stop went; `None` when the server ended without being stopped.
    pub stop: Option<StopReport>,
}

/// How a stop went, over all workers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StopReport {
    /// The time from the first request to stop until the end of the last worker.
    pub took: Duration,
    /// Connections that were in the middle of an exchange, which was finished; its response had `Connection: close`.
    pub finished: u64,
    /// Idle connections, which were closed at once.
    pub idle_closed: u64,
    /// Connections that were cut off: at the deadline
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

    /// The number of workers that panicked or failed.
    #[must_use]
    pub fn failed_workers(&self) -> usize {
        self.workers.iter().filter(|worker| worker.outcome != WorkerOutcome::Finished).count()
    }

    /// How often workers were replaced because their handler had panicked.
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
    /// Its counters; if it failed, as of its last complete turn.
    pub counters: Counters,
    /// How it ended.
    pub outcome: WorkerOutcome,
    /// How often it was replaced because its handler had panicked. [`counters`](Self::counters) include those of its
    /// replacements. Connections that were cut by a panic count as accepted but not as closed.
    pub restarts: u64,
    /// The message of the last panic, whether or not the worker was replaced.
    pub last_panic: Option<String>,
}

/// How a worker ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WorkerOutcome {
    /// It was stopped, and all of its connections are closed.
    Finished,
    /// The handler panicked, with this message, and the worker was not replaced: because that had happened too often
    /// ([`restarts_per_minute`](super::Server::restarts_per_minute)), or because the server was stopping. Its
    /// connections were closed; the other workers continued.
    Panicked(String),
    /// Its reactor became unusable, with this error. Its connections were closed; the other workers continued.
    Failed(IoError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(counters: Counters, outcome: WorkerOutcome) -> WorkerReport {
        WorkerReport { counters, outcome, restarts: 0, last_panic: None }
    }

    #[test]
    fn the_line_shows_only_close_reasons_that_occurred() {
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
