//! Handlers that wait for a time, or for bytes and a token at once, and what they are told about an end.

use aurora_http_core::connection::Deadline;
use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// A call of the handler.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Call {
    Received(String),
    Woken { by_time: bool },
    Stopping,
    Abandoned(CloseReason),
}

/// Does what the path says, and records its calls.
#[derive(Default)]
struct Waits {
    calls: Vec<Call>,
    token: Option<DeferToken>,
    /// Whether it holds what it is offered.
    holds: bool,
    /// Whether it writes back what it is offered.
    is_upgraded: bool,
    /// The response of `stopping`, if any.
    farewell: Option<&'static str>,
    /// The time in milliseconds that it sets in every call, if any.
    again_ms: Option<u32>,
}

impl Waits {
    fn wait(&mut self, path: &[u8], response: &mut ResponseWriter<'_>) -> Flow<()> {
        match path {
            b"/time" => response.wake_after(5_000),
            b"/both" => {
                response.wake_after(5_000);
                self.token = response.defer().ok();
            }
            b"/nothing" => {}
            _ => self.token = response.defer().ok(),
        }
        match path {
            b"/up" => {
                self.is_upgraded = true;
                let _ = response.switch_protocols("echo", &[]);
                Flow::ReceiveOrResume(())
            }
            b"/up/plain" => {
                let _ = response.switch_protocols("echo", &[]);
                Flow::Upgrade(())
            }
            b"/content" | b"/nothing" => Flow::ReceiveOrResume(()),
            b"/begun" => {
                let _ = response.stream(Some(10));
                let _ = response.write(b"begun");
                Flow::Receive(())
            }
            _ => Flow::Defer(()),
        }
    }
}

impl Handler for Waits {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.wait(request.path(), response)
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.calls.push(Call::Received(String::from_utf8_lossy(content.bytes()).into_owned()));
        if self.holds {
            content.hold();
            return Flow::ReceiveOrResume(());
        }
        if content.ended() {
            let _ = response.write(b"after");
            return Flow::Finish;
        }
        if self.is_upgraded {
            let _ = response.write(content.bytes());
        }
        if self.token.is_some() { Flow::ReceiveOrResume(()) } else { Flow::Receive(()) }
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.calls.push(Call::Woken { by_time: response.is_woken_by_time() });
        if let Some(ms) = self.again_ms {
            response.wake_after(ms);
            return Flow::Defer(());
        }
        if self.holds {
            // Now it has room for it.
            self.holds = false;
            self.token = None;
            return Flow::Receive(());
        }
        let _ = response.body(b"awake");
        Flow::Finish
    }

    fn stopping(&mut self, flow: Flow<()>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        assert!(response.is_stopping());
        self.calls.push(Call::Stopping);
        match self.farewell {
            Some(farewell) => {
                let _ = response.body(farewell);
                Flow::Finish
            }
            None => flow,
        }
    }

    fn abandoned(&mut self, (): (), reason: CloseReason) {
        self.calls.push(Call::Abandoned(reason));
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").into_bytes()
}

fn post(path: &str, length: usize) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

#[test]
fn a_handler_is_called_at_the_time_that_it_set() {
    let mut bench = Bench::new(Waits::default());
    bench.send(&get("/time"));
    assert_eq!(bench.connection.deadline(), Some(Deadline::Wake));
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Processing, 0));
    bench.pass(5_000);
    assert_eq!(bench.handler.calls, [Call::Woken { by_time: true }]);
    assert!(bench.take_output().ends_with("awake"));
    assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0));
    // The time does not carry over to the next exchange.
    bench.send(&get("/token"));
    assert_eq!(bench.connection.deadline(), Some(Deadline::Defer));
}

#[test]
fn a_token_may_be_resolved_before_the_time_or_after_it() {
    let mut bench = Bench::new(Waits::default());
    bench.send(&get("/both"));
    assert!(bench.deferrals.resolve(bench.handler.token.unwrap()));
    bench.resolved();
    assert_eq!(bench.handler.calls, [Call::Woken { by_time: false }]);
    // The time that was still to come does not carry over to the next exchange.
    bench.send(&get("/token"));
    assert_eq!(bench.connection.deadline(), Some(Deadline::Defer));

    let mut bench = Bench::new(Waits { again_ms: Some(70_000), ..Waits::default() });
    bench.send(&get("/both"));
    bench.pass(5_000);
    bench.pass(70_000);
    bench.handler.again_ms = None;
    assert!(bench.deferrals.resolve(bench.handler.token.unwrap()), "the token is still valid");
    bench.resolved();
    let by_time = [true, true, false].map(|by_time| Call::Woken { by_time });
    assert_eq!(bench.handler.calls, by_time);
    assert!(bench.take_output().ends_with("awake"));
}

