//! Functions that run before or after a handler.

use core::ops::ControlFlow;

use aurora_http_core::handler::{Around, Handler, Wrapped, around};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

/// Applies middleware to a handler: `handler.wrap(outer)`.
pub trait Wrap: Handler + Sized {
    /// Same as [`around`], written from the inside to the outside.
    fn wrap<A: Around>(self, outer: A) -> Wrapped<A, Self> {
        around(outer, self)
    }
}

impl<H: Handler> Wrap for H {}

/// Calls a function for each request, before the handler. The function can [add fields](ResponseWriter::add_field) to a response
/// that the handler begins in its first call, or answer the request itself and break.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use aurora_http_web::Routes;
/// use aurora_http_web::middleware::{Wrap, before};
///
/// let closed = before(|request, response| match request.path() {
///     b"/health" => ControlFlow::Continue(()),
///     _ => {
///         let _ = response.fail(503);
///         ControlFlow::Break(())
///     }
/// });
/// let handler = Routes::new().get("/health", |_, _, response| response.body("well\n")).with_state(()).wrap(closed);
/// ```
pub const fn before<F>(function: F) -> Before<F>
where
    F: FnMut(&Request<'_>, &mut ResponseWriter<'_>) -> ControlFlow<()>,
{
    Before(function)
}

/// The middleware that [`before`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Before<F>(F);

impl<F> Around for Before<F>
where
    F: FnMut(&Request<'_>, &mut ResponseWriter<'_>) -> ControlFlow<()>,
{
    type Note = ();

    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        (self.0)(request, response)
    }
}

/// Calls a function after each response that the handler has finished. [`ResponseWriter::status_so_far`] and
/// [`ResponseWriter::written`] describe what the last call wrote.
pub const fn after<F: FnMut(&ResponseWriter<'_>)>(function: F) -> After<F> {
    After(function)
}

/// The middleware that [`after`] returns.
#[derive(Clone, Copy, Debug)]
pub struct After<F>(F);

impl<F: FnMut(&ResponseWriter<'_>)> Around for After<F> {
    type Note = ();

    fn before(&mut self, _: &Request<'_>, _: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn finished(&mut self, (): (), response: &ResponseWriter<'_>) {
        (self.0)(response);
    }
}
