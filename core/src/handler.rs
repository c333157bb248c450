//! What a program supplies: a [`Handler`], called once the head of a request is there, and again as its exchange needs.

mod around;
mod content;
mod duplex;
mod exchange;
mod flow;
mod forms;
mod function;
mod refusal;
mod respond;

use crate::error::CloseReason;
pub use crate::peer::{ConnectionId, ConnectionInfo};
use crate::request::Request;
use crate::writer::ResponseWriter;
pub use around::{Around, Wrapped, around};
pub use content::Content;
pub use duplex::{Duplex, Wire, duplex};
pub use exchange::{Either, Exchange};
pub use flow::Flow;
pub use forms::{
    Deferred, Producing, Progress, Receiving, Upgraded, Whole, deferred, producing, receiving, upgraded, whole,
};
pub use function::{CollectFn, HandlerFn, collect_fn, handler_fn};
pub use refusal::{Refusal, RefusalCause};
pub use respond::{ErrorResponse, Respond};

/// Answers requests. One per worker: it is called from one thread only and may keep state of its own.
///
/// Each call returns a [`Flow`] that says what the exchange wants next; the state inside it comes back with the next
/// call, or goes to [`abandoned`](Self::abandoned) when the exchange ends early.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "expected a `Handler`",
    note = "a function becomes a handler by `handler_fn(function)`, or by `collect_fn(function)` with the content of requests",
    note = "`serve` and `start` take a function that makes a handler for each worker: `.serve(|_worker| handler_fn(function))`"
)]
pub trait Handler {
    /// What an exchange keeps between two calls. Small: every connection slot has room for one.
    type Exchange;

    /// The head of a request is there. Called exactly once per request.
    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange>;

    /// The whole content is there, after [`Flow::Collect`]; the head is still readable.
    ///
    /// Answers 500 unless implemented.
    fn collected(
        &mut self,
        state: Self::Exchange,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        let _ = (state, request, content);
        let _ = response.fail(500);
        Flow::Finish
    }

    /// A slice of the content is there, after [`Flow::Receive`]. It counts as taken, unless the handler
    /// [consumes](Content::consume) a part of it or [holds](Content::hold) it: what is held is offered again after the
    /// writer drained, or together with more when nothing was written.
    ///
    /// Answers 500 unless implemented.
    fn receive(
        &mut self,
        state: Self::Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        let _ = (state, content);
        let _ = response.fail(500);
        Flow::Finish
    }

    /// The send buffer is empty, after [`Flow::Produce`]: write the next piece.
    ///
    /// Answers 500 unless implemented.
    fn produce(&mut self, state: Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let _ = state;
        let _ = response.fail(500);
        Flow::Finish
    }

    /// The token was resolved, or the time of [`ResponseWriter::wake_after`] has come, after [`Flow::Defer`] or
    /// [`Flow::ReceiveOrResume`]: answer, or wait again. [`ResponseWriter::is_woken_by_time`] tells the two apart. A token is
    /// used up by its call; one that was not resolved stays valid.
    ///
    /// Answers 500 unless implemented.
    fn resume(&mut self, state: Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let _ = state;
        let _ = response.fail(500);
        Flow::Finish
    }

    /// A graceful stop has begun, and the exchange waits for a token, a time, or the bytes of another protocol: `flow` is
    /// what the handler returned last. Called once, so that it may end now, with a farewell where the protocol has one; not
    /// where another call comes first, in which [`ResponseWriter::is_stopping`] tells. What is returned counts; unless
    /// implemented, the exchange goes on as before, until
    /// [`Timeouts::stop_timeout_ms`](crate::limits::Timeouts::stop_timeout_ms).
    fn stopping(&mut self, flow: Flow<Self::Exchange>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let _ = response;
        flow
    }

    /// The client of a deferred answer has closed its sending side. `Some`, which is the default, goes on waiting: a client
    /// that only closed its sending side still reads its answer (RFC 9112 §9.6), and one that is gone resets the connection
    /// when the answer reaches it. Asked again when the answer is deferred once more. `None` closes the connection, for
    /// answers that are expensive.
    ///
    /// The end is noticed at once, unless the client has sent more behind its request than one buffer holds.
    fn half_closed(&mut self, state: Self::Exchange) -> Option<Self::Exchange> {
        Some(state)
    }

    /// The exchange ends before its response is complete, whatever it was waiting for: the client reset the connection, a
    /// deadline passed, the server stopped or answered in place of the handler. Releases what the state owns; drops it unless
    /// implemented.
    ///
    /// Not called where the handler let go of the state itself: by [`Flow::Finish`], by `None` from
    /// [`half_closed`](Self::half_closed), or with the [`Engine`](crate::engine::Engine), which drops the states of the
    /// connections it still has.
    fn abandoned(&mut self, state: Self::Exchange, reason: CloseReason) {
        let _ = (state, reason);
    }

    /// The server answers in place of the handler: the request is refused before a handler is called for it, comes too
    /// late, or what the handler wrote is replaced after an error. Write a whole response to give the answer a form of
    /// your own, with [`Refusal::status`] or any other error status; [`ResponseWriter::add_field`] alone keeps the
    /// server's own text. A response that cannot be written is replaced by the server's.
    ///
    /// Not called for an answer to which nothing can be added because no buffer is free.
    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        let _ = (refusal, response);
    }

    /// A connection was accepted; `false` closes it at once. Costs nothing unless implemented.
    #[inline]
    fn accepted(&mut self, connection: &ConnectionInfo<'_>) -> bool {
        let _ = connection;
        true
    }

    /// A connection is gone, or given to the program. Also those that [`accepted`](Self::accepted) was not asked about,
    /// because they came when all slots were taken or a stop had begun. Costs nothing unless implemented.
    #[inline]
    fn closed(&mut self, id: ConnectionId, reason: CloseReason, requests_served: u32) {
        let _ = (id, reason, requests_served);
    }
}

/// A handler that is lent: for programs that keep it, and for tests.
impl<H: Handler + ?Sized> Handler for &mut H {
    type Exchange = H::Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        (**self).request(request, response)
    }

    fn collected(
        &mut self,
        state: Self::Exchange,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        (**self).collected(state, request, content, response)
    }

    fn receive(
        &mut self,
        state: Self::Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        (**self).receive(state, content, response)
    }

    fn produce(&mut self, state: Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        (**self).produce(state, response)
    }

    fn resume(&mut self, state: Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        (**self).resume(state, response)
    }

    fn stopping(&mut self, flow: Flow<Self::Exchange>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        (**self).stopping(flow, response)
    }

    fn half_closed(&mut self, state: Self::Exchange) -> Option<Self::Exchange> {
        (**self).half_closed(state)
    }

    fn abandoned(&mut self, state: Self::Exchange, reason: CloseReason) {
        (**self).abandoned(state, reason);
    }

    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        (**self).refused(refusal, response);
    }

    #[inline]
    fn accepted(&mut self, connection: &ConnectionInfo<'_>) -> bool {
        (**self).accepted(connection)
    }

    #[inline]
    fn closed(&mut self, id: ConnectionId, reason: CloseReason, requests_served: u32) {
        (**self).closed(id, reason, requests_served);
    }
}
