//! The server was late, not the client: input that has arrived is processed before any deadline expires.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::limits::{Limits, RateMin};
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::reactor::{Reactor, Seen};
use aurora_http_core::request::Request;
use aurora_http_core::sim::Client;
use aurora_http_core::stop::Mode;
use aurora_http_core::writer::ResponseWriter;
use proptest::prelude::*;

use crate::world::World;
use crate::{COUNTS, GET, HELLO, hello, limits};

/// Answers with the length of the content; `/long` is produced in small pieces.
struct Counts;

impl Handler for Counts {
    type Exchange = usize;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        if request.path() == b"/long" {
            response.stream(Some(LONG as u64)).unwrap();
            return Flow::Produce(LONG);
        }
        Flow::Receive(0)
    }

    fn receive(&mut self, before: usize, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        let count = before + content.bytes().len();
        if !content.ended() {
            return Flow::Receive(count);
        }
        let _ = response.body(count.to_string());
        Flow::Finish
    }

    fn produce(&mut self, left: usize, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        let count = response.write(&[b'x'; 100][..left.min(100)]).unwrap();
        if count == left { Flow::Finish } else { Flow::Produce(left - count) }
    }
}

const LONG: usize = 20_000;

/// The process or the machine is suspended for a minute. Then everything that was sent in the meantime arrives at once.
const PAUSE_MS: u32 = 60_000;

fn sent_while_it_stood<H: Handler + 'static>(world: &mut World<H>, client: Client, bytes: &[u8]) {
    assert_eq!(world.sim.client_send(client, bytes), bytes.len());
    world.sim.advance_ms(PAUSE_MS);
}

#[test]
fn a_request_that_arrived_during_a_suspension_is_served() {
    // The first request of a connection, the rest of a head, and a request after another one.
    for before in [&b""[..], &GET[..9], GET] {
        for recv_bytes_max in [usize::MAX, 7] {
            let mut world = World::new(4, COUNTS, limits(), hello());
            let client = world.connect_and_send(before);
            let served = if before == GET { HELLO } else { "" };
            assert_eq!(world.recv(client).0, served);
            world.sim.options_mut().recv_bytes_max = recv_bytes_max;
            let rest = if before == GET { GET } else { &GET[before.len()..] };
            sent_while_it_stood(&mut world, client, rest);
            assert_eq!(world.recv(client), (HELLO.to_owned(), false), "{before:?} {recv_bytes_max}");
            world.finish();
        }
    }
}

#[test]
fn content_that_arrived_during_a_suspension_is_received() {
    // Also more content than one receive takes, and less than the minimum rate demands.
    for (length, counts) in [(3_900, COUNTS), (10, COUNTS), (3_900, ClassCounts::new([16, 0, 0, 0, 0]))] {
        let mut limits = limits();
        if counts != COUNTS {
            limits = Limits { head_bytes_max: 1_024, content_collected_max: 1_024, ..limits };
        }
        let mut world = World::new(4, counts, limits, Counts);
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        let client = world.connect_and_send(head.as_bytes());
        sent_while_it_stood(&mut world, client, &vec![b'c'; length]);
        let (output, ended) = world.recv(client);
        assert!(output.ends_with(&format!("\r\n\r\n{length}")) && !ended, "{length}: {output}");
        world.finish();
    }
}

