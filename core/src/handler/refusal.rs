//! Answers that the server sends in place of the handler.

use crate::error::CloseReason;
use crate::writer::WriteError;

/// An answer that the server is about to send in place of the handler, for
/// [`Handler::refused`](super::Handler::refused).
///
/// ```
/// use aurora_http_core::handler::{Flow, Handler, Refusal};
/// use aurora_http_core::request::Request;
/// use aurora_http_core::writer::{ResponseWriter, WriteError};
///
/// struct Api;
///
/// impl Handler for Api {
///     type Exchange = ();
///
///     fn request(&mut self, _request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
///         let _ = response.fail(404);
///         Flow::Finish
///     }
///
///     /// All errors in JSON, those of the server as well.
///     fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
///         let status = refusal.status();
///         let written: Result<(), WriteError> = (|| {
///             response.status(status)?;
///             response.field("Content-Type", "application/json")?;
///             response.body_fmt(format_args!("{{\"error\":{status}}}\n"))
///         })();
///         let _ = written; // on an error the server sends its own text
///     }
/// }
/// ```
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
    /// The connection will end for this reason: the request is unacceptable, too long or too late, or there is no room
    /// for it.
    Connection(CloseReason),
    /// More exchanges are under way than [`Limits::in_flight_max`](crate::limits::Limits::in_flight_max).
    InFlight,
    /// The handler failed, or wrote something that is not a response.
    Handler(WriteError),
    /// The handler returned a [`Flow`](super::Flow) that is not possible here, or asked for content that it had
    /// declined.
    Flow,
    /// The handler neither consumed nor wrote anything when it was called.
    Stalled,
}

impl RefusalCause {
    /// The reason for [`Handler::abandoned`](super::Handler::abandoned).
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

    /// Why the server answers.
    #[must_use]
    pub const fn cause(&self) -> RefusalCause {
        self.cause
    }

    /// The request's target, as far as it was received, if its head is still in the buffer: for requests that are
    /// refused without calling a handler, and if the handler's first call failed.
    #[must_use]
    pub const fn target(&self) -> Option<&'a [u8]> {
        self.target
    }
}
