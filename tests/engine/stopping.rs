//! Graceful stops, aborts.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Around, Either, Exchange, Flow, Handler, Respond, around, collect_fn, handler_fn};
use aurora_http_core::limits::{Limits, Overload};
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::reactor::Reactor;
use aurora_http_core::request::Request;
use aurora_http_core::run::turn_within;
use aurora_http_core::sim::{Client, ClientRecv};
use aurora_http_core::stop::{Mode, StopFlag};
use aurora_http_core::writer::{ResponseWriter, WriteError};
use std::ops::ControlFlow;
use std::time::Duration;

use crate::world::World;
use crate::{COUNTS, GET, HELLO, hello, limits};

#[test]
fn a_stop_closes_idle_connections_and_finishes_exchanges() {
    let mut world = World::new(8, COUNTS, limits(), hello());
    let never_used = world.connect();
    let idle = world.connect_and_send(GET);
    let partial = world.connect_and_send(&GET[..10]);
    assert_eq!(world.recv(idle), (HELLO.to_owned(), false));
    world.stop.drain();
    assert_eq!(world.recv(idle), (String::new(), true));
    world.pass(1_000);
    assert_eq!(world.recv(never_used), (String::new(), true));
    assert!(!world.engine.is_drained());
    world.send(partial, &GET[10..]);
    let (output, _) = world.recv(partial);
    assert!(output.starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n") && output.ends_with("hello"), "{output}");
    world.sim.client_close(partial);
    world.settle();
    assert!(world.engine.is_drained());
    let counters = world.engine.counters();
    assert_eq!(counters.closed.of(CloseReason::Stopped), 3);
    assert_eq!((counters.stopped_idle, counters.stopped_finished), (2, 1));
    world.finish();
}

/// A loop that has nothing to do sleeps until the stop timeout, so every step of a stop must be asked for: these take the
/// turns of one such loop.
fn has_ended<H: Handler>(world: &mut World<H>, client: Client) -> bool {
    let mut bytes = [0; 8_192];
    while matches!(world.sim.client_recv(client, &mut bytes), ClientRecv::Bytes(_)) {}
    matches!(world.sim.client_recv(client, &mut bytes), ClientRecv::Fin)
}

#[test]
fn a_stop_closes_what_is_idle_without_another_event() {
    for connections in 0..3 {
        let mut world = World::new(8, COUNTS, limits(), hello());
        let clients: Vec<_> = (0..connections).map(|_| world.connect_and_send(GET)).collect();
        world.stop.drain();
        world.settle();
        for client in clients {
            assert!(has_ended(&mut world, client), "{connections} idle connections");
            world.sim.client_close(client);
        }
        world.settle();
        assert!(world.engine.is_drained(), "{connections} idle connections");
        world.finish();
    }
}

#[test]
fn a_connection_that_becomes_idle_during_a_stop_is_closed_at_once() {
    let handler = handler_fn(|_, response: &mut ResponseWriter<'_>| response.body(LONG));
    let mut world = World::new(8, COUNTS, limits(), handler);
    let client = world.connect_and_send(GET);
    world.stop.drain();
    world.settle();
    let mut part = [0; 4_096];
    assert_eq!(world.sim.client_recv(client, &mut part), ClientRecv::Bytes(part.len()));
    world.settle();
    assert!(has_ended(&mut world, client), "the rest of the response fits into its window");
    world.sim.client_close(client);
    world.settle();
    assert!(world.engine.is_drained());
    world.finish();
}

#[test]
fn a_connection_that_gets_its_buffer_during_a_stop_is_closed_at_once() {
    // Incomplete heads keep all buffers to receive into.
    let mut world = World::new(8, ClassCounts::new([2, 2, 0, 0, 0]), limits(), hello());
    let mut holders = Vec::new();
    while world.engine.counters().starved == 0 {
        holders.push(world.connect_and_send(&GET[..10]));
    }
    let waiting = holders.pop().expect("the last one found no buffer");
    world.stop.drain();
    world.settle();
    assert!(!has_ended(&mut world, waiting), "it has sent something");
    for client in holders {
        world.sim.client_close(client);
        world.settle();
    }
    world.send(waiting, &GET[10..]);
    assert!(has_ended(&mut world, waiting));
    world.sim.client_close(waiting);
    world.settle();
    assert!(world.engine.is_drained(), "{:?}", world.engine.counters());
    world.finish();
}

#[test]
fn a_stop_does_not_destroy_a_response_that_is_being_received() {
    let mut world = World::new(8, COUNTS, limits(), hello());
    let slow = world.connect_and_send(GET);
    world.stop.drain();
    world.settle();
    // The client sends once more before it reads; a socket closed too early would answer with a reset.
    world.sim.client_send(slow, GET);
    assert_eq!(world.recv(slow), (HELLO.to_owned(), true));
    world.sim.client_close(slow);
    world.settle();
    assert!(world.engine.is_drained());
    assert_eq!(world.engine.counters().closed.of(CloseReason::Stopped), 1);
    assert_eq!(world.engine.counters().stopped_idle, 1);
    world.finish();
}

/// Longer than the window of a client.
const LONG: &str = {
    const BYTES: [u8; 6_000] = [b'l'; 6_000];
    match std::str::from_utf8(&BYTES) {
        Ok(long) => long,
        Err(_) => "",
    }
};

#[test]
fn a_stop_during_a_keep_alive_response_destroys_neither_it_nor_later_requests() {
    let handler = handler_fn(|_, response: &mut ResponseWriter<'_>| response.body(LONG));
    let mut world = World::new(8, COUNTS, limits(), handler);
    let (busy, silent) = (world.connect_and_send(GET), world.connect_and_send(GET));
    world.stop.drain();
    world.settle();
    // The first response is not completely sent: each client reads a part of it, and sends more before it reads the rest.
    let mut part = [0; 4_096];
    for client in [busy, silent] {
        assert_eq!(world.sim.client_recv(client, &mut part), ClientRecv::Bytes(part.len()));
    }
    world.sim.client_send(busy, GET);
    world.settle();
    world.sim.client_send(silent, &GET[..9]);
    let (rest, is_over) = world.recv(busy);
    let (first, second) = rest.split_at(LONG.len() + HELLO.len() - 5 + "6000".len() - 1 - part.len());
    assert!(first.bytes().all(|byte| byte == b'l') && is_over);
    assert!(second.starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n") && second.ends_with(LONG));
    let (rest, is_over) = world.recv(silent);
    assert!(rest.len() == first.len() && is_over, "all of the response, then the end");
    [busy, silent].into_iter().for_each(|client| world.sim.client_close(client));
    world.settle();
    assert!(world.engine.is_drained());
    world.finish();
}

#[test]
fn unfinished_exchanges_are_aborted_at_the_deadline() {
    let mut world = World::new(8, COUNTS, limits(), hello());
    let partial = world.connect_and_send(&GET[..10]);
    world.stop.drain();
    world.pass(29_900);
    assert!(!world.engine.is_drained());
    world.pass(200);
    assert!(world.engine.is_drained());
    let (_, ended) = world.recv(partial);
    assert!(ended);
    world.finish();
}

/// Requests a stop during a turn, as another thread might.
struct Stops(&'static StopFlag, Mode);

impl Handler for Stops {
    type Exchange = ();

    fn request(&mut self, _request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match self.1 {
            Mode::Run => {}
            Mode::Drain => self.0.drain(),
            Mode::Abort => self.0.abort(),
        }
        response.body("stopping").unwrap();
        Flow::Finish
    }
}

#[test]
fn a_stop_during_a_turn_is_noticed_before_the_loop_sleeps() {
    for mode in [Mode::Drain, Mode::Abort] {
        let stop: &'static StopFlag = Box::leak(Box::default());
        let mut world = World::new(8, COUNTS, limits(), Stops(stop, mode));
        let client = world.connect();
        assert_eq!(world.sim.client_send(client, GET), GET.len());
        for _ in 0..10 {
            if stop.mode() == Mode::Run {
                turn_within(&mut world.engine, &mut world.sim, stop, Some(Duration::ZERO)).unwrap();
            }
        }
        assert_eq!(stop.mode(), mode, "the handler was called");
        // A nested loop would sleep now, unless its timeout said otherwise.
        assert!(world.engine.poll_timeout().is_some_and(|at| at <= world.sim.now()), "asleep after {mode:?}");
        if mode == Mode::Drain {
            world.stop.drain();
            assert_eq!(world.recv(client), ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nstopping".to_owned(), true));
            world.sim.client_close(client);
        } else {
            world.stop.abort();
        }
        world.settle();
        assert!(world.engine.is_drained());
        world.finish();
    }
}

/// Waits for an hour, unless a stop begins.
struct Waits;

impl Respond for Waits {
    type Exchange = Self;

    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        response.wake_after(3_600_000);
        Flow::Defer(self)
    }
}

impl Exchange for Waits {
    fn stopping(flow: Flow<Self>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        assert!(matches!(flow, Flow::Defer(Self)) && response.is_stopping());
        response.body("farewell").unwrap();
        Flow::Finish
    }
}

/// Adds a field to every response.
struct Adds;

impl Around for Adds {
    type Note = ();

    fn before(&mut self, _: &Request<'_>, _: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn between(&mut self, (): &mut (), response: &mut ResponseWriter<'_>) {
        response.add_field("X-Added", "1").unwrap();
    }
}

#[test]
fn an_exchange_hears_of_a_stop_whatever_it_is_inside_of() {
    fn says_farewell(handler: impl Handler + 'static) {
        let mut world = World::new(8, COUNTS, limits(), around(Adds, handler));
        let client = world.connect_and_send(GET);
        assert_eq!(world.recv(client), (String::new(), false));
        world.stop.drain();
        let (output, ended) = world.recv(client);
        assert!(output.contains("X-Added: 1\r\n") && output.ends_with("\r\n\r\nfarewell") && ended, "{output}");
        world.sim.client_close(client);
        world.settle();
        assert!(world.engine.is_drained());
        world.finish();
    }
    says_farewell(handler_fn(|_, _| Waits));
    says_farewell(collect_fn(|_, _, _| Ok::<_, WriteError>(Waits)));
    says_farewell(handler_fn(|_, _| Either::<(), _>::Right(Waits)));
    says_farewell(collect_fn(|_, _, _| Either::<_, ()>::Left(Either::<(), _>::Right(Waits))));
}

/// Writes without end.
struct Endless;

impl Handler for Endless {
    type Exchange = ();

    fn request(&mut self, _request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.stream(None).unwrap();
        self.produce((), response)
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.write(&[b'x'; 100]).unwrap();
        Flow::Produce(())
    }
}

#[test]
fn a_cut_response_is_counted_by_what_cut_it() {
    // All three would have ended after their response, as requested by the peer or by the stop.
    for (cut, reason) in [(0, CloseReason::Aborted), (1, CloseReason::PeerReset), (2, CloseReason::WriteTimeout)] {
        let mut world = World::new(8, COUNTS, limits(), Endless);
        let asked = world.connect_and_send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let partial = world.connect_and_send(&GET[..10]);
        world.stop.drain();
        world.send(partial, &GET[10..]);
        match cut {
            0 => world.stop.abort(),
            1 => [asked, partial].into_iter().for_each(|client| world.sim.client_reset(client)),
            _ => world.pass(20_000), // they read nothing
        }
        world.settle();
        assert!(world.engine.is_drained(), "{reason}");
        let counters = world.engine.counters();
        assert_eq!(counters.closed.of(reason), 2, "{:?}", counters.closed);
        assert_eq!((counters.stopped_idle, counters.stopped_finished), (0, 0));
        world.finish();
    }
}

#[test]
fn a_connection_in_the_lobby_is_closed_once_a_slot_is_free() {
    for overload in [Overload::Wait, Overload::Refuse] {
        let mut world = World::new(2, COUNTS, Limits { overload, ..limits() }, hello());
        let busy: Vec<_> = (0..2).map(|_| world.connect_and_send(&GET[..10])).collect();
        let newcomers = [world.connect(), world.connect()];
        world.settle();
        world.stop.drain();
        world.settle();
        assert!(!world.engine.is_drained());
        for client in busy {
            world.send(client, &GET[10..]);
            world.sim.client_close(client);
        }
        world.pass(2_000); // each has a second from when it got its slot
        assert!(world.engine.is_drained(), "{overload:?} {:?}", world.engine);
        for client in newcomers {
            world.sim.client_close(client);
        }
        world.finish();
    }
}

#[test]
fn a_stop_while_connections_wait_for_buffers_serves_them_all() {
    let counts = ClassCounts::new([1, 1, 0, 0, 0]);
    let mut world = World::new(8, counts, limits(), hello());
    let partial = world.connect_and_send(&GET[..10]);
    let waiting: Vec<_> = (0..4).map(|_| world.connect_and_send(GET)).collect();
    assert_eq!(world.engine.counters().starved, 4);
    world.stop.drain();
    world.send(partial, &GET[10..]);
    assert!(world.recv(partial).0.ends_with("hello"));
    let served = waiting.iter().filter(|client| world.recv(**client).0.ends_with("hello")).count();
    assert_eq!(served, 4, "their requests had arrived, though still unread");
    for client in waiting.into_iter().chain([partial]) {
        world.sim.client_close(client);
    }
    world.settle();
    assert!(world.engine.is_drained());
    world.finish();
}

/// The first response of a connection that a stop took from the backlog.
const LAST_HELLO: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn the_backlog_at_a_stop_is_answered_and_no_more_is_accepted() {
    // More than there are slots, so that they come one after the other.
    for slots in [1, 3, 40] {
        let mut world = World::new(slots, COUNTS, limits(), hello());
        let waiting: Vec<_> = (0..20).map(|_| world.connect()).collect();
        for client in &waiting {
            world.sim.client_send(*client, GET);
        }
        world.stop.drain();
        let mut left = waiting;
        for _ in 0..100 {
            world.pass(5);
            left.retain(|client| {
                let mut bytes = [0; 512];
                let ClientRecv::Bytes(count) = world.sim.client_recv(*client, &mut bytes) else { return true };
                assert_eq!(std::str::from_utf8(&bytes[..count]), Ok(LAST_HELLO));
                world.sim.client_close(*client);
                false
            });
        }
        assert!(left.is_empty(), "{slots} slots: {} are not answered", left.len());
        assert!(world.engine.is_drained(), "{:?}", world.engine);
        assert_eq!(world.sim.connect(world.listener), None, "it does not listen any more");
        let counters = world.engine.counters();
        assert_eq!((counters.stopped_finished, counters.stopped_idle), (20, 0));
        world.finish();
    }
}

#[test]
fn a_request_sent_before_a_stop_is_answered_even_if_it_is_still_unread() {
    let mut world = World::new(8, COUNTS, limits(), hello());
    let (fresh, idle, silent) = (world.connect(), world.connect_and_send(GET), world.connect());
    assert_eq!(world.recv(idle).0, HELLO);
    world.sim.client_send(fresh, GET);
    world.sim.client_send(idle, GET);
    world.stop.drain();
    for client in [fresh, idle] {
        assert_eq!(world.recv(client).0, LAST_HELLO);
    }
    world.pass(1_000);
    assert_eq!(world.recv(silent), (String::new(), true), "nothing was there");
    [fresh, idle, silent].into_iter().for_each(|client| world.sim.client_close(client));
    world.settle();
    assert!(world.engine.is_drained());
    assert_eq!(world.engine.counters().stopped_idle, 1);
    world.finish();
}

/// A client that has just connected cannot know whether its request was read, and would have to report an error.
#[test]
fn a_new_connection_has_a_second_for_its_first_request_during_a_stop() {
    for timeout_ms in [None, Some(300), Some(10_000)] {
        let mut limits = limits();
        limits.timeouts.first_byte_timeout_ms = timeout_ms;
        let mut world = World::new(8, COUNTS, limits, hello());
        let old = world.connect();
        world.settle();
        world.pass(500);
        let (asks, silent) = (world.connect(), world.connect());
        world.settle();
        world.stop.drain();
        let patience = timeout_ms.map_or(1_000, |ms| ms.min(1_000));
        world.pass(patience - 1);
        assert!(has_ended(&mut world, old), "{timeout_ms:?}");
        world.send(asks, GET);
        assert_eq!(world.recv(asks).0, LAST_HELLO, "{timeout_ms:?}");
        assert!(!has_ended(&mut world, silent), "{timeout_ms:?}");
        world.pass(1);
        assert!(has_ended(&mut world, silent), "{timeout_ms:?}");
        [old, asks, silent].into_iter().for_each(|client| world.sim.client_close(client));
        world.settle();
        assert!(world.engine.is_drained(), "{timeout_ms:?}");
        world.finish();
    }
}

#[test]
fn a_stop_ends_even_while_connections_keep_arriving() {
    let mut world = World::new(4, COUNTS, limits(), hello());
    world.stop.drain();
    let mut came = 0;
    for _ in 0..200_000 {
        let Some(client) = world.sim.connect(world.listener) else { break };
        came += 1;
        world.sim.client_reset(client);
        world.turn();
    }
    assert!((4_000..10_000).contains(&came), "{came}: no more than a backlog holds");
    world.settle();
    assert!(world.engine.is_drained());
    world.finish();
}

#[test]
fn a_backlog_that_cannot_be_accepted_is_dropped_at_the_deadline() {
    let mut world = World::new(1, COUNTS, limits(), hello());
    let partial = world.connect_and_send(&GET[..9]);
    let waiting: Vec<_> = (0..3).map(|_| world.connect_and_send(GET)).collect();
    world.stop.drain();
    world.pass(29_900);
    assert!(!world.engine.is_drained());
    world.pass(200);
    assert!(world.engine.is_drained());
    waiting.into_iter().chain([partial]).for_each(|client| world.sim.client_close(client));
    world.finish();
}

#[test]
fn a_newcomer_that_an_abort_finds_waiting_counts_as_idle() {
    let mut world = World::new(1, COUNTS, limits(), hello());
    let busy = world.connect_and_send(&GET[..10]);
    let newcomer = world.connect_and_send(GET);
    world.stop.abort();
    world.settle();
    assert!(world.engine.is_drained());
    let counters = world.engine.counters();
    assert_eq!((counters.stopped_idle, counters.stopped_finished), (1, 0));
    assert_eq!((counters.closed.of(CloseReason::Aborted), counters.closed.of(CloseReason::Stopped)), (1, 1));
    [busy, newcomer].into_iter().for_each(|client| world.sim.client_close(client));
    world.finish();
}
