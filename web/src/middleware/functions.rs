//! Functions before and after a handler.

use core::ops::ControlFlow;

use aurora_http_core::handler::{Around, Handler, Wrapped, around};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

/// Puts something around a handler: `handler.wrap(outer)`.
pub trait Wrap: Handler + Sized {
    /// As [`around`], from the inside to the outside.
    fn wrap<A: Around>(self, outer: A) -> Wrapped<A, Self> {
        around(outer, self)
    }
}

impl<H: Handler> Wrap for H {}

/// Calls a function for each request before a handler sees it. It may [add fields](ResponseWriter::add_field) to a response
/// that the handler begins at once, or answer itself and break.
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

/// What [`before`] makes.
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

/// Calls a function after each response that a handler has finished, with what the last call wrote of it:
/// [`ResponseWriter::status_so_far`] and [`ResponseWriter::written`].
pub const fn after<F: FnMut(&ResponseWriter<'_>)>(function: F) -> After<F> {
    After(function)
}

/// What [`after`] makes.
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
