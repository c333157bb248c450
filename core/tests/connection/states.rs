//! What a connection does in each of its states.

use aurora_http_core::answer::Answer;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler, handler_fn};
use aurora_http_core::reactor::Shutdown;
use aurora_http_core::request::{BodyLength, Request};
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn hello() -> Bench<impl Handler> {
    Bench::new(handler_fn(|_, response: &mut ResponseWriter<'_>| {
        let _ = response.body(b"hello");
    }))
}

/// Echoes content: as a whole with `/collect`, otherwise in slices.
struct Echo;

impl Handler for Echo {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.path() == b"/collect" {
            return Flow::Collect(());
        }
        let length = match request.body_length() {
            BodyLength::Length(length) => Some(length),
            _ => None,
        };
        let _ = response.stream(length);
        Flow::Receive(())
    }

    fn collected(
        &mut self,
        (): (),
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<()> {
        assert_eq!(request.path(), b"/collect");
        let _ = response.body(content);
        Flow::Finish
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let count = response.write(content.bytes()).unwrap_or(0);
        content.consume(count);
        if content.ended() && content.bytes().is_empty() { Flow::Finish } else { Flow::Receive(()) }
    }
}

#[test]
fn one_request_one_response_and_no_buffer_when_idle() {
    let mut bench = hello();
    assert_eq!(bench.state(), State::New);
    bench.send(GET);
    assert_eq!(bench.take_output(), HELLO);
    assert_eq!(bench.state(), State::KeepAlive);
    assert_eq!(bench.pool.in_use(), 0);
    assert!(bench.is_receiving());
    let counters = &bench.counters;
    assert_eq!((counters.bytes_received, counters.bytes_sent), (GET.len() as u64, HELLO.len() as u64));
}

#[test]
fn pipelined_responses_leave_in_one_send() {
    let mut bench = hello();
    bench.send(&GET.repeat(16));
    assert_eq!(bench.take_output(), HELLO.repeat(16));
    assert_eq!(bench.sends, 1);
    assert_eq!(bench.connection.requests_served(), 16);
}

#[test]
fn a_head_in_single_bytes_is_answered_once() {
    let mut bench = hello();
    for byte in GET {
        bench.send(&[*byte]);
    }
    assert_eq!(bench.take_output(), HELLO);
    assert_eq!(bench.pool.in_use(), 0);
}

#[test]
fn a_bad_request_gets_one_answer_and_a_lingering_close() {
    let mut bench = hello();
    bench.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let output = bench.take_output();
    assert!(output.starts_with("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"), "{output}");
    assert_eq!(bench.state(), State::Lingering);
    bench.send(GET);
    assert_eq!(bench.take_output(), "");
    bench.fin();
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::BadRequest));
    assert_eq!(bench.pool.in_use(), 0);
}

#[test]
fn connection_close_closes_after_the_response() {
    let mut bench = hello();
    bench.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((bench.state(), bench.shut), (State::Lingering, Some(Shutdown::Write)));
    bench.send(b"\r\n");
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Lingering, 0));
    bench.fin();
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::PeerAsked));
}

#[test]
fn our_side_is_shut_down_first_at_an_orderly_end_and_never_where_that_would_complete_a_response() {
    // Begins a body that only the end of the connection ends, and then waits, or fails.
    struct Begins;
    impl Handler for Begins {
        type Exchange = ();

        fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
            let _ = response.stream(None).and_then(|()| response.write(b"half").map(drop));
            if request.path() == b"/whole" { Flow::Finish } else { Flow::Produce(()) }
        }

        fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
            let _ = response.fail(500);
            Flow::Finish
        }
    }
    let rows: [(&str, &[u8], Option<Shutdown>); 2] = [
        ("a whole body", b"GET /whole HTTP/1.0\r\n\r\n", Some(Shutdown::Write)),
        ("half a body", b"GET /half HTTP/1.0\r\n\r\n", None),
    ];
    for (what, request, expected) in rows {
        let mut bench = Bench::new(Begins);
        bench.send(request);
        assert_eq!(bench.shut.filter(|how| *how == Shutdown::Write), expected, "{what}");
    }
    // Between two requests: the idle timeout, and the client's FIN.
    for is_timeout in [true, false] {
        let mut bench = hello();
        bench.send(GET);
        if is_timeout {
            bench.pass(60_000);
        } else {
            bench.fin();
        }
        assert_eq!((bench.state(), bench.shut), (State::Closed, Some(Shutdown::Write)), "{is_timeout}");
    }
    // Nothing was said yet.
    let mut bench = hello();
    bench.fin();
    assert_eq!((bench.state(), bench.shut), (State::Closed, None));
}

