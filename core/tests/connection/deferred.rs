//! Deferred answers.

use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::reactor::IoError;
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// The state of an exchange that writes its head, then defers again.
const PART: u32 = 99;

/// Defers every answer; `/twice` a second time, `/head-first` after its head.
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
        if request.path() != b"/no-token" {
            self.tokens.push(response.defer().unwrap());
        }
        match request.path() {
            b"/twice" => Flow::Defer(1),
            b"/part-later" => Flow::Defer(PART),
            _ => Flow::Defer(0),
        }
    }

    fn resume(&mut self, again: u32, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        if again > 0 {
            if again == PART {
                let _ = response.stream(Some(5));
            }
            self.tokens.push(response.defer().unwrap());
            return Flow::Defer(if again == PART { 0 } else { again - 1 });
        }
        if response.stream(Some(5)).is_ok() {
            let _ = response.write(b"later");
        }
        Flow::Finish
    }

    fn half_closed(&mut self, state: u32) -> Option<u32> {
        self.vanished += 1;
        self.waits_for_half_closed.then_some(state)
    }

    fn abandoned(&mut self, _: u32, _: CloseReason) {
        self.vanished += 1;
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
    assert!(bench.is_receiving(), "a receive notices if the client goes away");
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
fn requests_pipelined_after_a_deferred_one_wait_for_it() {
    let mut bench = Bench::new(Later::default());
    bench.send(&[get("/now"), get("/"), get("/now")].concat());
    assert!(bench.take_output().ends_with("now"), "earlier responses are sent at once");
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
fn each_deferral_has_its_own_token() {
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
fn a_late_answer_is_503_and_abandons_the_state() {
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
fn a_fin_during_a_deferral_asks_the_handler() {
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

/// The receive that holds earlier bytes is cancelled to get them back, but may complete in another way.
#[test]
fn a_resolved_answer_is_sent_whatever_becomes_of_the_receive() {
    type Comes = fn(&mut Bench<Later>);
    let rows: [(&str, Comes); 3] = [
        ("FIN", |bench| bench.fin()),
        ("bytes", |bench| assert_eq!(bench.send(b"E"), 1)),
        ("its end", |bench| bench.fail_receive(IoError::Canceled)),
    ];
    for (what, comes) in rows {
        let mut bench = Bench::new(Later { waits_for_half_closed: true, ..Later::default() });
        bench.send(&get("/"));
        bench.send(b"G");
        bench.hold_cancels = true;
        assert!(bench.deferrals.resolve(bench.handler.tokens[0]));
        bench.resolved();
        assert_eq!(bench.take_output(), "", "{what}: the bytes have to come back first");
        comes(&mut bench);
        assert_eq!(bench.take_output(), LATER, "{what}");
    }
}

/// Defers every answer, and has the default for half-closed clients.
struct Unasked(Vec<DeferToken>);

impl Handler for Unasked {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.0.push(response.defer().unwrap());
        Flow::Defer(())
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.body("later").unwrap();
        Flow::Finish
    }
}

/// S30: a client that has closed its sending half still reads.
#[test]
fn a_half_closed_client_gets_all_its_deferred_answers() {
    for requests in 1..4 {
        let mut bench = Bench::new(Unasked(Vec::new()));
        bench.send(&get("/").repeat(requests));
        bench.fin();
        for answered in 0..requests {
            assert_eq!(bench.state(), State::Processing, "{answered} of {requests}");
            assert!(bench.deferrals.resolve(bench.handler.0[answered]));
            bench.resolved();
            assert_eq!(bench.take_output(), LATER);
        }
        assert_eq!((bench.state(), bench.pool.in_use(), bench.in_flight), (State::Closed, 0, 0));
    }
}

#[test]
fn a_reset_ends_a_deferral() {
    let mut bench = Bench::new(Unasked(Vec::new()));
    bench.send(&[get("/"), get("/")].concat());
    bench.fail_receive(IoError::ConnectionReset);
    assert_eq!((bench.state(), bench.pool.in_use(), bench.in_flight), (State::Closed, 0, 0));
    assert!(!bench.deferrals.resolve(bench.handler.0[0]));
}

/// Bytes that the client sends after its request neither hide its FIN nor are lost, as far as they fit into one buffer.
#[test]
fn a_fin_after_waiting_bytes_is_noticed_and_they_are_served() {
    let mut bench = Bench::new(Unasked(Vec::new()));
    bench.send(&get("/"));
    for byte in get("/") {
        assert_eq!(bench.send(&[byte]), 1);
    }
    bench.fin();
    for answered in 0..2 {
        assert!(bench.deferrals.resolve(bench.handler.0[answered]));
        bench.resolved();
        assert_eq!(bench.take_output(), LATER);
    }
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0));

    // Bytes beyond one buffer stay with the client until there is room.
    let mut bench = Bench::new(Unasked(Vec::new()));
    bench.send(&get("/"));
    let flood = get("/").repeat(1_000);
    let taken = bench.send(&flood);
    assert!(taken < flood.len() && !bench.is_receiving() && bench.pool.in_use() == 1);
}

#[test]
fn a_fin_during_a_partial_response_is_noticed_when_the_rest_is_deferred() {
    for keeps in [false, true] {
        let mut bench = Bench::new(Later { waits_for_half_closed: keeps, ..Later::default() });
        bench.send(&get("/part-later"));
        bench.hold_sends = true;
        assert!(bench.deferrals.resolve(bench.handler.tokens[0]));
        bench.resolved();
        assert!(bench.is_sending() && bench.is_receiving());
        bench.fin();
        assert_eq!((bench.handler.vanished, bench.state()), (0, State::Writing), "the part is sent first");
        bench.complete_send(usize::MAX);
        assert_eq!(bench.handler.vanished, 1);
        assert_eq!(bench.state(), if keeps { State::Processing } else { State::Closed });
        assert_eq!((bench.pool.in_use(), bench.in_flight), (0, u32::from(keeps)));
        assert_eq!(bench.deferrals.resolve(bench.handler.tokens[1]), keeps);
    }
}

#[test]
fn each_deferral_has_its_own_deadline() {
    let mut bench = Bench::new(Later::default());
    bench.send(&get("/twice"));
    bench.elapse(40_000);
    assert!(bench.deferrals.resolve(bench.handler.tokens[0]));
    bench.resolved();
    bench.elapse(59_999);
    assert_eq!(bench.take_output(), "");
    bench.elapse(1);
    assert!(bench.take_output().starts_with("HTTP/1.1 503 "));
}

#[test]
fn a_deferral_without_a_token_is_500_at_once() {
    let mut bench = Bench::new(Later::default());
    bench.send(&get("/no-token"));
    assert!(bench.take_output().starts_with("HTTP/1.1 500 "));
    assert_eq!((bench.state(), bench.in_flight, bench.pool.in_use()), (State::KeepAlive, 0, 0));
}

#[test]
fn a_receive_without_a_buffer_does_not_delay_an_answer() {
    let mut bench = Bench::new(Later::default());
    bench.send(&get("/"));
    bench.fail_receive(IoError::NoBuffers);
    assert!(bench.connection.is_starved_to_receive());
    assert!(bench.deferrals.resolve(bench.handler.tokens[0]));
    bench.send_max = 10;
    bench.resolved();
    assert!(!bench.connection.is_starved(), "it no longer waits for a buffer");
    assert_eq!((bench.take_output().as_str(), bench.state()), (LATER, State::KeepAlive));
    assert!(bench.is_receiving());
}

#[test]
fn an_answer_without_a_buffer_waits_for_one() {
    let mut bench = Bench::new(Later::default());
    bench.send(&get("/"));
    let held: Vec<_> = std::iter::from_fn(|| bench.pool.pop_any()).collect();
    assert!(bench.deferrals.resolve(bench.handler.tokens[0]));
    bench.resolved();
    assert!(bench.connection.is_starved() && !bench.connection.is_starved_to_receive());
    for buf in held {
        assert!(bench.pool.release(buf).is_ok());
    }
    bench.fed();
    assert_eq!(bench.take_output(), LATER);
}

#[test]
fn earlier_responses_sent_in_parts_do_not_count_as_the_deferred_one() {
    let mut bench = Bench::new(Later::default());
    bench.send_max = 7;
    bench.send(&[get("/now"), get("/")].concat());
    assert!(bench.take_output().ends_with("now"));
    bench.pass(60_000);
    assert!(bench.take_output().starts_with("HTTP/1.1 503 "), "nothing of the deferred answer had been sent");
}

/// Defers before the content, and after each slice of it.
#[derive(Default)]
struct Slices {
    token: Option<DeferToken>,
    content: Vec<u8>,
    own_limit: bool,
}

impl Handler for Slices {
    type Exchange = bool;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        self.token = Some(response.defer().unwrap());
        Flow::Defer(request.path() == b"/collect")
    }

    fn resume(&mut self, collects: bool, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        if self.own_limit && self.content.is_empty() {
            response.limit_content(20);
        }
        if collects { Flow::Collect(false) } else { Flow::Receive(false) }
    }

    fn receive(&mut self, _: bool, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        self.content.extend_from_slice(content.bytes());
        content.consume(usize::MAX);
        if content.ended() {
            let _ = response.body(&self.content);
            return Flow::Finish;
        }
        self.token = Some(response.defer().unwrap());
        Flow::Defer(false)
    }
}

impl Bench<Slices> {
    fn resolve_all(&mut self) {
        while let Some(token) = self.handler.token.take() {
            assert!(self.deferrals.resolve(token));
            self.resolved();
        }
    }
}

#[test]
fn content_may_be_requested_after_a_deferral_with_a_continue() {
    let mut bench = Bench::new(Slices::default());
    bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(bench.take_output(), "");
    bench.resolve_all();
    assert_eq!(bench.take_output(), "HTTP/1.1 100 Continue\r\n\r\n");
    bench.send(b"ab");
    bench.resolve_all();
    assert_eq!(bench.take_output(), "");
    bench.send(b"cd");
    assert!(bench.take_output().ends_with("\r\n\r\nabcd"));
    assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0));
}

