//! Wrappers around handlers: logs, request ids, authentication, CORS.

use core::ops::ControlFlow;

use super::{ConnectionId, ConnectionInfo, Flow, Handler, Needs, Refusal};
use crate::error::CloseReason;
use crate::request::Request;
use crate::writer::ResponseWriter;

/// A wrapper around a handler: it sees every request before the handler does, and every response after it. Apply it
/// with [`around`]; wrap the result again for several wrappers. What has to change responses after they were written is a
/// [`Handler`] itself, by [`forward_handler!`](crate::forward_handler).
///
/// ```
/// use std::ops::ControlFlow;
///
/// use aurora_http_core::handler::{Around, around, handler_fn};
/// use aurora_http_core::request::Request;
/// use aurora_http_core::writer::ResponseWriter;
///
/// /// Requires a password.
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
    /// What the wrapper keeps for an exchange, from its request to the end of its response.
    type Note;

    /// Called before the handler's [`request`](Handler::request). To answer without calling the handler, write a
    /// response and break. Fields that are [added](ResponseWriter::add_field) here are in the response if the handler
    /// writes its head in this call; [`between`](Self::between) can add them in later calls.
    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<(), Self::Note>;

    /// Called before each further call of the handler for the exchange.
    fn between(&mut self, note: &mut Self::Note, response: &mut ResponseWriter<'_>) {
        let _ = (note, response);
    }

    /// Called after a call of the handler if the exchange continues. [`ResponseWriter::written`] tells how much it
    /// wrote.
    fn wrote(&mut self, note: &mut Self::Note, response: &ResponseWriter<'_>) {
        let _ = (note, response);
    }

    /// Called after the call in which the handler finished its response, or after which nothing more of it is sent, as with HEAD.
    fn finished(&mut self, note: Self::Note, response: &ResponseWriter<'_>) {
        let _ = (note, response);
    }

    /// Called after the call in which the handler handed the connection over to the program ([`Flow::Detach`]), with which the
    /// exchange ends. The note goes to the program together with the exchange's state, so neither [`finished`](Self::finished) nor
    /// anything else is called for it, except [`abandoned`](Self::abandoned) if the connection breaks before the program has it.
    fn detached(&mut self, note: &mut Self::Note, response: &ResponseWriter<'_>) {
        let _ = (note, response);
    }

    /// The exchange ends before its response is complete: see [`Handler::abandoned`].
    fn abandoned(&mut self, note: Self::Note, reason: CloseReason) {
        let _ = (note, reason);
    }

    /// See [`Handler::refused`]. Called before that of the inner handler.
    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        let _ = (refusal, response);
    }

    /// See [`Handler::accepted`]. If this returns `false`, the inner handler is not asked.
    fn accepted(&mut self, connection: &ConnectionInfo<'_>) -> bool {
        let _ = connection;
        true
    }

    /// See [`Handler::closed`]. Called before that of the inner handler.
    fn closed(&mut self, id: ConnectionId, reason: CloseReason, requests_served: u32) {
        let _ = (id, reason, requests_served);
    }
}

/// Wraps `inner` in `outer`.
pub const fn around<A: Around, H: Handler>(outer: A, inner: H) -> Wrapped<A, H> {
    Wrapped { outer, inner }
}

/// The handler that [`around`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Wrapped<A, H> {
    outer: A,
    inner: H,
}

/// Tells a wrapper what has become of an exchange after a call of what it wraps, and returns what that call returned, together
/// with the wrapper's note. [`around`] does so for handlers; this is for wrappers around anything else that answers requests.
///
/// An exchange is finished as well when nothing of the rest of its response would be sent, as with HEAD: it is not called again.
///
/// ```
/// use core::ops::ControlFlow;
///
/// use aurora_http_core::handler::{Around, Flow, settle};
/// use aurora_http_core::request::Request;
/// use aurora_http_core::writer::ResponseWriter;
///
/// /// Calls a function that answers, with a wrapper around it.
/// fn call<A: Around, E>(
///     outer: &mut A,
///     function: fn(&mut ResponseWriter<'_>) -> Flow<E>,
///     request: &Request<'_>,
///     response: &mut ResponseWriter<'_>,
/// ) -> Flow<(A::Note, E)> {
///     match outer.before(request, response) {
///         ControlFlow::Break(()) => Flow::Finish,
///         ControlFlow::Continue(note) => {
///             let flow = function(response);
///             settle(outer, note, flow, response)
///         }
///     }
/// }
/// ```
pub fn settle<A: Around, E>(
    outer: &mut A,
    mut note: A::Note,
    flow: Flow<E>,
    response: &ResponseWriter<'_>,
) -> Flow<(A::Note, E)> {
    if response.is_over(&flow) {
        outer.finished(note, response);
        return Flow::Finish;
    }
    outer.wrote(&mut note, response);
    if matches!(flow, Flow::Detach(_)) {
        outer.detached(&mut note, response);
    }
    flow.map(|state| (note, state))
}

impl<A: Around, H: Handler> Wrapped<A, H> {
    /// Calls the handler again for an exchange.
    fn call_again(
        &mut self,
        (mut note, state): (A::Note, H::Exchange),
        response: &mut ResponseWriter<'_>,
        call: impl FnOnce(&mut H, H::Exchange, &mut ResponseWriter<'_>) -> Flow<H::Exchange>,
    ) -> Flow<(A::Note, H::Exchange)> {
        self.outer.between(&mut note, response);
        let flow = call(&mut self.inner, state, response);
        settle(&mut self.outer, note, flow, response)
    }
}

impl<A: Around, H: Handler> Handler for Wrapped<A, H> {
    const NEEDS: Needs = H::NEEDS;
    type Exchange = (A::Note, H::Exchange);

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        match self.outer.before(request, response) {
            ControlFlow::Break(()) => Flow::Finish,
            ControlFlow::Continue(note) => {
                let flow = self.inner.request(request, response);
                settle(&mut self.outer, note, flow, response)
            }
        }
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

    crate::forward_handler!(
        self => self.inner; through Self::call_again; except request, half_closed, abandoned, refused, accepted, closed
    );
}