#[test]
fn a_client_that_received_everything_during_a_suspension_is_not_slow() {
    let mut world = World::new(4, COUNTS, limits(), Counts);
    let client = world.connect_and_send(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
    // Its window is full; then it reads everything.
    let mut bytes = [0; 4_096];
    let mut taken = 0;
    while let aurora_http_core::sim::ClientRecv::Bytes(count) = world.sim.client_recv(client, &mut bytes) {
        taken += count;
    }
    assert!((4_000..LONG).contains(&taken), "{taken}");
    world.sim.advance_ms(PAUSE_MS);
    let (output, ended) = world.recv(client);
    assert!(taken + output.len() > LONG && !ended, "{taken} {}", output.len());
    world.finish();
}

#[test]
fn a_fin_is_processed_before_a_deadline_expires() {
    let mut world = World::new(4, COUNTS, limits(), hello());
    let client = world.connect_and_send(&GET[..9]);
    world.sim.client_finish(client);
    world.sim.advance_ms(PAUSE_MS);
    assert_eq!(world.recv(client), (String::new(), true), "no 408");
    assert_eq!(world.engine.counters().closed.of(CloseReason::PeerClosedEarly), 1);
    world.finish();
}

#[test]
fn no_connection_is_evicted_before_its_input_is_processed() {
    let mut world = World::new(2, COUNTS, limits(), hello());
    let partial: Vec<_> = (0..2).map(|_| world.connect_and_send(&GET[..9])).collect();
    let newcomer = world.connect();
    world.settle();
    for client in &partial {
        world.sim.client_send(*client, &GET[9..]);
    }
    world.sim.advance_ms(PAUSE_MS);
    for client in partial {
        let (output, _) = world.recv(client);
        assert!(output.ends_with("hello"), "{output}");
    }
    world.pass(50);
    world.send(newcomer, GET);
    assert_eq!(world.recv(newcomer).0, HELLO);
    world.finish();
}

#[test]
fn no_connection_loses_its_buffer_before_its_input_is_processed() {
    let mut world = World::new(8, ClassCounts::new([2, 2, 0, 0, 0]), limits(), hello());
    let partial: Vec<_> = (0..2).map(|_| world.connect_and_send(&GET[..9])).collect();
    let waiting = world.connect_and_send(GET);
    world.pass(150);
    for client in &partial {
        world.sim.client_send(*client, &GET[9..]);
    }
    world.sim.advance_ms(PAUSE_MS);
    for client in partial.into_iter().chain([waiting]) {
        assert_eq!(world.recv(client), (HELLO.to_owned(), false));
    }
    world.finish();
}

#[test]
fn a_deadline_passes_on_time_when_nothing_has_arrived() {
    let mut world = World::new(4, COUNTS, limits(), hello());
    let client = world.connect_and_send(&GET[..9]);
    for (ms, is_over) in [(29_999, false), (1, true)] {
        world.sim.advance_ms(ms);
        let (output, ended) = world.recv(client);
        assert_eq!((output.starts_with("HTTP/1.1 408 "), ended), (is_over, is_over), "{ms}");
    }
    world.finish();
}

#[test]
fn a_client_that_trickles_in_every_turn_does_not_postpone_its_deadline_for_long() {
    let mut limits = limits();
    limits.timeouts.rate_min = Some(RateMin { bytes: 5_000, window_ms: 10_000 });
    let post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    for (begun, deadline_ms) in [(&b"GET / HTTP/1.1\r\nX: "[..], 30_000), (post, 10_000)] {
        let mut world = World::new(4, COUNTS, limits, Counts);
        let client = world.connect_and_send(begun);
        world.sim.advance_ms(deadline_ms - 1_000);
        // A byte in each turn, and a turn in each millisecond.
        for _ in 0..1_500 {
            world.sim.client_send(client, b"x");
            world.turn();
            world.sim.advance_ms(1);
        }
        assert_eq!(world.engine.counters().refused, 1, "{deadline_ms}: while it still trickles");
        assert!(world.recv(client).0.starts_with("HTTP/1.1 408 "), "{deadline_ms}");
        world.finish();
    }
}

/// A poller that never gets to the end of its list of events would otherwise suspend all deadlines.
#[test]
fn a_flood_of_events_does_not_put_off_deadlines_for_ever() {
    let mut world = World::new(4, COUNTS, limits(), hello());
    let client = world.connect_and_send(&GET[..9]);
    world.sim.advance_ms(30_000);
    let now = world.sim.now();
    let mut turns = 0;
    while world.engine.counters().refused == 0 {
        world.engine.begin_turn(now, Mode::Run, world.sim.peers());
        world.engine.end_turn(now, Seen::Part, world.sim.peers());
        turns += 1;
        assert!(turns <= 256, "more than a poller needs to see everything");
    }
    assert!(turns > 100, "{turns}: its bytes may have been among the events that are still to be seen");
    assert!(world.recv(client).0.starts_with("HTTP/1.1 408 "));
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a request is split, and wherever the server is suspended between the pieces: as long as each piece arrives
    /// in time, it is served.
    #[test]
    fn a_suspension_refuses_no_request_whose_bytes_arrived_in_time(
        cuts in prop::collection::vec((1_usize..60, prop::sample::select(vec![0_u32, 5, 61_000])), 1..8),
        // The rate of content is measured by what a receive takes, which is all that has arrived.
        (recv_bytes_max, has_content) in prop::sample::select(vec![
            (1_usize, false), (30, false), (usize::MAX, false), (usize::MAX, true),
        ]),
    ) {
        let mut world = World::new(4, COUNTS, limits(), Counts);
        let length = if has_content { 90 } else { 0 };
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        let request = [head.as_bytes(), &vec![b'c'; length]].concat();
        let client = world.connect();
        world.settle();
        world.sim.options_mut().recv_bytes_max = recv_bytes_max;
        let mut rest = &request[..];
        for (count, stands_ms) in cuts {
            let (piece, behind) = rest.split_at(count.min(rest.len()));
            rest = behind;
            prop_assert_eq!(world.sim.client_send(client, piece), piece.len());
            if rest.is_empty() {
                world.sim.advance_ms(stands_ms);
            }
            world.settle();
        }
        world.sim.client_send(client, rest);
        world.sim.advance_ms(61_000);
        world.settle();
        let (output, _) = world.recv(client);
        prop_assert!(output.starts_with("HTTP/1.1 200 ") && output.ends_with(&length.to_string()), "{}", output);
    }
}
