//! Return values of handler functions: nothing, an exchange that continues, or an error that becomes a response.

use core::convert::Infallible;

use super::Flow;
use super::exchange::{Either, Exchange};
use crate::writer::{ResponseWriter, WriteError};

/// What a function for [`handler_fn`](super::handler_fn) can return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response",
    label = "a handler cannot return this",
    note = "a handler returns `()` or a `Result` after it has written its response with the `ResponseWriter`",
    note = "the error of a `Result` must implement `ErrorResponse`, as `WriteError` does",
    note = "an `async fn` cannot be a handler: answer later with `ResponseWriter::defer` and `Flow::Defer`"
)]
pub trait Respond {
    /// The state if the exchange continues after the call; [`Infallible`] if it never does.
    type Exchange: Exchange;

    /// Completes the response, or returns what follows.
    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange>;
}

/// An error type of the program that can become a response, so that a handler can use `?`.
///
/// What was written of the response before is discarded. If a part of it has been sent, the response is cut off.
///
/// ```
/// use aurora_http_core::handler::{ErrorResponse, handler_fn};
/// use aurora_http_core::request::Request;
/// use aurora_http_core::writer::{ResponseWriter, WriteError};
///
/// enum Error {
///     NoSuchItem,
///     Write(WriteError),
/// }
///
/// impl From<WriteError> for Error {
///     fn from(error: WriteError) -> Self {
///         Self::Write(error)
///     }
/// }
///
/// impl ErrorResponse for Error {
///     fn respond(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
///         match self {
///             Self::NoSuchItem => {
///                 response.status(404)?;
///                 response.body("no such item\n")
///             }
///             Self::Write(error) => error.respond(response),
///         }
///     }
/// }
///
/// fn item(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Error> {
///     let name = request.target().strip_prefix(b"/items/").ok_or(Error::NoSuchItem)?;
///     Ok(response.body(name)?)
/// }
///
/// let handler = handler_fn(item);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become a response",
    label = "this error has no response",
    note = "implement `ErrorResponse` for your own error type, and convert other errors into it with `From`"
)]
pub trait ErrorResponse {
    /// Writes the response: status, fields, content.
    ///
    /// # Errors
    /// Those of the writer; the server then answers instead.
    fn respond(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError>;
}

impl ErrorResponse for WriteError {
    fn respond(&self, _response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        Err(*self)
    }
}

impl ErrorResponse for Infallible {
    fn respond(&self, _response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        match *self {}
    }
}

impl Respond for () {
    type Exchange = Infallible;

    #[inline]
    fn respond(self, _response: &mut ResponseWriter<'_>) -> Flow<Infallible> {
        Flow::Finish
    }
}

impl<R: Respond, E: ErrorResponse> Respond for Result<R, E> {
    type Exchange = R::Exchange;

    #[cfg_attr(not(feature = "small"), inline)]
    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<R::Exchange> {
        match self {
            Ok(reply) => reply.respond(response),
            Err(error) => fail(&error, response),
        }
    }
}

#[cold]
pub(super) fn fail<T>(error: &impl ErrorResponse, response: &mut ResponseWriter<'_>) -> Flow<T> {
    if response.reset().is_ok()
        && let Err(error) = error.respond(response)
    {
        response.fail_with(error);
    }
    Flow::Finish
}

impl<A: Respond, B: Respond> Respond for Either<A, B> {
    type Exchange = Either<A::Exchange, B::Exchange>;

    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        match self {
            Self::Left(reply) => reply.respond(response).map(Either::Left),
            Self::Right(reply) => reply.respond(response).map(Either::Right),
        }
    }
}
