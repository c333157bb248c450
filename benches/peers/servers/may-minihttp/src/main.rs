//! may_minihttp: coroutines with stacks of their own.

use std::io::{self, BufRead};

use may_minihttp::{HttpServer, HttpService, Request, Response};

#[derive(Clone)]
struct Site;

impl HttpService for Site {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        match (request.method(), request.path()) {
            ("GET", "/plaintext") => {
                response.header("Content-Type: text/plain").body(common::HELLO);
            }
            ("POST", "/echo") => {
                response.header("Content-Type: application/octet-stream");
                response.body_vec(content(request)?);
            }
            ("GET", path) if let Some(bytes) = common::bytes(path) => {
                let text = std::str::from_utf8(bytes).expect("letters");
                response.header("Content-Type: application/octet-stream").body(text);
            }
            _ => {
                response.status_code(404, "Not Found");
            }
        }
        Ok(())
    }
}

fn content(request: Request) -> io::Result<Vec<u8>> {
    let length = request.headers().iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok()).unwrap_or(0);
    let mut body = request.body();
    let mut content = Vec::with_capacity(length);
    while content.len() < length {
        let piece = body.fill_buf()?;
        if piece.is_empty() {
            break;
        }
        let count = piece.len().min(length - content.len());
        content.extend_from_slice(&piece[..count]);
        body.consume(count);
    }
    Ok(content)
}

fn main() {
    let options = common::Options::read();
    may::config().set_workers(options.workers).set_stack_size(0x1000);
    // It takes only an address: this one was free a moment ago.
    let address = common::listener().local_addr().expect("a bound socket");
    let server = HttpServer(Site).start(address).expect("a free port");
    common::announce(address);
    server.join().expect("a server that does not panic");
}
