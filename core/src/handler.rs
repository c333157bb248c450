//! What a program supplies: a [`Handler`], called once the head of a request is there, and again as its exchange needs.

use crate::error::CloseReason;
use crate::reactor::{IoHandle, Peer, Peers};
use crate::request::{Request, Trailers};
use crate::writer::{ResponseWriter, WriteError};

/// Answers requests. One per worker: it is called from one thread only and may keep state of its own.
///
/// Each call returns a [`Flow`] that says what the exchange wants next; the state inside it comes back with the next
/// call, and is dropped when the client vanishes.
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
        response.fail(500);
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
        response.fail(500);
        Flow::Finish
    }

    /// The send buffer is empty, after [`Flow::Produce`]: write the next piece.
    ///
    /// Answers 500 unless implemented.
    fn produce(&mut self, state: Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let _ = state;
        response.fail(500);
        Flow::Finish
    }

    /// The token of a deferred answer was resolved, after [`Flow::Defer`]: answer, or defer again.
    ///
    /// Answers 500 unless implemented.
    fn resume(&mut self, state: Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let _ = state;
        response.fail(500);
        Flow::Finish
    }

    /// The client of a deferred answer has ended its side. `Some`, which is what happens unless this is implemented, goes
    /// on waiting: a client that only closed its sending half still reads its answer (RFC 9112 §9.6), and one that is gone
    /// resets the connection when the answer reaches it. Asked again when the answer is deferred once more. `None` drops
    /// the state and closes the connection, for answers that are dear. Also called, and its answer ignored, when the
    /// connection broke or the deadline passed: whatever the state owns is released then.
    ///
    /// The end is noticed at once, unless the client has sent more behind its request than one buffer holds.
    fn vanished(&mut self, state: Self::Exchange) -> Option<Self::Exchange> {
        Some(state)
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

    fn vanished(&mut self, state: Self::Exchange) -> Option<Self::Exchange> {
        (**self).vanished(state)
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

/// A connection as long as it is open: a slot, and how often the slot was used before.
pub type ConnectionId = crate::pool::Handle;

/// What can be known of a connection.
#[derive(Clone, Copy)]
pub struct ConnectionInfo<'a> {
    pub(crate) peers: &'a dyn Peers,
    pub(crate) io: IoHandle,
    pub(crate) id: ConnectionId,
}

impl ConnectionInfo<'_> {
    /// Names the connection as long as it is open.
    #[must_use]
    pub const fn id(&self) -> ConnectionId {
        self.id
    }

    /// Who is at the other end; `None` where the reactor does not know. It is looked up when it is asked for.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        self.peers.peer(self.io)
    }
}

impl core::fmt::Debug for ConnectionInfo<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ConnectionInfo").field("id", &self.id).field("peer", &self.peer()).finish()
    }
}

/// What an exchange wants next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flow<E> {
    /// The response is complete. A response that was not begun becomes an empty 200; content that was not read is
    /// dropped when it is short, or else the connection closes behind the response.
    Finish,
    /// Call [`Handler::collected`] once the whole content is there in one buffer; 413 beyond
    /// [`Limits::content_collected_max`](crate::limits::Limits::content_collected_max). Only from
    /// [`Handler::request`], because the head has to stay: 500 from any other call.
    Collect(E),
    /// Call [`Handler::receive`] with the content as it arrives; 413 beyond
    /// [`Limits::content_bytes_max`](crate::limits::Limits::content_bytes_max) or
    /// [`ResponseWriter::limit_content`].
    Receive(E),
    /// Call [`Handler::produce`] whenever the send buffer is empty.
    ///
    /// Content that was not asked for when the response has begun, and that is longer than
    /// [`Limits::discard_bytes_max`](crate::limits::Limits::discard_bytes_max) or of unknown length, is dropped from then
    /// on, because a client may write all of it before it reads: asking for it later breaks the response off. To read and
    /// write at the same time, ask for the content first.
    Produce(E),
    /// What was written goes out; call [`Handler::resume`] once the token from
    /// [`ResponseWriter::defer`](crate::writer::ResponseWriter::defer) was resolved. 503 when that takes longer than
    /// [`Timeouts::defer_timeout_ms`](crate::limits::Timeouts::defer_timeout_ms), which begins anew with every deferral;
    /// 500 when no token was taken.
    Defer(E),
    /// Behind [`ResponseWriter::switch_protocols`](crate::writer::ResponseWriter::switch_protocols) or
    /// [`ResponseWriter::open_tunnel`](crate::writer::ResponseWriter::open_tunnel): the connection carries raw bytes
    /// from now on, what had already arrived first. [`Handler::receive`] gets them (the client's end is
    /// [`Content::ended`]) and writes without framing; [`Flow::Produce`] and [`Flow::Defer`] work as before, and
    /// [`Flow::Finish`] closes.
    Upgrade(E),
    /// As [`Flow::Upgrade`], but the socket and what had already arrived are given to the embedding program, which takes
    /// them by [`Engine::next_detached`](crate::engine::Engine::next_detached); a loop that does not closes the
    /// connection. The client's end may be seen already: the socket tells it again.
    Detach(E),
}

