//! The memory layer, deadlines and timers against models that are too simple to be wrong.

mod arena;
mod buffers;
mod deadlines;
mod objects;
mod timers;

use proptest::test_runner::{Config, RngSeed};

/// Deterministic: the same cases in every run, and failures leave no files behind.
fn config() -> Config {
    Config { cases: 300, rng_seed: RngSeed::Fixed(0x000a_0704_0a00), failure_persistence: None, ..Config::default() }
}
