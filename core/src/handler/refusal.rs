//! Answers that the server gives in place of the handler.

use crate::error::CloseReason;
use crate::writer::WriteError;

/// An answer that the server is about to give in place of the handler, for [`Handler::refused`](super::Handler::refused).
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    pub(crate) status: u16,
    pub(crate) cause: RefusalCause,
    pub(crate) target: Option<&'a [u8]>,
}

/// Why the server answers in place of the handler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RefusalCause {
    /// What the connection will end with: the request is not acceptable, too long or too late, or there is no room for it.
    Connection(CloseReason),
    /// More exchanges are under way than [`Limits::in_flight_max`](crate::limits::Limits::in_flight_max).
    InFlight,
    /// The handler failed, or wrote what cannot be a response.
    Handler(WriteError),
    /// The handler returned a [`Flow`](super::Flow) that does not fit here, or asks for what it declined.
    Flow,
    /// The handler has neither taken content nor written anything when it was its turn.
    Stalled,
}

impl RefusalCause {
    /// What [`Handler::abandoned`](super::Handler::abandoned) is told.
    pub(crate) const fn close_reason(self) -> CloseReason {
        match self {
            Self::Connection(reason) => reason,
            Self::Stalled => CloseReason::HandlerStalled,
            Self::InFlight | Self::Handler(_) | Self::Flow => CloseReason::ResponseFailed,
        }
    }
}

impl<'a> Refusal<'a> {
    /// The status of the server's own answer: 400 to 599.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Why there is one.
    #[must_use]
    pub const fn cause(&self) -> RefusalCause {
        self.cause
    }

    /// The request's target, as far as it was received, when its head is still there: for requests that are refused before
    /// a handler is called, and when the handler's first call failed.
    #[must_use]
    pub const fn target(&self) -> Option<&'a [u8]> {
        self.target
    }
}
