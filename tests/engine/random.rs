//! Handlers and clients that do anything, on an engine with few of everything: the books balance all the same.

// The same chance, handler, requests and reading of replies as a bare connection's test has.
#[path = "../../core/tests/connection/random/handler.rs"]
mod handler;
#[path = "../../core/tests/connection/random/replies.rs"]
mod replies;
#[path = "../../core/tests/connection/random/requests.rs"]
mod requests;
#[path = "../../core/tests/connection/random/rng.rs"]
mod rng;

use aurora_http_core::error::CloseReason;
use aurora_http_core::limits::{Limits, Overload};
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::reactor::Reactor;
use aurora_http_core::sim::{Client, ClientRecv};

use self::handler::Anything;
use self::replies::Asked;
use self::rng::Rng;
use crate::world::World;

const SLOTS: usize = 3;
/// Numbers of requests that each client may use.
const NUMBERS: usize = 100;

const POOLS: [ClassCounts; 3] =
    [ClassCounts::new([8, 8, 4, 2, 2]), ClassCounts::new([3, 3, 1, 1, 1]), ClassCounts::new([0, 4, 1, 0, 0])];

struct Peer {
    client: Client,
    asked: Vec<Asked>,
    input: Vec<u8>,
    at: usize,
    output: Vec<u8>,
    /// It went away, or was reset: what was on its way to it is lost.
    is_lost: bool,
}

fn limits(rng: &mut Rng) -> Limits {
    Limits {
        requests_per_connection_max: rng.pick(&[None, Some(3)]),
        response_bytes_max: rng.pick(&[1_024, 65_536]),
        content_collected_max: rng.pick(&[4_096, 262_144]),
        // As many as there are slots: one that is not counted out would show as a request that is shed.
        in_flight_max: Some(SLOTS as u32),
        overload: rng.pick(&[Overload::Wait, Overload::Refuse]),
        ..Limits::default()
    }
}

fn connect(rng: &mut Rng, world: &mut World<Anything>, index: usize) -> Option<Peer> {
    let client = world.sim.connect(world.listener)?;
    let (input, mut asked) = requests::some(rng, index * NUMBERS);
    asked.push(Asked::default()); // newcomers may be refused without having asked for anything
    Some(Peer { client, asked, input, at: 0, output: Vec::new(), is_lost: false })
}

fn send(rng: &mut Rng, world: &mut World<Anything>, peer: &mut Peer) {
    let most = rng.pick(&[1, 100, 2_000, usize::MAX]).min(peer.input.len() - peer.at);
    peer.at += world.sim.client_send(peer.client, &peer.input[peer.at..peer.at + most]);
}

/// Whether anything came.
fn receive(world: &mut World<Anything>, peer: &mut Peer) -> bool {
    let mut bytes = [0; 4_096];
    match world.sim.client_recv(peer.client, &mut bytes) {
        ClientRecv::Bytes(count) => peer.output.extend_from_slice(&bytes[..count]),
        ClientRecv::Nothing | ClientRecv::Fin => return false,
        ClientRecv::Reset => {
            peer.is_lost = true;
            return false;
        }
    }
    true
}

fn lose(rng: &mut Rng, world: &mut World<Anything>, peer: &mut Peer) {
    peer.is_lost = true;
    if rng.once_in(2) { world.sim.client_close(peer.client) } else { world.sim.client_reset(peer.client) }
}

