//! Simulates the whole server in memory for a thousand seeds. `cargo run --release --example simulate` plays as many as there
//! is time for.

use std::thread;

use aurora_http_core::state::reached::transitions;
use aurora_http_simulation::{Plan, Tally, run};

/// Seeds per run; they take some twenty seconds without optimisation.
const SEEDS: u64 = 1_000;
const THREADS: u64 = 2;

#[test]
fn no_promise_is_broken_and_every_transition_occurs() {
    let total = thread::scope(|scope| {
        let play = |first: u64| {
            move || {
                let mut total = Tally::default();
                for seed in (first..SEEDS).step_by(THREADS as usize) {
                    match run(&Plan::new(seed)) {
                        Ok(tally) => total += tally,
                        Err(violation) => panic!("{violation}\nAgain, and smaller: simulate --plan {seed}"),
                    }
                }
                total
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(play(first))).collect();
        let mut total = Tally::default();
        for thread in threads {
            total += thread.join().expect("no promise is broken");
        }
        total
    });
    println!("{total:?}");
    assert!(total.seen.answered > 30_000, "{total:?}");
    // Transitions are counted only with debug assertions.
    if cfg!(debug_assertions) {
        let mut missing = Vec::new();
        for (state, event, count) in transitions() {
            println!("{state:?} + {event:?}: {count}");
            if count == 0 {
                missing.push((state, event));
            }
        }
        assert!(missing.is_empty(), "never taken: {missing:?}");
    }
}
