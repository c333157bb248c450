//! The configuration of a server, and its validation.

use std::time::Duration;

use aurora_http_core::budget::{Budget, BufferRoles, buffers_for};
use aurora_http_core::engine::LENT_MAX;
use aurora_http_core::limits::{Limits, Overload, RateMin, Timeouts};
use aurora_http_core::parse::FIELDS_CAPACITY;
use aurora_http_core::pool::{Class, ClassCounts, ClassSizes};
use aurora_http_core::preamble::{Preamble, SERVER_BYTES_MAX};

use super::backend::Backend;
use super::error::ServerError;
use super::placement::Pin;
use super::secure::Secure;
use super::source::Source;

/// The most connections per worker: as many as every backend can number.
const CONNECTIONS_MAX: usize = 1 << 23;
/// The lowest limit for a head: it has room for a simple request with a Host field and a few others.
const HEAD_BYTES_MIN: u32 = 256;
/// The engine counts them by 16 bits.
const LISTENERS_MAX: usize = u16::MAX as usize;
/// The lowest limit for a response: it has room for a head and a short text.
const RESPONSE_BYTES_MIN: u32 = 512;
/// Scratch memory for one call of the handler; for more, the handler borrows buffers from the pool.
const SCRATCH_BYTES: usize = 16 * 1024;
/// How often per minute a worker whose handler panicked is replaced, unless configured.
const RESTARTS_PER_MINUTE: u32 = 3;
/// Buffers that one call of the handler may borrow.
const LOANS: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) listeners: Vec<Source>,
    pub(super) backend: Backend,
    pub(super) workers: usize,
    pub(super) pin: Pin,
    /// Per worker.
    pub(super) connections: usize,
    pub(super) backlog: u32,
    /// Whether other processes may listen on the same addresses.
    pub(super) reuse_port: bool,
    /// For how long the system holds connections back that have sent nothing.
    pub(super) defer_accept: Option<Duration>,
    pub(super) limits: Limits,
    /// Per worker; derived from `connections` unless set.
    pub(super) buffers: Option<ClassCounts>,
    pub(super) server_name: String,
    /// Whether IPv6 listeners refuse IPv4 connections; `None` leaves that to the system, unless both families are
    /// configured.
    pub(super) only_v6: Option<bool>,
    /// How often per minute a worker whose handler panicked is replaced; 0 means never.
    pub(super) restarts_per_minute: u32,
    /// Encrypts every connection.
    pub(super) tls: Option<Secure>,
    /// Every connection begins with a PROXY header.
    pub(super) proxy_headers: bool,
}

impl Config {
    pub(super) fn new(listeners: Vec<Source>) -> Self {
        Self {
            listeners,
            backend: Backend::Auto,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            pin: Pin::Off,
            connections: 1024,
            backlog: 1024,
            reuse_port: false,
            defer_accept: None,
            limits: Limits::default(),
            buffers: None,
            server_name: String::new(),
            only_v6: None,
            restarts_per_minute: RESTARTS_PER_MINUTE,
            tls: None,
            proxy_headers: false,
        }
    }

    /// Whether there is a layer between sockets and engine, which needs non-blocking calls: over io_uring the ring only polls.
    pub(super) const fn is_polled(&self) -> bool {
        self.tls.is_some() || self.proxy_headers
    }

    /// A copy for workers whose listeners are already open. It holds no descriptor of a listener, because that would
    /// keep the socket listening after every worker has closed its own. The backend is fixed, so that all workers use
    /// the same.
    pub(super) fn for_workers(&self, backend: Backend) -> Self {
        Self { listeners: vec![Source::Opened; self.listeners.len()], backend, ..self.clone() }
    }

    pub(super) fn class_counts(&self) -> ClassCounts {
        self.buffers.unwrap_or_else(|| buffers_for(self.connections))
    }

    pub(super) fn budget(&self) -> Budget {
        Budget {
            connections: self.connections,
            listeners: self.listeners.len(),
            buffers: self.class_counts(),
            loans: LOANS,
            lent: LENT_MAX,
            scratch_bytes: SCRATCH_BYTES,
        }
    }

    pub(super) fn preamble(&self) -> Result<Preamble, ServerError> {
        Preamble::new(&self.server_name).map_err(|_| {
            let advice = format!("use at most {SERVER_BYTES_MAX} bytes of printable ASCII");
            ServerError::setting("server_name", format!("{:?}", self.server_name), advice)
        })
    }

