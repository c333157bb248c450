//! Security fields for browsers.

use core::ops::ControlFlow;

use aurora_http_core::handler::{Around, Refusal};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

/// Adds fields to every response, including the server's own answers.
///
/// ```
/// use aurora_http_web::middleware::SecurityFields;
///
/// static FIELDS: [(&str, &str); 2] = [("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "SAMEORIGIN")];
/// let own = SecurityFields::new(&FIELDS);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SecurityFields {
    fields: &'static [(&'static str, &'static str)],
}

impl SecurityFields {
    /// For APIs, and for pages without inline scripts whose resources all come from this server: no content sniffing, no
    /// framing, no resources from other origins, no referrer.
    pub const STRICT: Self = Self::new(&[
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'self'"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ]);

    /// Same as [`STRICT`](Self::STRICT), and tells browsers to use TLS for a year (RFC 6797): for servers behind a TLS proxy.
    pub const STRICT_TLS: Self = Self::new(&[
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'self'"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Strict-Transport-Security", "max-age=31536000"),
    ]);

    /// Adds these names and values.
    #[must_use]
    pub const fn new(fields: &'static [(&'static str, &'static str)]) -> Self {
        Self { fields }
    }

    fn add(&self, response: &mut ResponseWriter<'_>) {
        for (name, value) in self.fields {
            // What a handler's response is replaced by has them already.
            if !response.has_added(name) {
                // Fails if the head has been sent, which then has the fields.
                let _ = response.add_field(name, value);
            }
        }
    }
}

impl Around for SecurityFields {
    type Note = ();

    fn before(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        self.add(response);
        ControlFlow::Continue(())
    }

    fn between(&mut self, (): &mut (), response: &mut ResponseWriter<'_>) {
        self.add(response);
    }

    fn refused(&mut self, _: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        self.add(response);
    }
}
