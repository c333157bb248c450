//! Every limit and every timeout, all of them finite by default.

/// What a connection may cost, and for how long. `Limits::default()` is for hosted programs, [`Limits::small_device`]
/// for microcontrollers. `docs/wire.md` lists what clients see when one is exceeded.
///
/// ```
/// use aurora_http_core::limits::{Limits, Timeouts};
///
/// let limits = Limits {
///     content_bytes_max: 16 * 1024 * 1024,
///     timeouts: Timeouts { idle_timeout_ms: Some(5_000), ..Timeouts::default() },
///     ..Limits::default()
/// };
/// assert_eq!(limits.head_bytes_max, 64 * 1024);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The longest head (request line, fields and empty line), in bytes; a longer one is answered with 431.
    pub head_bytes_max: u32,
    /// The most fields in a head, at most [`crate::parse::FIELDS_CAPACITY`]; more are answered with 431.
    pub fields_max: u16,
    /// The longest request target, in bytes; a longer one is answered with 414.
    pub target_bytes_max: u32,
    /// The longest content that is collected for the handler in one buffer, in bytes; longer content is answered with
    /// 413.
    pub content_collected_max: u32,
    /// The longest content that is passed in slices, in bytes, unless the handler sets its own limit; longer content is
    /// answered with 413.
    pub content_bytes_max: u64,
    /// The most bytes of chunk extensions in one message; more are answered with 400.
    pub chunk_extension_bytes_max: u16,
    /// The longest trailer section, in bytes; a longer one is answered with 431.
    pub trailer_bytes_max: u16,
    /// The most requests that are served on one connection; the last response says `Connection: close`. `None`: no
    /// limit.
    pub requests_per_connection_max: Option<u32>,
    /// The longest buffered response (head and copied body), in bytes; 500 replaces a longer one. Streamed responses
    /// have no limit.
    pub response_bytes_max: u32,
    /// The most content, in bytes, that is read and dropped after the handler left it unread, so that the connection
    /// can be kept. If there is more, the response says `Connection: close` and the connection lingers.
    pub discard_bytes_max: u32,
    /// The most exchanges under way at the same time; further requests are answered with 503, and their connections are
    /// kept. `None`: as many as connections. Upgraded connections do not count.
    pub in_flight_max: Option<u32>,
    /// What happens to a new connection when no slot is free and none can be freed.
    pub overload: Overload,
    /// The time limits.
    pub timeouts: Timeouts,
}

/// What happens to a new connection when no slot is free and none can be freed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Overload {
    /// One waits in the lobby (one per listener), the others in the kernel's backlog. Meanwhile responses say
    /// `Connection: close`, to free slots.
    #[default]
    Wait,
    /// It gets a 503 with `Retry-After`, in a slot reserved for that.
    Refuse,
}

/// The longest that each phase may take, in milliseconds. `None` disables a timeout, and `u32::MAX` (49 days) may; by default, none
/// is disabled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// From accept to the first byte; then the connection is closed.
    pub first_byte_timeout_ms: Option<u32>,
    /// The whole head, from its first byte; then 408 and close.
    pub head_timeout_ms: Option<u32>,
    /// Content without any progress; then 408 and close. Also received content that waits for another buffer; then 503
    /// and close.
    pub content_timeout_ms: Option<u32>,
    /// Writing without any progress; then close.
    pub write_timeout_ms: Option<u32>,
    /// The slowest accepted transfer while an operation is in flight; then the same as for a transfer without progress.
    pub rate_min: Option<RateMin>,
    /// A deferred answer; then 503 and close.
    pub defer_timeout_ms: Option<u32>,
    /// An upgraded connection or a tunnel on which nothing arrives; then close.
    pub upgraded_timeout_ms: Option<u32>,
    /// Idle between requests; then close.
    pub idle_timeout_ms: Option<u32>,
    /// Silence of a client while the connection lingers (RFC 9112 §9.6): after the last response the connection stays
    /// open until the client has closed its side, so that a reset cannot destroy bytes that the client has not read
    /// yet. It starts when the client has acknowledged the whole response; until then the limits for writing apply. A
    /// client that continues to send must keep up with `rate_min`. Checked once a second. Then close.
    pub linger_timeout_ms: Option<u32>,
    /// The longest that a connection lingers, from when the client has acknowledged the whole response, however much it
    /// sends; then close. A lingering connection holds no buffer, and is the first to be closed when a new connection
    /// finds no slot.
    pub linger_total_timeout_ms: Option<u32>,
    /// From the start of a graceful stop until the connections that remain are aborted.
    pub stop_timeout_ms: Option<u32>,
}

/// A minimum transfer rate: at least `bytes` in each window of `window_ms` during which an operation was in flight.
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
    /// The same limits, but no head, response, or collected content longer than `buffer_bytes`, for a pool without longer buffers;
    /// and a target is at most half of a head that this shortens.
    ///
    /// ```
    /// use aurora_http_core::limits::Limits;
    ///
    /// const LIMITS: Limits = Limits::small_device().within(512);
    /// assert_eq!((LIMITS.head_bytes_max, LIMITS.target_bytes_max), (512, 256));
    /// ```
    #[must_use]
    pub const fn within(mut self, buffer_bytes: u32) -> Self {
        const fn min(a: u32, b: u32) -> u32 {
            if a < b { a } else { b }
        }
        if self.head_bytes_max > buffer_bytes {
            self.head_bytes_max = buffer_bytes;
            self.target_bytes_max = min(self.target_bytes_max, buffer_bytes / 2);
        }
        self.content_collected_max = min(self.content_collected_max, buffer_bytes);
        self.response_bytes_max = min(self.response_bytes_max, buffer_bytes);
        self
    }

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
