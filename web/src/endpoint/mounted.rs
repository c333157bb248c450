//! Endpoints that are handlers, and endpoints behind middleware.

use core::ops::ControlFlow;

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Around, Content, Flow, Handler, settle};
use aurora_http_core::writer::ResponseWriter;

use super::Endpoint;
use crate::call::Call;

/// Makes an endpoint of a handler. The handler gets the request, but neither the parameters nor the state, and its methods
/// `accepted`, `closed` and `refused` are not called.
///
/// ```
/// use aurora_http_core::handler::handler_fn;
/// use aurora_http_core::request::Method;
/// use aurora_http_web::{Routes, handler};
///
/// let hello = handler_fn(|_request, response| response.body("hello\n"));
/// let site = Routes::new().on(Method::Get, "/hello", handler(hello)).with_state(());
/// ```
pub const fn handler<H: Handler>(handler: H) -> Mounted<H> {
    Mounted(handler)
}

/// The endpoint that [`handler`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Mounted<H>(H);

impl<S, H: Handler> Endpoint<S> for Mounted<H> {
    type Exchange = H::Exchange;

    fn call(&mut self, _: &mut S, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Flow<H::Exchange> {
        self.0.request(call, response)
    }

    fn collected(
        &mut self,
        exchange: H::Exchange,
        _: &mut S,
        call: &Call<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<H::Exchange> {
        self.0.collected(exchange, call, call.content(), response)
    }

    fn receive(
        &mut self,
        exchange: H::Exchange,
        _: &mut S,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<H::Exchange> {
        self.0.receive(exchange, content, response)
    }

    fn produce(&mut self, exchange: H::Exchange, _: &mut S, response: &mut ResponseWriter<'_>) -> Flow<H::Exchange> {
        self.0.produce(exchange, response)
    }

    fn resume(&mut self, exchange: H::Exchange, _: &mut S, response: &mut ResponseWriter<'_>) -> Flow<H::Exchange> {
        self.0.resume(exchange, response)
    }

    fn stopping(&mut self, flow: Flow<H::Exchange>, _: &mut S, response: &mut ResponseWriter<'_>) -> Flow<H::Exchange> {
        self.0.stopping(flow, response)
    }

    fn half_closed(&mut self, exchange: H::Exchange, _: &mut S) -> Option<H::Exchange> {
        self.0.half_closed(exchange)
    }

    fn abandoned(&mut self, exchange: H::Exchange, _: &mut S, reason: CloseReason) {
        self.0.abandoned(exchange, reason);
    }
}

/// Wrapped endpoints: see [`Routes::behind`](crate::Routes::behind).
#[derive(Clone, Copy, Debug)]
pub struct Behind<A, E> {
    pub(crate) outer: A,
    pub(crate) inner: E,
}

impl<A: Around, E> Behind<A, E> {
    /// Calls the endpoint again for an exchange.
    fn call_again<X>(
        &mut self,
        (mut note, exchange): (A::Note, X),
        response: &mut ResponseWriter<'_>,
        call: impl FnOnce(&mut E, X, &mut ResponseWriter<'_>) -> Flow<X>,
    ) -> Flow<(A::Note, X)> {
        self.outer.between(&mut note, response);
        let flow = call(&mut self.inner, exchange, response);
        settle(&mut self.outer, note, flow, response)
    }
}

impl<S, A: Around, E: Endpoint<S>> Endpoint<S> for Behind<A, E> {
    type Exchange = (A::Note, E::Exchange);
    const ROUTES: usize = E::ROUTES;

    fn call(&mut self, state: &mut S, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        match self.outer.before(call, response) {
            ControlFlow::Break(()) => Flow::Finish,
            ControlFlow::Continue(note) => {
                let flow = self.inner.call(state, call, response);
                settle(&mut self.outer, note, flow, response)
            }
        }
    }

    fn collected(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        call: &Call<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        self.call_again(exchange, response, |inner, exchange, response| {
            inner.collected(exchange, state, call, response)
        })
    }

    fn receive(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        self.call_again(exchange, response, |inner, exchange, response| {
            inner.receive(exchange, state, content, response)
        })
    }

    fn produce(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        self.call_again(exchange, response, |inner, exchange, response| inner.produce(exchange, state, response))
    }

    fn resume(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        self.call_again(exchange, response, |inner, exchange, response| inner.resume(exchange, state, response))
    }

    fn stopping(
        &mut self,
        flow: Flow<Self::Exchange>,
        state: &mut S,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        let (flow, Some(exchange)) = flow.split() else { return Flow::Finish };
        self.call_again(exchange, response, |inner, exchange, response| {
            inner.stopping(flow.map(|()| exchange), state, response)
        })
    }

    fn half_closed(&mut self, (note, exchange): Self::Exchange, state: &mut S) -> Option<Self::Exchange> {
        match self.inner.half_closed(exchange, state) {
            Some(exchange) => Some((note, exchange)),
            None => {
                self.outer.abandoned(note, CloseReason::PeerClosedEarly);
                None
            }
        }
    }

    fn abandoned(&mut self, (note, exchange): Self::Exchange, state: &mut S, reason: CloseReason) {
        self.outer.abandoned(note, reason);
        self.inner.abandoned(exchange, state, reason);
    }
}
