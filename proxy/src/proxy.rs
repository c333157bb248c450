//! What all exchanges share.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use aurora_http::{Handler, Request, ResponseWriter, Resumer, handler_fn};

use crate::config::{Config, ConfigError, ProxyLimits};
use crate::exchange::Forwarding;
use crate::hub::{Hub, SLOTS_MAX};
use crate::transfer::Transfer;
use crate::upstream::Upstreams;

/// Passes requests on to other servers: see the [documentation of the crate](crate). Clones are the same proxy; it ends with
/// the last clone and the last exchange.
#[derive(Clone)]
pub struct Proxy {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) upstreams: Upstreams,
    pub(crate) tunnels: Upstreams,
    pub(crate) hub: Arc<Hub>,
    pub(crate) counts: Counts,
    in_flight: AtomicUsize,
    /// Used again by the next exchanges.
    #[expect(clippy::vec_box, reason = "the boxes move to the exchanges")]
    transfers: Mutex<Vec<Box<Transfer>>>,
    watcher: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) forwarded: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) connected: AtomicU64,
    pub(crate) reused: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) cut_off: AtomicU64,
}

/// What a proxy has done so far: see [`Proxy::counters`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ProxyCounters {
    /// Requests that were begun to be passed on, tunnels included.
    pub forwarded: u64,
    /// Requests that were answered with 503, because too many were in flight.
    pub refused: u64,
    /// New connections to upstreams.
    pub connected: u64,
    /// Requests that were sent on a kept connection.
    pub reused: u64,
    /// Requests that were sent again, because the connection had ended without a response.
    pub retried: u64,
    /// Requests that were answered with 502, or 503 for want of a descriptor.
    pub failed: u64,
    /// Requests that were answered with 504.
    pub timed_out: u64,
    /// Responses that were cut off, because the upstream's was, or because it came too slowly.
    pub cut_off: u64,
    /// Exchanges and tunnels at this moment.
    pub in_flight: u64,
    /// Connections that are kept at this moment.
    pub kept: u64,
}

impl Proxy {
    /// Starts a proxy for a server's workers; `resumer` is that server's ([`Server::resumer`](aurora_http::Server::resumer)).
    ///
    /// # Errors
    /// [`ConfigError::Limit`], and [`ConfigError::System`] if there is no descriptor or thread left.
    pub fn new(config: Config, resumer: Resumer) -> Result<Self, ConfigError> {
        let limits = config.limits;
        let connections = check(&limits, config.upstreams.len())?;
        let kept_max = if config.proxy_protocol.is_some() { 0 } else { limits.kept_max };
        let started = Hub::start(resumer, connections, config.upstreams.len(), kept_max, limits.kept_timeout());
        let (hub, watcher) = started.map_err(ConfigError::System)?;
        let out = Duration::from_millis(limits.out_ms.into());
        let shared = Shared {
            upstreams: Upstreams::new(config.upstreams.clone(), out),
            tunnels: Upstreams::new(config.tunnels.clone(), out),
            config,
            hub,
            counts: Counts::default(),
            in_flight: AtomicUsize::new(0),
            transfers: Mutex::new(Vec::new()),
            watcher: Some(watcher),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A handler that passes every request on.
    #[must_use]
    pub fn handler(&self) -> impl Handler<Exchange = Forwarding> + use<> {
        let proxy = self.clone();
        handler_fn(move |request: &Request<'_>, response: &mut ResponseWriter<'_>| proxy.forward(request, response))
    }

    /// Passes a request on: return the result from the handler. Nothing must have been written to the response, except
    /// [added fields](ResponseWriter::add_field).
    ///
    /// ```
    /// use aurora_http::{Either, Handler, WriteError, handler_fn};
    /// use aurora_http_proxy::Proxy;
    ///
    /// /// Answers some requests itself.
    /// fn handler(proxy: Proxy) -> impl Handler {
    ///     handler_fn(move |request, response| {
    ///         if request.path() == b"/healthz" {
    ///             return Either::Left(response.body("ok\n"));
    ///         }
    ///         Either::Right(proxy.forward(request, response))
    ///     })
    /// }
    /// # let _ = handler;
    /// ```
    pub fn forward(&self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Forwarding {
        Forwarding::begin(self, request, response)
    }

    /// What has happened so far.
    #[must_use]
    pub fn counters(&self) -> ProxyCounters {
        let counts = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ProxyCounters {
            forwarded: read(&counts.forwarded),
            refused: read(&counts.refused),
            connected: read(&counts.connected),
            reused: read(&counts.reused),
            retried: read(&counts.retried),
            failed: read(&counts.failed),
            timed_out: read(&counts.timed_out),
            cut_off: read(&counts.cut_off),
            in_flight: self.shared.in_flight.load(Ordering::Relaxed) as u64,
            kept: self.shared.hub.kept() as u64,
        }
    }
}

/// The most connections at the same time.
fn check(limits: &ProxyLimits, upstreams: usize) -> Result<usize, ConfigError> {
    let timeouts = [
        ("kept_timeout_ms", limits.kept_timeout_ms),
        ("connect_timeout_ms", limits.connect_timeout_ms),
        ("response_timeout_ms", limits.response_timeout_ms),
        ("transfer_timeout_ms", limits.transfer_timeout_ms),
        ("continue_timeout_ms", limits.continue_timeout_ms),
        ("tunnel_timeout_ms", limits.tunnel_timeout_ms),
    ];
    if let Some((name, _)) = timeouts.iter().find(|(_, timeout_ms)| *timeout_ms == 0) {
        return Err(ConfigError::Limit(name));
    }
    if limits.head_bytes_max < 64 {
        return Err(ConfigError::Limit("head_bytes_max"));
    }
    let kept = limits.kept_max.checked_mul(upstreams).filter(|kept| *kept <= SLOTS_MAX / 2);
    let kept = kept.ok_or(ConfigError::Limit("kept_max"))?;
    if limits.in_flight_max == 0 || limits.in_flight_max > SLOTS_MAX / 2 {
        return Err(ConfigError::Limit("in_flight_max"));
    }
    Ok(limits.in_flight_max + kept)
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Shared {
    /// Room for one more exchange; `None` if there is none.
    pub(crate) fn begin(&self) -> Option<Box<Transfer>> {
        let in_flight_max = self.config.limits.in_flight_max;
        let one_more = |count: usize| (count < in_flight_max).then_some(count + 1);
        self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        let used = self.transfers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Some(used.unwrap_or_default())
    }

    /// An exchange is over.
    pub(crate) fn end(&self, mut transfer: Box<Transfer>) {
        if let Some(link) = transfer.clear() {
            self.hub.close(link);
        }
        self.transfers.lock().unwrap_or_else(PoisonError::into_inner).push(transfer);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.hub.stop();
        if let Some(watcher) = self.watcher.take() {
            // It has nothing to tell, and ends at once.
            let _ = watcher.join();
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("counters", &self.counters()).finish_non_exhaustive()
    }
}
