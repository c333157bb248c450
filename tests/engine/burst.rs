//! Thousands of slow heads, and a client that sends its whole request at once.

use std::thread;

use aurora_http_core::error::CloseReason;
use aurora_http_core::limits::{Limits, Overload};
use aurora_http_core::sim::{Client, ClientRecv, Sim};
use aurora_http_core::time::Instant;
use aurora_http_core::{handler::Handler, pool::ClassCounts, reactor::Reactor};
use proptest::prelude::*;

use crate::world::World;
use crate::{COUNTS, GET, HELLO, hello, limits};

/// Large networks are created on the stack.
fn with_stack(test: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(64 << 20).spawn(test).unwrap().join().unwrap();
}

/// What a healthy client does, and how long it waits.
struct Healthy {
    client: Client,
    since: Instant,
}

impl Healthy {
    fn new<H: Handler>(world: &mut World<H>) -> Self {
        let client = world.connect();
        assert_eq!(world.sim.client_send(client, GET), GET.len());
        Self { client, since: world.sim.now() }
    }

    /// How long it waited, once it was served.
    fn served<H: Handler>(&self, world: &mut World<H>) -> Option<u64> {
        let mut bytes = [0; 512];
        match world.sim.client_recv(self.client, &mut bytes) {
            ClientRecv::Bytes(count) => {
                assert_eq!(&bytes[..count], HELLO.as_bytes());
                world.sim.client_close(self.client);
                Some(world.sim.now().ms_since(self.since))
            }
            ClientRecv::Nothing => None,
            ended => panic!("{ended:?} after {} ms", world.sim.now().ms_since(self.since)),
        }
    }
}

/// Slow heads fill `slots` slots and keep arriving, so many per millisecond, while healthy clients come one after the
/// other. Returns the longest wait of these.
fn longest_wait(sim: Sim<'static>, slots: usize, buffers: u32, per_ms: f64, overfill: usize) -> u64 {
    let counts = ClassCounts::new([64, buffers, 0, 0, 0]);
    let mut world = World::over(sim, slots, counts, limits(), hello());
    let mut slow = std::collections::VecDeque::new();
    let (mut due, mut longest, mut healthy, mut served) = (0.0, 0, None, 0);
    let (mut sent, mut ms) = (0, 0);
    while sent < slots + overfill {
        due += per_ms;
        while due >= 1.0 {
            due -= 1.0;
            sent += 1;
            let client = world.connect();
            world.sim.client_send(client, b"GET /");
            slow.push_back(client);
        }
        // Evicted clients close their sockets.
        while slow.front().is_some_and(|client| world.sim.client_recv(*client, &mut [0; 8]) != ClientRecv::Nothing) {
            slow.pop_front().into_iter().for_each(|client| world.sim.client_close(client));
        }
        if healthy.is_none() && sent > slots / 2 {
            healthy = Some(Healthy::new(&mut world));
        }
        for _ in 0..20 {
            world.turn();
        }
        if let Some(waited) = healthy.as_ref().and_then(|healthy| healthy.served(&mut world)) {
            longest = longest.max(waited);
            served += 1;
            healthy = None;
        }
        let waits = healthy.as_ref().map_or(0, |healthy| world.sim.now().ms_since(healthy.since));
        assert!(waits <= 1_000, "slots {slots}, {per_ms} per ms: waits for {waits} ms");
        world.sim.advance_ms(1);
        ms += 1;
    }
    assert!(served > 3, "{served} in {ms} ms");
    longest
}

#[test]
fn a_healthy_client_is_served_within_a_second_whatever_the_rate_of_slow_heads_on_300_slots() {
    with_stack(|| {
        for (buffers, per_ms) in [(400, 0.2), (400, 2.0), (64, 0.2), (64, 2.0)] {
            let waited = longest_wait(Sim::new(1_500, 256), 300, buffers, per_ms, 600.max((per_ms * 1_500.0) as usize));
            assert!(waited <= 1_000, "{waited} ms with {buffers} buffers at {per_ms} per ms");
        }
    });
}

#[test]
fn a_healthy_client_is_served_within_a_second_among_slow_heads_on_1000_slots() {
    with_stack(|| {
        for buffers in [1_100, 256] {
            let waited = longest_wait(Sim::new(3_000, 256), 1_000, buffers, 2.0, 1_500);
            assert!(waited <= 1_000, "{waited} ms with {buffers} buffers");
        }
    });
}

#[test]
fn a_healthy_client_is_served_within_a_second_among_slow_heads_on_10000_slots() {
    with_stack(|| {
        for buffers in [10_100, 256] {
            let waited = longest_wait(Sim::new(14_000, 256), 10_000, buffers, 10.0, 8_000);
            assert!(waited <= 1_000, "{waited} ms with {buffers} buffers");
        }
    });
}

