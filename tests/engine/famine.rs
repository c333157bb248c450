//! Fewer buffers than connections.

use aurora_http_core::pool::ClassCounts;

use crate::world::World;
use crate::{GET, HELLO, hello, limits};

#[test]
fn connections_wait_in_line_for_a_buffer_and_all_are_served() {
    // Two buffers to receive into, two to answer in.
    let mut world = World::new(20, ClassCounts::new([2, 2, 0, 0, 0]), limits(), hello());
    let partial: Vec<_> = (0..2).map(|_| world.connect_and_send(&GET[..10])).collect();
    let clients: Vec<_> = (0..18).map(|_| world.connect_and_send(GET)).collect();
    assert_eq!(world.engine.counters().starved, 18, "once each: waiting is no spin");
    world.send(partial[0], &GET[10..]);
    for client in clients.into_iter().chain([partial[0]]) {
        assert_eq!(world.recv(client), (HELLO.to_owned(), false));
    }
    world.finish();
}

#[test]
fn receive_buffers_in_every_hand_do_not_stop_the_answers() {
    // One class for both: receiving may not take the last ones.
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
fn partial_heads_that_hold_every_buffer_are_ended_by_their_deadline_and_others_go_on() {
    let mut world = World::new(8, ClassCounts::new([2, 2, 0, 0, 0]), limits(), hello());
    let _partial: Vec<_> = (0..2).map(|_| world.connect_and_send(&GET[..10])).collect();
    let waiting = world.connect_and_send(GET);
    assert_eq!(world.recv(waiting).0, "");
    world.pass(2_100);
    assert_eq!(world.recv(waiting).0, HELLO, "the oldest partial head is shed when the line stands still");
    assert_eq!(world.engine.counters().refused, 1, "and no other one");
    world.finish();
}
