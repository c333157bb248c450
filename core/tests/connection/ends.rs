//! How a response ends that cannot be completed, and what is counted.

use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::reactor::{FileId, FileRange, Shutdown};
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// Streams a piece and then fails; without a length on `/open`, raw bytes on `/raw`.
struct Breaks;

impl Handler for Breaks {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match request.path() {
            b"/raw" => response.switch_protocols("x", &[]).expect("it was offered"),
            b"/open" => response.stream(None).expect("room"),
            _ => response.stream(Some(100)).expect("room"),
        }
        response.write(b"piece").expect("room");
        Flow::Produce(())
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.fail(500);
        Flow::Finish
    }
}

/// Where the end of the connection is the end of the response, a FIN would make a part of it look complete.
#[test]
fn a_response_that_breaks_off_ends_with_a_fin_only_if_that_shows() {
    for (path, version, fin) in [
        ("/", "1.1", true),
        ("/", "1.0", true),
        ("/open", "1.1", true), // chunked
        ("/open", "1.0", false),
        ("/raw", "1.1", false),
    ] {
        let mut bench = Bench::new(Breaks);
        let fields = "Host: x\r\nConnection: upgrade\r\nUpgrade: x";
        bench.send(format!("GET {path} HTTP/{version}\r\n{fields}\r\n\r\n").as_bytes());
        assert!(bench.take_output().contains("piece"), "{path} {version}");
        let ends = if fin { (State::Lingering, Some(Shutdown::Write)) } else { (State::Closed, Some(Shutdown::Reset)) };
        assert_eq!((bench.state(), bench.shut), ends, "{path} {version}");
        assert_eq!(bench.connection.close_reason(), Some(CloseReason::ResponseFailed), "{path} {version}");
        assert_eq!((bench.pool.in_use(), bench.counters.failed), (0, 1), "{path} {version}");
    }
}

/// Fails in the way that the path names.
struct Fails;

impl Handler for Fails {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match request.path() {
            b"/error" => {
                let _ = response.fail(404);
                Flow::Finish
            }
            b"/flow" => Flow::Upgrade(()),
            b"/defer" => Flow::Defer(()),
            b"/stall" => Flow::Produce(()),
            b"/content" => Flow::Receive(()),
            _ => Flow::Finish,
        }
    }

    fn produce(&mut self, (): (), _: &mut ResponseWriter<'_>) -> Flow<()> {
        Flow::Produce(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        content.hold();
        Flow::Receive(())
    }
}

#[test]
fn each_failure_of_a_handler_is_counted_once() {
    for (path, failed) in [("/", 0), ("/error", 1), ("/flow", 1), ("/defer", 1), ("/stall", 1), ("/content", 1)] {
        let mut bench = Bench::new(Fails);
        let content = if path == "/content" { "Content-Length: 2\r\n\r\nab" } else { "\r\n" };
        bench.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\n{content}").as_bytes());
        assert_eq!(bench.take_output().matches("HTTP/1.1 ").count(), 1, "{path}");
        let counters = &bench.counters;
        assert_eq!((counters.failed, counters.requests, counters.refused), (failed, 1, 0), "{path}");
    }
}

/// Answers `/first`, and receives content otherwise.
struct Receives;

impl Handler for Receives {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.path() == b"/first" {
            let _ = response.body("first");
            return Flow::Finish;
        }
        Flow::Receive(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        read(content, response)
    }
}

/// Answers when all content has arrived.
fn read(content: &Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
    if !content.ended() {
        return Flow::Receive(());
    }
    let _ = response.body("read");
    Flow::Finish
}

#[test]
fn a_rejected_send_of_earlier_responses_is_no_part_of_the_current_one() {
    let mut bench = Bench::new(Receives);
    bench.hold_sends = true;
    let requests = "GET /first HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
    bench.send(requests.as_bytes());
    bench.reject_send();
    bench.hold_sends = false;
    bench.complete_send(usize::MAX);
    bench.elapse(30_000);
    let output = bench.take_output();
    assert!(output.contains("\r\n\r\nfirstHTTP/1.1 408 "), "{output}");
}

