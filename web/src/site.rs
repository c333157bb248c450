//! The handler of a table of routes.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler, Refusal};
use aurora_http_core::request::{Method, Request, TargetForm};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::table::{NoRoute, Table};

/// The handler of [`Routes`](crate::Routes), with its state. The [crate documentation](crate) lists what it answers by itself.
pub struct Site<S, E, const N: usize> {
    table: Table<N>,
    endpoints: E,
    state: S,
    refusal: Option<RefusalFn>,
}

/// Writes an answer in place of the server.
type RefusalFn = fn(&Refusal<'_>, &mut ResponseWriter<'_>) -> Result<(), WriteError>;

impl<S, E, const N: usize> Site<S, E, N> {
    pub(crate) const fn new(table: Table<N>, endpoints: E, state: S) -> Self {
        Self { table, endpoints, state, refusal: None }
    }

    /// Calls `respond` for every answer that no function of the program gives: 404, 405, 413, 400 for malformed requests, and
    /// all other answers of the server. If it writes nothing, or fails, the server sends its own form.
    ///
    /// ```
    /// use aurora_http_web::Routes;
    ///
    /// let handler = Routes::new()
    ///     .get("/", |_, _, response| response.body("hello\n"))
    ///     .with_state(())
    ///     .on_refusal(|refusal, response| {
    ///         response.status(refusal.status())?;
    ///         response.field("Content-Type", "application/json")?;
    ///         response.body_fmt(format_args!("{{\"error\":{}}}", refusal.status()))
    ///     });
    /// ```
    #[must_use]
    pub fn on_refusal(mut self, respond: fn(&Refusal<'_>, &mut ResponseWriter<'_>) -> Result<(), WriteError>) -> Self {
        self.refusal = Some(respond);
        self
    }

    /// The state.
    pub const fn state(&mut self) -> &mut S {
        &mut self.state
    }

    /// The node that the path of a request ends at, and its route; `None` if the request was answered here.
    fn find(&self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Option<(u16, u16)> {
        match self.table.node(request.path()) {
            Ok(node) => match self.table.route_at(node, request.method()) {
                Some(route) => return Some((node, route)),
                None => self.answer_method(node, request, response),
            },
            Err(error) => self.answer_path(error, request, response),
        }
        None
    }

    /// Answers a request whose path has no route.
    #[cold]
    fn answer_path(&self, error: NoRoute, request: &Request<'_>, response: &mut ResponseWriter<'_>) {
        let is_whole_site = request.target_form() == TargetForm::Asterisk || request.path() == b"*";
        let _ = if is_whole_site && request.method() == Method::Options {
            self.answer_options(0..self.table.len(), response)
        } else if self.is_unknown(request.method()) {
            response.fail(501)
        } else if error == NoRoute::Malformed {
            response.fail(400)
        } else {
            response.fail(404)
        };
    }

    /// Answers a request whose path has routes, but none for its method.
    #[cold]
    fn answer_method(&self, node: u16, request: &Request<'_>, response: &mut ResponseWriter<'_>) {
        let _ = if request.method() == Method::Options {
            self.answer_options(self.table.routes_of(node), response)
        } else if self.is_unknown(request.method()) {
            response.fail(501)
        } else {
            let allow = self.allow(self.table.routes_of(node), response);
            allow.and_then(|allow| response.add_field("Allow", allow)).and_then(|()| response.fail(405))
        };
    }

    fn answer_options(
        &self,
        routes: impl Iterator<Item = u16>,
        response: &mut ResponseWriter<'_>,
    ) -> Result<(), WriteError> {
        let allow = self.allow(routes, response)?;
        response.status(204)?;
        response.field("Allow", allow)?;
        response.body([])
    }

    /// Whether the method is neither a standard one nor used by any route (501: RFC 9110 §9.1). CONNECT counts as unknown unless
    /// it is routed.
    fn is_unknown(&self, method: Method<'_>) -> bool {
        let is_known = !matches!(method, Method::Extension(_) | Method::Connect);
        !is_known && !(0..self.table.len()).any(|route| self.table.method(route) == method)
    }

    /// The value of `Allow` for these routes, each method once, with HEAD and OPTIONS.
    fn allow<'a>(
        &self,
        routes: impl Iterator<Item = u16>,
        response: &mut ResponseWriter<'a>,
    ) -> Result<&'a [u8], WriteError> {
        let buffer = response.scratch(ALLOW_BYTES_MAX)?;
        let mut len = 0;
        for route in routes {
            let method = self.table.method(route);
            push(buffer, &mut len, method.as_str());
            if method == Method::Get {
                push(buffer, &mut len, "HEAD");
            }
        }
        push(buffer, &mut len, "OPTIONS");
        Ok(&buffer[..len])
    }
}

/// Longest value of `Allow`; methods that do not fit are left out.
const ALLOW_BYTES_MAX: usize = 256;

/// Appends an element to a list that does not have it, if it fits.
fn push(list: &mut [u8], len: &mut usize, element: &str) {
    let is_there = list[..*len].split(|&byte| byte == b',').any(|other| other.trim_ascii() == element.as_bytes());
    let separator: &[u8] = if *len == 0 { b"" } else { b", " };
    let end = *len + separator.len() + element.len();
    if is_there || end > list.len() {
        return;
    }
    list[*len..*len + separator.len()].copy_from_slice(separator);
    list[end - element.len()..end].copy_from_slice(element.as_bytes());
    *len = end;
}

impl<S, E: Endpoint<S>, const N: usize> Handler for Site<S, E, N> {
    type Exchange = E::Exchange;

    #[inline]
    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<E::Exchange> {
        let Some((node, route)) = self.find(request, response) else { return Flow::Finish };
        let call = Call::new(request, self.table.nodes(), node, route);
        self.endpoints.call(&mut self.state, &call, response)
    }

    fn collected(
        &mut self,
        exchange: E::Exchange,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<E::Exchange> {
        // Routing again is cheaper than keeping the route with every exchange.
        let Some((node, route)) = self.find(request, response) else { return Flow::Finish };
        let call = Call::new(request, self.table.nodes(), node, route).with_content(content);
        self.endpoints.collected(exchange, &mut self.state, &call, response)
    }

    fn receive(
        &mut self,
        exchange: E::Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<E::Exchange> {
        self.endpoints.receive(exchange, &mut self.state, content, response)
    }

    fn produce(&mut self, exchange: E::Exchange, response: &mut ResponseWriter<'_>) -> Flow<E::Exchange> {
        self.endpoints.produce(exchange, &mut self.state, response)
    }

    fn resume(&mut self, exchange: E::Exchange, response: &mut ResponseWriter<'_>) -> Flow<E::Exchange> {
        self.endpoints.resume(exchange, &mut self.state, response)
    }

    fn stopping(&mut self, flow: Flow<E::Exchange>, response: &mut ResponseWriter<'_>) -> Flow<E::Exchange> {
        self.endpoints.stopping(flow, &mut self.state, response)
    }

    fn half_closed(&mut self, exchange: E::Exchange) -> Option<E::Exchange> {
        self.endpoints.half_closed(exchange, &mut self.state)
    }

    fn abandoned(&mut self, exchange: E::Exchange, reason: CloseReason) {
        self.endpoints.abandoned(exchange, &mut self.state, reason);
    }

    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        if let Some(respond) = self.refusal {
            // If this fails, the server sends its own form.
            let _ = respond(refusal, response);
        }
    }
}

impl<S: core::fmt::Debug, E, const N: usize> core::fmt::Debug for Site<S, E, N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Site").field("routes", &self.table.len()).field("state", &self.state).finish_non_exhaustive()
    }
}