    /// Reports the first invalid value, before anything is started.
    pub(super) fn validate(&self) -> Result<(), ServerError> {
        if self.listeners.is_empty() {
            return Err(ServerError::setting("listeners", 0, "nobody could connect; use at least 1"));
        }
        if self.listeners.len() > LISTENERS_MAX {
            let advice = format!("use at most {LISTENERS_MAX}");
            return Err(ServerError::setting("listeners", self.listeners.len(), advice));
        }
        self.validate_engine()
    }

    /// As [`validate`](Self::validate), but needs no listener: for an engine that the program drives itself.
    pub(super) fn validate_engine(&self) -> Result<(), ServerError> {
        if self.workers == 0 {
            return Err(ServerError::setting("workers", 0, "a server needs at least 1"));
        }
        if self.workers > usize::from(u16::MAX) {
            let advice = format!("they are numbered by 16 bits; use at most {}", u16::MAX);
            return Err(ServerError::setting("workers", self.workers, advice));
        }
        if self.connections == 0 || self.connections > CONNECTIONS_MAX {
            let advice = format!("use 1 to {CONNECTIONS_MAX} per worker");
            return Err(ServerError::setting("connections", self.connections, advice));
        }
        if self.backlog == 0 {
            return Err(ServerError::setting("backlog", 0, "no connection could wait to be accepted; use at least 1"));
        }
        self.preamble()?;
        self.validate_buffers()?;
        self.validate_limits()?;
        validate_timeouts(&self.limits.timeouts)
    }

    fn validate_buffers(&self) -> Result<(), ServerError> {
        let counts = self.class_counts();
        let sizes = counts.sizes();
        if sizes != ClassSizes::default() {
            let value = format!("{} bytes and more", sizes.of(Class::Tiny));
            let advice = "shorter ones are for a pool of the program's own; use ClassSizes::default()";
            return Err(ServerError::setting("buffers", value, advice));
        }
        if BufferRoles::of(counts, &self.limits).is_some() {
            return Ok(());
        }
        let receive_min = BufferRoles::receive_min(counts, &self.limits);
        let receive = counts.first_from(receive_min).unwrap_or(receive_min);
        // The same buffers are for answers: a connection may need one of each at the same time.
        let needed = if receive == Class::Tiny || counts.of(Class::Tiny) == 0 { 2 } else { 1 };
        let bytes = sizes.of(receive);
        let advice = format!("requests are received into buffers of {bytes} bytes; use at least {needed}");
        Err(ServerError::setting("buffers", format!("{} of that size", counts.of(receive)), advice))
    }

    fn validate_limits(&self) -> Result<(), ServerError> {
        // Destructured without "..", so that a new limit cannot be forgotten here.
        let Limits {
            head_bytes_max,
            fields_max,
            target_bytes_max,
            content_collected_max,
            response_bytes_max,
            requests_per_connection_max,
            in_flight_max,
            overload,
            // Zero is valid for these: it refuses what they limit.
            content_bytes_max: _,
            chunk_extension_bytes_max: _,
            trailer_bytes_max: _,
            discard_bytes_max: _,
            timeouts: _, // see `validate_timeouts`
        } = self.limits;
        if head_bytes_max < HEAD_BYTES_MIN {
            let advice = format!("no browser's request fits; use at least {HEAD_BYTES_MIN}");
            return Err(ServerError::setting("limits.head_bytes_max", head_bytes_max, advice));
        }
        if fields_max == 0 || usize::from(fields_max) > FIELDS_CAPACITY {
            let advice = format!("use 1 to {FIELDS_CAPACITY}");
            return Err(ServerError::setting("limits.fields_max", fields_max, advice));
        }
        if target_bytes_max == 0 || target_bytes_max >= head_bytes_max {
            let advice = format!("the target is a part of the head; use 1 to {}", head_bytes_max - 1);
            return Err(ServerError::setting("limits.target_bytes_max", target_bytes_max, advice));
        }
        if response_bytes_max < RESPONSE_BYTES_MIN {
            let advice = format!("no response's head fits; use at least {RESPONSE_BYTES_MIN}");
            return Err(ServerError::setting("limits.response_bytes_max", response_bytes_max, advice));
        }
        if requests_per_connection_max == Some(0) {
            let advice = "no request would be served; use at least 1, or None for no limit";
            return Err(ServerError::setting("limits.requests_per_connection_max", 0, advice));
        }
        if in_flight_max == Some(0) {
            let advice = "every request would be refused; use at least 1, or None for no limit";
            return Err(ServerError::setting("limits.in_flight_max", 0, advice));
        }
        if overload == Overload::Refuse && self.connections == 1 {
            let advice = "one connection is reserved for refusing newcomers; use at least 2, or limits.overload = Wait";
            return Err(ServerError::setting("connections", 1, advice));
        }
        let counts = self.class_counts();
        let largest = counts.largest();
        for (name, bytes) in [
            ("limits.head_bytes_max", head_bytes_max),
            ("limits.content_collected_max", content_collected_max),
            ("limits.response_bytes_max", response_bytes_max),
        ] {
            if bytes as usize > largest {
                let advice = format!("the largest buffers have {largest} bytes; lower it, or configure larger buffers");
                return Err(ServerError::setting(name, bytes, advice));
            }
        }
        Ok(())
    }
}