#[test]
fn an_interim_response_alone_is_one_send() {
    let mut bench = Bench::new(Receives);
    bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!((bench.take_output().as_str(), bench.sends), ("HTTP/1.1 100 Continue\r\n\r\n", 1));
    assert_eq!((bench.state(), bench.pool.in_use()), (State::ReadingContent, 0));
    bench.send(b"ab");
    assert!(bench.take_output().ends_with("\r\n\r\nread"));
    assert_eq!((bench.state(), bench.sends), (State::KeepAlive, 2));
}

/// Answers content with a response that begins at once.
struct Begins;

impl Handler for Begins {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match request.path() {
            b"/answered" => response.body("answered").expect("room"),
            b"/unbegun" => {}
            _ => {
                response.stream(None).expect("room");
                response.write(b"piece").expect("room");
            }
        }
        Flow::Receive(())
    }

    fn receive(&mut self, (): (), _: &mut Content<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        Flow::Receive(())
    }
}

#[test]
fn a_refusal_after_the_response_has_begun_cuts_it_off_and_one_after_its_end_does_not() {
    for (path, version, refused, fin) in [
        ("/unbegun", "1.1", 1, true),
        ("/begun", "1.1", 1, true),
        ("/begun", "1.0", 1, false),
        ("/answered", "1.1", 0, true),
        ("/answered", "1.0", 0, true),
    ] {
        let mut bench = Bench::new(Begins);
        let head = format!("POST {path} HTTP/{version}\r\nHost: x\r\nContent-Length: 9\r\n\r\n");
        bench.send(head.as_bytes());
        bench.elapse(10_000);
        let output = bench.take_output();
        assert_eq!(output.contains("HTTP/1.1 408 "), path == "/unbegun", "{path} {version}: {output}");
        assert_eq!(output.matches("HTTP/1.1 ").count(), 1, "{path} {version}: {output}");
        let ends = if fin { (State::Lingering, Some(Shutdown::Write)) } else { (State::Closed, Some(Shutdown::Reset)) };
        assert_eq!((bench.state(), bench.shut), ends, "{path} {version}");
        assert_eq!((bench.counters.refused, bench.pool.in_use()), (refused, 0), "{path} {version}");
        // What the client asked for comes first once the response is complete.
        let is_asked = path == "/answered" && version == "1.0";
        let reason = if is_asked { CloseReason::PeerAsked } else { CloseReason::ContentTimeout };
        assert_eq!(bench.connection.close_reason(), Some(reason), "{path} {version}");
    }
}

/// Answers with a part of a file, and finishes at once or in the next call.
struct SendsFile;

impl Handler for SendsFile {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let length = request.path().ends_with(b"length").then_some(10);
        response.stream(length).expect("room");
        let file = FileId { index: 0, generation: 0 };
        assert_eq!(response.write_file(FileRange { file, offset: 0, len: 10 }), Ok(10));
        if request.path().starts_with(b"/once") { Flow::Finish } else { Flow::Produce(()) }
    }
}

#[test]
fn a_response_that_lacks_the_end_of_its_file_does_not_seem_complete() {
    for (path, version, shut) in [
        ("/length", "1.1", Shutdown::Write),
        ("/once/length", "1.1", Shutdown::Write),
        ("/length", "1.0", Shutdown::Write),
        ("/once/length", "1.0", Shutdown::Write),
        ("/open", "1.0", Shutdown::Reset),
        ("/once/open", "1.0", Shutdown::Reset),
    ] {
        let mut bench = Bench::new(SendsFile);
        bench.send(format!("GET {path} HTTP/{version}\r\nHost: x\r\n\r\n").as_bytes());
        let ends = (bench.shut, bench.connection.close_reason());
        assert_eq!(ends, (Some(shut), Some(CloseReason::ResponseFailed)), "{path} {version}");
        assert_eq!((bench.counters.failed, bench.in_flight), (1, 0), "{path} {version}");
    }
}

/// Writes a byte in each call, without consuming anything, until all content is there.
#[derive(Default)]
struct Murmurs {
    calls: usize,
}

impl Handler for Murmurs {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.stream(None).expect("room");
        Flow::Receive(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.calls += 1;
        content.hold();
        response.write(b".").expect("room");
        if self.calls == 5 { Flow::Finish } else { Flow::Receive(()) }
    }
}

