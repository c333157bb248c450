//! An engine with a thousand, and up to a million connections: the memory that each takes, and the CPU time of a request when 64 of
//! them send one in the same turn, and all others are idle. `cargo bench --bench scale`, or `-- 1000 64000` for other numbers.
//!
//! Either the same 64 connections are busy all the time, or any of them, whose state has then left the caches: that costs more the
//! more there are, in any server. The system below is simulated ([`clients`]), so that what is measured is the engine and
//! `Readiness`; it takes 16 bytes of each connection itself, and its part of those cache misses.

use std::env;
use std::time::Duration;

use aurora_http_core::budget::Budget;
use aurora_http_core::engine::LENT_MAX;
use aurora_http_core::handler::{Handler, handler_fn};
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::sim::Dice;
use aurora_http_core::writer::ResponseWriter;
use clients::Script;
use world::World;

#[path = "support/clients.rs"]
mod clients;
#[path = "support/cpu.rs"]
mod cpu;
#[path = "support/world.rs"]
mod world;

const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: server:8080\r\nAccept: */*\r\n\r\n";

/// Connections that send a request in the same turn.
const BUSY: usize = 64;

/// Requests of a measurement, of which the fastest counts.
const REQUESTS: usize = 64_000;
const MEASUREMENTS: usize = 7;

fn main() {
    let counts: Vec<usize> = env::args().filter_map(|argument| argument.parse().ok()).collect();
    let counts = if counts.is_empty() { vec![1_000, 10_000, 100_000, 1_000_000] } else { counts };
    println!("connections  bytes per connection  the same 64: ns per request, ratio  any: ns per request, ratio");
    let mut first = None;
    for connections in counts {
        let mut world = busy_world(connections);
        let same = ns_per_request(&mut world, BUSY.min(connections));
        let any = ns_per_request(&mut world, connections);
        let (first_same, first_any) = *first.get_or_insert((same, any));
        println!(
            "{connections:>11}  {:>20}  {same:>27.0} {:>6.2}  {any:>18.0} {:>6.2}",
            bytes_per_connection(connections),
            same / first_same,
            any / first_any
        );
    }
}

/// The state of an idle connection with the handler of this program, on a backend that itself keeps none.
fn bytes_per_connection(connections: usize) -> usize {
    let budget =
        Budget { connections, listeners: 1, buffers: ClassCounts::NONE, loans: 8, lent: LENT_MAX, scratch_bytes: 4096 };
    let memory = budget.memory::<()>(0);
    (memory.slots + memory.handles) / connections
}

/// All connections are open and have had an exchange.
fn busy_world(connections: usize) -> World<impl Handler> {
    let mut world = World::new(plaintext(), connections, Script { bytes: REQUEST.to_vec(), then_fin: false });
    let mut left = connections;
    while left > 0 {
        let count = left.min(1_000);
        world.clients().connect(count);
        world.settle();
        left -= count;
    }
    world
}

/// With requests on any of the first `among` connections.
fn ns_per_request(world: &mut World<impl Handler>, among: usize) -> f64 {
    let mut dice = Dice::new(1);
    let mut measure = || {
        let (before, received) = (cpu::time(), world.clients().received);
        let mut responses = 0;
        for _ in 0..REQUESTS / BUSY {
            for _ in 0..BUSY {
                world.clients().send_one(dice.below(among) as u32);
            }
            // Another time, so that every deadline is moved.
            world.clients().pass_ms(1);
            responses += world.settle().0;
        }
        assert!(responses > 0 && world.clients().received - received == responses);
        assert_eq!(&world.clients().status_line, b"HTTP/1.1 200");
        cpu::time() - before
    };
    let fastest = (0..MEASUREMENTS).map(|_| measure()).min().unwrap_or(Duration::ZERO);
    fastest.as_nanos() as f64 / REQUESTS as f64
}

fn plaintext() -> impl Handler {
    handler_fn(|_, response: &mut ResponseWriter<'_>| {
        response.field("Content-Type", "text/plain")?;
        response.body(b"Hello, World!")
    })
}
