//! States of exchanges that have the methods to continue them.

use core::convert::Infallible;

use super::{Content, Flow};
use crate::error::CloseReason;
use crate::writer::ResponseWriter;

/// The state of an exchange, with the methods to continue it: for programs in which every route has its own state.
/// [`Respond::Exchange`](super::Respond::Exchange) is one.
///
/// The methods and their defaults are those of [`Handler`](super::Handler) with the same names.
///
/// ```
/// use aurora_http_core::handler::{Exchange, Flow, Respond, handler_fn};
/// use aurora_http_core::writer::ResponseWriter;
///
/// /// Counts down, one line per send.
/// struct CountDown(u32);
///
/// impl Exchange for CountDown {
///     fn produce(mut self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
///         if self.0 == 0 || response.write(b"tick\n").is_err() {
///             return Flow::Finish;
///         }
///         self.0 -= 1;
///         Flow::Produce(self)
///     }
/// }
///
/// /// What a function returns to begin it.
/// impl Respond for CountDown {
///     type Exchange = Self;
///
///     fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
///         match response.stream(None) {
///             Ok(()) => self.produce(response),
///             Err(_) => Flow::Finish, // the error is kept, and answered
///         }
///     }
/// }
///
/// let handler = handler_fn(|_request, _response| CountDown(10));
/// ```
pub trait Exchange: Sized {
    /// See [`Handler::receive`](super::Handler::receive).
    fn receive(self, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        let _ = content;
        unexpected(response)
    }

    /// See [`Handler::produce`](super::Handler::produce).
    fn produce(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        unexpected(response)
    }

    /// See [`Handler::resume`](super::Handler::resume).
    fn resume(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        unexpected(response)
    }

    /// See [`Handler::stopping`](super::Handler::stopping).
    fn stopping(flow: Flow<Self>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        let _ = response;
        flow
    }

    /// See [`Handler::half_closed`](super::Handler::half_closed).
    fn half_closed(self) -> Option<Self> {
        Some(self)
    }

    /// See [`Handler::abandoned`](super::Handler::abandoned).
    fn abandoned(self, reason: CloseReason) {
        let _ = reason;
    }
}

fn unexpected<T>(response: &mut ResponseWriter<'_>) -> Flow<T> {
    let _ = response.fail(500);
    Flow::Finish
}

impl Exchange for Infallible {}

impl<X: Exchange> Exchange for Option<X> {
    fn receive(self, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match self {
            Some(state) => state.receive(content, response).map(Some),
            None => unexpected(response),
        }
    }

    fn produce(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match self {
            Some(state) => state.produce(response).map(Some),
            None => unexpected(response),
        }
    }

    fn resume(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match self {
            Some(state) => state.resume(response).map(Some),
            None => unexpected(response),
        }
    }

    fn stopping(flow: Flow<Self>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match flow.split() {
            (flow, Some(Some(state))) => X::stopping(flow.map(|()| state), response).map(Some),
            (flow, _) => flow.map(|()| None),
        }
    }

    fn half_closed(self) -> Option<Self> {
        match self {
            Some(state) => state.half_closed().map(Some),
            None => Some(None),
        }
    }

    fn abandoned(self, reason: CloseReason) {
        if let Some(state) = self {
            state.abandoned(reason);
        }
    }
}

/// One of two types: for handlers and functions whose branches continue in different ways. Nest it for more than two.
///
/// ```
/// use aurora_http_core::handler::{Either, deferred, handler_fn, whole};
/// use aurora_http_core::writer::WriteError;
///
/// let handler = handler_fn(|request, response| {
///     if request.target() == b"/later" {
///         response.wake_after(1_000);
///         return Ok::<_, WriteError>(Either::Left(deferred(|response| response.body("late\n"))));
///     }
///     Ok(Either::Right(whole("now\n")))
/// });
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Either<A, B> {
    /// The first type.
    Left(A),
    /// The second type.
    Right(B),
}

impl<A: Exchange, B: Exchange> Exchange for Either<A, B> {
    fn receive(self, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match self {
            Self::Left(state) => state.receive(content, response).map(Self::Left),
            Self::Right(state) => state.receive(content, response).map(Self::Right),
        }
    }

    fn produce(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match self {
            Self::Left(state) => state.produce(response).map(Self::Left),
            Self::Right(state) => state.produce(response).map(Self::Right),
        }
    }

    fn resume(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match self {
            Self::Left(state) => state.resume(response).map(Self::Left),
            Self::Right(state) => state.resume(response).map(Self::Right),
        }
    }

    fn stopping(flow: Flow<Self>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match flow.split() {
            (flow, Some(Self::Left(state))) => A::stopping(flow.map(|()| state), response).map(Self::Left),
            (flow, Some(Self::Right(state))) => B::stopping(flow.map(|()| state), response).map(Self::Right),
            (_, None) => Flow::Finish,
        }
    }

    fn half_closed(self) -> Option<Self> {
        match self {
            Self::Left(state) => state.half_closed().map(Self::Left),
            Self::Right(state) => state.half_closed().map(Self::Right),
        }
    }

    fn abandoned(self, reason: CloseReason) {
        match self {
            Self::Left(state) => state.abandoned(reason),
            Self::Right(state) => state.abandoned(reason),
        }
    }
}