#[test]
fn an_upgraded_connection_is_called_for_bytes_and_tokens() {
    let mut bench = Bench::new(Waits::default());
    bench.send(&get("/up"));
    bench.send(b"one");
    assert!(bench.take_output().ends_with("\r\n\r\none"));
    bench.send(b"two");
    assert_eq!(bench.take_output(), "two");
    assert!(bench.deferrals.resolve(bench.handler.token.unwrap()), "the token stays the same");
    bench.resolved();
    assert_eq!(bench.handler.calls.last(), Some(&Call::Woken { by_time: false }));
}

#[test]
fn waiting_without_a_token_or_a_time_is_refused() {
    for path in ["/nothing", "/content"] {
        let mut bench = Bench::new(Waits::default());
        bench.send(&post(path, 5));
        let refused = path == "/nothing";
        assert_eq!(bench.take_output().starts_with("HTTP/1.1 500 "), refused, "{path}");
        let abandoned = [Call::Abandoned(CloseReason::ResponseFailed)];
        assert_eq!(bench.handler.calls, if refused { &abandoned[..] } else { &[] }, "{path}");
    }
}

#[test]
fn held_content_is_offered_again_after_a_wake() {
    let mut bench = Bench::new(Waits { holds: true, ..Waits::default() });
    bench.send(&[post("/content", 10), b"12345".to_vec()].concat());
    assert!(bench.deferrals.resolve(bench.handler.token.unwrap()));
    bench.resolved();
    let held = Call::Received("12345".into());
    assert_eq!(bench.handler.calls, [held.clone(), Call::Woken { by_time: false }, held]);
    // Even if no more can come, or there is no room for more.
    for length in [5, 1_000_000] {
        let mut bench = Bench::new(Waits { holds: true, ..Waits::default() });
        bench.send(&post("/content", length));
        let sent = bench.send(&vec![b'x'; length]);
        assert_eq!(bench.connection.deadline(), Some(Deadline::Defer), "{length}: it waits only for the token");
        let offered = bench.handler.calls.len();
        assert!(bench.deferrals.resolve(bench.handler.token.unwrap()));
        bench.resolved();
        assert_eq!(bench.handler.calls.get(offered), Some(&Call::Woken { by_time: false }));
        let all = Call::Received("x".repeat(sent));
        assert_eq!(bench.handler.calls.get(offered + 1), Some(&all), "{length}");
    }
}

#[test]
fn handlers_that_may_wait_for_long_are_told_once_of_a_stop() {
    for (path, hears) in [("/time", true), ("/token", true), ("/up", true), ("/up/plain", true), ("/begun", false)] {
        let mut bench = Bench::new(Waits::default());
        bench.send(&if hears { get(path) } else { post(path, 10) });
        bench.take_output();
        bench.last = Some(CloseReason::Stopped);
        bench.stopping();
        bench.stopping();
        assert_eq!(bench.handler.calls, if hears { &[Call::Stopping][..] } else { &[] }, "{path}");
        assert_eq!(bench.take_output(), "", "{path} continues");
    }
    let mut bench = Bench::new(Waits { farewell: Some("bye"), ..Waits::default() });
    bench.send(&get("/time"));
    bench.last = Some(CloseReason::Stopped);
    bench.stopping();
    let output = bench.take_output();
    assert!(output.contains("\r\nConnection: close\r\n") && output.ends_with("bye"), "{output}");
}

#[test]
fn abandoned_is_called_with_the_reason() {
    let mut bench = Bench::new(Waits::default());
    bench.send(&get("/token"));
    bench.pass(60_000);
    assert_eq!(bench.handler.calls, [Call::Abandoned(CloseReason::DeferTimeout)]);

    let mut bench = Bench::new(Waits::default());
    bench.send(&post("/begun", 10));
    bench.fin();
    assert_eq!(bench.handler.calls, [Call::Abandoned(CloseReason::PeerClosedEarly)]);
    // After its connection has broken, it is not called at its time.
    let mut bench = Bench::new(Waits::default());
    bench.send(&get("/time"));
    bench.with(|connection, cx| connection.close(cx, CloseReason::Aborted));
    bench.act();
    assert_eq!(bench.handler.calls, [Call::Abandoned(CloseReason::Aborted)]);
    assert_eq!(bench.connection.deadline(), None);
}

