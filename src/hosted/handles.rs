//! What any thread may hold of a server, from before its start until after its end.

use std::sync::Arc;

use aurora_http_core::counters::Counters;
use aurora_http_core::stop::StopFlag;

use super::shared::Shared;

/// Stops a server, from any thread and from its own handlers.
///
/// Get it from [`Server::stop_handle`](super::Server::stop_handle) before the start, or from
/// [`Running::stop_handle`](super::Running::stop_handle) or
/// [`WorkerContext::stop_handle`](super::WorkerContext::stop_handle) later. It may outlive the server; then it stops nobody.
#[derive(Clone, Debug)]
pub struct StopHandle {
    shared: Arc<Shared>,
}

impl StopHandle {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// As [`Running::stop`](super::Running::stop). A server that was not started yet stops as soon as it is.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// As [`Running::abort`](super::Running::abort). A server that was not started yet ends as soon as it is started.
    pub fn abort(&self) {
        self.shared.abort();
    }

    /// Whether a stop or an abort was asked for, by whomever: from then on, also when the server has ended. A page for a
    /// balancer's health checks answers 503 then.
    ///
    /// ```
    /// use aurora_http::{Request, ResponseWriter, Server, handler_fn};
    ///
    /// # fn main() -> Result<(), aurora_http::ServerError> {
    /// let server = Server::bind("127.0.0.1:0")?;
    /// let stop = server.stop_handle();
    /// # if cfg!(not(any(feature = "epoll", feature = "uring", feature = "kqueue"))) { return Ok(()) }
    /// let running = server.start(move |_worker| {
    ///     let stop = stop.clone();
    ///     handler_fn(move |_request: &Request<'_>, response: &mut ResponseWriter<'_>| {
    ///         response.status(if stop.is_stopping() { 503 } else { 200 })
    ///     })
    /// })?;
    /// # running.stop();
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    /// The flag that [`stop`](Self::stop) and [`abort`](Self::abort) set, for [`Worker::run`](super::Worker::run): a worker
    /// on the [`storage`](super::Server::storage) of this server is then stopped by this handle, which also wakes it.
    #[must_use]
    pub fn flag(&self) -> &StopFlag {
        &self.shared.stop
    }
}

/// Reads what a server has counted, from any thread: for a page of metrics, say.
///
/// ```
/// use aurora_http::{Request, ResponseWriter, Server, handler_fn};
///
/// # fn main() -> Result<(), aurora_http::ServerError> {
/// let server = Server::bind("127.0.0.1:0")?;
/// let counters = server.counters();
/// # if cfg!(not(any(feature = "epoll", feature = "uring", feature = "kqueue"))) { return Ok(()) }
/// let running = server.start(move |_worker| {
///     let counters = counters.clone();
///     handler_fn(move |_request: &Request<'_>, response: &mut ResponseWriter<'_>| {
///         response.body(format!("http_requests_total {}\n", counters.read().requests))
///     })
/// })?;
/// # running.stop();
/// # running.join()?;
/// # Ok(())
/// # }
/// ```
///
/// All numbers are zero before the server starts, and stay as they are when it has ended.
#[derive(Clone, Debug)]
pub struct ServerCounters {
    shared: Arc<Shared>,
}

impl ServerCounters {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// What happened so far, over all workers. Takes no lock; the numbers are those of each worker's last turn.
    #[must_use]
    pub fn read(&self) -> Counters {
        self.shared.read_counters()
    }

    /// What happened so far in one worker; `None` for a number that no worker has, and before the start.
    #[must_use]
    pub fn read_worker(&self, worker: usize) -> Option<Counters> {
        self.shared.counters().get(worker).map(|counters| counters.read())
    }
}
