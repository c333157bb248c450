//! Limits for the content, the duration and the number of exchanges.

use core::ops::ControlFlow;

use aurora_http_core::error::CloseReason;
use aurora_http_core::forward_handler;
use aurora_http_core::handler::{Around, Flow, Handler, Needs};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

/// Answers 413 if the content of a request is longer than a limit; if its length is announced, before any of it is read. Use it
/// for a part of the routes; [`Limits`](aurora_http_core::limits::Limits) apply to the whole server. A handler that calls
/// [`ResponseWriter::limit_content`] replaces this limit.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit {
    bytes_max: u64,
}

impl BodyLimit {
    /// Allows content of at most `bytes_max` bytes.
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

/// Limits how many exchanges are in progress, and answers further requests with 503. Use it for a part of the routes, such as
/// those that wait for a database; [`Limits::in_flight_max`](aurora_http_core::limits::Limits::in_flight_max) applies to the
/// whole server.
///
/// Each worker counts its own exchanges.
#[derive(Clone, Copy, Debug)]
pub struct InFlightLimit {
    max: u32,
    under_way: u32,
    retry_after_s: &'static str,
}

impl InFlightLimit {
    /// Allows `max` exchanges at a time; other clients are told to retry after a second.
    #[must_use]
    pub const fn new(max: u32) -> Self {
        Self { max, under_way: 0, retry_after_s: "1" }
    }

    /// Sets the value of `Retry-After`, in seconds.
    #[must_use]
    pub const fn retry_after_s(self, seconds: &'static str) -> Self {
        Self { retry_after_s: seconds, ..self }
    }
}

impl Around for InFlightLimit {
    /// Whether the exchange is in progress.
    type Note = bool;

    fn before(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<(), bool> {
        if self.under_way >= self.max {
            let _ = response.add_field("Retry-After", self.retry_after_s);
            let _ = response.fail(503);
            return ControlFlow::Break(());
        }
        self.under_way += 1;
        ControlFlow::Continue(true)
    }

    fn finished(&mut self, in_progress: bool, _: &ResponseWriter<'_>) {
        self.under_way -= u32::from(in_progress);
    }

    fn detached(&mut self, in_progress: &mut bool, _: &ResponseWriter<'_>) {
        self.under_way -= u32::from(core::mem::take(in_progress));
    }

    fn abandoned(&mut self, in_progress: bool, _: CloseReason) {
        self.under_way -= u32::from(in_progress);
    }
}

/// Limits how long a handler may defer its answer, in total. When the time is up, the client gets a 503 (or, if part of the
/// response has been sent, the connection is closed), and the handler's state goes to [`Handler::abandoned`].
///
/// It uses [`ResponseWriter::wake_after`]; a handler that calls that itself replaces the limit. For clients that send their
/// content slowly, see [`Timeouts`](aurora_http_core::limits::Timeouts).
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
    /// Limits `inner` to `ms_max` milliseconds from the head of the request.
    pub const fn new(ms_max: u32, inner: H) -> Self {
        Self { ms_max, inner }
    }
}

impl<H: Handler> Handler for TimeLimit<H> {
    // For `wake_after`.
    const NEEDS: Needs = H::NEEDS.and(Needs { deferral: true, ..Needs::LEAST });
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

    forward_handler!(self => self.inner; except request, resume);
}
