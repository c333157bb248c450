//! Fewer buffers than connections.

use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::limits::{Limits, Timeouts};
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::reactor::Reactor;
use aurora_http_core::request::{Method, Request};
use aurora_http_core::sim::{Client, ClientRecv, Dice, Faults};
use aurora_http_core::writer::ResponseWriter;
use proptest::prelude::*;

use crate::world::World;
use crate::{GET, HELLO, hello, limits};

#[test]
fn connections_wait_in_line_for_a_buffer_and_all_are_served() {
    // Two buffers for receiving, two for answers.
    let mut world = World::new(20, ClassCounts::new([2, 2, 0, 0, 0]), limits(), hello());
    let partial: Vec<_> = (0..2).map(|_| world.connect_and_send(&GET[..10])).collect();
    let clients: Vec<_> = (0..18).map(|_| world.connect_and_send(GET)).collect();
    assert_eq!(world.engine.counters().starved, 18, "each is counted once, not every time it is tried again");
    world.send(partial[0], &GET[10..]);
    for client in clients.into_iter().chain([partial[0]]) {
        assert_eq!(world.recv(client), (HELLO.to_owned(), false));
    }
    world.finish();
}

#[test]
fn receiving_never_takes_the_buffers_reserved_for_answers() {
    // One class for both: receiving must not take the last ones.
    let mut limits = limits();
    limits.head_bytes_max = 1024;
    let mut world = World::new(8, ClassCounts::new([4, 0, 0, 0, 0]), limits, hello());
    let partial: Vec<_> = (0..8).map(|_| world.connect_and_send(&GET[..10])).collect();
    for client in &partial {
        world.sim.client_send(*client, &GET[10..]);
    }
    let answered = partial.into_iter().filter(|client| world.recv(*client).0 == HELLO).count();
    assert_eq!(answered, 8);
    world.finish();
}

#[test]
fn partial_heads_that_hold_every_buffer_are_ended_by_their_deadline_and_others_continue() {
    let mut world = World::new(8, ClassCounts::new([2, 2, 0, 0, 0]), limits(), hello());
    let _partial: Vec<_> = (0..2).map(|_| world.connect_and_send(&GET[..10])).collect();
    let waiting = world.connect_and_send(GET);
    assert_eq!(world.recv(waiting).0, "");
    world.pass(2_100);
    assert_eq!(world.recv(waiting).0, HELLO, "the oldest partial head is refused when the queue makes no progress");
    assert_eq!(world.engine.counters().refused, 1, "and no other one");
    world.finish();
}

/// A program with its own loop sleeps until the descriptor is readable or the timeout expires: a queue is one of the reasons
/// to wake up, from the turn in which it forms.
#[test]
fn a_nested_loop_wakes_for_a_queue_that_has_just_formed() {
    let mut world = World::new(8, ClassCounts::new([2, 2, 0, 0, 0]), limits(), hello());
    let _partial: Vec<_> = (0..2).map(|_| world.connect_and_send(&GET[..10])).collect();
    let waiting = world.connect();
    world.sim.client_send(waiting, GET);
    while world.engine.counters().starved == 0 {
        world.turn();
    }
    let mut slept_ms = 0;
    loop {
        let mut answer = [0; 200];
        if let ClientRecv::Bytes(_) = world.sim.client_recv(waiting, &mut answer) {
            break;
        }
        if !world.sim.has_work() && !world.sim.is_readable() {
            let at = world.engine.poll_timeout().expect("a connection waits");
            slept_ms += world.sim.now().until(at).as_millis();
            world.sim.advance_to(at);
        }
        assert!(slept_ms < 3_000, "asleep for {slept_ms} ms");
        world.turn();
    }
    world.finish();
}

