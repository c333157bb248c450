//! Connections that the program accepted itself.

use aurora_http_core::reactor::{IoHandle, Op, OpKind, OpToken, Outcome, Reactor, Submission};
use aurora_http_core::sim::Client;
use aurora_http_core::time::Instant;
use std::time::Duration;

use crate::world::World;
use crate::{COUNTS, GET, HELLO, hello, limits};

/// Connects to a listener that the engine does not know, and accepts the connection there.
fn accept(world: &mut World<impl aurora_http_core::handler::Handler>, listener: IoHandle) -> (Client, IoHandle) {
    let client = world.sim.connect(listener).expect("sockets are left");
    let token = OpToken::new(u32::MAX, 0, OpKind::Accept);
    world.sim.submit(Submission { token, op: Op::Accept { listener } }).expect("room");
    world.sim.wait(Some(Duration::ZERO)).expect("a reactor in working order");
    let completion = world.sim.next_completion().expect("a connection has arrived");
    let Outcome::Accept(Ok(io)) = completion.outcome else { panic!("{completion:?}") };
    (client, io)
}

#[test]
fn an_adopted_connection_is_served_and_counted_if_there_is_a_slot() {
    let mut world = World::new(2, COUNTS, limits(), hello());
    world.settle();
    let listener = world.sim.listen().expect("sockets are left");
    let now = world.sim.now();
    for adopted in 1..=2 {
        let (client, io) = accept(&mut world, listener);
        assert_eq!(world.engine.adopt(now, io), Ok(()));
        assert_eq!(world.engine.poll_timeout(), Some(Instant(0)), "its first operation has to be submitted");
        world.send(client, GET);
        assert_eq!(world.recv(client), (HELLO.to_owned(), false));
        let counters = world.engine.counters();
        assert_eq!((counters.accepted, counters.active), (adopted, adopted));
    }
    let (_, third) = accept(&mut world, listener);
    assert_eq!(world.engine.adopt(now, third), Err(third), "both slots are in use");
    world.stop.drain();
    world.settle();
    assert_eq!(world.engine.adopt(now, third), Err(third), "it stops");
    assert_eq!(world.engine.counters().accepted, 2);
    let token = OpToken::new(u32::MAX, 0, OpKind::Close);
    for io in [third, listener] {
        world.sim.submit(Submission { token, op: Op::Close { io } }).expect("room");
        world.settle();
    }
    world.finish();
}

#[test]
fn the_wall_clock_is_read_four_times_a_second() {
    let mut world = World::new(2, COUNTS, limits(), hello());
    world.settle();
    let now = world.sim.now();
    world.engine.set_unix_time(now, Some(1));
    for (ms, needs) in [(0, false), (249, false), (250, true), (60_000, true)] {
        assert_eq!(world.engine.needs_date(now.plus_ms(ms)), needs, "{ms}");
    }
    let client = world.connect_and_send(GET);
    let (output, _) = world.recv(client);
    assert!(output.contains("\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\n"), "{output}");
    world.finish();
}