#[test]
fn deferring_keeps_the_limits_of_content() {
    for (own_limit, chunks, refused) in [(false, 2, false), (false, 3, true), (true, 5, false), (true, 6, true)] {
        let mut bench = Bench::new(Slices { own_limit, ..Slices::default() });
        bench.limits.content_bytes_max = 8;
        bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        bench.resolve_all();
        for _ in 0..chunks {
            bench.send(b"4\r\nabcd\r\n");
            bench.resolve_all();
        }
        bench.send(b"0\r\n\r\n");
        let status = if refused { "HTTP/1.1 413 " } else { "HTTP/1.1 200 " };
        let output = bench.take_output();
        assert!(output.starts_with(status), "{own_limit} {chunks}: {output}");
    }
    let mut bench = Bench::new(Slices { own_limit: true, ..Slices::default() });
    bench.limits.content_bytes_max = 8;
    bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n");
    bench.resolve_all();
    bench.send(b"0123456789");
    bench.resolve_all();
    bench.send(b"0123456789");
    assert!(bench.take_output().starts_with("HTTP/1.1 200 "), "the handler's limit still applies");
}

#[test]
fn content_cannot_be_collected_after_the_head_was_consumed() {
    let mut bench = Bench::new(Slices::default());
    // The content looks like a head, and must not be taken for one.
    let head = "POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n";
    bench.send(head.as_bytes());
    bench.resolve_all();
    bench.send(head.as_bytes());
    let output = bench.take_output();
    assert!(output.starts_with("HTTP/1.1 500 "), "{output}");
    assert_eq!(output.matches("HTTP/1.1").count(), 1, "{output}");
}
