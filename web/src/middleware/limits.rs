//! How much content, how long, and how many at once.

use core::ops::ControlFlow;

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Around, ConnectionId, ConnectionInfo, Content, Flow, Handler, Refusal};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

use super::forward::passes_on_the_rest;

/// Refuses content that is longer, in bytes: 413, before any of it was read where its length is announced. For a part of the
/// routes; for all of them there is [`Limits`](aurora_http_core::limits::Limits). A handler that calls
/// [`ResponseWriter::limit_content`] itself has a limit of its own.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit {
    bytes_max: u64,
}

impl BodyLimit {
    /// At most so many bytes.
    #[must_use]
    pub const fn new(bytes_max: u64) -> Self {
        Self { bytes_max }
    }
}

impl Around for BodyLimit {
    type Note = ();

    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        if request.content_length().is_some_and(|length| length > self.bytes_max) {
            let _ = response.fail(413);
            return ControlFlow::Break(());
        }
        response.limit_content(self.bytes_max);
        ControlFlow::Continue(())
    }
}

/// Lets only so many exchanges be under way, and answers the others with 503: for a part of the routes, such as one that
/// waits for a database. For all of them there is
/// [`Limits::in_flight_max`](aurora_http_core::limits::Limits::in_flight_max).
///
/// It counts the exchanges of its worker.
#[derive(Clone, Copy, Debug)]
pub struct InFlightLimit {
    max: u32,
    under_way: u32,
    retry_after_s: &'static str,
}

impl InFlightLimit {
    /// At most so many at a time; others are to come back after a second.
    #[must_use]
    pub const fn new(max: u32) -> Self {
        Self { max, under_way: 0, retry_after_s: "1" }
    }

    /// What `Retry-After` says, in seconds.
    #[must_use]
    pub const fn retry_after_s(self, seconds: &'static str) -> Self {
        Self { retry_after_s: seconds, ..self }
    }
}

impl Around for InFlightLimit {
    type Note = ();

    fn before(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        if self.under_way >= self.max {
            let _ = response.add_field("Retry-After", self.retry_after_s);
            let _ = response.fail(503);
            return ControlFlow::Break(());
        }
        self.under_way += 1;
        ControlFlow::Continue(())
    }

    fn finished(&mut self, (): (), _: &ResponseWriter<'_>) {
        self.under_way -= 1;
    }

    fn abandoned(&mut self, (): (), _: CloseReason) {
        self.under_way -= 1;
    }
}

/// Answers 503 in place of a handler that defers its answer for longer, over all of its deferrals. The wait is over then, and
/// the handler is told by [`Handler::abandoned`]; where a part of the response has left it breaks off.
///
/// It sets the time of [`ResponseWriter::wake_after`], so it is for handlers that leave that alone: one that uses it has a limit
/// of its own. Content that is slow in coming is ended by the server's own
/// [`Timeouts`](aurora_http_core::limits::Timeouts).
///
/// ```
/// use aurora_http_core::handler::{deferred, handler_fn};
/// use aurora_http_core::writer::WriteError;
/// use aurora_http_web::middleware::TimeLimit;
///
/// let handler = handler_fn(|_request, response| {
///     let token = response.defer()?; // for whoever does the work
///     # let _ = token;
///     Ok::<_, WriteError>(deferred(|response| response.body("done\n")))
/// });
/// let handler = TimeLimit::new(2_000, handler);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimeLimit<H> {
    ms_max: u32,
    inner: H,
}

impl<H: Handler> TimeLimit<H> {
    /// At most so many milliseconds from the head of the request.
    pub const fn new(ms_max: u32, inner: H) -> Self {
        Self { ms_max, inner }
    }
}

impl<H: Handler> Handler for TimeLimit<H> {
    type Exchange = H::Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<H::Exchange> {
        response.wake_after(self.ms_max);
        self.inner.request(request, response)
    }

    fn resume(&mut self, exchange: H::Exchange, response: &mut ResponseWriter<'_>) -> Flow<H::Exchange> {
        if !response.is_woken_by_time() {
            return self.inner.resume(exchange, response);
        }
        self.inner.abandoned(exchange, CloseReason::DeferTimeout);
        let _ = response.fail(503);
        Flow::Finish
    }

    passes_on_the_rest!();
}
