//! Responses that are looked at and changed when they are whole, and what stands around handlers.

use std::ops::ControlFlow;

use aurora_http_core::handler::{Around, Flow, Handler, around, handler_fn};
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::request::{BodyLength, Request};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::harness::Bench;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// What two requests in one piece are answered, each by `write`.
fn twice(request: &[u8], write: impl Fn(&mut ResponseWriter<'_>) -> Result<(), WriteError>) -> String {
    let handler = handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| write(response));
    let mut bench = Bench::new(handler);
    bench.send(&[request, request].concat());
    bench.take_output()
}

#[test]
fn a_whole_response_is_amended_and_its_content_stays_what_it_is() {
    static LONG: [u8; 3_000] = [b's'; 3_000];
    for length in [0, 1, 700, 900, 980, 1_000, 5_000, 60_000] {
        let content = vec![b'c'; length];
        let output = twice(GET, |response| {
            assert_eq!((response.whole_content(), response.whole_field("A")), (None, None));
            response.field("A", "b")?;
            assert_eq!(response.amend("E", "f"), Err(WriteError::Order), "it is not whole yet");
            response.body(&content)?;
            assert_eq!(response.whole_content(), Some(&*content));
            response.amend("E", "f".repeat(100))?;
            assert_eq!(response.amend("E", "a\r\nb"), Err(WriteError::InvalidValue));
            assert_eq!(response.whole_content(), Some(&*content));
            assert_eq!(response.whole_field("a"), Some(&b"b"[..]));
            Ok(())
        });
        let one = format!(
            "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: {length}\r\nE: {}\r\n\r\n{}",
            "f".repeat(100),
            "c".repeat(length)
        );
        assert!(output == one.repeat(2), "{length}: {}", &output[..output.len().min(600)]);
    }
    let output = twice(GET, |response| {
        response.static_body(&LONG)?;
        assert_eq!(response.whole_content(), Some(&LONG[..]));
        response.amend("E", "f")
    });
    let one = format!("HTTP/1.1 200 OK\r\nContent-Length: 3000\r\nE: f\r\n\r\n{}", "s".repeat(3_000));
    assert_eq!(output, one.repeat(2));
}

#[test]
fn a_200_becomes_a_304_with_the_same_fields_and_nothing_else_does() {
    static LONG: [u8; 3_000] = [b's'; 3_000];
    type Write = fn(&mut ResponseWriter<'_>) -> Result<(), WriteError>;
    let bodies: [Write; 3] = [
        |response| response.body("content"),
        |response| response.static_body(&LONG),
        |response| response.body_with(|body| Ok::<_, WriteError>(std::fmt::Write::write_str(body, "text")?)),
    ];
    for (write, length) in bodies.into_iter().zip([7, 3_000, 4]) {
        let output = twice(GET, |response| {
            response.field("Vary", "Accept")?;
            write(response)?;
            response.amend("ETag", "\"1\"")?;
            response.make_not_modified()?;
            assert_eq!((response.status_so_far(), response.whole_content()), (304, None));
            Ok(())
        });
        let one =
            format!("HTTP/1.1 304 Not Modified\r\nVary: Accept\r\nContent-Length: {length}\r\nETag: \"1\"\r\n\r\n");
        assert_eq!(output, one.repeat(2));
    }
    let output = twice(GET, |response| {
        response.status(404)?;
        response.body("x")?;
        assert_eq!(response.make_not_modified(), Err(WriteError::Order));
        Ok(())
    });
    assert!(output.starts_with("HTTP/1.1 404 "), "{output}");
    // No content to look at: of HEAD, and of one in pieces.
    let none = |response: &mut ResponseWriter<'_>| {
        assert_eq!(response.whole_content(), None);
        assert_eq!(
            (response.amend("A", "b"), response.make_not_modified()),
            (Err(WriteError::Order), Err(WriteError::Order))
        );
    };
    let output = twice(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", |response| {
        response.body("x")?;
        none(response);
        Ok(())
    });
    assert_eq!(output, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n".repeat(2));
    let output = twice(GET, |response| {
        response.stream(Some(1))?;
        response.write(b"x")?;
        none(response);
        Ok(())
    });
    assert_eq!(output, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".repeat(2));
}

/// A response as long as one may be: to amend it takes room beyond that, or fails and leaves it as it is.
#[test]
fn a_response_that_fills_its_limit_is_amended_or_stays_as_it_is() {
    let head = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 65000\r\n\r\n";
    let length = Limits::default().response_bytes_max as usize - head.len();
    let content = vec![b'c'; length];
    let head = head.replace("65000", &length.to_string());
    let whole = format!("{head}{}", "c".repeat(length));
    for larger in [0, 1] {
        let answer = |change: fn(&mut ResponseWriter<'_>)| {
            let handler = handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| {
                response.field("ETag", "\"1\"")?;
                response.body(&content)?;
                change(response);
                Ok::<_, WriteError>(())
            });
            let mut bench = Bench::with_buffers(handler, ClassCounts::new([8, 8, 4, 2, larger]));
            bench.send(GET);
            bench.take_output()
        };
        let output = answer(|response| {
            let _ = response.amend("A", "b");
        });
        let amended = whole.replace("\r\n\r\n", "\r\nA: b\r\n\r\n");
        assert!(output == if larger == 0 { &*whole } else { &*amended }, "{larger}: {}", &output[..99]);
        let output = answer(|response| response.make_not_modified().unwrap());
        assert_eq!(output, head.replace("200 OK", "304 Not Modified"));
    }
}

