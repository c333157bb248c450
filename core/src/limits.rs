//! Policy: every limit and every timeout, all finite by default.

/// What a connection may cost, and for how long. `Limits::default()` is for hosted programs,
/// [`Limits::small_device`] for microcontrollers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Longest head (request line, fields, the empty line) in bytes; 431 beyond it.
    pub head_bytes_max: u32,
    /// Most fields in a head, at most [`crate::parse::FIELDS_CAPACITY`]; 431 beyond it.
    pub fields_max: u16,
    /// Longest request target in bytes; 414 beyond it.
    pub target_bytes_max: u32,
    /// Longest content collected for the handler in one buffer, in bytes; 413 beyond it.
    pub content_collected_max: u32,
    /// Longest content in slices, in bytes, unless the handler sets its own; 413 beyond it.
    pub content_bytes_max: u64,
    /// Most bytes of chunk extensions in one message; 400 beyond it.
    pub chunk_extension_bytes_max: u16,
    /// Longest trailer section in bytes; 431 beyond it.
    pub trailer_bytes_max: u16,
    /// Requests served on one connection; the last one says `Connection: close`. `None`: no limit.
    pub requests_per_connection_max: Option<u32>,
    /// Longest buffered response (head and copied body) in bytes; 500 beyond it. Streamed responses have no limit.
    pub response_bytes_max: u32,
    /// Longest content, in bytes, that is read and dropped when the handler left it unread, so that the connection can be
    /// kept. Beyond it the response says `Connection: close` and the connection lingers.
    pub discard_bytes_max: u32,
    /// Exchanges under way at the same time; 503 beyond it, and the connection is kept. `None`: as many as connections.
    /// An upgraded connection is none.
    pub in_flight_max: Option<u32>,
    /// What a newcomer gets when no slot is free and none can be freed.
    pub overload: Overload,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// What happens to a newcomer when no slot is free and none can be freed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Overload {
    /// One waits in the lobby, the others in the kernel's backlog. Meanwhile responses say `Connection: close`.
    #[default]
    Wait,
    /// 503 with `Retry-After`, in a slot that is kept for that.
    Refuse,
}

/// How long each phase may take, in milliseconds. `None` switches one off; none is off by default.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// From accept to the first byte; then the connection is closed.
    pub first_byte_timeout_ms: Option<u32>,
    /// The whole head, from its first byte; then 408 and close.
    pub head_timeout_ms: Option<u32>,
    /// Content without any progress; then 408 and close. Also content in hand that waits for a further buffer; then 503
    /// and close.
    pub content_timeout_ms: Option<u32>,
    /// Writing without any progress; then close.
    pub write_timeout_ms: Option<u32>,
    /// The slowest accepted transfer while an operation is in flight; then as for the progress timeout.
    pub rate_min: Option<RateMin>,
    /// A deferred answer; then 503 and close.
    pub defer_timeout_ms: Option<u32>,
    /// An upgraded connection or a tunnel on which nothing arrives; then close.
    pub upgraded_timeout_ms: Option<u32>,
    /// Idle between requests; then close.
    pub idle_timeout_ms: Option<u32>,
    /// Silence of a client while the connection lingers (RFC 9112 §9.6): behind the last response the connection stays
    /// open until the client has ended its side, so that a reset cannot destroy what the client has not read yet. Begins
    /// when the client has acknowledged the whole response; until then the limits for writing hold. A client that goes on
    /// sending must keep up with `rate_min`. Looked at once a second. Then close.
    pub linger_timeout_ms: Option<u32>,
    /// The longest that a connection lingers, from when the client has acknowledged the whole response, however much it
    /// sends; then close. A lingering connection holds no buffer, and is the first to go when a newcomer finds no slot.
    pub linger_total_timeout_ms: Option<u32>,
    /// From a graceful stop to the abort of what is left.
    pub stop_timeout_ms: Option<u32>,
}

/// At least `bytes` in each window of `window_ms` in which an operation was in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateMin {
    /// Bytes per window.
    pub bytes: u32,
    /// Length of a window in milliseconds.
    pub window_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 64 * 1024,
            fields_max: 64,
            target_bytes_max: 8 * 1024,
            content_collected_max: 256 * 1024,
            content_bytes_max: 1024 * 1024,
            chunk_extension_bytes_max: 4 * 1024,
            trailer_bytes_max: 8 * 1024,
            requests_per_connection_max: Some(1_000),
            response_bytes_max: 64 * 1024,
            discard_bytes_max: 64 * 1024,
            in_flight_max: None,
            overload: Overload::Wait,
            timeouts: Timeouts::default(),
        }
    }
}

impl Limits {
    /// For a device with a few tens of kilobytes of memory.
    #[must_use]
    pub const fn small_device() -> Self {
        Self {
            head_bytes_max: 1024,
            fields_max: 16,
            target_bytes_max: 256,
            content_collected_max: 1024,
            content_bytes_max: 64 * 1024,
            chunk_extension_bytes_max: 64,
            trailer_bytes_max: 256,
            requests_per_connection_max: Some(100),
            response_bytes_max: 1024,
            discard_bytes_max: 4 * 1024,
            in_flight_max: None,
            overload: Overload::Wait,
            timeouts: Timeouts {
                first_byte_timeout_ms: Some(5_000),
                head_timeout_ms: Some(5_000),
                content_timeout_ms: Some(5_000),
                write_timeout_ms: Some(5_000),
                rate_min: Some(RateMin { bytes: 5_000, window_ms: 10_000 }),
                defer_timeout_ms: Some(10_000),
                upgraded_timeout_ms: Some(10_000),
                idle_timeout_ms: Some(2_000),
                linger_timeout_ms: Some(1_000),
                linger_total_timeout_ms: Some(20_000),
                stop_timeout_ms: Some(5_000),
            },
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte_timeout_ms: Some(10_000),
            head_timeout_ms: Some(30_000),
            content_timeout_ms: Some(30_000),
            write_timeout_ms: Some(30_000),
            rate_min: Some(RateMin { bytes: 5_000, window_ms: 10_000 }),
            defer_timeout_ms: Some(60_000),
            upgraded_timeout_ms: Some(60_000),
            idle_timeout_ms: Some(75_000),
            linger_timeout_ms: Some(5_000),
            linger_total_timeout_ms: Some(300_000),
            stop_timeout_ms: Some(30_000),
        }
    }
}
