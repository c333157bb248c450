//! What answers the requests of a route: functions, handlers, and groups of them.

mod function;
mod mounted;
mod pair;

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow};
use aurora_http_core::writer::ResponseWriter;

use crate::call::Call;

pub use function::{Each, Function, Streaming, streaming};
pub use mounted::{Behind, Mounted, handler};
pub use pair::{NoEndpoint, Pair};

/// Answers the requests of a route. It has the methods of [`Handler`](aurora_http_core::handler::Handler), with the state `S`
/// as an additional argument, and a [`Call`] in place of the request.
///
/// Most programs only need functions. Implement this for exchanges that use the state in later calls.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer a route with the state `{S}`",
    label = "not an `Endpoint<{S}>`",
    note = "a function is added by `get`, `post`, `put`, `patch` or `delete`, or by `on` with `streaming(function)`",
    note = "a handler becomes an endpoint by `handler(it)`"
)]
pub trait Endpoint<S> {
    /// What an exchange keeps between two calls.
    type Exchange;

    /// The number of routes that this answers.
    #[doc(hidden)]
    const ROUTES: usize = 1;

    /// The head of a request has arrived.
    fn call(&mut self, state: &mut S, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange>;

    /// The whole content has arrived, after [`Flow::Collect`]: [`Call::content`].
    fn collected(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        call: &Call<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        let _ = (exchange, state, call);
        unexpected(response)
    }

    /// See [`Handler::receive`](aurora_http_core::handler::Handler::receive).
    fn receive(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        let _ = (exchange, state, content);
        unexpected(response)
    }

    /// See [`Handler::produce`](aurora_http_core::handler::Handler::produce).
    fn produce(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        let _ = (exchange, state);
        unexpected(response)
    }

    /// See [`Handler::resume`](aurora_http_core::handler::Handler::resume).
    fn resume(
        &mut self,
        exchange: Self::Exchange,
        state: &mut S,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        let _ = (exchange, state);
        unexpected(response)
    }

    /// See [`Handler::stopping`](aurora_http_core::handler::Handler::stopping).
    fn stopping(
        &mut self,
        flow: Flow<Self::Exchange>,
        state: &mut S,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        let _ = (state, response);
        flow
    }

    /// See [`Handler::half_closed`](aurora_http_core::handler::Handler::half_closed).
    fn half_closed(&mut self, exchange: Self::Exchange, state: &mut S) -> Option<Self::Exchange> {
        let _ = state;
        Some(exchange)
    }

    /// See [`Handler::abandoned`](aurora_http_core::handler::Handler::abandoned).
    fn abandoned(&mut self, exchange: Self::Exchange, state: &mut S, reason: CloseReason) {
        let _ = (exchange, state, reason);
    }
}

fn unexpected<T>(response: &mut ResponseWriter<'_>) -> Flow<T> {
    let _ = response.fail(500);
    Flow::Finish
}
