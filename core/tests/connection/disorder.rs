//! Handlers that return the wrong flow, requests that are malformed at a bad moment, buffers that do not exist.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler, handler_fn};
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::reactor::{IoError, Shutdown};
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
const MALFORMED: &[u8] = b"GET / HTTP/1.1\r\nHost : x\r\n\r\n";
static LONG: [u8; 20_000] = [b's'; 20_000];

type First = fn(&Request<'_>, &mut ResponseWriter<'_>) -> Flow<()>;
type Next = fn(&[u8], bool, &mut ResponseWriter<'_>) -> (usize, Flow<()>);

/// Functions for the first call, and for all later ones. These get the content, if any, and whether it has ended, and
/// return how much of it is consumed.
struct Steps(First, Next);

impl Handler for Steps {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        (self.0)(request, response)
    }

    fn collected(&mut self, (): (), _: &Request<'_>, content: &[u8], response: &mut ResponseWriter<'_>) -> Flow<()> {
        (self.1)(content, true, response).1
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let (consumed, flow) = (self.1)(content.bytes(), content.ended(), response);
        content.consume(consumed);
        flow
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        (self.1)(&[], true, response).1
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        (self.1)(&[], true, response).1
    }
}

fn answers(content: &[u8], _: bool, response: &mut ResponseWriter<'_>) -> (usize, Flow<()>) {
    let _ = response.body(content);
    (content.len(), Flow::Finish)
}

#[test]
fn an_unfinished_head_is_an_error() {
    let later: [First; 4] = [
        |_, response| {
            let _ = response.field("X-A", "b");
            Flow::Receive(())
        },
        |_, response| {
            let _ = response.field("X-A", "b");
            Flow::Collect(())
        },
        |_, response| {
            let _ = response.field("X-A", "b");
            Flow::Produce(())
        },
        |_, response| {
            let _ = (response.field("X-A", "b"), response.defer());
            Flow::Defer(())
        },
    ];
    for first in later {
        let mut bench = Bench::new(Steps(first, answers));
        bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
        let output = bench.take_output();
        assert!(output.starts_with("HTTP/1.1 500 "), "{output}");
        assert_eq!(output.matches("HTTP/1.1").count(), 1, "{output}");
    }
}

#[test]
fn responses_before_a_malformed_request_are_not_lost() {
    for length in [5, 511, 512, 4_000, 20_000] {
        let mut bench = Bench::new(handler_fn(move |_: &Request<'_>, response: &mut ResponseWriter<'_>| {
            response.static_body(&LONG[..length])
        }));
        bench.send(&[GET, MALFORMED, GET].concat());
        let output = bench.take_output();
        assert!(output.starts_with("HTTP/1.1 200 OK\r\n"), "{length}: {output}");
        assert!(output.contains("sHTTP/1.1 400 Bad Request\r\n"), "{length}: {output}");
        assert_eq!((output.matches("HTTP/1.1").count(), bench.state()), (2, State::Lingering), "{length}");
    }
}

#[test]
fn a_response_that_fills_the_buffer_can_be_replaced_until_it_is_sent() {
    let mut bench = Bench::new(Steps(
        |request, response| {
            if request.path() == b"/first" {
                let _ = response.body("first");
                return Flow::Finish;
            }
            let _ = response.stream(None);
            while response.write(&LONG).is_ok_and(|count| count > 0) {}
            Flow::Receive(())
        },
        |content, _, _| (content.len(), Flow::Receive(())),
    ));
    bench.send(&[b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n", CHUNKED, b"x\r\n"].concat());
    let output = bench.take_output();
    assert!(output.contains("\r\n\r\nfirstHTTP/1.1 400 Bad Request\r\n"), "{output}");
    assert_eq!((output.matches("HTTP/1.1").count(), bench.state()), (2, State::Lingering));
}

#[test]
fn an_early_answer_is_not_lost_when_the_content_is_malformed() {
    let early: First = |_, response| {
        let _ = response.body("early");
        Flow::Receive(())
    };
    // Before the fault in the content, nothing of the answer is sent, a part, or all of it.
    for send_max in [usize::MAX, 10] {
        for hold in [false, true] {
            let mut bench = Bench::new(Steps(early, |content, _, _| (content.len(), Flow::Receive(()))));
            bench.send_max = send_max;
            bench.hold_sends = hold;
            bench.send(&[CHUNKED, b"5\r\nabcde\r\n"].concat());
            while bench.is_sending() {
                bench.complete_send(send_max);
            }
            bench.send(b"x\r\n");
            while bench.is_sending() {
                bench.complete_send(send_max);
            }
            let output = bench.take_output();
            assert!(output.ends_with("\r\n\r\nearly"), "{output}");
            assert_eq!(output.matches("HTTP/1.1").count(), 1, "{output}");
            assert_eq!(
                (bench.state(), bench.shut),
                (State::Lingering, Some(Shutdown::Write)),
                "a reset would destroy it"
            );
            assert_eq!(bench.connection.close_reason(), Some(CloseReason::BadRequest));
        }
    }
}

#[test]
fn a_limit_set_during_the_content_applies_to_the_rest() {
    let steps = Steps(
        |_, _| Flow::Receive(()),
        |content, ended, response| {
            response.limit_content(3);
            (content.len(), if ended { Flow::Finish } else { Flow::Receive(()) })
        },
    );
    let mut bench = Bench::new(steps);
    bench.send(&[CHUNKED, b"5\r\nabcde\r\n"].concat());
    assert_eq!(bench.state(), State::ReadingContent);
    bench.send(b"4\r\nabcd\r\n");
    assert!(bench.take_output().starts_with("HTTP/1.1 413 "), "one byte more than allowed");
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::TooLarge));
}

