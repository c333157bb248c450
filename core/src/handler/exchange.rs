//! Exchanges that go on by themselves, each with a state of its own.

use core::convert::Infallible;

use super::{Content, Flow};
use crate::error::CloseReason;
use crate::writer::ResponseWriter;

/// The state of an exchange that goes on by itself, for programs in which every route has a state of its own.
///
/// The methods are those of [`Handler`](super::Handler) with the same names, and so is what they do unless implemented.
pub trait Exchange: Sized {
    /// As [`Handler::receive`](super::Handler::receive).
    fn receive(self, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        let _ = content;
        unexpected(response)
    }

    /// As [`Handler::produce`](super::Handler::produce).
    fn produce(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        unexpected(response)
    }

    /// As [`Handler::resume`](super::Handler::resume).
    fn resume(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        unexpected(response)
    }

    /// As [`Handler::stopping`](super::Handler::stopping).
    fn stopping(flow: Flow<Self>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        let _ = response;
        flow
    }

    /// As [`Handler::half_closed`](super::Handler::half_closed).
    fn half_closed(self) -> Option<Self> {
        Some(self)
    }

    /// As [`Handler::abandoned`](super::Handler::abandoned).
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

/// One of two: for handlers and functions whose branches go on in different ways. More than two nest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Either<A, B> {
    /// The first one.
    Left(A),
    /// The second one.
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
