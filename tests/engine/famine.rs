//! Fewer buffers than connections.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Flow, Handler};
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::request::{Method, Request};
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
fn slow_readers_and_slow_senders_that_hold_every_buffer_give_one_up_each_time_it_is_needed() {
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
        assert_eq!(world.recv(waiting).0, "", "they have their time");
        pass(&mut world, 1_000);
        assert_eq!(world.recv(waiting).0, HELLO, "{:?} {:?}", world.engine.counters(), world.engine.pool());
        let shed = world.engine.counters().closed.of(CloseReason::Shed) + world.engine.counters().refused;
        assert_eq!(shed, 1, "no more than are needed");
        world.finish();
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