#[test]
fn content_that_no_buffer_could_ever_hold_is_refused() {
    let counts = ClassCounts::new([4, 4, 0, 0, 0]);
    let collect: First = |_, _| Flow::Collect(());
    let chunk = [b"1f40\r\n", &LONG[..8_000], b"\r\n0\r\n\r\n"].concat();
    let requests = [
        [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n", &LONG[..8_000]].concat(),
        [CHUNKED, &chunk].concat(),
    ];
    for request in requests {
        let mut bench = Bench::with_buffers(Steps(collect, answers), counts);
        bench.send(&request);
        let output = bench.take_output();
        assert!(output.starts_with("HTTP/1.1 413 "), "{output:?} {:?}", bench.connection);
        assert_eq!(bench.state(), State::Lingering);
    }
}

#[test]
fn a_head_that_no_buffer_could_ever_hold_is_refused() {
    let mut bench =
        Bench::with_buffers(handler_fn(|_, _: &mut ResponseWriter<'_>| ()), ClassCounts::new([4, 4, 0, 0, 0]));
    bench.send(&[b"GET / HTTP/1.1\r\nHost: x\r\nX: ", &LONG[..]].concat());
    assert!(bench.take_output().starts_with("HTTP/1.1 431 "), "{:?}", bench.connection);
}

#[test]
fn a_receive_without_a_buffer_does_not_delay_the_close() {
    let mut bench = Bench::new(handler_fn(|_, _: &mut ResponseWriter<'_>| ()));
    bench.with(|connection, cx| {
        connection.close(cx, CloseReason::Aborted);
        connection.handle_received(cx, Err(IoError::NoBuffers), None);
        assert!(!connection.is_starved(), "while it waits for a buffer, the engine does not ask for its next action");
    });
}

#[test]
fn a_response_is_as_long_as_the_limit_allows_and_no_longer() {
    for method in ["GET", "HEAD"] {
        for (length, status) in [(1_024 - 40, "200 OK"), (1_024 - 39, "500 Internal Server Error")] {
            let mut bench = Bench::new(handler_fn(move |_: &Request<'_>, response: &mut ResponseWriter<'_>| {
                response.body(&LONG[..length])
            }));
            bench.limits.response_bytes_max = 1_024;
            bench.send(format!("{method} / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "x".repeat(3_000)).as_bytes());
            let output = bench.take_output();
            assert!(output.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{method} {length}: {output}");
            if status == "200 OK" && method == "GET" {
                assert_eq!(output.len(), 1_024);
            }
        }
    }
}

#[test]
fn continue_is_sent_however_much_was_written_before() {
    let mut bench = Bench::new(Steps(
        |_, response| {
            let _ = response.stream(None);
            while response.write(&LONG).is_ok_and(|count| count > 0) {}
            Flow::Receive(())
        },
        |content, ended, _| (content.len(), if ended { Flow::Finish } else { Flow::Receive(()) }),
    ));
    bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert!(bench.take_output().starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
    bench.send(b"ab");
    assert_eq!(bench.take_output(), "0\r\n\r\n");
    assert_eq!(bench.state(), State::KeepAlive);
}

#[test]
fn a_handler_that_waits_for_more_is_called_only_when_more_arrives() {
    let mut bench = Bench::new(Steps(
        |_, response| {
            let _ = response.stream(Some(4));
            Flow::Receive(())
        },
        |content, ended, response| {
            if content.len() < 4 {
                assert!(!ended);
                return (0, Flow::Receive(()));
            }
            let _ = response.write(content);
            (4, Flow::Finish)
        },
    ));
    bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab");
    bench.send(b"cd");
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd");
}

#[test]
fn a_handler_that_waits_for_more_gets_it_across_chunks() {
    let mut bench = Bench::new(Steps(
        |_, _| Flow::Receive(()),
        |content, ended, response| match content.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                let _ = response.body(&content[..at]);
                (at + 1, Flow::Finish)
            }
            None if ended => answers(b"no line", true, response),
            None => (0, Flow::Receive(())),
        },
    ));
    bench.send(&[CHUNKED, b"2\r\nab\r\n1\r\nc\r\n1;x=y\r\nd\r\n"].concat());
    for byte in b"3\r\nef\n\r\n0\r\n\r\n" {
        bench.send(&[*byte]);
    }
    assert!(bench.take_output().ends_with("\r\n\r\nabcdef"), "{:?}", bench.connection);
}

#[test]
fn a_shed_request_is_counted_only_as_shed() {
    let mut bench = Bench::new(handler_fn(|_, _: &mut ResponseWriter<'_>| ()));
    bench.limits.in_flight_max = Some(0);
    bench.send(GET);
    assert!(bench.take_output().starts_with("HTTP/1.1 503 "));
    let counters = &bench.counters;
    assert_eq!((counters.shed, counters.requests, counters.failed, counters.refused), (1, 0, 0, 0));
    assert_eq!((bench.state(), bench.in_flight), (State::KeepAlive, 0));
}

#[test]
fn a_send_that_completes_before_its_cancel_is_counted() {
    let mut bench = Bench::new(handler_fn(|_, response: &mut ResponseWriter<'_>| response.static_body(&LONG)));
    (bench.hold_sends, bench.hold_cancels) = (true, true);
    bench.send(GET);
    bench.with(|connection, cx| connection.close(cx, CloseReason::Aborted));
    bench.act();
    let count = bench.complete_send(1_000);
    assert_eq!((count, bench.counters.bytes_sent), (1_000, 1_000));
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0));
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::Aborted));
}