/// A program with its own loop does not sleep before the client has received something.
fn is_served_without_sleep(world: &mut World<impl Handler>, client: Client) {
    while world.sim.client_recv(client, &mut [0; 4_096]) == ClientRecv::Nothing {
        let has_to_turn = world.engine.poll_timeout().is_some_and(|at| at <= world.sim.now());
        assert!(has_to_turn || world.sim.has_work() || world.sim.is_readable(), "asleep: {:?}", world.engine);
        world.turn();
    }
}

/// Says hello after all content, and answers `/long` and `/longer` with more than a client's window holds.
struct Drops;

impl Handler for Drops {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.method() == Method::Post {
            return Flow::Receive(());
        }
        let body: &[u8] = match request.path() {
            b"/long" => &[b'x'; 6_000],
            b"/longer" => &[b'x'; 60_000],
            _ => b"hello",
        };
        response.static_body(body).unwrap();
        Flow::Finish
    }

    fn receive(&mut self, (): (), _: &mut Content<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        Flow::Receive(())
    }
}

/// Two connections begin to wait in one turn. The first gets a buffer in the next turn and returns one: the second gets that.
#[test]
fn a_buffer_that_the_first_in_line_returns_goes_to_the_next() {
    let mut world = World::new(8, ClassCounts::new([1, 1, 0, 0, 0]), limits(), Drops);
    let sends = world.connect_and_send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    let reads = world.connect_and_send(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
    let waits = world.connect();
    world.settle();
    world.sim.client_send(sends, b"content");
    world.sim.client_send(waits, GET);
    let mut bytes = [0; 4_096];
    assert_eq!(world.sim.client_recv(reads, &mut bytes), ClientRecv::Bytes(bytes.len()));
    is_served_without_sleep(&mut world, waits);
    assert_eq!(world.engine.counters().starved, 2);
    world.finish();
}

/// Answers `/long` with more than a client's window holds, collects content, and else says hello.
struct Slow;

impl Handler for Slow {
    type Exchange = u32;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        if request.path() == b"/long" {
            response.stream(Some(100_000)).unwrap();
            return self.produce(100_000, response);
        }
        if request.method() == Method::Post {
            return Flow::Collect(0);
        }
        response.body("hello").unwrap();
        Flow::Finish
    }

    fn produce(&mut self, left: u32, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        let count = response.write(&[b'x'; 1000][..left.min(1000) as usize]).unwrap();
        if left == count as u32 { Flow::Finish } else { Flow::Produce(left - count as u32) }
    }
}

/// Answers GET at once, and POST once its content has arrived.
struct Collects;

impl Handler for Collects {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.method().as_str() == "POST" {
            return Flow::Collect(());
        }
        let _ = response.body("hello");
        Flow::Finish
    }

    fn collected(&mut self, (): (), _: &Request<'_>, content: &[u8], response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.body(content.len().to_string());
        Flow::Finish
    }
}

