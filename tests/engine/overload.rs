//! More connections than slots.

use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Flow, Handler, handler_fn};
use aurora_http_core::limits::{Limits, Overload, Timeouts};
use aurora_http_core::reactor::{IoError, IoHandle};
use aurora_http_core::request::Request;
use aurora_http_core::sim::{ClientRecv, Dice, Faults};
use aurora_http_core::writer::ResponseWriter;

use crate::world::World;
use crate::{COUNTS, GET, HELLO, hello, limits};

#[test]
fn a_newcomer_takes_the_slot_of_the_longest_idle_connection() {
    let mut world = World::new(3, COUNTS, limits(), hello());
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let client = world.connect_and_send(GET);
            assert_eq!(world.recv(client), (HELLO.to_owned(), false));
            world.pass(100);
            client
        })
        .collect();
    // The first is used again: now the second has been idle the longest.
    world.send(clients[0], GET);
    assert_eq!(world.recv(clients[0]), (HELLO.to_owned(), false));
    let newcomer = world.connect_and_send(GET);
    assert_eq!(world.recv(newcomer), (HELLO.to_owned(), false));
    assert_eq!(world.recv(clients[1]), (String::new(), true));
    assert_eq!(world.recv(clients[2]), (String::new(), false));
    assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), 1);
    world.finish();
}

#[test]
fn partial_heads_on_every_slot_keep_a_newcomer_waiting_a_quarter_of_a_second_at_most() {
    let mut world = World::new(4, COUNTS, limits(), hello());
    let slow: Vec<_> = (0..4).map(|_| world.connect_and_send(b"GET /")).collect();
    let newcomer = world.connect_and_send(GET);
    for _ in 0..4 {
        world.pass(50);
        for client in &slow {
            world.send(*client, b"x");
        }
    }
    assert_eq!(world.recv(newcomer).0, "", "heads that have only just begun still have time");
    world.pass(50);
    assert_eq!(world.recv(newcomer), (HELLO.to_owned(), false));
    assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), 1);
    world.finish();
}

/// A response that a client has not received yet would be lost with its connection; an idle connection or an incomplete head
/// loses nothing that cannot be requested again.
#[test]
fn a_client_that_is_receiving_a_response_is_not_ended_for_a_newcomer() {
    const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    // After a last response and after another one; alone, beside an idle connection, and beside an incomplete head.
    for (request, other) in
        [LAST, GET].into_iter().flat_map(|request| [None, Some(GET), Some(&b"GET /"[..])].map(|other| (request, other)))
    {
        let mut world = World::new(1 + usize::from(other.is_some()), COUNTS, limits(), hello());
        let receiving = world.connect_and_send(request);
        world.pass(20);
        let other = other.map(|bytes| world.connect_and_send(bytes));
        if let Some(other) = other {
            world.recv(other);
        }
        world.pass(20);
        let newcomer = world.connect_and_send(GET);
        world.pass(400);
        assert_eq!(world.recv(newcomer).0, if other.is_some() { HELLO } else { "" });
        if let Some(other) = other {
            assert!(world.recv(other).1, "it was closed for the newcomer");
        }
        // The client has not read for a while; it still gets the response, and then the slot is free.
        let (response, is_ended) = world.recv(receiving);
        assert!(response.ends_with("hello"), "{response}");
        assert_eq!(is_ended, request == LAST || other.is_none());
        world.pass(40);
        assert_eq!(world.recv(newcomer), (if other.is_some() { "" } else { HELLO }.to_owned(), false));
        world.finish();
    }
}

