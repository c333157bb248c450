//! Answers that come later.

use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Flow, Handler};
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// Defers every answer; `/twice` once more, `/head-first` behind its head.
#[derive(Default)]
struct Later {
    tokens: Vec<DeferToken>,
    vanished: usize,
    waits_for_half_closed: bool,
}

impl Handler for Later {
    type Exchange = u32;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        if request.path() == b"/now" {
            let _ = response.body(b"now");
            return Flow::Finish;
        }
        if request.path() == b"/head-first" {
            let _ = response.stream(Some(5));
        }
        self.tokens.push(response.defer().unwrap());
        Flow::Defer(u32::from(request.path() == b"/twice"))
    }

    fn resume(&mut self, again: u32, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        if again > 0 {
            self.tokens.push(response.defer().unwrap());
            return Flow::Defer(again - 1);
        }
        if response.stream(Some(5)).is_ok() {
            let _ = response.write(b"later");
        }
        Flow::Finish
    }

    fn vanished(&mut self, state: u32) -> Option<u32> {
        self.vanished += 1;
        self.waits_for_half_closed.then_some(state)
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

const LATER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlater";

#[test]
fn a_deferred_answer_holds_no_buffer_and_comes_once() {
    let mut bench = Bench::new(Later::default());
    bench.send(&get("/"));
    assert_eq!((bench.state(), bench.take_output().as_str()), (State::Processing, ""));
    assert_eq!((bench.pool.in_use(), bench.in_flight), (0, 1));
    assert!(bench.is_receiving(), "to notice that the client goes away");
    let token = bench.handler.tokens[0];
    assert!(bench.deferrals.resolve(token));
    bench.resolved();
    assert_eq!(bench.take_output(), LATER);
    assert_eq!((bench.state(), bench.pool.in_use(), bench.in_flight), (State::KeepAlive, 0, 0));
    assert!(!bench.deferrals.resolve(token), "stale");
    bench.resolved();
    assert_eq!(bench.take_output(), "");
    // The receive that was armed serves the next request.
    bench.send(&get("/now"));
    assert!(bench.take_output().ends_with("now"));
}

#[test]
fn what_is_pipelined_behind_a_deferred_request_waits_for_it() {
    let mut bench = Bench::new(Later::default());
    bench.send(&[get("/now"), get("/"), get("/now")].concat());
    assert!(bench.take_output().ends_with("now"), "what was answered before leaves at once");
    assert!(bench.deferrals.resolve(bench.handler.tokens[0]));
    bench.resolved();
    let output = bench.take_output();
    assert!(output.starts_with(LATER) && output.ends_with("now"), "{output}");
    assert_eq!(bench.pool.in_use(), 0);
}

#[test]
fn bytes_that_arrive_meanwhile_are_the_next_request() {
    let mut bench = Bench::new(Later::default());
    bench.send(&get("/"));
    bench.send(&get("/now"));
    assert_eq!(bench.take_output(), "");
    bench.deferrals.resolve(bench.handler.tokens[0]);
    bench.resolved();
    let output = bench.take_output();
    assert!(output.starts_with(LATER) && output.ends_with("now"), "{output}");
    assert_eq!(bench.pool.in_use(), 0);
}

#[test]
fn each_deferral_has_a_token_of_its_own() {
    let mut bench = Bench::new(Later::default());
    bench.send(&get("/twice"));
    let first = bench.handler.tokens[0];
    assert!(bench.deferrals.resolve(first));
    bench.resolved();
    assert_eq!(bench.take_output(), "");
    assert!(!bench.deferrals.resolve(first));
    assert!(bench.deferrals.resolve(bench.handler.tokens[1]));
    bench.resolved();
    assert_eq!(bench.take_output(), LATER);
}

#[test]
fn a_head_may_go_ahead_of_a_deferred_body() {
    let mut bench = Bench::new(Later::default());
    bench.send(&get("/head-first"));
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Processing, 0));
}

#[test]
fn too_late_is_503_and_drops_the_state() {
    let mut bench = Bench::new(Later::default());
    bench.send(&get("/"));
    bench.pass(60_000);
    let output = bench.take_output();
    assert!(output.starts_with("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"), "{output}");
    assert!(output.contains("\r\nRetry-After: "), "{output}");
    assert_eq!((bench.handler.vanished, bench.in_flight), (1, 0));
    assert!(!bench.deferrals.resolve(bench.handler.tokens[0]));
    bench.fin();
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::DeferTimeout));
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0));
}

#[test]
fn a_vanished_client_drops_the_state_unless_the_handler_keeps_it() {
    let mut bench = Bench::new(Later::default());
    bench.send(&get("/"));
    bench.fin();
    assert_eq!((bench.handler.vanished, bench.state(), bench.in_flight), (1, State::Closed, 0));
    assert!(!bench.deferrals.resolve(bench.handler.tokens[0]));

    let mut bench = Bench::new(Later { waits_for_half_closed: true, ..Later::default() });
    bench.send(&get("/"));
    bench.fin();
    assert_eq!((bench.handler.vanished, bench.state()), (1, State::Processing));
    assert!(bench.deferrals.resolve(bench.handler.tokens[0]));
    bench.resolved();
    assert_eq!(bench.take_output(), LATER);
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0));
}