#[test]
fn slow_readers_and_senders_that_hold_every_buffer_lose_one_whenever_it_is_needed() {
    let post: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nx";
    for (request, drip) in [(&b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n"[..], &b""[..]), (post, b"x")] {
        let mut world = World::new(16, ClassCounts::new([4, 4, 0, 0, 0]), limits(), Slow);
        let slow: Vec<_> = (0..4).map(|_| world.connect_and_send(request)).collect();
        let pass = |world: &mut World<Slow>, ms| {
            for _ in 0..ms / 100 {
                world.pass(100);
                for client in &slow {
                    world.sim.client_send(*client, drip);
                }
            }
        };
        let waiting = world.connect_and_send(GET);
        pass(&mut world, 1_800);
        assert_eq!(world.recv(waiting).0, "", "the holders still have time");
        pass(&mut world, 1_000);
        assert_eq!(world.recv(waiting).0, HELLO, "{:?} {:?}", world.engine.counters(), world.engine.pool());
        let shed = world.engine.counters().closed.of(CloseReason::Shed) + world.engine.counters().refused;
        assert_eq!(shed, 1, "no more than are needed");
        world.finish();
    }
}

/// Four uploads that hold every buffer, none of which has room for the next chunk.
fn uploads_that_need_larger_buffers() -> (World<Collects>, Vec<Client>) {
    let mut world = World::new(8, ClassCounts::new([4, 4, 0, 0, 0]), limits(), Collects);
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n";
    let uploads: Vec<_> = (0..4).map(|_| world.connect_and_send(head)).collect();
    for upload in &uploads {
        world.send(*upload, format!("{}\r\n", "c".repeat(0x800)).as_bytes());
    }
    (world, uploads)
}

#[test]
fn contents_that_hold_every_buffer_and_need_larger_ones_do_not_block_the_server() {
    let (mut world, uploads) = uploads_that_need_larger_buffers();
    let waiting = world.connect_and_send(GET);
    assert_eq!(world.recv(waiting).0, "", "none can continue yet");
    world.pass(2_100);
    for upload in &uploads {
        world.sim.client_send(*upload, b"0\r\n\r\n");
    }
    let answers: Vec<_> = uploads.into_iter().map(|upload| world.recv(upload).0).collect();
    assert!(
        answers[0].starts_with("HTTP/1.1 503 "),
        "the oldest is refused when the queue makes no progress: {answers:?}"
    );
    assert!(answers[1..].iter().any(|answer| answer.ends_with("2048")), "the others are served: {answers:?}");
    assert_eq!(world.recv(waiting).0, HELLO);
    world.finish();
}

#[test]
fn a_connection_that_waits_with_input_is_counted_once() {
    let (mut world, _) = uploads_that_need_larger_buffers();
    world.settle();
    assert_eq!(world.engine.counters().starved, 4, "nothing happened in between");
    world.finish();
}

/// `/later` defers, `/up` switches and waits for whole lines, `/long` streams, POST wants content; else hello.
#[derive(Default)]
struct Pins {
    tokens: Vec<DeferToken>,
    vanished: usize,
}

impl Handler for Pins {
    type Exchange = u32;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        match request.path() {
            b"/later" => {
                self.tokens.push(response.defer().unwrap());
                return Flow::Defer(0);
            }
            b"/up" => {
                response.switch_protocols("line", &[]).unwrap();
                return Flow::Upgrade(0);
            }
            b"/long" => {
                response.stream(Some(100_000)).unwrap();
                return self.produce(100_000, response);
            }
            b"/collect" => return Flow::Collect(0),
            _ if request.method() == Method::Post => return Flow::Receive(0),
            _ => {}
        }
        response.body("hello").unwrap();
        Flow::Finish
    }

    fn receive(&mut self, _: u32, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        if content.ended() {
            let _ = response.body("hello");
            return Flow::Finish;
        }
        if !content.bytes().contains(&b'\n') {
            content.hold();
        }
        Flow::Receive(0)
    }

    fn produce(&mut self, left: u32, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        let count = response.write(&[b'x'; 1000][..left.min(1000) as usize]).unwrap();
        if left == count as u32 { Flow::Finish } else { Flow::Produce(left - count as u32) }
    }

    fn half_closed(&mut self, _: u32) -> Option<u32> {
        self.vanished += 1;
        None
    }

    fn abandoned(&mut self, _: u32, _: CloseReason) {
        self.vanished += 1;
    }
}

const UP: &[u8] = b"GET /up HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: line\r\n\r\n";
const LATER: &[u8] = b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n";