/// A wait may be interrupted: whether the connection that has become idle meanwhile is ended has yet to be decided then,
/// although nothing else is left to do.
#[test]
fn a_turn_that_has_not_seen_everything_is_followed_by_another_while_a_newcomer_waits() {
    let long = handler_fn(|_, response: &mut ResponseWriter<'_>| response.static_body(&[b'x'; 6_000]));
    let mut world = World::new(1, COUNTS, limits(), long);
    let receiving = world.connect_and_send(GET);
    let newcomer = world.connect_and_send(GET);
    world.pass(100);
    world.sim.set_faults(Faults { partial_wait: 1_000, ..Faults::default() }, Dice::new(0));
    assert_eq!(world.sim.client_recv(receiving, &mut [0; 4_096]), ClientRecv::Bytes(4_096));
    while world.engine.counters().bytes_sent < 6_000 {
        world.turn();
    }
    let at = world.engine.poll_timeout().expect("a newcomer waits");
    assert!(at <= world.sim.now(), "{at:?}: the idle connection is to be ended");
    world.sim.set_faults(Faults::default(), Dice::new(0));
    assert!(world.recv(receiving).0.ends_with("xxx"));
    world.pass(40);
    assert!(world.recv(newcomer).0.ends_with("xxx"));
    world.finish();
}

/// Newcomers for whom an idle connection was ended at once have not waited.
#[test]
fn a_receiving_client_keeps_its_time_after_newcomers_who_found_room() {
    let mut world = World::new(2, COUNTS, limits(), hello());
    let receiving = world.connect_and_send(GET);
    for _ in 0..4 {
        let newcomer = world.connect_and_send(GET);
        world.pass(200);
        assert_eq!(world.recv(newcomer), (HELLO.to_owned(), false));
        world.pass(100);
    }
    let [last, newcomer] = [(); 2].map(|()| world.connect_and_send(GET));
    world.pass(400);
    // Neither client has read its response.
    assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), 4);
    assert_eq!(world.recv(receiving).0, HELLO);
    world.pass(100);
    assert_eq!([last, newcomer].map(|client| world.recv(client).0), [HELLO, HELLO]);
    world.finish();
}

#[test]
fn silent_connections_are_evicted_like_partial_heads() {
    let mut world = World::new(2, COUNTS, limits(), hello());
    let _silent = (world.connect(), world.connect());
    world.settle();
    let newcomer = world.connect_and_send(GET);
    world.pass(200);
    assert_eq!(world.recv(newcomer).0, "");
    world.pass(50);
    assert_eq!(world.recv(newcomer).0, HELLO);
    world.finish();
}

#[test]
fn busy_connections_make_room_as_soon_as_they_finish_a_request() {
    let mut world = World::new(2, COUNTS, limits(), hello());
    // Both are in the middle of a head, and recent: none can be evicted.
    let busy: Vec<_> = (0..2).map(|_| world.connect_and_send(&GET[..10])).collect();
    let newcomer = world.connect_and_send(GET);
    assert_eq!(world.recv(newcomer).0, "");
    world.send(busy[0], &GET[10..]);
    let (output, _) = world.recv(busy[0]);
    assert!(output.contains("\r\nConnection: close\r\n"), "{output}");
    world.sim.client_close(busy[0]);
    assert_eq!(world.recv(newcomer), (HELLO.to_owned(), false));
    // No newcomer waits any more: the other one is kept.
    world.send(busy[1], &GET[10..]);
    assert_eq!(world.recv(busy[1]), (HELLO.to_owned(), false));
    world.finish();
}

#[test]
fn only_as_many_responses_end_their_connections_as_newcomers_wait() {
    for newcomers in [0, 1, 2] {
        let mut world = World::new(3, COUNTS, limits(), hello());
        world.listen();
        let busy: Vec<_> = (0..3).map(|_| world.connect_and_send(&GET[..10])).collect();
        for listener in [world.listener, IoHandle(world.listener.0 + 1)].into_iter().take(newcomers) {
            world.sim.connect(listener).expect("sockets are left");
        }
        world.settle();
        // All of them finish their requests in the same turn.
        for client in &busy {
            world.sim.client_send(*client, &GET[10..]);
        }
        let ends = busy.iter().filter(|client| world.recv(**client).0.contains("\r\nConnection: close\r\n")).count();
        assert_eq!(ends, newcomers);
        world.finish();
    }
}

#[test]
fn refusing_answers_503_and_serves_again_when_there_is_room() {
    let limits = Limits { overload: Overload::Refuse, ..limits() };
    let mut world = World::new(3, COUNTS, limits, hello());
    let busy: Vec<_> = (0..2).map(|_| world.connect_and_send(&GET[..10])).collect();
    let refused = world.connect();
    let (output, ended) = world.recv(refused);
    assert!(output.starts_with("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n") && ended, "{output}");
    assert!(output.contains("\r\nRetry-After: "), "{output}");
    world.sim.client_close(refused);
    world.settle();
    assert_eq!(world.engine.counters().closed.of(CloseReason::Shed), 1);
    world.sim.client_close(busy[0]);
    world.settle();
    let newcomer = world.connect_and_send(GET);
    assert_eq!(world.recv(newcomer), (HELLO.to_owned(), false));
    // It is idle now: the next newcomer gets its slot instead of a refusal.
    let next = world.connect_and_send(GET);
    assert_eq!(world.recv(next), (HELLO.to_owned(), false));
    assert_eq!(world.recv(newcomer), (String::new(), true));
    world.finish();
}

