//! Fewer buffers than connections.

use aurora_http_core::pool::ClassCounts;

use aurora_http_core::handler::{Flow, Handler};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

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

/// Answers GET at once, and POST once its content is there.
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
fn contents_that_hold_every_buffer_and_want_larger_ones_do_not_stop_everybody() {
    let mut world = World::new(8, ClassCounts::new([4, 4, 0, 0, 0]), limits(), Collects);
    let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n";
    let request = format!("{head}{}\r\n", "c".repeat(0x800));
    let uploads: Vec<_> = (0..4).map(|_| world.connect_and_send(head.as_bytes())).collect();
    for upload in &uploads {
        world.send(*upload, &request.as_bytes()[head.len()..]);
    }
    let waiting = world.connect_and_send(GET);
    assert_eq!(world.recv(waiting).0, "", "nobody gets on");
    world.pass(2_100);
    for upload in &uploads {
        world.sim.client_send(*upload, b"0\r\n\r\n");
    }
    let answers: Vec<_> = uploads.into_iter().map(|upload| world.recv(upload).0).collect();
    assert!(answers[0].starts_with("HTTP/1.1 503 "), "the oldest is shed when the line stands still: {answers:?}");
    assert!(answers[1..].iter().any(|answer| answer.ends_with("2048")), "for the others: {answers:?}");
    assert_eq!(world.recv(waiting).0, HELLO);
    world.finish();
}
