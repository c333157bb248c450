//! Handlers that do anything, over a network that does anything: what the connection promises holds all the same.

mod handler;
mod network;
mod replies;
mod requests;
mod rng;

use aurora_http_core::pool::ClassCounts;

use self::handler::Anything;
use self::network::Network;
use self::rng::Rng;

/// Pools from plenty to next to nothing. The receiving class is never absent.
const POOLS: [ClassCounts; 4] = [
    ClassCounts::new([8, 8, 4, 2, 2]),
    ClassCounts::new([3, 3, 1, 1, 1]),
    ClassCounts::new([2, 2, 1, 0, 0]),
    ClassCounts::new([0, 4, 0, 0, 0]),
];

/// One connection from its accept to its close.
fn life(seed: u64) {
    let mut rng = Rng::new(seed);
    let pool = POOLS[rng.below(POOLS.len())];
    let mut network = Network::new(seed, pool, Anything::new(rng.fork()));
    network.live(&mut rng);
    network.die(&mut rng);
    network.check();
}

#[test]
fn whatever_handlers_and_networks_do_the_promises_hold() {
    for seed in 0..LIVES {
        life(seed);
    }
}

/// About three seconds without optimisation.
const LIVES: u64 = 1_500;