#[test]
fn newcomers_after_a_refused_one_are_refused_as_well() {
    let limits = Limits { overload: Overload::Refuse, ..limits() };
    let mut world = World::new(3, COUNTS, limits, hello());
    let busy: Vec<_> = (0..2).map(|_| world.connect_and_send(&GET[..10])).collect();
    let newcomers: Vec<_> = (0..4).map(|_| world.connect()).collect();
    for client in newcomers {
        let (output, ended) = world.recv(client);
        assert!(output.starts_with("HTTP/1.1 503 ") && ended, "{output}");
        world.sim.client_close(client);
    }
    // No connection is ended for a newcomer that gets no slot.
    world.send(busy[0], &GET[10..]);
    assert_eq!(world.recv(busy[0]), (HELLO.to_owned(), false));
    assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), 0);
    world.finish();
}

#[test]
fn a_single_slot_serves_even_with_overload_refuse() {
    let limits = Limits { overload: Overload::Refuse, ..limits() };
    let mut world = World::new(1, COUNTS, limits, hello());
    for _ in 0..3 {
        let client = world.connect_and_send(GET);
        assert_eq!(world.recv(client), (HELLO.to_owned(), false));
    }
    assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), 2);
    world.finish();
}

#[test]
fn room_is_made_for_each_connection_in_the_lobby_and_for_no_other() {
    // One waits per listener, so three at a time.
    let mut world = World::new(4, COUNTS, limits(), hello());
    let listeners = [world.listener, world.listen(), world.listen()];
    let slow: Vec<_> = (0..4).map(|_| world.connect_and_send(b"GET /")).collect();
    let newcomers = listeners.map(|listener| world.sim.connect(listener).unwrap());
    for client in newcomers {
        world.send(client, GET);
    }
    world.pass(200);
    assert!(newcomers.into_iter().all(|client| world.recv(client).0.is_empty()));
    world.pass(50);
    for client in newcomers {
        assert_eq!(world.recv(client), (HELLO.to_owned(), false));
    }
    assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), 3, "one each");
    assert!(!world.recv(slow[3]).1);
    world.finish();
}

#[test]
fn disabled_deadlines_do_not_protect_from_eviction() {
    let timeouts =
        Timeouts { first_byte_timeout_ms: None, head_timeout_ms: None, idle_timeout_ms: None, ..Timeouts::default() };
    let mut world = World::new(3, COUNTS, Limits { timeouts, ..limits() }, hello());
    let idle = world.connect_and_send(GET);
    assert_eq!(world.recv(idle), (HELLO.to_owned(), false));
    let silent = world.connect();
    world.settle();
    assert_eq!(world.engine.poll_timeout(), None, "no deadline is set");
    let _partial = world.connect_and_send(&GET[..10]);
    world.pass(5_000);
    assert_eq!(world.engine.counters().closed.total(), 0);
    for evicted in 1..=3 {
        let newcomer = world.connect();
        world.settle();
        assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), evicted);
        assert!(!world.recv(newcomer).1);
    }
    assert!(world.recv(idle).1 && world.recv(silent).1);
    world.finish();
}

#[test]
fn too_many_open_files_pauses_accepting_and_is_counted() {
    let mut world = World::new(4, COUNTS, limits(), hello());
    world.sim.fail_next_accept(IoError::FileLimit);
    let client = world.connect_and_send(GET);
    assert_eq!(world.engine.counters().accept_errors, 1);
    assert_eq!(world.recv(client).0, "");
    world.pass(50);
    assert_eq!(world.recv(client).0, "", "accepting pauses for 100 ms");
    world.pass(100);
    assert_eq!(world.recv(client).0, HELLO);
    assert_eq!(world.engine.counters().accept_errors, 1, "no busy loop");
    world.finish();
}

