//! What a program provides: a [`Handler`], which is called when the head of a request is complete, and again as its
//! exchange needs.

mod around;
mod content;
mod duplex;
mod exchange;
mod flow;
mod forms;
mod forward;
mod function;
mod needs;
mod refusal;
mod respond;

use crate::error::CloseReason;
pub use crate::peer::{ConnectionId, ConnectionInfo};
use crate::request::Request;
use crate::writer::ResponseWriter;
pub use around::{Around, Wrapped, around, settle};
pub use content::Content;
pub use duplex::{Duplex, Wire, duplex};
pub use exchange::{Either, Exchange};
pub use flow::Flow;
pub use forms::{
    Deferred, Producing, Progress, Receiving, Upgraded, Whole, deferred, producing, receiving, upgraded, whole,
};
pub use function::{CollectFn, HandlerFn, collect_fn, handler_fn};
pub use needs::Needs;
pub use refusal::{Refusal, RefusalCause};
pub use respond::{ErrorResponse, Respond};

/// Answers requests. Each worker has its own handler, which is called from one thread only and may keep state.
///
/// Each call returns a [`Flow`] that says what the exchange needs next. The state in it is passed to the next call, or
/// to [`abandoned`](Self::abandoned) if the exchange ends early.
///
/// [`handler_fn`] makes a handler of a function, which is enough for most programs. Implementing the trait gives access
/// to everything:
///
/// ```
/// use aurora_http_core::handler::{Content, Flow, Handler};
/// use aurora_http_core::request::Request;
/// use aurora_http_core::writer::ResponseWriter;
///
/// /// Answers with the length of the content, which may be as long as the limits allow.
/// struct Count;
///
/// impl Handler for Count {
///     /// Bytes received so far.
///     type Exchange = u64;
///
///     fn request(&mut self, _request: &Request<'_>, _response: &mut ResponseWriter<'_>) -> Flow<u64> {
///         Flow::Receive(0)
///     }
///
///     fn receive(&mut self, bytes: u64, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<u64> {
///         let bytes = bytes + content.bytes().len() as u64;
///         if !content.ended() {
///             return Flow::Receive(bytes);
///         }
///         let _ = response.body_fmt(format_args!("{bytes} bytes\n")); // an error is kept, and answered
///         Flow::Finish
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "expected a `Handler`",
    note = "turn a function into a handler with `handler_fn(function)`, or with `collect_fn(function)` if it needs the content",
    note = "`serve` and `start` take a function that makes a handler for each worker: `.serve(|_worker| handler_fn(function))`"
)]
pub trait Handler {
    /// What the program needs of the engine, for microcontrollers: the code for anything else is left out. The default is
    /// everything, so a handler around another one [says](crate::forward_handler) that it needs what that one does.
    const NEEDS: Needs = Needs::ALL;

    /// What an exchange keeps between two calls. It should be small: every connection slot has room for one.
    type Exchange;

    /// The head of a request is complete. Called exactly once per request.
    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange>;

    /// The content has been collected, after [`Flow::Collect`]; the head can still be read.
    ///
    /// The default answers with 500.
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

    /// A slice of the content has arrived, after [`Flow::Receive`]. It counts as consumed, unless the handler
    /// [consumes](Content::consume) only a part of it or [holds](Content::hold) it. Held content is offered again after
    /// the output has been sent, or if nothing was written, together with more content.
    ///
    /// The default answers with 500.
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
    /// The default answers with 500.
    fn produce(&mut self, state: Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let _ = state;
        let _ = response.fail(500);
        Flow::Finish
    }

    /// The token was resolved, or the time of [`ResponseWriter::wake_after`] has come, after [`Flow::Defer`] or
    /// [`Flow::ReceiveOrResume`]: answer, or wait again. [`ResponseWriter::is_woken_by_time`] tells the two apart. A
    /// resolved token is used up by this call; one that was not resolved stays valid.
    ///
    /// The default answers with 500.
    fn resume(&mut self, state: Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let _ = state;
        let _ = response.fail(500);
        Flow::Finish
    }

    /// A graceful stop has begun while the exchange waits for a token, a time, or bytes of another protocol; `flow` is
    /// what the handler returned last. It may end the exchange now, with a closing message if the protocol has one.
    /// Called once, and not if another call comes first, in which [`ResponseWriter::is_stopping`] returns true. What it
    /// returns replaces `flow`. With the default, the exchange continues as before, until
    /// [`Timeouts::stop_timeout_ms`](crate::limits::Timeouts::stop_timeout_ms).
    fn stopping(&mut self, flow: Flow<Self::Exchange>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let _ = response;
        flow
    }

    /// The client of a deferred answer has closed its sending side. `Some`, which is the default, continues to wait: a
    /// client that only closed its sending side still reads the answer (RFC 9112 §9.6), and one that is gone resets the
    /// connection when the answer reaches it. Called again when the answer is deferred again. `None` closes the
    /// connection: for answers that are expensive.
    ///
    /// The FIN is noticed at once, unless the client has sent more after its request than one buffer holds.
    fn half_closed(&mut self, state: Self::Exchange) -> Option<Self::Exchange> {
        Some(state)
    }

    /// The exchange ends before its response is complete: the client reset the connection, a deadline expired, the
    /// server stopped, or it answered in place of the handler. Releases whatever the state owns; the default drops it.
    ///
    /// Not called if the handler gave up the state itself: with [`Flow::Finish`], or `None` from
    /// [`half_closed`](Self::half_closed). Not called either when the [`Engine`](crate::engine::Engine) is dropped,
    /// which drops the states of its connections.
    fn abandoned(&mut self, state: Self::Exchange, reason: CloseReason) {
        let _ = (state, reason);
    }

    /// The server answers in place of the handler: because the request is refused without calling a handler, or is too
    /// late, or because the handler's response is replaced after an error. Write a whole response to give the answer a
    /// format of your own, with [`Refusal::status`] or another error status; [`ResponseWriter::add_field`] alone keeps
    /// the server's text. If the response cannot be written, the server's own is sent.
    ///
    /// An exchange that ends with it is [abandoned](Self::abandoned) before. Not called if no buffer is free for an answer.
    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        let _ = (refusal, response);
    }

    /// A connection was accepted; `false` closes it at once. The default accepts all, at no cost.
    #[inline]
    fn accepted(&mut self, connection: &ConnectionInfo<'_>) -> bool {
        let _ = connection;
        true
    }

    /// A connection has ended, or was handed to the program. Also called for connections for which
    /// [`accepted`](Self::accepted) was not called, because all slots were taken or a stop had begun. The default does
    /// nothing, at no cost.
    #[inline]
    fn closed(&mut self, id: ConnectionId, reason: CloseReason, requests_served: u32) {
        let _ = (id, reason, requests_served);
    }
}

/// A borrowed handler: for programs that keep it, and for tests.
impl<H: Handler + ?Sized> Handler for &mut H {
    const NEEDS: Needs = H::NEEDS;
    type Exchange = H::Exchange;

    crate::forward_handler!(self => **self);
}
