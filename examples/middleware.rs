//! What stands around a handler, one around the other: request numbers, a password, CORS.
//! `cargo run --release --example middleware`, then `curl -i -u me:sesame http://127.0.0.1:8080/`.

mod support;

use std::ops::ControlFlow;

use aurora_http::{Around, Method, Request, ResponseWriter, ServerError, WriteError, around, handler_fn};

/// Numbers requests.
struct Numbers {
    worker: usize,
    next: u64,
}

impl Numbers {
    fn add(&mut self, number: u64, response: &mut ResponseWriter<'_>) {
        let _ = response.add_field("X-Request-Id", format!("{}-{number}", self.worker));
    }
}

impl Around for Numbers {
    type Note = u64;

    fn before(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<(), u64> {
        self.next += 1;
        self.add(self.next, response);
        ControlFlow::Continue(self.next)
    }

    fn between(&mut self, number: &mut u64, response: &mut ResponseWriter<'_>) {
        self.add(*number, response);
    }
}

/// Pages of one other site may ask, and their browsers are told so.
struct Cors(&'static str);

impl Around for Cors {
    type Note = ();

    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        let _ = response.add_field("Access-Control-Allow-Origin", self.0);
        let is_asked = request.fields().get("Access-Control-Request-Method").is_some();
        if request.method() != Method::Options || !is_asked {
            return ControlFlow::Continue(());
        }
        let _ = response.status(204).and_then(|()| response.field("Access-Control-Allow-Methods", "GET, POST"));
        ControlFlow::Break(())
    }
}

/// Lets in who knows `user:password` in base64.
struct Password(&'static [u8]);

impl Around for Password {
    type Note = ();

    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        if request.fields().get("Authorization") == Some(self.0) {
            return ControlFlow::Continue(());
        }
        let _ = challenge(response);
        ControlFlow::Break(())
    }
}

fn challenge(response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.status(401)?;
    response.field("WWW-Authenticate", "Basic realm=\"example\"")?;
    response.body("who are you?\n")
}

fn main() -> Result<(), ServerError> {
    support::server("middleware: request numbers, CORS and a password around a greeting").serve(|worker| {
        let inner = handler_fn(|_, response| response.body("come in\n"));
        let inner = around(Password(b"Basic bWU6c2VzYW1l"), inner);
        around(Numbers { worker: worker.id(), next: 0 }, around(Cors("https://example.org"), inner))
    })?;
    Ok(())
}
