//! Middleware, wrapped around a handler and around each other: request numbers, a password, CORS. `cargo run --release
//! --example middleware`, then `curl -i -u me:sesame http://127.0.0.1:8080/`.

mod support;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use aurora_http::{Around, Method, Request, ResponseWriter, ServerError, around, handler_fn};

/// Numbers requests across all workers.
struct Numbers;

impl Around for Numbers {
    type Note = u64;

    fn before(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<(), u64> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.between(&mut number, response);
        ControlFlow::Continue(number)
    }

    fn between(&mut self, number: &mut u64, response: &mut ResponseWriter<'_>) {
        let _ = response.add_field("X-Request-Id", number.to_string());
    }
}

/// Lets the pages of one other origin send requests.
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

/// Lets in clients with these credentials: the whole value of `Authorization`.
struct Password(&'static [u8]);

impl Around for Password {
    type Note = ();

    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        if request.fields().get("Authorization") == Some(self.0) {
            return ControlFlow::Continue(());
        }
        let _ = response.add_field("WWW-Authenticate", "Basic realm=\"example\"");
        let _ = response.status(401).and_then(|()| response.body("who are you?\n"));
        ControlFlow::Break(())
    }
}

fn main() -> Result<(), ServerError> {
    support::server("middleware: request numbers, CORS and a password around a greeting").serve(|_worker| {
        let inner = around(Password(b"Basic bWU6c2VzYW1l"), handler_fn(|_, response| response.body("come in\n")));
        around(Numbers, around(Cors("https://example.org"), inner))
    })?;
    Ok(())
}
