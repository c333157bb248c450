//! Errors and reasons that several modules share.

use core::fmt;

/// The destination is too small; nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BufferFull;

impl fmt::Display for BufferFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer is full")
    }
}

impl core::error::Error for BufferFull {}

/// Why a connection ended. The first reason is kept; each is counted per worker.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
#[repr(u8)]
pub enum CloseReason {
    /// The peer closed it between two exchanges, or before the first.
    PeerClosed,
    /// The peer closed it within a head or within content.
    PeerClosedEarly,
    /// The peer reset it, or the socket failed.
    PeerReset,
    /// The peer asked for it with `Connection: close`, or with HTTP/1.0 without keep-alive.
    PeerAsked,
    /// No byte arrived after the accept.
    FirstByteTimeout,
    /// The head did not arrive in time; answered 408.
    HeadTimeout,
    /// Content stalled or arrived too slowly; answered 408.
    ContentTimeout,
    /// The peer did not read the response, or read it too slowly.
    WriteTimeout,
    /// No byte arrived after a response.
    IdleTimeout,
    /// A deferred answer was not resolved in time; answered 503.
    DeferTimeout,
    /// Malformed request; answered 400, 417, 501 or 505.
    BadRequest,
    /// Head, target, fields, content or trailers beyond a limit; answered 413, 414 or 431.
    TooLarge,
    /// The handler left more content unread than is worth reading.
    ContentUnread,
    /// The connection reached its maximum number of requests.
    RequestLimit,
    /// A new connection needed its slot.
    Evicted,
    /// Refused on arrival, or ended while it waited, because something was full; answered 503 where possible.
    Shed,
    /// The response was cut off: the handler failed after its head, or wrote less than it announced.
    ResponseFailed,
    /// The handler neither consumed nor wrote anything when it was called; answered 500 if nothing of its response had
    /// been sent.
    HandlerStalled,
    /// The end of the connection marked the end of the response.
    CloseDelimited,
    /// The upgraded protocol ended.
    UpgradeFinished,
    /// A CONNECT was answered with another status than 2xx, and the bytes after it must not be interpreted (RFC 9931).
    TunnelRefused,
    /// The connection was handed to the program: [`Flow::Detach`](crate::handler::Flow::Detach).
    Detached,
    /// A graceful stop.
    Stopped,
    /// The deadline of a stop passed, or an abort was requested.
    Aborted,
}

impl CloseReason {
    /// The number of reasons.
    pub const COUNT: usize = Self::Aborted as usize + 1;

    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::PeerClosed,
        Self::PeerClosedEarly,
        Self::PeerReset,
        Self::PeerAsked,
        Self::FirstByteTimeout,
        Self::HeadTimeout,
        Self::ContentTimeout,
        Self::WriteTimeout,
        Self::IdleTimeout,
        Self::DeferTimeout,
        Self::BadRequest,
        Self::TooLarge,
        Self::ContentUnread,
        Self::RequestLimit,
        Self::Evicted,
        Self::Shed,
        Self::ResponseFailed,
        Self::HandlerStalled,
        Self::CloseDelimited,
        Self::UpgradeFinished,
        Self::TunnelRefused,
        Self::Detached,
        Self::Stopped,
        Self::Aborted,
    ];

    /// Whether nothing was lost, as far as this side knows: no request was left without an answer, and no answer was
    /// cut off.
    #[must_use]
    pub const fn is_orderly(self) -> bool {
        match self {
            Self::PeerClosed
            | Self::PeerAsked
            | Self::FirstByteTimeout
            | Self::IdleTimeout
            | Self::ContentUnread
            | Self::RequestLimit
            | Self::Evicted
            | Self::CloseDelimited
            | Self::UpgradeFinished
            | Self::TunnelRefused
            | Self::Detached
            | Self::Stopped => true,
            Self::PeerClosedEarly
            | Self::PeerReset
            | Self::HeadTimeout
            | Self::ContentTimeout
            | Self::WriteTimeout
            | Self::DeferTimeout
            | Self::BadRequest
            | Self::TooLarge
            | Self::Shed
            | Self::ResponseFailed
            | Self::HandlerStalled
            | Self::Aborted => false,
        }
    }

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PeerClosed => "peer_closed",
            Self::PeerClosedEarly => "peer_closed_early",
            Self::PeerReset => "peer_reset",
            Self::PeerAsked => "peer_asked",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::HeadTimeout => "head_timeout",
            Self::ContentTimeout => "content_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::DeferTimeout => "defer_timeout",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::ContentUnread => "content_unread",
            Self::RequestLimit => "request_limit",
            Self::Evicted => "evicted",
            Self::Shed => "shed",
            Self::ResponseFailed => "response_failed",
            Self::HandlerStalled => "handler_stalled",
            Self::CloseDelimited => "close_delimited",
            Self::UpgradeFinished => "upgrade_finished",
            Self::TunnelRefused => "tunnel_refused",
            Self::Detached => "detached",
            Self::Stopped => "stopped",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
