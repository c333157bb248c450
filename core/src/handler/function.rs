//! Handlers made of functions.

use super::exchange::Exchange;
use super::{Content, Flow, Handler, Respond};
use crate::error::CloseReason;
use crate::request::{BodyLength, Request};
use crate::writer::ResponseWriter;

/// Makes a [`Handler`] of a function: `handler_fn(|request, response| …)`.
///
/// The function returns a type that implements [`Respond`]: `()`, a `Result` whose error is an
/// [`ErrorResponse`](super::ErrorResponse), or something that continues the exchange, such as
/// [`producing`](super::producing) and [`receiving`](super::receiving).
///
/// ```
/// use aurora_http_core::handler::handler_fn;
/// use aurora_http_core::request::Request;
/// use aurora_http_core::writer::{ResponseWriter, WriteError};
///
/// fn hello(_request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
///     response.field("Content-Type", "text/plain")?;
///     response.body("Hello, World!\n")
/// }
///
/// let handler = handler_fn(hello);
/// ```
pub const fn handler_fn<F, R>(function: F) -> HandlerFn<F>
where
    F: FnMut(&Request<'_>, &mut ResponseWriter<'_>) -> R,
    R: Respond,
{
    HandlerFn { function }
}

/// Makes a [`Handler`] of a function that is called with the whole content: `collect_fn(|request, content, response|
/// …)`. For a request without content it is called at once, with an empty slice.
///
/// Content beyond [`Limits::content_collected_max`](crate::limits::Limits::content_collected_max) is answered with 413.
///
/// ```
/// use aurora_http_core::handler::collect_fn;
/// use aurora_http_core::request::Method;
///
/// let handler = collect_fn(|request, content, response| match request.method() {
///     Method::Post => response.body(content),
///     _ => response.fail(404),
/// });
/// ```
pub const fn collect_fn<F, R>(function: F) -> CollectFn<F>
where
    F: FnMut(&Request<'_>, &[u8], &mut ResponseWriter<'_>) -> R,
    R: Respond,
{
    CollectFn { function }
}

/// The handler that [`handler_fn`] returns.
#[derive(Clone, Copy, Debug)]
pub struct HandlerFn<F> {
    function: F,
}

impl<F, R> Handler for HandlerFn<F>
where
    F: FnMut(&Request<'_>, &mut ResponseWriter<'_>) -> R,
    R: Respond,
{
    type Exchange = R::Exchange;

    #[inline]
    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<R::Exchange> {
        (self.function)(request, response).respond(response)
    }

    fn receive(
        &mut self,
        state: R::Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<R::Exchange> {
        state.receive(content, response)
    }

    fn produce(&mut self, state: R::Exchange, response: &mut ResponseWriter<'_>) -> Flow<R::Exchange> {
        state.produce(response)
    }

    fn resume(&mut self, state: R::Exchange, response: &mut ResponseWriter<'_>) -> Flow<R::Exchange> {
        state.resume(response)
    }

    fn stopping(&mut self, flow: Flow<R::Exchange>, response: &mut ResponseWriter<'_>) -> Flow<R::Exchange> {
        R::Exchange::stopping(flow, response)
    }

    fn half_closed(&mut self, state: R::Exchange) -> Option<R::Exchange> {
        state.half_closed()
    }

    fn abandoned(&mut self, state: R::Exchange, reason: CloseReason) {
        state.abandoned(reason);
    }
}

/// The handler that [`collect_fn`] returns.
#[derive(Clone, Copy, Debug)]
pub struct CollectFn<F> {
    function: F,
}

impl<F, R> Handler for CollectFn<F>
where
    F: FnMut(&Request<'_>, &[u8], &mut ResponseWriter<'_>) -> R,
    R: Respond,
{
    /// `None` while the content is being collected.
    type Exchange = Option<R::Exchange>;

    #[cfg_attr(not(feature = "small"), inline)]
    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Option<R::Exchange>> {
        match request.body_length() {
            BodyLength::None | BodyLength::Length(0) => {
                (self.function)(request, &[], response).respond(response).map(Some)
            }
            BodyLength::Length(_) | BodyLength::Chunked => Flow::Collect(None),
        }
    }

    fn collected(
        &mut self,
        _: Option<R::Exchange>,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Option<R::Exchange>> {
        (self.function)(request, content, response).respond(response).map(Some)
    }

    fn receive(
        &mut self,
        state: Option<R::Exchange>,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Option<R::Exchange>> {
        state.receive(content, response)
    }

    fn produce(&mut self, state: Option<R::Exchange>, response: &mut ResponseWriter<'_>) -> Flow<Option<R::Exchange>> {
        state.produce(response)
    }

    fn resume(&mut self, state: Option<R::Exchange>, response: &mut ResponseWriter<'_>) -> Flow<Option<R::Exchange>> {
        state.resume(response)
    }

    fn stopping(
        &mut self,
        flow: Flow<Option<R::Exchange>>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Option<R::Exchange>> {
        Option::stopping(flow, response)
    }

    fn half_closed(&mut self, state: Option<R::Exchange>) -> Option<Option<R::Exchange>> {
        state.half_closed()
    }

    fn abandoned(&mut self, state: Option<R::Exchange>, reason: CloseReason) {
        state.abandoned(reason);
    }
}
