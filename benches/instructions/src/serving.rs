//! Workloads for the whole engine: requests of every kind, and connections that come and go.

use aurora_http_core::encode::FieldLine;
use aurora_http_core::handler::{Content, Flow, Handler, collect_fn, handler_fn};
use aurora_http_core::request::Request;
use aurora_http_core::run::turn_within;
use aurora_http_core::sim::{Client, ClientRecv, Sim};
use aurora_http_core::stop::StopFlag;
use aurora_http_core::writer::{ResponseWriter, WriteError};
use aurora_http_web::middleware::{BodyLimit, Cors, ETags, TimeLimit, Wrap};
use aurora_http_web::{Call, Routes};

use std::time::Duration;

use crate::clients::Script;
use crate::heads;
use crate::world::{World, engine};
use crate::{Repetition, Workload};

const PLAINTEXT: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: server:8080\r\n\
    Accept: text/plain,text/html;q=0.9,application/xhtml+xml;q=0.9,application/xml;q=0.8,*/*;q=0.7\r\n\
    Connection: keep-alive\r\n\r\n";

const TEXT_PLAIN: FieldLine<'_> = FieldLine::new("Content-Type: text/plain").unwrap();

/// As many connections as the workloads with several have.
const MANY: usize = 64;

/// Longer than the first byte of a new connection may take, and than a connection may be idle.
const PATIENCE_MS: u32 = 80_000;

pub(crate) fn workloads() -> Vec<Workload> {
    let many = MANY as u32;
    let workload = |name, unit, units, repetitions, prepare| Workload { name, unit, units, repetitions, prepare };
    vec![
        workload("plaintext", "request", 1, 1_000, || keep_alive(1, PLAINTEXT.to_vec(), plaintext())),
        workload("plaintext, 64 connections", "request", many, 50, || {
            keep_alive(MANY, PLAINTEXT.to_vec(), plaintext())
        }),
        workload("plaintext, pipelined 16", "request", 16, 200, || keep_alive(1, PLAINTEXT.repeat(16), plaintext())),
        workload("plaintext, 64 x pipelined 16", "request", 16 * many, 10, || {
            keep_alive(MANY, PLAINTEXT.repeat(16), plaintext())
        }),
        workload("plaintext, completions", "request", 1, 1_000, || simulated(PLAINTEXT.to_vec())),
        workload("plaintext, completions, pipelined", "request", 16, 200, || simulated(PLAINTEXT.repeat(16))),
        workload("head of a browser", "request", 1, 1_000, || keep_alive(1, heads::BROWSER.to_vec(), plaintext())),
        workload("static body of 64 KiB", "request", 1, 1_000, || {
            keep_alive(
                1,
                PLAINTEXT.to_vec(),
                handler_fn(|_, response: &mut ResponseWriter<'_>| response.static_body(&[b'x'; 65_536])),
            )
        }),
        workload("echo of 1 KiB", "request", 1, 1_000, || keep_alive(1, post(), Echo)),
        workload("echo of 1 KiB, collected", "request", 1, 1_000, || {
            keep_alive(
                1,
                post(),
                collect_fn(|_, content: &[u8], response: &mut ResponseWriter<'_>| response.body(content)),
            )
        }),
        workload("echo of 1 KiB, chunked", "request", 1, 1_000, || keep_alive(1, post_chunked(), Echo)),
        workload("echo of 1 KiB, behind middleware", "request", 1, 1_000, || {
            keep_alive(
                1,
                post(),
                ETags::new(TimeLimit::new(1_000, Echo)).wrap(BodyLimit::new(4_096)).wrap(Cors::any_origin()),
            )
        }),
        workload("route among 20", "request", 1, 1_000, routed),
        workload("refusal with 400", "connection", 1, 500, || one_by_one(b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400")),
        workload("connection of one request", "connection", 1, 500, || {
            one_by_one(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200")
        }),
        workload("connection that is never used", "connection", many, 20, never_used),
        workload("turn without events", "turn", 1, 1_000, without_events),
    ]
}

fn plaintext() -> impl Handler {
    handler_fn(|_, response: &mut ResponseWriter<'_>| {
        response.field_line(TEXT_PLAIN)?;
        response.body(b"Hello, World!")
    })
}

fn post() -> Vec<u8> {
    let mut request = b"POST /echo HTTP/1.1\r\nHost: server:8080\r\nContent-Length: 1024\r\n\r\n".to_vec();
    request.extend([b'a'; 1024]);
    request
}

/// The same content in four chunks.
fn post_chunked() -> Vec<u8> {
    let mut request = b"POST /echo HTTP/1.1\r\nHost: server:8080\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..4 {
        request.extend(b"100\r\n");
        request.extend([b'a'; 256]);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

/// Sends content back as it arrives.
struct Echo;

impl Handler for Echo {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match response.stream(request.content_length()) {
            Ok(()) => Flow::Receive(()),
            Err(_) => Flow::Finish,
        }
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match response.write(content.bytes()) {
            Ok(count) => content.consume(count),
            Err(_) => return Flow::Finish,
        }
        if content.ended() && content.bytes().is_empty() { Flow::Finish } else { Flow::Receive(()) }
    }
}

/// `connections` connections that stay open; in each repetition every client sends `bytes` once.
fn keep_alive<H: Handler + 'static>(connections: usize, bytes: Vec<u8>, handler: H) -> Repetition {
    let mut world = World::new(handler, connections, Script { bytes, then_fin: false });
    world.clients().connect(connections);
    world.settle();
    let mut expected = None;
    Box::new(move || {
        world.clients().send();
        let outcome = world.settle();
        assert_eq!(*expected.get_or_insert(outcome), outcome, "every repetition has the same outcome");
        assert!(outcome.0 > 0 && outcome.1 == 0);
        assert_eq!(&world.clients().status_line, b"HTTP/1.1 200");
    })
}

/// In each repetition one client connects, sends `bytes`, and is closed after the response.
fn one_by_one(bytes: &[u8], status_line: &'static [u8; 12]) -> Repetition {
    let mut world = World::new(plaintext(), 1, Script { bytes: bytes.to_vec(), then_fin: true });
    Box::new(move || {
        world.clients().connect(1);
        let (received, closed) = world.settle();
        assert!(received > 50 && closed == 1, "{received} bytes, {closed} closed");
        assert_eq!(&world.clients().status_line, status_line);
    })
}

/// In each repetition clients connect, send nothing, and are closed when their time is over.
fn never_used() -> Repetition {
    let mut world = World::new(plaintext(), MANY, Script { bytes: Vec::new(), then_fin: false });
    Box::new(move || {
        world.clients().connect(MANY);
        assert_eq!(world.settle(), (0, 0));
        world.clients().pass_ms(PATIENCE_MS);
        assert_eq!(world.settle(), (0, MANY));
    })
}

/// A turn that finds nothing, beside open connections.
fn without_events() -> Repetition {
    let mut world = World::new(plaintext(), MANY, Script { bytes: Vec::new(), then_fin: false });
    world.clients().connect(MANY);
    world.settle();
    Box::new(move || world.turn())
}

fn part(_: &mut (), call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.body(call.param_text("part", &mut []).unwrap_or(""))
}

/// Routes as a program has them, the last of which is asked for.
fn routed() -> Repetition {
    let site = const {
        Routes::new()
            .get("/", part)
            .get("/about", part)
            .get("/articles", part)
            .get("/articles/:article", part)
            .get("/articles/:article/comments", part)
            .get("/items", part)
            .post("/items", part)
            .get("/items/:item", part)
            .put("/items/:item", part)
            .delete("/items/:item", part)
            .get("/orders", part)
            .post("/orders", part)
            .get("/orders/:order", part)
            .delete("/orders/:order", part)
            .get("/users", part)
            .post("/users", part)
            .get("/users/:user", part)
            .get("/users/:user/orders", part)
            .get("/files/*path", part)
            .get("/items/:item/parts/:part", part)
    };
    keep_alive(1, b"GET /items/12345/parts/wheel HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), site.with_state(()))
}

/// The engine over a completion-style reactor, as io_uring is one. The simulated network's own work is part of it.
fn simulated(request: Vec<u8>) -> Repetition {
    let mut engine = engine(plaintext(), 1);
    let mut sim = Sim::new(4, 16_384);
    let listener = sim.listen().expect("a socket is left");
    engine.listen(listener).expect("the first listener");
    let client: Client = sim.connect(listener).expect("a socket is left");
    let stop = StopFlag::new();
    let mut response = vec![0; 16_384];
    let mut expected = None;
    Box::new(move || {
        assert_eq!(sim.client_send(client, &request), request.len());
        let mut received = 0;
        // Until nothing has come for two turns.
        let mut silent = 0;
        while received == 0 || silent < 2 {
            turn_within(&mut engine, &mut sim, &stop, Some(Duration::ZERO)).expect("it never fails");
            silent += 1;
            if let ClientRecv::Bytes(count) = sim.client_recv(client, &mut response) {
                received += count;
                silent = 0;
            }
        }
        assert_eq!(*expected.get_or_insert(received), received, "every repetition has the same outcome");
    })
}
