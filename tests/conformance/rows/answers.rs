//! What the handler writes and what is sent: S17, S27, H7, H8.

use aurora_http_core::error::CloseReason::{BadRequest, HandlerStalled, PeerAsked, ResponseFailed};

use crate::wire::case::{Case, GET, content, head, head10, refused};
use crate::wire::probe::{INJECTIONS, RESERVED, STATIC};
use crate::wire::reply::{Framing, Reply};

pub(crate) fn rows() -> Vec<Case> {
    [fields(), injections(), statuses(), heads(), bodies(), failures()].concat()
}

fn get(id: impl Into<String>, target: &str, reply: Reply) -> Case {
    Case::new(id).sends(head(&format!("GET {target}"), &[])).calls("GET", target).gets(reply)
}

/// Fields of the handler are sent.
fn fields() -> Vec<Case> {
    let reply = Reply::ok()
        .field("Content-Type", "text/plain")
        .field("Set-Cookie", "a=1")
        .field("Set-Cookie", "b=2")
        .field("X-Bytes", "\t ~!")
        .field("Content-Length", "2")
        .without("Transfer-Encoding")
        .without("Connection");
    vec![get("every field reaches the wire, repeated ones too", "/fields", reply)]
}

/// S17, and fields that only the server may send.
fn injections() -> Vec<Case> {
    let own =
        || Reply::new(500).field("Content-Type", "text/plain").without("X").without("Evil").framed(Framing::Length);
    let mut rows = Vec::new();
    for (at, (name, value)) in INJECTIONS.iter().enumerate() {
        let id = format!("S17 {name:?}: {:?}", value.escape_ascii().to_string());
        rows.push(get(id, &format!("/inject/{at}"), own().body("Internal Server Error\n")));
    }
    for (at, name) in RESERVED.iter().enumerate() {
        rows.push(get(format!("S17 {name} is the server's"), &format!("/reserved/{at}"), own()));
    }
    for status in [0, 100, 101, 199, 600, 999] {
        rows.push(get(format!("S17 status {status}"), &format!("/beyond/{status}"), own()));
    }
    rows.push(get("a second body", "/twice", own()));
    rows.push(get("a field behind the body", "/field-behind-body", own().without("X-Late")));
    rows
}

/// S27: statuses without a body.
fn statuses() -> Vec<Case> {
    let mut rows = Vec::new();
    let told = |status: u16| {
        let reply = Reply::new(status).field("X-Status", status.to_string()).without("Transfer-Encoding");
        match status {
            204 | 304 => reply.body("").framed(Framing::HeadOnly).without("Content-Length"),
            205 => reply.body("").field("Content-Length", "0"),
            _ => reply.body("body").field("Content-Length", "4"),
        }
    };
    for status in [200, 201, 202, 203, 204, 205, 206, 226, 299, 300, 301, 304, 308, 400, 404, 418, 500, 503, 599] {
        let target = format!("/status/{status}");
        rows.push(get(format!("S27 {status}"), &target, told(status)).get_root(GET));
        let case = Case::new(format!("S27 {status} to HEAD")).sends(head(&format!("HEAD {target}"), &[]));
        let length = match status {
            204 | 304 => told(status),
            205 => told(status).head_only(),
            _ => told(status).head_only(),
        };
        rows.push(case.calls("HEAD", &target).gets(length.head_only()).get_root(GET));
        let case = Case::new(format!("S27 {status} to HTTP/1.0")).sends(head10(&format!("GET {target}"), &[]));
        rows.push(case.calls("GET", &target).gets(told(status)).closes(PeerAsked));
    }
    rows
}

