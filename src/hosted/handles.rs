//! Handles that any thread may keep, from before a server starts until after it has ended.

use std::sync::Arc;

use aurora_http_core::counters::Counters;
use aurora_http_core::pool::{Class, ClassSizes, ClassStats};
use aurora_http_core::stop::StopFlag;

use super::shared::Shared;

/// Stops a server, from any thread and from its own handlers.
///
/// ```no_run
/// use aurora_http::{Request, ResponseWriter, Server, handler_fn};
///
/// # fn main() -> Result<(), aurora_http::ServerError> {
/// let server = Server::bind("127.0.0.1:8080")?;
/// let stop = server.stop_handle();
/// server.serve(move |_worker| {
///     let stop = stop.clone();
///     handler_fn(move |request: &Request<'_>, response: &mut ResponseWriter<'_>| {
///         if request.path() == b"/quit" {
///             stop.stop(); // this response is still sent
///         }
///         response.body("bye\n")
///     })
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// Get it from [`Server::stop_handle`](super::Server::stop_handle) before the start, or from
/// [`Running::stop_handle`](super::Running::stop_handle) or
/// [`WorkerContext::stop_handle`](super::WorkerContext::stop_handle) later. It may outlive the server, and then does nothing.
#[derive(Clone, Debug)]
pub struct StopHandle {
    shared: Arc<Shared>,
}

impl StopHandle {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// As [`Running::stop`](super::Running::stop). A server that has not started yet stops as soon as it has.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// As [`Running::abort`](super::Running::abort). A server that has not started yet ends as soon as it has.
    pub fn abort(&self) {
        self.shared.abort();
    }

    /// Whether a stop or an abort has been requested. It stays true when the server has ended. A health check for a
    /// load balancer should answer 503 from then on.
    ///
    /// ```no_run
    /// use aurora_http::{Request, ResponseWriter, Server, handler_fn};
    ///
    /// # fn main() -> Result<(), aurora_http::ServerError> {
    /// let server = Server::bind("127.0.0.1:8080")?;
    /// let stop = server.stop_handle();
    /// server.serve(move |_worker| {
    ///     let stop = stop.clone();
    ///     handler_fn(move |_request: &Request<'_>, response: &mut ResponseWriter<'_>| {
    ///         response.status(if stop.is_stopping() { 503 } else { 200 })
    ///     })
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    /// The flag that [`stop`](Self::stop) and [`abort`](Self::abort) set. Pass it to [`Worker::run`](super::Worker::run), and
    /// this handle stops, and wakes, a worker on the [`storage`](super::Server::storage) of this server.
    #[must_use]
    pub fn flag(&self) -> &StopFlag {
        &self.shared.stop
    }
}

/// Reads a server's counters from any thread: for a metrics page, say.
///
/// ```no_run
/// use aurora_http::{Request, ResponseWriter, Server, handler_fn};
///
/// # fn main() -> Result<(), aurora_http::ServerError> {
/// let server = Server::bind("127.0.0.1:8080")?;
/// let counters = server.counters();
/// server.serve(move |_worker| {
///     let counters = counters.clone();
///     handler_fn(move |_request: &Request<'_>, response: &mut ResponseWriter<'_>| {
///         response.body(format!("http_requests_total {}\n", counters.read().requests))
///     })
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// Every counter is zero before the server starts, and keeps its value after the server has ended.
#[derive(Clone, Debug)]
pub struct ServerCounters {
    shared: Arc<Shared>,
}

impl ServerCounters {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// The sum over all workers so far. It takes no lock, and each worker's numbers are as of its last turn.
    #[must_use]
    pub fn read(&self) -> Counters {
        self.shared.read_counters()
    }

    /// The buffers of a class, of all workers together. Each has a pool of its own: `high_water` is the sum of the most that each of
    /// them has ever used at once, so it is what all pools need if all of them are under load at the same time.
    ///
    /// For `Registry::respond` of `aurora_http_web::metrics`, which writes a page for Prometheus.
    #[must_use]
    pub fn buffers(&self, class: Class) -> ClassStats {
        let mut sum = ClassStats { bytes: ClassSizes::default().of(class), ..ClassStats::default() };
        for counters in self.shared.counters() {
            let stats = counters.read_buffers(class);
            sum.in_use += stats.in_use;
            sum.high_water += stats.high_water;
            sum.refused += stats.refused;
        }
        sum
    }

    /// One worker's buffers of a class, as of its last turn; `None` if there is no such worker, and before the start.
    #[must_use]
    pub fn worker_buffers(&self, worker: usize, class: Class) -> Option<ClassStats> {
        self.shared.counters().get(worker).map(|counters| counters.read_buffers(class))
    }

    /// One worker's counters so far, as of its last turn; `None` if there is no such worker, and before the start.
    #[must_use]
    pub fn read_worker(&self, worker: usize) -> Option<Counters> {
        self.shared.counters().get(worker).map(|counters| counters.read())
    }
}
