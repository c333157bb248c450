//! What a handler can do apart from writing a response from start to end: start over, add fields, write a body of
//! unknown length, return its own error type, continue as a closure, and format the server's own answers.

use std::fmt::Write as _;

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{
    Either, ErrorResponse, Flow, Handler, Progress, Refusal, RefusalCause, Respond, collect_fn, deferred, handler_fn,
    producing, receiving, upgraded, whole,
};
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::request::{Method, Request};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::harness::Bench;

const GET: &str = "GET /some HTTP/1.1\r\nHost: x\r\n\r\n";
const HEAD: &str = "HEAD /some HTTP/1.1\r\nHost: x\r\n\r\n";

fn get(handler: impl Handler) -> String {
    ask(handler, GET)
}

fn ask(handler: impl Handler, request: &str) -> String {
    let mut bench = Bench::new(handler);
    bench.send(request.as_bytes());
    bench.take_output()
}

fn plain(status: &str, fields: &str) -> String {
    let text = &status[4..];
    let length = text.len() + 1;
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nContent-Type: text/plain\r\n{fields}\r\n{text}\n")
}

#[test]
fn an_added_field_is_in_every_kind_of_response() {
    type Write = fn(&mut ResponseWriter<'_>) -> Result<(), WriteError>;
    let ok = "HTTP/1.1 200 OK\r\nB: 2\r\nA: 1\r\nContent-Length: 2\r\n\r\nhi";
    let rows: [(&str, Write, String); 8] = [
        ("body", |response| response.field("B", "2").and_then(|()| response.body("hi")), ok.to_owned()),
        (
            "status",
            |response| response.status(201).and_then(|()| response.body("hi")),
            "HTTP/1.1 201 Created\r\nA: 1\r\nContent-Length: 2\r\n\r\nhi".to_owned(),
        ),
        (
            "stream",
            |response| response.stream(Some(2)).and_then(|()| response.write(b"hi").map(|_| ())),
            "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 2\r\n\r\nhi".to_owned(),
        ),
        (
            "body_with",
            |response| response.body_fmt(format_args!("{}", "hi")),
            "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 2\r\n\r\nhi".to_owned(),
        ),
        ("nothing", |_| Ok(()), "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("fail", |response| response.fail(404), plain("404 Not Found", "A: 1\r\n")),
        ("error", |response| response.status(99), plain("500 Internal Server Error", "A: 1\r\n")),
        (
            "reset",
            |response| {
                response.status(203)?;
                response.field("Lost", "yes")?;
                response.body("not this")?;
                response.reset()?;
                response.field("B", "2")?;
                response.body("hi")
            },
            ok.to_owned(),
        ),
    ];
    for (name, write, expected) in rows {
        let handler = handler_fn(|_, response| {
            response.add_field("A", "1")?;
            write(response)
        });
        assert_eq!(get(handler), expected, "{name}");
    }
}

#[test]
fn a_field_that_cannot_be_added_does_no_harm() {
    let handler = handler_fn(|_, response| {
        assert_eq!(response.add_field("A b", "1"), Err(WriteError::InvalidName));
        assert_eq!(response.add_field("A", "1\r\n"), Err(WriteError::InvalidValue));
        assert_eq!(response.add_field("Content-Length", "1"), Err(WriteError::Reserved));
        assert_eq!(response.add_field("A", "x".repeat(300_000)), Err(WriteError::PoolExhausted));
        for _ in 0..30 {
            assert_eq!(response.add_field("A", ""), Ok(()));
        }
        response.body("hi")?;
        assert_eq!(response.add_field("A", "1"), Err(WriteError::Order));
        Ok::<_, WriteError>(())
    });
    let fields = "A: \r\n".repeat(30);
    assert_eq!(get(handler), format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nhi"));
}

#[test]
fn a_response_that_began_in_an_earlier_call_cannot_be_reset() {
    let handler = handler_fn(|_, response| {
        response.stream(Some(4))?;
        let mut calls = 0;
        Ok::<_, WriteError>(producing(move |response| {
            calls += 1;
            if calls == 1 {
                response.write(b"ab")?;
                return Ok(Progress::More);
            }
            assert_eq!(response.reset(), Err(WriteError::Order));
            response.write(b"cd").map(|_| Progress::Done)
        }))
    });
    let mut bench = Bench::new(handler);
    bench.send(GET.as_bytes());
    // The error is kept, and a part has been sent.
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::ResponseFailed));
}

#[test]
fn a_body_of_unknown_length_is_sent_with_its_length() {
    for count in [0, 1, 9, 200, 1_000, 5_000] {
        let handler = handler_fn(move |_, response| {
            response.field("Content-Type", "text/plain")?;
            response.body_with(|body| {
                (0..count).try_for_each(|number| write!(body, "{number},"))?;
                Ok::<_, WriteError>(())
            })
        });
        let body: String = (0..count).map(|number| format!("{number},")).collect();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
        assert_eq!(get(handler), format!("{head}{body}"), "{count}");
        assert_eq!(ask(handler, HEAD), head, "{count}, HEAD");
    }
}

#[test]
fn a_body_that_is_too_long_or_fails_is_discarded() {
    let too_long = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 30\r\nContent-Type: text/plain\r\n\r\n\
                    Response exceeds maximum size\n";
    for length in [65_536, 70_000, 200_000] {
        let handler = handler_fn(move |_, response| response.body_fmt(format_args!("{}", "x".repeat(length))));
        assert_eq!(get(handler), too_long, "{length}");
    }
    // The serializer's error is returned, and another response replaces this one.
    let handler = handler_fn(|_, response| {
        let written = response.body_with(|body| {
            write!(body, "some of it")?;
            Err(WriteError::Failed(502))
        });
        assert_eq!(written, Err(WriteError::Failed(502)));
        response.reset()?;
        response.body("another")
    });
    assert_eq!(get(handler), "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nanother");
    // If no larger buffer is free.
    let mut bench = Bench::with_buffers(
        handler_fn(|_, response| response.body_fmt(format_args!("{:5000}", 1))),
        ClassCounts::new([4, 4, 0, 0, 0]),
    );
    bench.send(GET.as_bytes());
    assert!(bench.take_output().starts_with("HTTP/1.1 503 "));
}

#[test]
fn write_with_shows_no_bytes_of_other_responses() {
    let handler = handler_fn(|request: &Request<'_>, response| {
        if request.path() == b"/secret" {
            return response.body("secret".repeat(50));
        }
        response.stream(None)?;
        let count = response.write_with(|room| {
            assert!(room.iter().all(|byte| *byte == 0), "the room is not all zeros");
            Ok::<_, WriteError>(3)
        })?;
        assert_eq!(count, 3);
        let failed = response.write_with(|room| {
            room.fill(b'x');
            Err(WriteError::Failed(500))
        });
        assert_eq!(failed, Err(WriteError::Failed(500)));
        Ok(())
    });
    let mut bench = Bench::new(handler);
    bench.send(b"GET /secret HTTP/1.1\r\nHost: x\r\n\r\n");
    bench.take_output();
    bench.send(GET.as_bytes());
    let output = bench.take_output();
    assert_eq!(output, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00003\r\n\0\0\0\r\n0\r\n\r\n");
}

#[derive(Debug)]
enum ShopError {
    SoldOut,
    Write(WriteError),
}

impl From<WriteError> for ShopError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl ErrorResponse for ShopError {
    fn respond(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        match self {
            Self::SoldOut => {
                response.status(409)?;
                response.field("Content-Type", "application/json")?;
                response.body("{\"error\":\"sold out\"}")
            }
            Self::Write(error) => error.respond(response),
        }
    }
}

#[test]
fn an_error_of_the_program_replaces_what_was_written() {
    let sold_out = "HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n\
                    {\"error\":\"sold out\"}";
    let handler = handler_fn(|_, response| {
        response.field("Lost", "yes")?;
        response.stream(None)?;
        response.write(b"some of it")?;
        Err::<(), _>(ShopError::SoldOut)
    });
    assert_eq!(get(handler), sold_out);
    let handler = collect_fn(|_, content, response| match content {
        b"buy" => Err(ShopError::SoldOut),
        b"bad" => Ok(response.status(1)?),
        _ => Ok(response.body("nothing")?),
    });
    let post = |content: &str| {
        let length = content.len();
        ask(handler, &format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{content}"))
    };
    assert_eq!(post("buy"), sold_out);
    assert_eq!(post("bad"), plain("500 Internal Server Error", ""));
    assert_eq!(post(""), "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nnothing");
}

/// Continues in a different way for each path.
fn routes(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<impl Respond + use<>, ShopError> {
    Ok(match request.path() {
        b"/count" => Either::Left({
            response.stream(None)?;
            let mut left = 3;
            producing(move |response| {
                response.write(&[b'0' + left])?;
                left -= 1;
                Ok::<_, ShopError>(if left == 0 { Progress::Done } else { Progress::More })
            })
        }),
        b"/length" => Either::Right(Either::Left({
            let mut length = 0;
            receiving(move |content, response| {
                length += content.bytes().len();
                match content.ended() {
                    true if length > 5 => Err(ShopError::SoldOut),
                    true => Ok(response.body_fmt(format_args!("{length}"))?),
                    false => Ok(()),
                }
            })
        })),
        _ => Either::Right(Either::Right(())),
    })
}

#[test]
fn functions_continue_as_different_closures() {
    let mut bench = Bench::new(handler_fn(routes));
    bench.send(b"GET /count HTTP/1.1\r\nHost: x\r\n\r\n");
    let chunks = "00001\r\n3\r\n00001\r\n2\r\n00001\r\n1\r\n0\r\n\r\n";
    assert_eq!(bench.take_output(), format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
    for byte in b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd" {
        bench.send(&[*byte]);
    }
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n4");
    bench.send(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabcdef");
    assert!(bench.take_output().starts_with("HTTP/1.1 409 "));
    bench.send(b"GET /length HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0");
    bench.send(GET.as_bytes());
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn an_owned_body_may_have_any_length() {
    for length in [0, 1, 700, 20_000, 300_000] {
        let handler = handler_fn(move |_, response| {
            response.field("A", "b")?;
            Ok::<_, WriteError>(whole("x".repeat(length)))
        });
        let head = format!("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(get(handler), head.clone() + &"x".repeat(length), "{length}");
        assert_eq!(ask(handler, HEAD), head, "{length}, HEAD");
    }
}

#[test]
fn a_closure_answers_later() {
    let token = std::rc::Rc::new(std::cell::Cell::new(None));
    let taken = token.clone();
    let mut bench = Bench::new(handler_fn(move |_, response| {
        taken.set(Some(response.defer()?));
        Ok::<_, WriteError>(deferred(|response| response.body("later")))
    }));
    bench.send(GET.as_bytes());
    assert_eq!(bench.take_output(), "");
    assert!(bench.deferrals.resolve(token.get().unwrap()));
    bench.resolved();
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlater");
}

#[test]
fn a_closure_speaks_another_protocol() {
    let mut bench = Bench::new(handler_fn(|_, response| {
        response.switch_protocols("echo", &[])?;
        Ok::<_, WriteError>(upgraded(|content, response| {
            let count = response.write(content.bytes())?;
            content.consume(count);
            Ok::<_, WriteError>(if content.bytes() == b"." { Progress::Done } else { Progress::More })
        }))
    }));
    bench.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nab");
    assert!(bench.take_output().ends_with("\r\n\r\nab"));
    bench.send(b"cd");
    assert_eq!(bench.take_output(), "cd");
    bench.fin();
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::UpgradeFinished));
}

/// Formats the server's own answers, and records them.
#[derive(Default)]
struct Formed {
    seen: Vec<(u16, RefusalCause, Option<String>)>,
    /// What it writes is not a response.
    is_broken: bool,
    /// It only adds a field.
    is_shy: bool,
}

impl Handler for Formed {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match (request.method(), request.path()) {
            (Method::Post, _) => return Flow::Collect(()),
            (_, b"/missing") => {
                let _ = response.fail(404);
            }
            (_, b"/nonsense") => return Flow::Collect(()),
            (_, b"/stall") => return Flow::Produce(()),
            _ => {}
        }
        Flow::Finish
    }

    fn produce(&mut self, (): (), _: &mut ResponseWriter<'_>) -> Flow<()> {
        Flow::Produce(())
    }

    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        let target = refusal.target().map(|target| String::from_utf8_lossy(target).into_owned());
        self.seen.push((refusal.status(), refusal.cause(), target));
        let _ = response.add_field("X-Request", "7");
        if !self.is_shy {
            let _ = response.status(if self.is_broken { 999 } else { refusal.status() });
            let _ = response.body_fmt(format_args!("[{}]", refusal.status()));
        }
    }
}

#[test]
fn the_handler_formats_the_servers_own_answers() {
    use RefusalCause::{Connection, Handler, Stalled};
    let rows = [
        ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400, Connection(CloseReason::BadRequest), Some("/a"), true),
        (
            "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n",
            413,
            Connection(CloseReason::TooLarge),
            None,
            true,
        ),
        ("GET /missing HTTP/1.1\r\nHost: x\r\n\r\n", 404, Handler(WriteError::Failed(404)), Some("/missing"), false),
        ("GET /stall HTTP/1.1\r\nHost: x\r\n\r\n", 500, Stalled, None, true),
    ];
    for (request, status, cause, target, closes) in rows {
        let reason = aurora_http_core::status::reason(status);
        let close = if closes { "Connection: close\r\n" } else { "" };
        for (is_broken, is_shy) in [(false, false), (true, false), (false, true)] {
            let mut bench = Bench::new(Formed { is_broken, is_shy, ..Formed::default() });
            bench.send(request.as_bytes());
            let seen = (status, cause, target.map(str::to_owned));
            assert_eq!(bench.handler.seen, [seen], "{request}");
            let length = reason.len() + 1;
            let text = format!(
                "{close}Content-Length: {length}\r\nContent-Type: text/plain\r\nX-Request: 7\r\n\r\n{reason}\n"
            );
            let own = format!("X-Request: 7\r\n{close}Content-Length: 5\r\n\r\n[{status}]");
            let rest = if is_broken || is_shy { text } else { own };
            assert_eq!(bench.take_output(), format!("HTTP/1.1 {status} {reason}\r\n{rest}"), "{request}");
        }
    }
}

#[test]
fn a_late_request_is_refused_in_the_handlers_format() {
    let mut bench = Bench::new(Formed::default());
    bench.send(b"GET /slow HTTP/1.1\r\nHo");
    bench.pass(30_000);
    // The received part of the head is in the receive in flight.
    let seen = (408, RefusalCause::Connection(CloseReason::HeadTimeout), None);
    assert_eq!(bench.handler.seen, [seen]);
    let expected =
        "HTTP/1.1 408 Request Timeout\r\nX-Request: 7\r\nConnection: close\r\nContent-Length: 5\r\n\r\n[408]";
    assert_eq!(bench.take_output(), expected);
}

#[test]
fn a_batch_of_requests_is_answered_in_one_send() {
    let mut bench = Bench::new(handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| {
        response.field("Content-Type", "text/plain")?;
        response.body("Hello, World!")
    }));
    for count in [1, 16, 64] {
        bench.sends = 0;
        bench.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(count).as_bytes());
        assert_eq!(bench.take_output().matches("Hello, World!").count(), count);
        assert_eq!(bench.sends, 1, "for {count} requests");
        assert_eq!(bench.pool.in_use(), 0);
    }
}
