//! What a program supplies: a [`Handler`], called once the head of a request is there, and again as its exchange needs.

use crate::request::Request;
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

    /// A slice of the content is there, after [`Flow::Receive`]. What is not consumed is offered again after the
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
}

/// What an exchange wants next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flow<E> {
    /// The response is complete. A response that was not begun becomes an empty 200; content that was not read is
    /// dropped within the linger limits, or the connection closes.
    Finish,
    /// Call [`Handler::collected`] once the whole content is there in one buffer; 413 beyond
    /// [`Limits::content_collected_max`](crate::limits::Limits::content_collected_max).
    Collect(E),
    /// Call [`Handler::receive`] with the content as it arrives; 413 beyond
    /// [`Limits::content_bytes_max`](crate::limits::Limits::content_bytes_max) or
    /// [`ResponseWriter::limit_content`].
    Receive(E),
    /// Call [`Handler::produce`] whenever the send buffer is empty.
    Produce(E),
}

/// Content offered to [`Handler::receive`].
#[derive(Debug)]
pub struct Content<'a> {
    bytes: &'a [u8],
    consumed: usize,
    ended: bool,
}

impl<'a> Content<'a> {
    pub(crate) const fn new(bytes: &'a [u8], ended: bool) -> Self {
        Self { bytes, consumed: 0, ended }
    }

    /// What is there and not yet consumed.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        &self.bytes[self.consumed..]
    }

    /// Marks the first `count` of [`bytes`](Self::bytes) as done; more than there are counts as all of them.
    pub fn consume(&mut self, count: usize) {
        self.consumed += count.min(self.bytes.len() - self.consumed);
    }

    /// Nothing follows behind [`bytes`](Self::bytes): they are the end of the content.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    pub(crate) const fn consumed(&self) -> usize {
        self.consumed
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