#[test]
fn a_304_made_of_a_response_that_does_not_read_its_request_closes_as_that_would() {
    // Content that is not read ends the connection, which the head says already.
    let handler = handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| {
        response.body("x")?;
        response.make_not_modified()
    });
    let mut bench = Bench::new(handler);
    bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n");
    let output = bench.take_output();
    assert!(output.starts_with("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n"), "{output}");
}

/// Collects, with a limit of its own.
struct Limited(u64);

impl Handler for Limited {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        assert_ne!(request.body_length(), BodyLength::None);
        response.limit_content(self.0);
        Flow::Collect(())
    }

    fn collected(&mut self, (): (), _: &Request<'_>, content: &[u8], response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.body(content);
        Flow::Finish
    }
}

#[test]
fn content_that_is_collected_obeys_the_handlers_own_limit() {
    let length = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345";
    let chunks = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\n3\r\n345\r\n0\r\n\r\n";
    for request in [length, chunks] {
        for (limit, status) in [(0, "413"), (4, "413"), (5, "200"), (u64::MAX, "200")] {
            let mut bench = Bench::new(Limited(limit));
            bench.send(request.as_bytes());
            let output = bench.take_output();
            assert!(output.starts_with(&format!("HTTP/1.1 {status} ")), "{limit}: {output}");
        }
    }
}

/// Counts what it is told.
#[derive(Default)]
struct Told(Vec<&'static str>);

impl Around for &mut Told {
    type Note = ();

    fn before(&mut self, _: &Request<'_>, _: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        self.0.push("before");
        ControlFlow::Continue(())
    }

    fn between(&mut self, (): &mut (), response: &mut ResponseWriter<'_>) {
        self.0.push("between");
        let _ = response.add_field("A", "b");
    }

    fn wrote(&mut self, (): &mut (), _: &ResponseWriter<'_>) {
        self.0.push("wrote");
    }

    fn finished(&mut self, (): (), _: &ResponseWriter<'_>) {
        self.0.push("finished");
    }
}

/// Waits, and says goodbye when the server stops.
struct Waits;

impl Handler for Waits {
    type Exchange = u8;

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<u8> {
        response.wake_after(60_000);
        Flow::Defer(7)
    }

    fn stopping(&mut self, flow: Flow<u8>, response: &mut ResponseWriter<'_>) -> Flow<u8> {
        assert_eq!(flow, Flow::Defer(7));
        let _ = response.body("bye");
        Flow::Finish
    }
}

#[test]
fn a_handler_with_something_around_it_hears_of_a_stop() {
    let mut told = Told::default();
    let mut bench = Bench::new(around(&mut told, Waits));
    bench.send(GET);
    assert_eq!(bench.take_output(), "");
    bench.stopping();
    let output = bench.take_output();
    assert!(output.contains("\r\nA: b\r\n") && output.ends_with("\r\n\r\nbye"), "{output}");
    drop(bench);
    assert_eq!(told.0, ["before", "wrote", "between", "finished"]);
}

/// Streams: the rest follows in a further call, or after a time.
struct Streams(Flow<()>);

impl Handler for Streams {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.stream(None);
        response.wake_after(60_000);
        self.0
    }

    fn produce(&mut self, (): (), _: &mut ResponseWriter<'_>) -> Flow<()> {
        panic!("nothing of it would be sent");
    }
}

/// Nothing of a body is sent to HEAD, so neither the client nor what is around the handler waits for it.
#[test]
fn the_response_to_head_is_complete_when_its_body_begins() {
    for flow in [Flow::Produce(()), Flow::Defer(())] {
        let mut told = Told::default();
        let mut bench = Bench::new(around(&mut told, Streams(flow)));
        for _ in 0..2 {
            bench.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
            let output = bench.take_output();
            assert!(output.starts_with("HTTP/1.1 200 ") && output.ends_with("\r\n\r\n"), "{flow:?}: {output}");
        }
        assert_eq!(bench.in_flight, 0, "{flow:?}");
        drop(bench);
        assert_eq!(told.0, ["before", "finished", "before", "finished"], "{flow:?}");
    }
}
