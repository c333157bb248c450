//! Cross-origin requests (the CORS protocol of the Fetch standard).

use core::ops::ControlFlow;

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Around, ConnectionId, Refusal};
use aurora_http_core::request::{Method, Request};
use aurora_http_core::writer::{ResponseWriter, WriteError};

/// Allows pages of other origins to read responses, and answers preflight requests, which never reach the handler.
///
/// Requests from origins that are not allowed are handled as well, but without the fields that would let the page read the
/// response: it is the browser that enforces CORS.
#[derive(Clone, Copy, Debug)]
pub struct Cors {
    origins: Origins,
    methods: &'static str,
    fields: &'static str,
    exposed: &'static str,
    with_credentials: bool,
    max_age_s: &'static str,
    /// The exchange that ended last without its response, which the server may answer next.
    ended: Option<CorsNote>,
}

#[derive(Clone, Copy, Debug)]
enum Origins {
    Any,
    These(&'static [&'static str]),
}

/// What an exchange keeps.
#[derive(Clone, Copy, Debug)]
pub struct CorsNote {
    /// That it is answered with.
    origin: Option<&'static str>,
    connection: ConnectionId,
}

impl Cors {
    /// Allows these origins, such as `https://example.org`: scheme, host and, if it is not the default one, port.
    #[must_use]
    pub const fn new(origins: &'static [&'static str]) -> Self {
        Self {
            origins: Origins::These(origins),
            methods: "GET, HEAD, POST, PUT, PATCH, DELETE",
            fields: "Content-Type",
            exposed: "",
            with_credentials: false,
            max_age_s: "600",
            ended: None,
        }
    }

    /// Allows any origin: for public data.
    #[must_use]
    pub const fn any_origin() -> Self {
        Self { origins: Origins::Any, ..Self::new(&[]) }
    }

    /// Sets the methods that pages may use, as a list: `GET, POST`. By default all common ones.
    #[must_use]
    pub const fn methods(self, methods: &'static str) -> Self {
        Self { methods, ..self }
    }

    /// Sets the fields that pages may send besides those that are always allowed, as a list: `Content-Type, Authorization`.
    /// The default is `Content-Type`.
    #[must_use]
    pub const fn fields(self, fields: &'static str) -> Self {
        Self { fields, ..self }
    }

    /// Sets the fields of responses that pages may read besides those that are always allowed, as a list.
    #[must_use]
    pub const fn exposed_fields(self, fields: &'static str) -> Self {
        Self { exposed: fields, ..self }
    }

    /// Allows pages to send credentials, such as cookies.
    ///
    /// # Panics
    /// If any origin is allowed, because browsers reject that.
    #[must_use]
    #[track_caller]
    pub const fn with_credentials(self) -> Self {
        assert!(matches!(self.origins, Origins::These(_)), "credentials require a list of allowed origins");
        Self { with_credentials: true, ..self }
    }

    /// Sets how long browsers may cache the answer to a preflight, in seconds. The default is 600.
    #[must_use]
    pub const fn max_age_s(self, seconds: &'static str) -> Self {
        Self { max_age_s: seconds, ..self }
    }

    /// The allowed origin for a request; `None` if it is not allowed.
    fn allowed(&self, request: &Request<'_>) -> Option<&'static str> {
        match self.origins {
            Origins::Any => Some("*"),
            Origins::These(origins) => {
                let origin = request.fields().get("Origin")?;
                origins.iter().copied().find(|allowed| allowed.as_bytes() == origin)
            }
        }
    }

    fn add(&self, origin: Option<&str>, response: &mut ResponseWriter<'_>) {
        // Fails if the head has been sent, which then has the fields.
        let _ = self.try_add(origin, response);
    }

    fn try_add(&self, origin: Option<&str>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        if matches!(self.origins, Origins::These(_)) {
            // Caches must not reuse a response for another origin, whether it was allowed or not.
            response.add_field("Vary", "Origin")?;
        }
        let Some(origin) = origin else { return Ok(()) };
        response.add_field("Access-Control-Allow-Origin", origin)?;
        if self.with_credentials {
            response.add_field("Access-Control-Allow-Credentials", "true")?;
        }
        if !self.exposed.is_empty() {
            response.add_field("Access-Control-Expose-Headers", self.exposed)?;
        }
        Ok(())
    }

    fn answer_preflight(&self, is_allowed: bool, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        response.status(204)?;
        if is_allowed {
            response.field("Access-Control-Allow-Methods", self.methods)?;
            response.field("Access-Control-Allow-Headers", self.fields)?;
            response.field("Access-Control-Max-Age", self.max_age_s)?;
        }
        response.body([])
    }
}

impl Around for Cors {
    type Note = CorsNote;

    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<(), CorsNote> {
        let note = CorsNote { origin: self.allowed(request), connection: response.connection().id() };
        self.add(note.origin, response);
        let asks = |name: &str| request.fields().get(name).is_some();
        if request.method() == Method::Options && asks("Origin") && asks("Access-Control-Request-Method") {
            // If this fails, the server answers in its place.
            let _ = self.answer_preflight(note.origin.is_some(), response);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(note)
    }

    fn between(&mut self, note: &mut CorsNote, response: &mut ResponseWriter<'_>) {
        self.add(note.origin, response);
    }

    fn abandoned(&mut self, note: CorsNote, _: CloseReason) {
        self.ended = Some(note);
    }

    /// With the fields a page can tell that its content was too long, or too slow.
    fn refused(&mut self, _: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        if response.has_added("Vary") || response.has_added("Access-Control-Allow-Origin") {
            return;
        }
        let connection = response.connection().id();
        let origin = match self.ended.take_if(|note| note.connection == connection) {
            Some(note) => note.origin,
            None => matches!(self.origins, Origins::Any).then_some("*"),
        };
        self.add(origin, response);
    }
}
