//! What stands around a handler: logs, request numbers, authentication, CORS.

use core::ops::ControlFlow;

use super::{ConnectionId, ConnectionInfo, Content, Flow, Handler, Refusal};
use crate::error::CloseReason;
use crate::request::Request;
use crate::writer::ResponseWriter;

/// Sees every request before a handler does, and every response behind it. Put together by [`around`], several of them by
/// putting one around the other.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use aurora_http_core::handler::{Around, around, handler_fn};
/// use aurora_http_core::request::Request;
/// use aurora_http_core::writer::ResponseWriter;
///
/// /// Lets nobody in without the word.
/// struct Guard;
///
/// impl Around for Guard {
///     type Note = ();
///
///     fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<()> {
///         if request.fields().get("X-Word") == Some(b"sesame") {
///             return ControlFlow::Continue(());
///         }
///         let _ = response.fail(403);
///         ControlFlow::Break(())
///     }
/// }
///
/// let handler = around(Guard, handler_fn(|_request, response| response.body("come in\n")));
/// ```
pub trait Around {
    /// What is kept for an exchange, from its request to the end of its response.
    type Note;

    /// A request is there. To answer it, write a response and break: then the handler is not called. What is
    /// [added](ResponseWriter::add_field) here is in the response if the handler writes its head in this call;
    /// [`between`](Self::between) adds it to those that come later.
    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<(), Self::Note>;

    /// Another call of the handler for the exchange comes next.
    fn between(&mut self, note: &mut Self::Note, response: &mut ResponseWriter<'_>) {
        let _ = (note, response);
    }

    /// A call of the handler is over, and the exchange goes on. [`ResponseWriter::written`] tells what it wrote.
    fn wrote(&mut self, note: &mut Self::Note, response: &ResponseWriter<'_>) {
        let _ = (note, response);
    }

    /// The handler has finished its response in the call that is over.
    fn finished(&mut self, note: Self::Note, response: &ResponseWriter<'_>) {
        let _ = (note, response);
    }

    /// The exchange ends before its response is complete; as [`Handler::abandoned`].
    fn abandoned(&mut self, note: Self::Note, reason: CloseReason) {
        let _ = (note, reason);
    }

    /// As [`Handler::refused`], in front of that of the handler inside.
    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        let _ = (refusal, response);
    }

    /// As [`Handler::accepted`]. The handler inside is not asked when this answers `false`.
    fn accepted(&mut self, connection: &ConnectionInfo<'_>) -> bool {
        let _ = connection;
        true
    }

    /// As [`Handler::closed`], in front of that of the handler inside.
    fn closed(&mut self, id: ConnectionId, reason: CloseReason, requests_served: u32) {
        let _ = (id, reason, requests_served);
    }
}

/// Puts `outer` around `inner`.
pub const fn around<A: Around, H: Handler>(outer: A, inner: H) -> Wrapped<A, H> {
    Wrapped { outer, inner }
}

/// The handler that [`around`] makes.
#[derive(Clone, Copy, Debug)]
pub struct Wrapped<A, H> {
    outer: A,
    inner: H,
}

impl<A: Around, H: Handler> Wrapped<A, H> {
    /// Behind a call of the handler inside.
    fn settle<E>(&mut self, mut note: A::Note, flow: Flow<E>, response: &ResponseWriter<'_>) -> Flow<(A::Note, E)> {
        if matches!(flow, Flow::Finish) {
            self.outer.finished(note, response);
            return Flow::Finish;
        }
        self.outer.wrote(&mut note, response);
        flow.map(|state| (note, state))
    }
}

impl<A: Around, H: Handler> Handler for Wrapped<A, H> {
    type Exchange = (A::Note, H::Exchange);

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        match self.outer.before(request, response) {
            ControlFlow::Break(()) => Flow::Finish,
            ControlFlow::Continue(note) => {
                let flow = self.inner.request(request, response);
                self.settle(note, flow, response)
            }
        }
    }

    fn collected(
        &mut self,
        (mut note, state): Self::Exchange,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        self.outer.between(&mut note, response);
        let flow = self.inner.collected(state, request, content, response);
        self.settle(note, flow, response)
    }

    fn receive(
        &mut self,
        (mut note, state): Self::Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        self.outer.between(&mut note, response);
        let flow = self.inner.receive(state, content, response);
        self.settle(note, flow, response)
    }

    fn produce(
        &mut self,
        (mut note, state): Self::Exchange,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        self.outer.between(&mut note, response);
        let flow = self.inner.produce(state, response);
        self.settle(note, flow, response)
    }

    fn resume(&mut self, (mut note, state): Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        self.outer.between(&mut note, response);
        let flow = self.inner.resume(state, response);
        self.settle(note, flow, response)
    }

    fn stopping(&mut self, flow: Flow<Self::Exchange>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let mut parts = None;
        let flow = flow.map(|exchange| parts = Some(exchange));
        let Some((mut note, state)) = parts else { return Flow::Finish };
        self.outer.between(&mut note, response);
        let flow = self.inner.stopping(flow.map(|()| state), response);
        self.settle(note, flow, response)
    }

    fn half_closed(&mut self, (note, state): Self::Exchange) -> Option<Self::Exchange> {
        match self.inner.half_closed(state) {
            Some(state) => Some((note, state)),
            None => {
                self.outer.abandoned(note, CloseReason::PeerClosedEarly);
                None
            }
        }
    }

    fn abandoned(&mut self, (note, state): Self::Exchange, reason: CloseReason) {
        self.outer.abandoned(note, reason);
        self.inner.abandoned(state, reason);
    }

    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        self.outer.refused(refusal, response);
        self.inner.refused(refusal, response);
    }

    fn accepted(&mut self, connection: &ConnectionInfo<'_>) -> bool {
        self.outer.accepted(connection) && self.inner.accepted(connection)
    }

    fn closed(&mut self, id: ConnectionId, reason: CloseReason, requests_served: u32) {
        self.outer.closed(id, reason, requests_served);
        self.inner.closed(id, reason, requests_served);
    }
}
