//! Errors and reasons that several modules share.

use core::fmt;

/// The destination cannot take all of it; nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BufferFull;

impl fmt::Display for BufferFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer is full")
    }
}

impl core::error::Error for BufferFull {}

/// Why a connection ended. The first reason sticks; each is counted per worker.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
#[repr(u8)]
pub enum CloseReason {
    /// The peer ended it between two exchanges, or before the first.
    PeerClosed,
    /// The peer ended it inside a head or inside content.
    PeerClosedEarly,
    /// The peer reset it, or the socket failed.
    PeerReset,
    /// The peer asked for it: `Connection: close`, or HTTP/1.0 without keep-alive.
    PeerAsked,
    /// No byte came after the accept.
    FirstByteTimeout,
    /// The head did not come in time; answered 408.
    HeadTimeout,
    /// Content stalled or came too slowly; answered 408.
    ContentTimeout,
    /// The peer did not take the response, or took it too slowly.
    WriteTimeout,
    /// Nothing came between two requests.
    IdleTimeout,
    /// A deferred answer did not come; answered 503.
    DeferTimeout,
    /// Malformed request; answered 400, 417, 501 or 505.
    BadRequest,
    /// Head, target, fields, content or trailers beyond a limit; answered 413, 414 or 431.
    TooLarge,
    /// The handler left content unread, more than is worth reading.
    ContentUnread,
    /// The last of the requests that one connection may make.
    RequestLimit,
    /// Its slot was needed by a newcomer.
    Evicted,
    /// Refused on arrival, or shed while it waited: something was full; answered 503 where possible.
    Shed,
    /// The response broke off: the handler failed behind its head, or wrote less than it announced.
    ResponseFailed,
    /// The handler neither consumed nor wrote anything when it was its turn; answered 500 while nothing of its response
    /// had left.
    HandlerStalled,
    /// The response was delimited by the end of the connection.
    CloseDelimited,
    /// The upgraded protocol ended.
    UpgradeFinished,
    /// A CONNECT was answered with something else than 2xx, and nothing that follows it may be looked at (RFC 9931).
    TunnelRefused,
    /// The program got the connection: [`Flow::Detach`](crate::handler::Flow::Detach).
    Detached,
    /// A graceful stop.
    Stopped,
    /// A stop's deadline, or an abort.
    Aborted,
}

impl CloseReason {
    /// Number of reasons.
    pub const COUNT: usize = Self::Aborted as usize + 1;

    /// All of them, in the order of their numbers.
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

    /// Whether nothing was lost: no request without its answer, no answer without its end, as far as this side knows.
    #[must_use]
    pub const fn is_orderly(self) -> bool {
        match self {
            Self::PeerClosed
            | Self::PeerAsked
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
            | Self::FirstByteTimeout
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