#[test]
fn output_of_a_handler_that_consumed_nothing_is_sent_before_it_is_called_again() {
    let mut bench = Bench::new(Murmurs::default());
    bench.hold_sends = true;
    bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab");
    for call in 1..5 {
        assert_eq!(bench.handler.calls, call);
        assert!(bench.is_sending());
        bench.complete_send(usize::MAX);
    }
    assert_eq!(bench.handler.calls, 5);
}

#[test]
fn an_answer_that_is_still_unsent_is_replaced_when_the_content_is_malformed() {
    for path in ["/unbegun", "/begun", "/answered"] {
        let mut bench = Bench::new(Begins);
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        bench.send(format!("{head}1\r\na\r\nx\r\n").as_bytes());
        let output = bench.take_output();
        assert!(output.starts_with("HTTP/1.1 400 "), "{path}: {output}");
        assert_eq!((output.matches("HTTP/1.1 ").count(), bench.state()), (1, State::Lingering), "{path}");
    }
}

/// Streams a response in two sends.
struct TwoSends;

impl Handler for TwoSends {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.stream(Some(6)).expect("room");
        response.write(b"one").expect("room");
        Flow::Produce(())
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.write(b"two").expect("room");
        Flow::Finish
    }
}

#[test]
fn a_head_after_a_streamed_response_is_refused_like_any_other() {
    for (head, status) in [("GET / HTTP", "408"), ("GET / HTTP/1.1\r\nHost : x\r\n", "400")] {
        let mut bench = Bench::new(TwoSends);
        bench.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(bench.take_output().ends_with("\r\n\r\nonetwo"));
        bench.send(head.as_bytes());
        bench.elapse(30_000);
        let output = bench.take_output();
        assert!(output.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {output}");
        assert_eq!(bench.counters.refused, 1);
    }
}

/// Defers, and asks for the content when its token is resolved.
struct AsksLater(Option<DeferToken>);

impl Handler for AsksLater {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.0 = response.defer().ok();
        Flow::Defer(())
    }

    fn resume(&mut self, (): (), _: &mut ResponseWriter<'_>) -> Flow<()> {
        Flow::Receive(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        read(content, response)
    }
}

#[test]
fn no_interim_response_is_sent_once_content_has_arrived() {
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    for before in 0..=2 {
        for at_once in [true, false] {
            let mut bench = Bench::new(AsksLater(None));
            let (arrived, rest) = "ab".split_at(before);
            if at_once {
                bench.send([head, arrived].concat().as_bytes());
            } else {
                bench.send(head.as_bytes());
                bench.send(arrived.as_bytes());
            }
            assert!(bench.deferrals.resolve(bench.handler.0.expect("cells for deferred answers")));
            bench.resolved();
            let first = bench.take_output();
            assert_eq!(first.starts_with("HTTP/1.1 100 "), before == 0, "{before} {at_once}");
            bench.send(rest.as_bytes());
            let output = first + &bench.take_output();
            assert!(output.ends_with("\r\n\r\nread"), "{before} {at_once}: {output}");
            assert_eq!(bench.state(), State::KeepAlive);
        }
    }
}

/// Streams all of its response in the first call, and then does what it was made to do.
struct SaysLittle(Next);

type Next = fn() -> Flow<()>;

impl Handler for SaysLittle {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.stream(Some(5)).expect("room");
        response.write(b"hello").expect("room");
        Flow::Produce(())
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.wake_after(1_000);
        self.0()
    }

    fn resume(&mut self, (): (), _: &mut ResponseWriter<'_>) -> Flow<()> {
        Flow::Finish
    }
}

#[test]
fn a_call_that_writes_nothing_is_a_failure_only_if_it_wants_another_one_at_once() {
    let rows: [(Next, State, u64); 3] = [
        (|| Flow::Finish, State::KeepAlive, 0),
        (|| Flow::Defer(()), State::Processing, 0),
        (|| Flow::Produce(()), State::Lingering, 1),
    ];
    for (flow, state, failed) in rows {
        let mut bench = Bench::new(SaysLittle(flow));
        bench.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(bench.take_output().ends_with("\r\n\r\nhello"));
        assert_eq!((bench.state(), bench.counters.failed), (state, failed));
        // The clock shows whole milliseconds: of the first one, nearly all may have passed already.
        bench.elapse(1_000);
        assert_eq!(bench.state() == State::Processing, state == State::Processing, "it was called early");
        bench.elapse(1);
        assert!(bench.state() != State::Processing, "it was called at its time");
    }
}