fn validate_timeouts(timeouts: &Timeouts) -> Result<(), ServerError> {
    // Destructured without "..", so that a new timeout cannot be forgotten here.
    let &Timeouts {
        first_byte_timeout_ms,
        head_timeout_ms,
        content_timeout_ms,
        write_timeout_ms,
        rate_min,
        defer_timeout_ms,
        upgraded_timeout_ms,
        idle_timeout_ms,
        linger_timeout_ms,
        linger_total_timeout_ms,
        // Zero is valid: a graceful stop then closes idle connections and cuts the others at once.
        stop_timeout_ms: _,
    } = timeouts;
    let (window_ms, bytes) = rate_min.map(|RateMin { bytes, window_ms }| (window_ms, bytes)).unzip();
    for (name, value) in [
        ("limits.timeouts.first_byte_timeout_ms", first_byte_timeout_ms),
        ("limits.timeouts.head_timeout_ms", head_timeout_ms),
        ("limits.timeouts.content_timeout_ms", content_timeout_ms),
        ("limits.timeouts.write_timeout_ms", write_timeout_ms),
        ("limits.timeouts.rate_min.window_ms", window_ms),
        ("limits.timeouts.rate_min.bytes", bytes),
        ("limits.timeouts.defer_timeout_ms", defer_timeout_ms),
        ("limits.timeouts.upgraded_timeout_ms", upgraded_timeout_ms),
        ("limits.timeouts.idle_timeout_ms", idle_timeout_ms),
        ("limits.timeouts.linger_timeout_ms", linger_timeout_ms),
        ("limits.timeouts.linger_total_timeout_ms", linger_total_timeout_ms),
    ] {
        if value == Some(0) {
            let advice = "it would expire at once; use at least 1, or None to disable it";
            return Err(ServerError::setting(name, 0, advice));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(vec![Source::Tcp(vec!["127.0.0.1:0".parse().unwrap()])])
    }

    #[test]
    fn the_defaults_are_valid_for_any_number_of_connections() {
        config().validate().unwrap();
        for connections in [1, 10, 100_000, CONNECTIONS_MAX] {
            Config { connections, ..config() }.validate().unwrap();
        }
        let limits = Limits::small_device();
        let buffers = Some(ClassCounts::NONE.with(Class::Tiny, 2));
        Config { limits, buffers, ..config() }.validate().unwrap();
    }

    #[test]
    fn every_invalid_value_is_named_and_comes_with_advice() {
        type Change = fn(&mut Config);
        let rows: [(Change, &str); 21] = [
            (|c| c.listeners.clear(), "listeners = 0: nobody could connect; use at least 1"),
            (|c| c.listeners = vec![Source::Unix("a".into()); 65_536], "listeners = 65536: use at most 65535"),
            (|c| c.workers = 0, "workers = 0: a server needs at least 1"),
            (|c| c.connections = 0, "connections = 0: use 1 to 8388608 per worker"),
            (|c| c.connections = usize::MAX, "connections = 18446744073709551615: use 1 to"),
            (|c| c.backlog = 0, "backlog = 0: "),
            (
                |c| c.server_name = "a\r\nb".into(),
                "server_name = \"a\\r\\nb\": use at most 64 bytes of printable ASCII",
            ),
            (|c| c.limits.head_bytes_max = 255, "limits.head_bytes_max = 255: "),
            (|c| c.limits.head_bytes_max = 262_145, "limits.head_bytes_max = 262145: the largest buffers have 262144"),
            (|c| c.limits.fields_max = 0, "limits.fields_max = 0: use 1 to 128"),
            (|c| c.limits.fields_max = 129, "limits.fields_max = 129: use 1 to 128"),
            (|c| c.limits.target_bytes_max = 0, "limits.target_bytes_max = 0: "),
            (|c| c.limits.target_bytes_max = 65_536, "limits.target_bytes_max = 65536: the target is a part"),
            (|c| c.limits.response_bytes_max = 511, "limits.response_bytes_max = 511: "),
            (|c| c.limits.requests_per_connection_max = Some(0), "limits.requests_per_connection_max = 0: "),
            (|c| c.limits.in_flight_max = Some(0), "limits.in_flight_max = 0: "),
            (
                |c| (c.limits.overload, c.connections) = (Overload::Refuse, 1),
                "connections = 1: one connection is reserved for refusing newcomers; use at least 2",
            ),
            (
                |c| c.buffers = Some(buffers_for(64).with(Class::Huge, 0)),
                "limits.content_collected_max = 262144: the largest buffers have 65536 bytes; lower it, or",
            ),
            (
                |c| c.buffers = Some(ClassCounts::NONE.with(Class::Tiny, 9)),
                "buffers = 0 of that size: requests are received into buffers of 4096 bytes; use at least 1",
            ),
            (
                |c| c.buffers = Some(buffers_for(64).sized(ClassSizes::FROM_512)),
                "buffers = 512 bytes and more: shorter ones are for",
            ),
            (
                |c| c.buffers = Some(ClassCounts::NONE.with(Class::Small, 1)),
                "buffers = 1 of that size: requests are received into buffers of 4096 bytes; use at least 2",
            ),
        ];
        for (change, expected) in rows {
            let mut config = config();
            change(&mut config);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}\n{expected}");
        }
    }

    #[test]
    fn every_timeout_of_zero_is_rejected_by_name() {
        type Change = fn(&mut Timeouts);
        let rows: [(Change, &str); 11] = [
            (|t| t.first_byte_timeout_ms = Some(0), "first_byte_timeout_ms"),
            (|t| t.head_timeout_ms = Some(0), "head_timeout_ms"),
            (|t| t.content_timeout_ms = Some(0), "content_timeout_ms"),
            (|t| t.write_timeout_ms = Some(0), "write_timeout_ms"),
            (|t| t.rate_min = Some(RateMin { bytes: 1, window_ms: 0 }), "rate_min.window_ms"),
            (|t| t.rate_min = Some(RateMin { bytes: 0, window_ms: 1 }), "rate_min.bytes"),
            (|t| t.defer_timeout_ms = Some(0), "defer_timeout_ms"),
            (|t| t.upgraded_timeout_ms = Some(0), "upgraded_timeout_ms"),
            (|t| t.idle_timeout_ms = Some(0), "idle_timeout_ms"),
            (|t| t.linger_timeout_ms = Some(0), "linger_timeout_ms"),
            (|t| t.linger_total_timeout_ms = Some(0), "linger_total_timeout_ms"),
        ];
        for (change, name) in rows {
            let mut config = config();
            change(&mut config.limits.timeouts);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(&format!("limits.timeouts.{name} = 0: it would expire at once")), "{error}");
        }
        // The table is complete: it has every field that `Debug` prints, except the stop's.
        let printed = format!("{:?}", Timeouts::default());
        let fields = printed.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter(|word| word.ends_with("_ms"));
        for field in fields.filter(|field| *field != "stop_timeout_ms") {
            assert!(rows.iter().any(|(_, name)| name.ends_with(field)), "{field}");
        }
    }

    #[test]
    fn a_stop_timeout_of_zero_is_valid() {
        let timeouts = Timeouts { stop_timeout_ms: Some(0), ..Timeouts::default() };
        Config { limits: Limits { timeouts, ..Limits::default() }, ..config() }.validate().unwrap();
    }

    #[test]
    fn disabled_limits_are_valid() {
        let timeouts = Timeouts { idle_timeout_ms: None, rate_min: None, stop_timeout_ms: None, ..Timeouts::default() };
        let limits = Limits { requests_per_connection_max: None, timeouts, ..Limits::default() };
        Config { limits, ..config() }.validate().unwrap();
    }
}