impl<E> Flow<E> {
    /// The same wish with another state: for handlers around other handlers.
    pub fn map<T>(self, f: impl FnOnce(E) -> T) -> Flow<T> {
        match self {
            Self::Finish => Flow::Finish,
            Self::Collect(state) => Flow::Collect(f(state)),
            Self::Receive(state) => Flow::Receive(f(state)),
            Self::Produce(state) => Flow::Produce(f(state)),
            Self::Defer(state) => Flow::Defer(f(state)),
            Self::Upgrade(state) => Flow::Upgrade(f(state)),
            Self::Detach(state) => Flow::Detach(f(state)),
        }
    }
}

/// Content offered to [`Handler::receive`].
#[derive(Debug)]
pub struct Content<'a> {
    bytes: &'a [u8],
    consumed: usize,
    /// The handler said what it leaves; until it does, it takes everything.
    is_partial: bool,
    ended: bool,
    trailers: Option<Trailers<'a>>,
}

impl<'a> Content<'a> {
    pub(crate) const fn new(bytes: &'a [u8], ended: bool, trailers: Option<Trailers<'a>>) -> Self {
        Self { bytes, consumed: 0, is_partial: false, ended, trailers }
    }

    /// What is there, but for what was [consumed](Self::consume) in this call.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        &self.bytes[self.consumed..]
    }

    /// Takes the first `count` of [`bytes`](Self::bytes), and holds what is behind them for the next call; more than
    /// there are is all of them. A handler that never calls this or [`hold`](Self::hold) takes everything.
    pub fn consume(&mut self, count: usize) {
        self.consumed += count.min(self.bytes.len() - self.consumed);
        self.is_partial = true;
    }

    /// Holds [`bytes`](Self::bytes) for the next call, which has them in front of what arrives until then.
    pub const fn hold(&mut self) {
        self.is_partial = true;
    }

    /// Nothing follows behind [`bytes`](Self::bytes): they are the end of the content.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// The trailer fields behind chunked content, once it has [`ended`](Self::ended), for handlers that
    /// [asked](crate::writer::ResponseWriter::keep_trailers) for them. `None` when it did not, and for content that is
    /// not chunked.
    #[must_use]
    pub const fn trailers(&self) -> Option<Trailers<'a>> {
        self.trailers
    }

    pub(crate) const fn consumed(&self) -> usize {
        if self.is_partial { self.consumed } else { self.bytes.len() }
    }
}

/// Makes a [`Handler`] of a function that answers at once: `handler_fn(|request, response| …)`.
///
/// The function returns nothing or a `Result` of the writer's, so that `?` works in it. Such an error needs no further
/// care: the writer keeps the first one, and the response is replaced.
pub const fn handler_fn<F, R>(function: F) -> HandlerFn<F>
where
    F: FnMut(&Request<'_>, &mut ResponseWriter<'_>) -> R,
    R: Answered,
{
    HandlerFn { function }
}

/// The handler that [`handler_fn`] makes.
#[derive(Clone, Copy, Debug)]
pub struct HandlerFn<F> {
    function: F,
}

/// What a function for [`handler_fn`] may return: nothing, or `Result<(), WriteError>`.
pub trait Answered {
    /// Tells the writer of an error that it does not know yet.
    fn settle(self, response: &mut ResponseWriter<'_>);
}

impl Answered for () {
    #[inline]
    fn settle(self, _response: &mut ResponseWriter<'_>) {}
}

impl Answered for Result<(), WriteError> {
    #[inline]
    fn settle(self, response: &mut ResponseWriter<'_>) {
        if let Err(error) = self {
            response.fail_with(error);
        }
    }
}

impl<F, R> Handler for HandlerFn<F>
where
    F: FnMut(&Request<'_>, &mut ResponseWriter<'_>) -> R,
    R: Answered,
{
    type Exchange = core::convert::Infallible;

    #[inline]
    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        (self.function)(request, response).settle(response);
        Flow::Finish
    }
}
