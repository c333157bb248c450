//! Answers through another server, the one at `UPSTREAM`: `cargo run --release --example bench_server -- --addr 127.0.0.1:8081`
//! and `cargo run --release --example proxy`, then `curl -i http://127.0.0.1:8080/json`.
//!
//! Content and body pass through as they arrive, with 64 KiB of memory for each direction. A thread carries out an exchange
//! with blocking calls, and another one sends its content.

mod support;
#[path = "support/upstream.rs"]
mod upstream;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::thread;

use aurora_http::core::request::{BodyLength, Field};
use aurora_http::{Limits, Method, Peer, Request, Responder, ResponseWriter, ServerError, handler_fn, offload};
use upstream::{Reply, ask, is_late};

/// The request to the other server.
fn head_of(request: &Request<'_>) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method().as_str(), request.target_str()).into_bytes();
    for Field { name, value } in request.fields().forwarded() {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    let peer = if let Some(Peer::Ip(peer)) = request.peer() { format!("\"{peer}\"") } else { "unknown".to_owned() };
    let framing = match request.body_length() {
        BodyLength::None => String::new(),
        BodyLength::Length(length) => format!("Content-Length: {length}\r\n"),
        BodyLength::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
    };
    write!(head, "Via: 1.1 aurora\r\nForwarded: for={peer}\r\nConnection: close\r\n{framing}\r\n").expect("a Vec");
    head
}

/// Passes a response on.
fn respond(reply: io::Result<Reply>, is_bodiless: bool, responder: Responder) {
    let mut reply = match reply {
        Ok(reply) => reply,
        Err(error) => {
            let status = if is_late(&error) { 504 } else { 502 };
            drop(responder.respond(move |response| response.fail(status)));
            return;
        }
    };
    let (status, fields, length) = (reply.status, std::mem::take(&mut reply.fields), reply.length);
    let mut body = responder.respond(move |response| {
        response.status(status)?;
        fields.iter().try_for_each(|(name, value)| response.field(name, value))?;
        response.field("Via", "1.1 aurora")?;
        response.stream(length)
    });
    if !is_bodiless && !matches!(status, 204 | 304) && reply.copy_body(&mut body).is_err() {
        body.abort();
    }
}

fn main() -> Result<(), ServerError> {
    let upstream = std::env::var("UPSTREAM").unwrap_or("127.0.0.1:8081".to_owned());
    let to: SocketAddr = support::or_exit(upstream.parse().map_err(|error| format!("UPSTREAM={upstream}: {error}")));
    let limits = Limits { content_bytes_max: u64::MAX, ..Limits::default() };
    let server =
        support::server("proxy: answers through the server at UPSTREAM, an address and a port in the environment");
    server.limits(limits).serve(move |worker| {
        let resumer = worker.resumer();
        handler_fn(move |request: &Request<'_>, response: &mut ResponseWriter<'_>| {
            response.limit_content(u64::MAX);
            let (exchange, content, responder) = offload(&resumer, 65_536);
            let (head, framing, is_head) = (head_of(request), request.body_length(), request.method() == Method::Head);
            // Without a thread nobody responds, which answers 500.
            let carry_out = move || respond(ask(to, &head, content, framing), is_head, responder);
            let _ = thread::Builder::new().spawn(carry_out);
            exchange
        })
    })?;
    Ok(())
}
