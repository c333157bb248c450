//! Fields that tell browsers to be careful.

use core::ops::ControlFlow;

use aurora_http_core::handler::{Around, Refusal};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

/// Adds fields to every response, those of the server's own included.
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
    /// For interfaces and for pages that have everything from this server, and no script in themselves: no guessing of types,
    /// no frames, nothing from elsewhere, no address in requests to others.
    pub const STRICT: Self = Self::new(&[
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'self'"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ]);

    /// As [`STRICT`](Self::STRICT), and browsers are to use TLS for a year: for servers behind a proxy that speaks it (RFC
    /// 6797).
    pub const STRICT_TLS: Self = Self::new(&[
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'self'"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Strict-Transport-Security", "max-age=31536000"),
    ]);

    /// These names and values.
    #[must_use]
    pub const fn new(fields: &'static [(&'static str, &'static str)]) -> Self {
        Self { fields }
    }

    fn add(&self, response: &mut ResponseWriter<'_>) {
        for (name, value) in self.fields {
            // A response whose head has left has them already.
            let _ = response.add_field(name, value);
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
