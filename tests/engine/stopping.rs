//! Graceful stops, aborts.

use aurora_http_core::error::CloseReason;

use crate::world::World;
use crate::{COUNTS, GET, HELLO, hello, limits};

#[test]
fn a_stop_closes_what_is_idle_and_finishes_what_is_under_way() {
    let mut world = World::new(8, COUNTS, limits(), hello());
    let never_used = world.connect();
    let idle = world.connect_and_send(GET);
    let partial = world.connect_and_send(&GET[..10]);
    assert_eq!(world.recv(idle), (HELLO.to_owned(), false));
    world.stop.drain();
    assert_eq!(world.recv(idle), (String::new(), true));
    assert_eq!(world.recv(never_used), (String::new(), true));
    assert!(!world.engine.is_drained());
    world.send(partial, &GET[10..]);
    let (output, _) = world.recv(partial);
    assert!(output.starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n") && output.ends_with("hello"), "{output}");
    world.sim.client_close(partial);
    world.settle();
    assert!(world.engine.is_drained());
    assert_eq!(world.engine.counters().closed.of(CloseReason::Stopped), 3);
    world.finish();
}

#[test]
fn what_does_not_finish_is_aborted_at_the_deadline() {
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