#[test]
fn healthy_clients_that_return_their_buffers_at_once_do_not_extend_the_time_of_slow_heads() {
    with_stack(|| {
        // Slots for all of them, buffers for one in thirty.
        let counts = ClassCounts::new([64, 256, 0, 0, 0]);
        let mut world = World::over(Sim::new(9_000, 256), 8_500, counts, limits(), hello());
        let mut healthy: Vec<(u64, Option<Healthy>)> = (0..16).map(|at| (at * 37, None)).collect();
        let mut served = 0;
        for ms in 0..4_000 {
            for _ in 0..2 {
                let slow = world.connect();
                world.sim.client_send(slow, b"GET /");
            }
            for (pause_until, client) in healthy.iter_mut().filter(|(pause_until, _)| *pause_until <= ms) {
                let waited = client.get_or_insert_with(|| Healthy::new(&mut world)).served(&mut world);
                let Some(waited) = waited else { continue };
                assert!(waited <= 300, "at {ms} ms: waited for {waited} ms");
                (*pause_until, *client) = (ms + 50, None);
                served += 1;
            }
            (0..20).for_each(|_| world.turn());
            world.sim.advance_ms(1);
        }
        assert!(served > 16 * 8, "{served}");
    });
}

#[test]
fn after_the_pressure_slow_heads_have_their_full_time_again() {
    let mut world = World::new(4, COUNTS, limits(), hello());
    let slow: Vec<_> = (0..4).map(|_| world.connect_and_send(b"GET /")).collect();
    let newcomer = world.connect();
    world.pass(300);
    assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), 1);
    slow.into_iter().chain([newcomer]).for_each(|client| world.sim.client_close(client));
    world.pass(2_000);
    let slow: Vec<_> = (0..4).map(|_| world.connect_and_send(b"GET /")).collect();
    let newcomer = world.connect_and_send(GET);
    world.pass(200);
    assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), 1, "as before the first one");
    assert_eq!(world.recv(newcomer).0, "");
    assert!(slow.iter().all(|client| !world.recv(*client).1));
    world.finish();
}

/// What clients of all kinds do.
#[derive(Clone, Copy, Debug)]
enum Does {
    Connect,
    Partial(usize),
    Whole(usize),
    Last(usize),
    Read(usize),
    Close(usize),
    Reset(usize),
    Pass(u32),
}

fn does() -> impl Strategy<Value = Does> {
    let client = 0_usize..12;
    prop_oneof![
        4 => Just(Does::Connect),
        3 => client.clone().prop_map(Does::Partial),
        5 => client.clone().prop_map(Does::Whole),
        1 => client.clone().prop_map(Does::Last),
        4 => client.clone().prop_map(Does::Read),
        2 => client.clone().prop_map(Does::Close),
        1 => client.prop_map(Does::Reset),
        3 => prop::sample::select(vec![0_u32, 1, 60, 600]).prop_map(Does::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happened before, no count of newcomers is left over: the next one is served in time, and after that no
    /// connection is ended.
    #[test]
    fn a_newcomer_is_always_served_within_a_second(
        steps in prop::collection::vec(does(), 0..60),
        slots in 1_usize..5,
        refuses in any::<bool>(),
        listeners in 1_usize..4,
    ) {
        let overload = if refuses { Overload::Refuse } else { Overload::Wait };
        let mut world = World::new(slots, COUNTS, Limits { overload, ..limits() }, hello());
        let mut ports = vec![world.listener];
        ports.extend((1..listeners).map(|_| world.listen()));
        let mut clients: Vec<Client> = Vec::new();
        for (at, step) in steps.into_iter().enumerate() {
            let chosen = |client: usize| clients.get(client % clients.len().max(1)).copied();
            match step {
                Does::Connect if clients.len() < 12 => {
                    clients.extend(world.sim.connect(ports[at % ports.len()]));
                }
                Does::Connect => {}
                Does::Partial(client) => _ = chosen(client).map(|client| world.sim.client_send(client, &GET[..7])),
                Does::Whole(client) => _ = chosen(client).map(|client| world.sim.client_send(client, GET)),
                Does::Last(client) => {
                    let last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                    _ = chosen(client).map(|client| world.sim.client_send(client, last));
                }
                Does::Read(client) => _ = chosen(client).map(|client| world.sim.client_recv(client, &mut [0; 512])),
                Does::Close(client) => _ = chosen(client).map(|client| world.sim.client_close(client)),
                Does::Reset(client) => _ = chosen(client).map(|client| world.sim.client_reset(client)),
                Does::Pass(ms) => world.sim.advance_ms(ms),
            }
            (0..at % 7).for_each(|_| world.turn());
        }
        if refuses && slots > 1 {
            // Newcomers may be refused: it is enough that all are served again once they have gone.
            clients.drain(..).for_each(|client| world.sim.client_close(client));
            world.pass(100);
        }
        let newcomer = world.connect();
        world.sim.client_send(newcomer, GET);
        let mut output = String::new();
        for _ in 0..20 {
            world.pass(50);
            let mut bytes = [0; 512];
            if let ClientRecv::Bytes(count) = world.sim.client_recv(newcomer, &mut bytes) {
                output.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            }
        }
        prop_assert!(output.contains("200 OK"), "{:?}", output);
        clients.into_iter().chain([newcomer]).for_each(|client| world.sim.client_close(client));
        world.pass(2_000);
        // All slots are in use, and no newcomer waits: no connection is told to close.
        let evicted = world.engine.counters().closed.of(CloseReason::Evicted);
        let full = if refuses && slots > 1 { slots - 1 } else { slots };
        let kept: Vec<_> = (0..full).map(|_| world.connect_and_send(GET)).collect();
        for client in kept {
            prop_assert_eq!(world.recv(client), (HELLO.to_owned(), false));
        }
        prop_assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), evicted);
        world.finish();
    }
}