#[test]
fn an_interim_response_is_sent_separately() {
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let head = "POST /begun HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    for sent_at_once in [1, 24, 25, usize::MAX] {
        let mut bench = Bench::new(Waits::default());
        bench.hold_sends = true;
        bench.send(head.as_bytes());
        while bench.output.len() < CONTINUE.len() {
            let left = CONTINUE.len() - bench.output.len();
            assert_eq!(bench.complete_send(sent_at_once), left.min(sent_at_once), "{}", bench.output.len());
        }
        assert_eq!(String::from_utf8_lossy(&bench.output), CONTINUE);
        bench.hold_sends = false;
        bench.complete_send(usize::MAX);
        let output = bench.take_output();
        assert!(output.starts_with(&format!("{CONTINUE}HTTP/1.1 200 OK\r\n")) && output.ends_with("begun"), "{output}");
        bench.send(b"0123456789");
        assert_eq!(bench.take_output(), "after", "the response continues");
        assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0));
    }
}

#[test]
fn a_rejected_interim_response_is_still_sent_separately() {
    let head = "POST /begun HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    let mut bench = Bench::new(Waits::default());
    bench.hold_sends = true;
    bench.send(head.as_bytes());
    bench.reject_send();
    assert_eq!(bench.complete_send(usize::MAX), 25);
    assert!(bench.complete_send(usize::MAX) > 25);
    bench.hold_sends = false;
    bench.send(b"0123456789");
    assert!(bench.take_output().ends_with("begunafter"));
}

/// Receives, and then waits for more content with or without a time, but without a token.
struct WaitsOn {
    ms: Option<u32>,
    switches: bool,
    abandoned: usize,
}

impl Handler for WaitsOn {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if self.switches {
            response.switch_protocols("echo", &[]).expect("it was offered");
            return Flow::Upgrade(());
        }
        Flow::Receive(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        content.consume(usize::MAX);
        if let Some(ms) = self.ms {
            response.wake_after(ms);
        }
        Flow::ReceiveOrResume(())
    }

    fn abandoned(&mut self, (): (), _: CloseReason) {
        self.abandoned += 1;
    }
}

#[test]
fn only_raw_bytes_may_be_waited_for_with_a_time_alone() {
    // A time does not limit how long content takes, which has its own deadline.
    for (switches, ms, waits) in
        [(false, None, false), (false, Some(9), false), (true, None, false), (true, Some(9), true)]
    {
        let mut bench = Bench::new(WaitsOn { ms, switches, abandoned: 0 });
        bench.send(&if switches { get("/") } else { post("/", 10) });
        bench.take_output();
        bench.send(b"12345");
        assert_eq!(bench.handler.abandoned, usize::from(!waits), "{switches} {ms:?}");
        let deadline = bench.connection.deadline();
        assert_eq!(deadline == Some(Deadline::Wake), waits, "{switches} {ms:?}: {deadline:?}");
        assert_eq!(bench.take_output().starts_with("HTTP/1.1 500 "), !waits && !switches, "{switches} {ms:?}");
    }
}

/// Defers, and when its token is resolved, waits again without another one.
struct WaitsAgain(Option<DeferToken>);

impl Handler for WaitsAgain {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.0 = response.defer().ok();
        Flow::Defer(())
    }

    fn resume(&mut self, (): (), _: &mut ResponseWriter<'_>) -> Flow<()> {
        Flow::Defer(())
    }
}

#[test]
fn a_token_wakes_its_handler_once() {
    let mut bench = Bench::new(WaitsAgain(None));
    bench.send(&get("/"));
    assert!(bench.deferrals.resolve(bench.handler.0.expect("cells for deferred answers")));
    bench.resolved();
    assert!(bench.take_output().starts_with("HTTP/1.1 500 "), "there is nothing left to wait for");
    assert!(!bench.deferrals.resolve(bench.handler.0.expect("cells for deferred answers")));
}