/// S27: HEAD is GET without the body.
fn heads() -> Vec<Case> {
    let mut rows = Vec::new();
    for (target, length) in [
        ("/", Some("2")),
        ("/empty", Some("0")),
        ("/static/4000", Some("4000")),
        ("/large/30000", Some("30000")),
        ("/bytes/1000000000", Some("1000000000")),
        ("/bytes/0", Some("0")),
        ("/chunks/1000000000", None),
        ("/chunks/0", None),
    ] {
        let case = Case::new(format!("S27 HEAD {target}")).sends([&head(&format!("HEAD {target}"), &[]), GET].concat());
        let reply = Reply::new(200).head_only().without("Transfer-Encoding");
        let reply = match length {
            Some(length) => reply.field("Content-Length", length),
            None => reply.without("Content-Length"),
        };
        rows.push(case.calls("HEAD", target).calls("GET", "/").gets(reply).gets(Reply::ok()));
    }
    for (line, status) in [("A b", 400), ("Expect: x", 417), ("Transfer-Encoding: x, chunked", 501)] {
        rows.push(refused(format!("S27 HEAD with {line}"), head("HEAD /", &[line]), status, BadRequest));
    }
    let case = Case::new("S27 HEAD of a failure").sends([&head("HEAD /fail/500", &[]), GET].concat());
    let reply = Reply::new(500).head_only().field("Content-Length", "22");
    rows.push(case.calls("HEAD", "/fail/500").calls("GET", "/").gets(reply).gets(Reply::ok()));
    rows
}

/// H7, H8: copied, in place, growing, streamed.
fn bodies() -> Vec<Case> {
    let mut rows = vec![
        get(
            "a response that was not begun is an empty 200",
            "/empty",
            Reply::new(200).body("").field("Content-Length", "0"),
        ),
        get("a stream of nothing", "/bytes/0", Reply::new(200).body("").framed(Framing::Length)),
        get("chunks of nothing", "/chunks/0", Reply::new(200).body("").framed(Framing::Chunked)),
    ];
    for length in [0, 1, 511, 512, 513, 4_096] {
        let reply = Reply::new(200).body(&STATIC[..length]).framed(Framing::Length);
        rows.push(get(format!("{length} bytes in place"), &format!("/static/{length}"), reply).get_root(GET));
    }
    for length in [1, 900, 1_024, 4_000, 4_096, 16_000, 16_384, 60_000, 65_000] {
        let reply = Reply::new(200).body(content(length)).framed(Framing::Length);
        rows.push(get(format!("{length} bytes copied"), &format!("/large/{length}"), reply).get_root(GET));
    }
    for length in [1, 1_023, 4_096, 16_384, 65_536, 300_000] {
        for (name, framing) in [("bytes", Framing::Length), ("chunks", Framing::Chunked)] {
            let reply = Reply::new(200).body(content(length)).framed(framing);
            rows.push(get(format!("{length} streamed {name}"), &format!("/{name}/{length}"), reply).get_root(GET));
        }
    }
    rows
}

/// A failure of the handler is answered, or ends the connection; a partial response never looks like a complete one.
fn failures() -> Vec<Case> {
    let mut rows = Vec::new();
    for length in [65_536, 65_537, 70_000, 1_000_000] {
        let reply = Reply::new(500).body("Response exceeds maximum size\n").without("X");
        let target = format!("/large/{length}");
        rows.push(get(format!("H8 {length} bytes are too many"), &target, reply.clone()).get_root(GET));
        let case = Case::new(format!("H8 {length} bytes are too many for HEAD as well"));
        let case = case.sends(head(&format!("HEAD {target}"), &[])).calls("HEAD", &target);
        rows.push(case.gets(reply.head_only().field("Content-Length", "30")).get_root(GET));
    }
    for status in [400, 403, 500, 503] {
        let reply = Reply::new(status).without("X-Gone").field("Content-Type", "text/plain");
        rows.push(get(format!("a handler that fails with {status}"), &format!("/fail/{status}"), reply).get_root(GET));
    }
    let late = "HTTP/1.1 200 OK";
    for (target, reason) in [("/short", ResponseFailed), ("/stall", HandlerStalled)] {
        // Its head has been sent: only the end of the connection shows that the body is incomplete.
        let case = Case::new(format!("broken off: {target}, never {late} and less than announced"));
        rows.push(case.sends([&head(&format!("GET {target}"), &[]), GET].concat()).calls("GET", target).breaks(reason));
    }
    rows
}