#[test]
fn dead_connections_in_the_backlog_do_not_delay_others() {
    let mut world = World::new(4, COUNTS, limits(), hello());
    world.sim.fail_next_accept(IoError::ConnectionReset);
    let client = world.connect_and_send(GET);
    assert_eq!(world.recv(client).0, HELLO, "without a pause");
    assert_eq!(world.engine.counters().accept_errors, 1);
    world.finish();
}

#[test]
fn a_listener_that_only_ever_fails_does_not_make_the_loop_spin() {
    let mut world = World::new(4, COUNTS, limits(), hello());
    let client = world.connect();
    for _ in 0..5_000 {
        world.sim.fail_next_accept(IoError::ConnectionReset);
        world.turn();
    }
    assert_eq!(world.engine.counters().accept_errors, 1024, "then accepting pauses");
    world.pass(150);
    world.send(client, GET);
    assert_eq!(world.recv(client).0, HELLO);
    world.finish();
}

#[test]
fn disconnects_at_every_stage_leave_nothing_behind() {
    let mut world = World::new(8, COUNTS, limits(), hello());
    for cut in [0, 1, 10, GET.len() - 1, GET.len()] {
        for end in 0..3 {
            let client = world.connect_and_send(&GET[..cut]);
            match end {
                0 => world.sim.client_reset(client),
                1 => world.sim.client_close(client),
                _ => {
                    world.sim.client_finish(client);
                    world.settle();
                    world.sim.client_close(client);
                }
            }
            world.settle();
        }
    }
    assert_eq!(world.engine.counters().active, 0);
    assert_eq!(world.engine.counters().accepted, 15);
    assert_eq!(world.engine.counters().closed.total(), 15);
    world.finish();
}

#[test]
fn a_connection_that_has_just_begun_to_linger_makes_room_before_an_idle_one() {
    let mut world = World::new(2, COUNTS, limits(), hello());
    let idle = world.connect_and_send(GET);
    assert_eq!(world.recv(idle), (HELLO.to_owned(), false));
    world.pass(50);
    let last = world.connect_and_send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(world.recv(last).1);
    let newcomer = world.connect_and_send(GET);
    assert_eq!(world.engine.counters().closed.total(), 0, "what the client has sent may still be unread");
    world.pass(2);
    assert_eq!(world.recv(newcomer), (HELLO.to_owned(), false));
    assert_eq!(world.recv(idle), (String::new(), false));
    world.finish();
}

#[test]
fn newcomers_that_find_a_slot_take_no_time_from_incomplete_heads() {
    let mut world = World::new(4, COUNTS, limits(), hello());
    for _ in 0..5 {
        let client = world.connect_and_send(GET);
        assert_eq!(world.recv(client), (HELLO.to_owned(), false));
        world.sim.client_close(client);
        world.pass(400);
    }
    let _partial: Vec<_> = (0..4).map(|_| world.connect_and_send(b"GET /")).collect();
    let newcomer = world.connect_and_send(GET);
    world.pass(200);
    assert_eq!(world.recv(newcomer).0, "", "nobody has waited before");
    world.pass(50);
    assert_eq!(world.recv(newcomer).0, HELLO);
    world.finish();
}

/// Defers every answer to `/later`.
#[derive(Default)]
struct Later(Vec<DeferToken>);

impl Handler for Later {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.path() == b"/later" {
            self.0.push(response.defer().unwrap());
            return Flow::Defer(());
        }
        response.body("hello").unwrap();
        Flow::Finish
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.body("hello").unwrap();
        Flow::Finish
    }
}

#[test]
fn newcomers_who_wait_one_after_the_other_have_waited_together() {
    let mut world = World::new(2, COUNTS, limits(), Later::default());
    let later: Vec<_> = (0..2).map(|_| world.connect_and_send(b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    let first = world.connect_and_send(b"GET /");
    world.pass(1_500);
    let token = world.engine.handler().0[0];
    assert!(world.resolve(token));
    assert!(world.recv(later[0]).1, "its slot is needed");
    world.sim.client_close(later[0]);
    world.settle();
    let second = world.connect_and_send(GET);
    world.pass(20);
    assert_eq!(world.recv(second).0, HELLO, "a head that has only just begun has no time any more");
    assert!(world.recv(first).1);
    world.finish();
}