fn step(rng: &mut Rng, world: &mut World<Anything>, peers: &mut Vec<Peer>) {
    let index = peers.len();
    let chosen = rng.below(index.max(1));
    match rng.below(24) {
        0 | 1 if index < 12 => peers.extend(connect(rng, world, index)),
        2..=9 if index > 0 => send(rng, world, &mut peers[chosen]),
        10..=14 if index > 0 => _ = receive(world, &mut peers[chosen]),
        15 if rng.once_in(4) && index > 0 => world.sim.client_finish(peers[chosen].client),
        16 if rng.once_in(6) && index > 0 => lose(rng, world, &mut peers[chosen]),
        17 | 18 if !world.engine.handler().tokens.is_empty() => {
            let token = rng.pick(&world.engine.handler().tokens);
            world.resolve(token);
        }
        19 => {
            let options = world.sim.options_mut();
            options.recv_bytes_max = rng.pick(&[1, 50, usize::MAX]);
            options.send_bytes_max = rng.pick(&[1, 300, usize::MAX]);
            options.delay_ms = rng.pick(&[0, 0, 3]);
            options.submissions_per_turn_max = rng.pick(&[1, 3, usize::MAX]);
        }
        20 => world.sim.advance_ms(rng.pick(&[1, 100, 2_500])),
        21 if rng.once_in(20) => world.sim.advance_ms(61_000),
        _ => {}
    }
    world.turn();
    if world.engine.has_detached() {
        world.engine.close_detached(world.sim.now());
    }
}

/// The clients say the rest and take everything; the engine is told to drain, and must within its time.
fn end(rng: &mut Rng, world: &mut World<Anything>, peers: &mut [Peer]) {
    *world.sim.options_mut() = aurora_http_core::sim::SimOptions::default();
    if rng.once_in(3) {
        world.stop.drain();
    }
    for turn in 0..1_500 {
        if turn == 600 {
            world.stop.drain();
        }
        let mut came = false;
        for peer in &mut *peers {
            send(rng, world, peer);
            came |= receive(world, peer);
        }
        world.turn();
        if world.engine.has_detached() {
            world.engine.close_detached(world.sim.now());
        }
        if !came && turn % 4 == 0 {
            world.sim.advance_ms(rng.pick(&[1, 200]));
        }
    }
}

fn life(seed: u64) {
    let mut rng = Rng::new(seed);
    let limits = limits(&mut rng);
    let mut world = World::new(SLOTS, rng.pick(&POOLS), limits, Anything::new(rng.fork()));
    let mut peers = Vec::new();
    for _ in 0..300 {
        step(&mut rng, &mut world, &mut peers);
    }
    end(&mut rng, &mut world, &mut peers);
    world.sim.advance_ms(31_000);
    for _ in 0..100 {
        world.turn();
    }
    assert!(world.engine.is_drained(), "seed {seed}: {:?}", world.engine);
    for peer in &mut peers {
        while receive(&mut world, peer) {}
    }
    for (index, peer) in peers.iter().enumerate() {
        check(seed, &world, index, peer);
    }
    let counters = world.engine.counters();
    assert_eq!(counters.closed.total(), counters.accepted, "seed {seed}");
    assert_eq!(counters.requests, world.engine.handler().called.len() as u64, "seed {seed}");
    assert_eq!(counters.shed, 0, "seed {seed}");
    world.finish();
}

fn check(seed: u64, world: &World<Anything>, index: usize, peer: &Peer) {
    let handler = world.engine.handler();
    let first = index * NUMBERS;
    let mine = |number: &usize| *number / NUMBERS == index;
    let called: Vec<_> = handler.called.iter().copied().filter(mine).collect();
    assert!(called.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: once each, in order");
    let id = handler.on.iter().find(|(_, number)| mine(number)).map(|(id, _)| *id);
    let reason = handler.gone.iter().find(|(gone, _)| Some(*gone) == id).map(|(_, reason)| *reason);
    let is_cut = peer.is_lost || !reason.is_some_and(CloseReason::is_orderly);
    // Every request up to the last one that reached the handler has been looked at.
    let seen = called.last().map_or(0, |last| last - first + 1);
    replies::check(seed, &peer.output, &peer.asked, first, seen, is_cut);
}

#[test]
fn whatever_handlers_and_clients_do_the_books_balance() {
    for seed in 0..LIVES {
        life(seed);
    }
}

/// About three seconds without optimisation.
const LIVES: u64 = 40;
