//! Two endpoints as one; the number of the route selects one of them.

use core::convert::Infallible;

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Either, Flow};
use aurora_http_core::writer::ResponseWriter;

use super::{Endpoint, unexpected};
use crate::call::Call;

/// The endpoint of a table without routes.
#[derive(Clone, Copy, Debug)]
pub struct NoEndpoint;

impl<S> Endpoint<S> for NoEndpoint {
    type Exchange = Infallible;
    const ROUTES: usize = 0;

    fn call(&mut self, _: &mut S, _: &Call<'_>, response: &mut ResponseWriter<'_>) -> Flow<Infallible> {
        unexpected(response)
    }
}

/// The routes of the first one, then those of the second one.
#[derive(Clone, Copy, Debug)]
pub struct Pair<A, B>(pub(crate) A, pub(crate) B);

/// Continues in the endpoint that the exchange belongs to.
macro_rules! either {
    ($exchange:expr, $left:ident => $in_left:expr, $right:ident => $in_right:expr) => {
        match $exchange {
            Either::Left($left) => $in_left.map(Either::Left),
            Either::Right($right) => $in_right.map(Either::Right),
        }
    };
}

impl<S, A: Endpoint<S>, B: Endpoint<S>> Endpoint<S> for Pair<A, B> {
    type Exchange = Either<A::Exchange, B::Exchange>;
    const ROUTES: usize = A::ROUTES + B::ROUTES;

    // Inlined into one another, all comparisons with a route's number become a jump table.
    #[inline(always)]
    fn call(&mut self, state: &mut S, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        if (call.route as usize) < A::ROUTES {
            self.0.call(state, call, response).map(Either::Left)
        } else {
            self.1.call(state, &call.behind(A::ROUTES), response).map(Either::Right)
        }
    }

    fn collected(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        call: &Call<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        either!(exchange,
            left => self.0.collected(left, state, call, response),
            right => self.1.collected(right, state, &call.behind(A::ROUTES), response))
    }

    fn receive(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        either!(exchange,
            left => self.0.receive(left, state, content, response),
            right => self.1.receive(right, state, content, response))
    }

    fn produce(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        either!(exchange,
            left => self.0.produce(left, state, response),
            right => self.1.produce(right, state, response))
    }

    fn resume(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        either!(exchange,
            left => self.0.resume(left, state, response),
            right => self.1.resume(right, state, response))
    }

    fn stopping(
        &mut self,
        flow: Flow<Self::Exchange>,
        state: &mut S,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        match flow.split() {
            (flow, Some(Either::Left(left))) => self.0.stopping(flow.map(|()| left), state, response).map(Either::Left),
            (flow, Some(Either::Right(right))) => {
                self.1.stopping(flow.map(|()| right), state, response).map(Either::Right)
            }
            (_, None) => Flow::Finish,
        }
    }

    fn half_closed(&mut self, exchange: Self::Exchange, state: &mut S) -> Option<Self::Exchange> {
        either!(exchange,
            left => self.0.half_closed(left, state),
            right => self.1.half_closed(right, state))
    }

    fn abandoned(&mut self, exchange: Self::Exchange, state: &mut S, reason: CloseReason) {
        match exchange {
            Either::Left(left) => self.0.abandoned(left, state, reason),
            Either::Right(right) => self.1.abandoned(right, state, reason),
        }
    }
}
