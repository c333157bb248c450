//! What is left of the engine for a handler that needs little of it.

use std::convert::Infallible;

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Flow, Handler, Needs};
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::request::Request;
use aurora_http_core::stop::Mode;
use aurora_http_core::writer::ResponseWriter;

use crate::world::World;
use crate::{COUNTS, GET, HELLO, limits};

/// Needs nothing but requests and responses.
struct Plain;

impl Handler for Plain {
    const NEEDS: Needs = Needs::LEAST;
    type Exchange = Infallible;

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Infallible> {
        let _ = response.body("hello");
        Flow::Finish
    }
}

#[test]
fn without_eviction_a_newcomer_waits_until_a_connection_ends_by_itself() {
    let mut world = World::new(2, COUNTS, limits(), Plain);
    let idle = [(); 2].map(|()| world.connect_and_send(GET));
    for client in idle {
        assert_eq!(world.recv(client), (HELLO.to_owned(), false));
    }
    let newcomers = [(); 3].map(|()| world.connect_and_send(GET));
    let idle_ms = limits().timeouts.idle_timeout_ms.expect("the default has one");
    world.pass(idle_ms - 100);
    for client in newcomers {
        assert_eq!(world.recv(client), (String::new(), false), "it waits");
    }
    world.pass(200);
    for client in idle {
        assert_eq!(world.recv(client), (String::new(), true), "its timeout has passed");
    }
    let served: Vec<_> = newcomers.map(|client| world.recv(client)).into();
    assert_eq!(served.iter().filter(|(output, _)| output == HELLO).count(), 2, "{served:?}");
    let counters = *world.engine.counters();
    assert_eq!((counters.closed.of(CloseReason::Evicted), counters.closed.of(CloseReason::Shed)), (0, 0));
    world.pass(idle_ms + 100);
    let output: String = newcomers.map(|client| world.recv(client).0).concat();
    assert_eq!(output, HELLO, "the third one is served, too");
}

#[test]
fn without_eviction_a_connection_without_a_buffer_waits_for_one() {
    let mut world = World::new(4, ClassCounts::new([2, 2, 0, 0, 0]), limits(), Plain);
    let slow = [(); 2].map(|()| world.connect_and_send(b"GET / HT"));
    let waiting = [(); 2].map(|()| world.connect_and_send(GET));
    world.pass(1_000);
    for client in waiting {
        assert_eq!(world.recv(client), (String::new(), false));
    }
    for client in slow {
        world.send(client, b"TP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(world.recv(client), (HELLO.to_owned(), false));
    }
    for client in waiting {
        assert_eq!(world.recv(client), (HELLO.to_owned(), false));
    }
}

#[test]
fn timeouts_hold_without_anything_else() {
    let mut world = World::new(1, COUNTS, limits(), Plain);
    let slow = world.connect_and_send(b"GET / HT");
    let head_ms = limits().timeouts.head_timeout_ms.expect("the default has one");
    world.pass(head_ms + 100);
    let (output, ended) = world.recv(slow);
    assert!(output.starts_with("HTTP/1.1 408 ") && ended, "{output}");
}

#[test]
fn without_a_stop_an_engine_does_not_stop() {
    let mut world = World::new(1, COUNTS, limits(), Plain);
    let client = world.connect_and_send(GET);
    assert_eq!(world.recv(client).0, HELLO);
    world.stop.drain();
    world.engine.stop(world.sim.now(), Mode::Abort);
    world.pass(100);
    world.send(client, GET);
    assert_eq!(world.recv(client), (HELLO.to_owned(), false));
    assert!(!world.engine.is_drained());
}
