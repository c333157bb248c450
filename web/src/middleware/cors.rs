//! Pages of other sites (the CORS protocol of the Fetch standard).

use core::ops::ControlFlow;

use aurora_http_core::handler::Around;
use aurora_http_core::request::{Method, Request};
use aurora_http_core::writer::{ResponseWriter, WriteError};

/// Lets pages of other origins read responses, and answers their browsers' preflight requests.
///
/// A request of another origin is answered like any other, without the fields that would let its page read the answer: it is the
/// browser that keeps pages apart. Preflights never reach the handler.
#[derive(Clone, Copy, Debug)]
pub struct Cors {
    origins: Origins,
    methods: &'static str,
    fields: &'static str,
    exposed: &'static str,
    with_credentials: bool,
    max_age_s: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Origins {
    Any,
    These(&'static [&'static str]),
}

/// What is said of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct CorsNote(Option<&'static str>);

impl Cors {
    /// For pages of these origins, such as `https://example.org`: scheme, name and, where it is not the usual one, port.
    #[must_use]
    pub const fn new(origins: &'static [&'static str]) -> Self {
        Self {
            origins: Origins::These(origins),
            methods: "GET, HEAD, POST, PUT, PATCH, DELETE",
            fields: "Content-Type",
            exposed: "",
            with_credentials: false,
            max_age_s: "600",
        }
    }

    /// For pages of any origin: what everybody may read.
    #[must_use]
    pub const fn any_origin() -> Self {
        Self { origins: Origins::Any, ..Self::new(&[]) }
    }

    /// Methods that pages may use, as a list: `GET, POST`. All the usual ones unless called.
    #[must_use]
    pub const fn methods(self, methods: &'static str) -> Self {
        Self { methods, ..self }
    }

    /// Fields that pages may send besides the harmless ones, as a list: `Content-Type, Authorization`. `Content-Type` unless
    /// called.
    #[must_use]
    pub const fn fields(self, fields: &'static str) -> Self {
        Self { fields, ..self }
    }

    /// Fields of responses that pages may read besides the harmless ones, as a list.
    #[must_use]
    pub const fn exposed_fields(self, fields: &'static str) -> Self {
        Self { exposed: fields, ..self }
    }

    /// Pages may send what the browser knows of its user: cookies, passwords.
    ///
    /// # Panics
    /// For any origin: no browser accepts that.
    #[must_use]
    #[track_caller]
    pub const fn with_credentials(self) -> Self {
        assert!(matches!(self.origins, Origins::These(_)), "credentials are for origins that are named");
        Self { with_credentials: true, ..self }
    }

    /// How long a browser may remember the answer to a preflight, in seconds. 600 unless called.
    #[must_use]
    pub const fn max_age_s(self, seconds: &'static str) -> Self {
        Self { max_age_s: seconds, ..self }
    }

    /// What the origin of a request is answered; `None` where it may not read.
    fn allowed(&self, request: &Request<'_>) -> Option<&'static str> {
        match self.origins {
            Origins::Any => Some("*"),
            Origins::These(origins) => {
                let origin = request.fields().get("Origin")?;
                origins.iter().copied().find(|allowed| allowed.as_bytes() == origin)
            }
        }
    }

    fn add(&self, note: CorsNote, response: &mut ResponseWriter<'_>) {
        // A response whose head has left has them already.
        let _ = self.try_add(note, response);
    }

    fn try_add(&self, CorsNote(allowed): CorsNote, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        if matches!(self.origins, Origins::These(_)) {
            // A cache must not give one origin what another one was answered, allowed or not.
            response.add_field("Vary", "Origin")?;
        }
        let Some(origin) = allowed else { return Ok(()) };
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
        let note = CorsNote(self.allowed(request));
        self.add(note, response);
        let asks = |name: &str| request.fields().get(name).is_some();
        if request.method() == Method::Options && asks("Origin") && asks("Access-Control-Request-Method") {
            // What could not be written is answered in its place.
            let _ = self.answer_preflight(note.0.is_some(), response);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(note)
    }

    fn between(&mut self, note: &mut CorsNote, response: &mut ResponseWriter<'_>) {
        self.add(*note, response);
    }
}
