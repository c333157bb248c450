//! The smallest server: `cargo run --release --example hello`, then `curl -i http://127.0.0.1:8080/`.

mod support;

use aurora_http::{Request, ResponseWriter, ServerError, WriteError, handler_fn};

fn hello(_request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.field("Content-Type", "text/plain")?;
    response.body("Hello, World!\n")
}

fn main() -> Result<(), ServerError> {
    support::server("hello: answers every request with Hello, World!").serve(|_worker| handler_fn(hello))?;
    Ok(())
}