/// A way to hold a buffer: a request, bytes after it, and bytes that follow every 100 ms.
const HOLDERS: [(&[u8], &[u8], &[u8]); 8] = [
    (LATER, b"G", b""),
    (LATER, b"G", b"E"),
    (UP, b"l", b""),
    (UP, b"l", b"i"),
    (b"GET /", b"x", b"x"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n", b"c", b"c"),
    (b"POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n", b"c", b"c"),
    (b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n", b"", b""),
];

fn hold(world: &mut World<Pins>, holder: usize) -> (Client, usize) {
    let client = world.connect_and_send(HOLDERS[holder].0);
    world.sim.client_send(client, HOLDERS[holder].1);
    world.settle();
    (client, holder)
}

/// How long a healthy client waits among holders that keep trickling, in milliseconds; gives up after `most`.
fn waits(world: &mut World<Pins>, held: &[(Client, usize)], most: u32) -> u32 {
    let client = world.connect_and_send(GET);
    for waited in 0..most / 100 {
        if world.sim.client_recv(client, &mut [0; 512]) == ClientRecv::Bytes(HELLO.len()) {
            world.sim.client_close(client);
            return waited * 100;
        }
        for (client, holder) in held {
            world.sim.client_send(*client, HOLDERS[*holder].2);
        }
        world.pass(100);
    }
    panic!("not served in {most} ms: {:?} {:?}", world.engine.counters(), world.engine.pool());
}

#[test]
fn in_no_state_can_a_trickling_client_keep_a_buffer_from_others() {
    // With and without deadlines.
    let off = Timeouts {
        first_byte_timeout_ms: None,
        head_timeout_ms: None,
        content_timeout_ms: None,
        write_timeout_ms: None,
        rate_min: None,
        defer_timeout_ms: None,
        upgraded_timeout_ms: None,
        idle_timeout_ms: None,
        ..Timeouts::default()
    };
    for timeouts in [Timeouts::default(), off] {
        for holder in 0..HOLDERS.len() {
            let limits = Limits { timeouts, ..limits() };
            let mut world = World::new(16, ClassCounts::new([4, 4, 0, 0, 0]), limits, Pins::default());
            let held: Vec<_> = (0..4).map(|_| hold(&mut world, holder)).collect();
            let waited = waits(&mut world, &held, 2_500);
            // A trickling head has less time, so that thousands of them keep nobody waiting.
            let least = if holder == 4 { 100 } else { 1_800 };
            assert!(waited >= least, "{holder} {waited}: the holders still have time");
            let counters = world.engine.counters();
            let ended = counters.closed.of(CloseReason::Shed) + counters.refused;
            assert_eq!(ended, 1, "{holder}: no more than are needed, {counters:?}");
            world.finish();
        }
    }
}

#[test]
fn a_deferred_answer_that_gives_up_its_buffer_is_503_and_its_state_is_dropped() {
    let mut world = World::new(16, ClassCounts::new([4, 4, 0, 0, 0]), limits(), Pins::default());
    let held: Vec<_> = (0..4).map(|_| hold(&mut world, 0)).collect();
    waits(&mut world, &held, 2_500);
    let (output, ended) = world.recv(held[0].0);
    assert!(output.starts_with("HTTP/1.1 503 ") && output.contains("Retry-After") && ended, "{output}");
    assert_eq!(world.engine.handler().vanished, 1);
    let tokens = world.engine.handler().tokens.clone();
    assert!(!world.resolve(tokens[0]), "its exchange is over");
    assert!(world.resolve(tokens[1]), "the others wait on");
    world.finish();
}

#[test]
fn an_upgraded_connection_is_ended_for_its_buffer() {
    let mut world = World::new(16, ClassCounts::new([4, 4, 0, 0, 0]), limits(), Pins::default());
    let held: Vec<_> = (0..4).map(|_| hold(&mut world, 2)).collect();
    waits(&mut world, &held, 2_500);
    let (output, ended) = world.recv(held[0].0);
    assert!(output.starts_with("HTTP/1.1 101 ") && ended, "{output}");
    assert_eq!(world.engine.counters().closed.of(CloseReason::Shed), 1);
    world.finish();
}

/// Clients that trickle as well, ahead in the queue, do not have a time of their own in which nobody else is served.
#[test]
fn those_ahead_in_the_queue_who_take_the_buffers_do_not_double_the_wait() {
    for holder in [0, 2, 5] {
        let mut world = World::new(32, ClassCounts::new([8, 8, 0, 0, 0]), limits(), Pins::default());
        let held: Vec<_> = (0..16).map(|_| hold(&mut world, holder)).collect();
        let waited = waits(&mut world, &held, 3_000);
        assert!(waited >= 1_800, "{holder} {waited}");
        world.finish();
    }
}

#[test]
fn a_complete_head_that_waits_for_its_answer_is_not_ended_like_an_incomplete_one() {
    let mut world = World::new(8, ClassCounts::new([1, 2, 0, 0, 0]), limits(), Drops);
    let reads = world.connect_and_send(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
    let clients: Vec<_> = (0..3).map(|_| world.connect_and_send(GET)).collect();
    world.pass(1_000);
    assert_eq!((world.engine.counters().refused, world.engine.counters().closed.total()), (0, 0));
    assert!(world.recv(reads).0.ends_with("xxx"));
    for client in clients {
        assert_eq!(world.recv(client), (HELLO.to_owned(), false));
    }
    world.finish();
}

#[test]
fn a_buffer_that_comes_back_in_the_last_turn_is_in_time() {
    let mut limits = limits();
    limits.timeouts.head_timeout_ms = Some(1_000);
    let mut world = World::new(8, ClassCounts::new([1, 2, 0, 0, 0]), limits, Drops);
    let reads = world.connect_and_send(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
    let waits = world.connect_and_send(GET);
    world.sim.advance_ms(1_000);
    let mut bytes = [0; 4_096];
    assert_eq!(world.sim.client_recv(reads, &mut bytes), ClientRecv::Bytes(bytes.len()));
    assert_eq!(world.recv(waits), (HELLO.to_owned(), false), "not 408");
    world.finish();
}

/// The first in the queue gets its turn, but its client has gone: the buffer that it does not need is for the next.
#[test]
fn a_turn_to_receive_that_is_not_used_passes_to_the_next() {
    let mut world = World::new(8, ClassCounts::new([1, 1, 0, 0, 0]), limits(), hello());
    let partial = world.connect_and_send(&GET[..10]);
    let [gone, waits] = [(); 2].map(|()| world.connect_and_send(GET));
    world.sim.client_reset(gone);
    world.settle();
    assert_eq!(world.engine.counters().starved, 2);
    world.sim.client_send(partial, &GET[10..]);
    is_served_without_sleep(&mut world, waits);
    world.finish();
}

#[test]
fn the_connection_that_has_held_its_buffer_the_longest_is_ended() {
    let mut world = World::new(16, ClassCounts::new([4, 4, 0, 0, 0]), limits(), Pins::default());
    let mut held = Vec::new();
    for holder in [0, 6, 5, 2] {
        held.push(hold(&mut world, holder));
        world.pass(100);
    }
    waits(&mut world, &held, 2_500);
    assert!(world.recv(held[0].0).0.starts_with("HTTP/1.1 503 "));
    let counters = world.engine.counters();
    assert_eq!(counters.closed.of(CloseReason::Shed) + counters.refused, 1);
    world.finish();
}

#[test]
fn a_connection_that_waits_with_input_is_ended_if_it_has_waited_the_longest() {
    let mut world = World::new(8, ClassCounts::new([1, 1, 0, 0, 0]), limits(), Drops);
    let reads = world.connect_and_send(b"GET /longer HTTP/1.1\r\nHost: x\r\n\r\n");
    let (waits, last) = (world.connect_and_send(GET), world.connect_and_send(GET));
    // The client of the long response reads as fast as it must, so its time always begins again.
    for _ in 0..23 {
        assert_eq!(world.sim.client_recv(reads, &mut [0; 1_000]), ClientRecv::Bytes(1_000));
        world.pass(100);
    }
    let counters = world.engine.counters();
    assert_eq!(counters.closed.of(CloseReason::Shed) + counters.refused, 1, "{counters:?}");
    assert!(world.recv(waits).1);
    assert!(!world.recv(last).1);
    world.finish();
}

/// A wait may be interrupted, or an operation be rejected and submitted again at once: which heads are ended for those that
/// wait has yet to be decided then, although nothing else is left to do.
#[test]
fn a_turn_that_has_not_seen_everything_is_followed_by_another_while_connections_wait() {
    let mut world = World::new(8, ClassCounts::new([1, 1, 0, 0, 0]), limits(), Collects);
    let sends = world.connect_and_send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1");
    for _ in 0..3 {
        world.connect_and_send(&GET[..10]);
        world.pass(400);
    }
    world.sim.client_send(sends, b"2");
    world.sim.set_faults(Faults { partial_wait: 1_000, ..Faults::default() }, Dice::new(0));
    // The rest of the content arrives, and then a part of a head.
    for _ in 0..10 {
        world.turn();
    }
    let at = world.engine.poll_timeout().expect("a connection waits");
    assert!(at <= world.sim.now(), "{at:?}: the head is old enough after a millisecond");
    world.finish();
}

#[test]
fn a_queue_of_connections_that_have_ended_wakes_nobody() {
    let mut world = World::new(2, ClassCounts::new([4, 1, 0, 0, 0]), limits(), hello());
    let idle = world.connect_and_send(GET);
    assert_eq!(world.recv(idle), (HELLO.to_owned(), false));
    let _partial = world.connect_and_send(&GET[..10]);
    world.send(idle, GET);
    assert_eq!(world.engine.counters().starved, 1);
    let newcomer = world.connect();
    world.settle();
    assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), 1);
    world.pass(300);
    let at = world.engine.poll_timeout().expect("deadlines");
    assert!(at > world.sim.now().plus_ms(5_000), "{at:?}");
    assert!(!world.recv(newcomer).1);
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// More trickling holders of all kinds than buffers: those ahead in the queue come and go, and a healthy client gets
    /// its turn.
    #[test]
    fn a_healthy_client_is_served_whatever_holds_the_buffers(
        holders in prop::collection::vec(0..HOLDERS.len(), 4..20),
        clients in 1_usize..4,
    ) {
        let mut world = World::new(32, ClassCounts::new([4, 4, 0, 0, 0]), limits(), Pins::default());
        let held: Vec<_> = holders.iter().map(|holder| hold(&mut world, *holder)).collect();
        for _ in 0..clients {
            waits(&mut world, &held, 12_000);
        }
        world.finish();
    }
}

/// Begins a response that only the end of the connection completes, and leaves all content where it is.
struct Withholds;

impl Handler for Withholds {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.method() == Method::Get {
            let _ = response.body("hello");
            return Flow::Finish;
        }
        let _ = response.stream(None).and_then(|()| response.write(b"piece"));
        Flow::Receive(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        content.hold();
        Flow::Receive(())
    }
}

#[test]
fn what_a_client_has_yet_to_receive_is_not_lost_when_its_buffer_is_needed() {
    let mut world = World::new(8, ClassCounts::new([1, 1, 0, 0, 0]), limits(), Withholds);
    let upload = world.connect_and_send(b"POST / HTTP/1.0\r\nContent-Length: 9\r\n\r\nab");
    world.settle();
    let waiting = world.connect_and_send(GET);
    world.pass(5_000);
    assert_eq!(world.recv(waiting).0, HELLO);
    let mut received = [0; 500];
    let ClientRecv::Bytes(count) = world.sim.client_recv(upload, &mut received) else { panic!("it was destroyed") };
    assert!(received[..count].ends_with(b"\r\n\r\npiece"));
    world.pass(2_000);
    assert_eq!(world.sim.client_recv(upload, &mut received), ClientRecv::Reset);
    world.finish();
}
