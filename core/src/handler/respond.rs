//! What becomes of the value that a function returns: nothing more, an exchange that goes on, or an error's response.

use core::convert::Infallible;

use super::Flow;
use super::exchange::{Either, Exchange};
use crate::writer::{ResponseWriter, WriteError};

/// What a function for [`handler_fn`](super::handler_fn) may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response",
    label = "a handler cannot return this",
    note = "a handler returns `()` or a `Result` after it has written its response with the `ResponseWriter`",
    note = "the error of a `Result` must implement `ErrorResponse`, as `WriteError` does",
    note = "an `async fn` cannot be a handler: answer later with `ResponseWriter::defer` and `Flow::Defer`"
)]
pub trait Respond {
    /// What goes on after the call; [`Infallible`] where nothing does.
    type Exchange: Exchange;

    /// Completes the response, or says what follows.
    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange>;
}

/// An error of the program's that becomes a response: `?` in a handler returns it.
///
/// What was written of the response before is discarded. When a part of it has left already, the response breaks off.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become a response",
    label = "this error has no response",
    note = "implement `ErrorResponse` for an error type of your own, and convert other errors into it with `From`"
)]
pub trait ErrorResponse {
    /// Writes the response: status, fields, content.
    ///
    /// # Errors
    /// What the writer says; then the server answers in its place.
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

    #[inline]
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