#[test]
fn content_is_collected_in_place_in_a_separate_buffer_and_from_chunks() {
    for length in [0, 1, 100, 3_000, 4_096, 5_000, 70_000, 262_144] {
        let content: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
        let plain =
            [format!("POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").as_bytes(), &content]
                .concat();
        let mut chunked = b"POST /collect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in content.chunks(1_000) {
            chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
            chunked.extend(chunk);
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\n\r\n");
        for request in [plain, chunked] {
            let mut bench = Bench::new(Echo);
            bench.limits.response_bytes_max = 300_000;
            bench.send(&[&request[..], GET].concat());
            let output = bench.take_output();
            let (head, body) = output.split_once("\r\n\r\n").unwrap();
            if length > 260_000 {
                // Content and response cannot both have a buffer of the largest class, so the response is too large.
                continue;
            }
            assert_eq!(head, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}"));
            assert_eq!(&body.as_bytes()[..length], content);
            assert_eq!(bench.state(), State::KeepAlive, "{length}");
            assert_eq!(bench.pool.in_use(), 0);
        }
    }
}

#[test]
fn an_echo_of_any_size_runs_in_two_buffers() {
    for length in [0, 1, 1_000, 5_000, 1_000_000] {
        let content: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
        let mut bench = Bench::new(Echo);
        bench.send_max = 700;
        bench.send(format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").as_bytes());
        let mut most = 0;
        for slice in content.chunks(333) {
            assert_eq!(bench.send(slice), slice.len());
            most = most.max(bench.pool.in_use());
        }
        let output = bench.take_output();
        let (head, body) = output.split_once("\r\n\r\n").unwrap();
        assert_eq!(head, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}"));
        assert!(body.as_bytes() == content, "{length}");
        assert_eq!(bench.state(), State::KeepAlive);
        assert!(most <= 2, "{most}");
        assert_eq!(bench.pool.in_use(), 0);
    }
}

#[test]
fn what_is_written_for_several_chunks_leaves_in_one_send() {
    let mut bench = Bench::new(Echo);
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    bench.send(format!("{head}1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n").as_bytes());
    let output = bench.take_output();
    assert_eq!(
        (output.matches("\r\na\r\n").count(), output.ends_with("0\r\n\r\n"), bench.sends),
        (1, true, 1),
        "{output}"
    );
}

#[test]
fn continue_is_sent_when_content_is_wanted_and_has_not_arrived() {
    let head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    let mut bench = Bench::new(Echo);
    bench.send(head);
    let output = bench.take_output();
    assert!(output.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{output}");
    bench.send(b"ok");
    assert_eq!(bench.take_output(), "ok");
    // No interim response if content has already arrived.
    bench.send(&[&head[..], b"ok"].concat());
    let output = bench.take_output();
    assert!(output.starts_with("HTTP/1.1 200 OK\r\n") && output.ends_with("\r\n\r\nok"), "{output}");
}

#[test]
fn a_slow_head_is_answered_408() {
    let mut bench = hello();
    bench.send(b"GET / HT");
    bench.pass(30_000);
    let output = bench.take_output();
    assert!(output.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{output}");
    assert_eq!(bench.state(), State::Lingering);
    bench.fin();
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::HeadTimeout));
    assert_eq!(bench.pool.in_use(), 0);
}

/// The connection's own answer to a head that is not acceptable, or never complete (RFC 9110 §9.3.2).
#[test]
fn no_error_answer_to_head_has_content() {
    let long = "x".repeat(70_000);
    let many = "A: b\r\n".repeat(65);
    let rows = [
        ("/ HTTP/1.1\r\n\r\n", 400),
        ("/ HTTP/1.1\r\nHost: x\r\nA b\r\n\r\n", 400),
        ("/ HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n", 417),
        ("/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x, chunked\r\n\r\n", 501),
        ("/ HTTP/2.0\r\n\r\n", 505),
        ("\0", 400),
        (&format!("/{long} HTTP/1.1\r\n\r\n"), 414),
        (&format!("/ HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n"), 431),
        (&format!("/ HTTP/1.1\r\nHost: x\r\n{many}\r\n"), 431),
        ("", 408),
        ("/", 408),
        ("/ HTTP/1.1\r\nHost: x\r\nA: ", 408),
    ];
    for (rest, status) in rows {
        for (method, before) in [("HEAD", "GET"), ("GET", "HEAD"), ("HEADS", "HEAD"), ("HEAD", ""), ("GET", "")] {
            for blank_line in ["", "\r\n"] {
                for piece in [1, usize::MAX] {
                    let case = format!("{before} {blank_line:?} {method} {:.20} by {piece}", rest);
                    let mut bench = hello();
                    if !before.is_empty() {
                        bench.send(format!("{before} / HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
                        bench.take_output();
                    }
                    let head = format!("{blank_line}{method} {rest}");
                    for piece in head.as_bytes().chunks(piece) {
                        bench.send(piece);
                    }
                    if status == 408 {
                        bench.elapse(30_000);
                    }
                    let output = bench.take_output();
                    assert!(output.starts_with(&format!("HTTP/1.1 {status} ")), "{case}: {output}");
                    assert!(output.contains("\r\nConnection: close\r\n"), "{case}: {output}");
                    assert_eq!(output.ends_with("\r\n\r\n"), method == "HEAD", "{case}: {output}");
                }
            }
        }
    }
}

#[test]
fn a_head_request_that_is_refused_for_overload_gets_no_content() {
    for (method, is_head) in [("HEAD", true), ("GET", false)] {
        let mut bench = hello();
        bench.send(format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        bench.take_output();
        bench.send(format!("{method} / HTT").as_bytes());
        bench.with(|connection, cx| {
            let answer = Answer { retry_after_s: Some(1), ..Answer::new(503) };
            connection.refuse(cx, answer, CloseReason::Shed);
        });
        bench.act();
        let output = bench.take_output();
        assert!(output.starts_with("HTTP/1.1 503 "), "{output}");
        assert_eq!(output.ends_with("\r\n\r\n"), is_head, "{output}");
    }
}

/// Defers its answer, receives content, or switches protocols, as the path says.
struct Goes;

impl Handler for Goes {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match request.path() {
            b"/later" => response.defer().map_or(Flow::Finish, |_| Flow::Defer(())),
            b"/content" => Flow::Receive(()),
            b"/up" => {
                response.switch_protocols("x", &[]).expect("it was offered");
                Flow::Upgrade(())
            }
            _ => Flow::Finish,
        }
    }

    fn receive(&mut self, (): (), _: &mut Content<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        Flow::Receive(())
    }
}

/// Connections of `Goes` in each state, by what they were sent.
fn in_each_state() -> Vec<(Bench<Goes>, State)> {
    let rows = [
        ("", State::New),
        ("GET / HTTP", State::ReadingHead),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", State::KeepAlive),
        ("GET /later HTTP/1.1\r\nHost: x\r\n\r\n", State::Processing),
        ("POST /content HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", State::ReadingContent),
        ("GET /up HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", State::Switched),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", State::Lingering),
        ("send: GET / HTTP/1.1\r\nHost: x\r\n\r\n", State::Writing),
    ];
    let reach = |(bytes, state): (&str, State)| {
        let mut bench = Bench::new(Goes);
        bench.hold_sends = bytes.starts_with("send: ");
        bench.send(bytes.trim_start_matches("send: ").as_bytes());
        assert_eq!(bench.state(), state);
        (bench, state)
    };
    rows.into_iter().map(reach).collect()
}

#[test]
fn an_exchange_is_under_way_from_its_head_to_the_end_of_its_response() {
    for (mut bench, state) in in_each_state() {
        let exchanging = [State::Processing, State::Writing, State::ReadingContent, State::Switched].contains(&state);
        assert_eq!(bench.connection.is_exchanging(), exchanging, "{state:?}");
        bench.with(|connection, cx| connection.close(cx, CloseReason::Aborted));
        assert!(!bench.connection.is_exchanging() && !bench.connection.is_closed(), "{state:?}");
    }
}

#[test]
fn a_refusal_answers_where_a_request_waits_for_its_answer() {
    for (mut bench, state) in in_each_state() {
        bench.take_output();
        bench.with(|connection, cx| connection.refuse(cx, Answer::new(503), CloseReason::Shed));
        bench.act();
        let answers = [State::New, State::ReadingHead, State::Processing, State::ReadingContent].contains(&state);
        let output = bench.take_output();
        assert_eq!(output.starts_with("HTTP/1.1 503 "), answers, "{state:?}: {output}");
        assert_eq!(output.is_empty(), !answers, "{state:?}: {output}");
        bench.fin();
        let reason = if state == State::Lingering { CloseReason::PeerAsked } else { CloseReason::Shed };
        assert_eq!((bench.state(), bench.connection.close_reason()), (State::Closed, Some(reason)), "{state:?}");
    }
}

#[test]
fn a_fin_ends_what_cannot_go_on_and_says_whether_it_came_early() {
    for with_buffer in [false, true] {
        for (mut bench, state) in in_each_state() {
            if with_buffer && bench.is_receiving() && state != State::ReadingHead {
                bench.fin_with_buffer();
            } else {
                bench.fin();
            }
            let (expected, reason) = match state {
                State::New | State::KeepAlive => (State::Closed, Some(CloseReason::PeerClosed)),
                State::ReadingHead | State::ReadingContent => (State::Closed, Some(CloseReason::PeerClosedEarly)),
                State::Switched => (State::Closed, Some(CloseReason::UpgradeFinished)),
                State::Lingering => (State::Closed, Some(CloseReason::PeerAsked)),
                // The client may still read.
                _ => (state, None),
            };
            assert_eq!((bench.state(), bench.connection.close_reason()), (expected, reason), "{state:?}");
            assert_eq!(bench.pool.in_use(), usize::from(state == State::Writing), "{state:?}");
        }
    }
}

#[test]
fn a_stop_ends_what_is_idle_and_lets_a_client_receive_first() {
    for unacknowledged in [None, Some(0), Some(1), Some(1_000)] {
        for (mut bench, state) in in_each_state() {
            bench.link.unacknowledged = unacknowledged;
            bench.with(|connection, cx| connection.stop(cx, CloseReason::Stopped));
            bench.act();
            let expected = match (state, unacknowledged) {
                (State::KeepAlive, Some(1..)) => State::Lingering,
                (State::KeepAlive | State::New, _) => State::Closed,
                _ => state,
            };
            assert_eq!(bench.state(), expected, "{state:?} {unacknowledged:?}");
            if expected != state {
                assert_eq!(bench.connection.close_reason(), Some(CloseReason::Stopped));
                bench.send(b"late");
                assert_eq!(bench.pool.in_use(), 0);
            }
        }
    }
}
