//! Simulates the whole server, driven by a seed.
//!
//! A [`Plan`] describes the server and the network, the clients, what they send, what the handler does with it and which
//! faults occur; all of it derives from one number, the seed. [`run`] plays it over a simulated network, with the engine as it
//! is shipped, and checks in every turn and at the end that nothing was lost, mixed up or leaked, and that every client saw
//! what it had to see. That is defined by a model, which is written from the RFCs and shares no code with the engine. [`shrink`]
//! makes a failing plan smaller.
//!
//! ```
//! use aurora_http_simulation::{Plan, run};
//!
//! let plan = Plan::new(7);
//! let tally = run(&plan).unwrap_or_else(|violation| panic!("{violation}: {plan:?}"));
//! println!("{} connections in {} turns", tally.seen.connections, tally.turns);
//! ```

mod client;
mod exchange;
mod face;
mod handler;
mod model;
mod plan;
mod reader;
mod shrink;
mod siege;
mod world;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

pub use client::Seen;
pub use exchange::{Answer, Exchange, Framing, Method, Wish};
pub use plan::{Face, Leave, Looping, Manner, NEVER, Nature, Pace, Plan, Trouble, Visitor, World};
pub use shrink::shrink;
pub use siege::Siege;
pub use world::Tally;

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed of the plan.
    pub seed: u64,
    /// A description of what happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

impl std::error::Error for Violation {}

thread_local! {
    /// The location and message of a panic while a plan is played.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_PLAYING: Cell<bool> = const { Cell::new(false) };
}

/// Plays a plan.
///
/// # Errors
/// The first broken promise.
pub fn run(plan: &Plan) -> Result<Tally, Violation> {
    keep_panics();
    IS_PLAYING.set(true);
    let played = catch_unwind(AssertUnwindSafe(|| world::play(plan)));
    IS_PLAYING.set(false);
    let panic = PANIC.take().unwrap_or_else(|| "a panic".to_owned());
    played.unwrap_or(Err(panic)).map_err(|what| Violation { seed: plan.seed, what })
}

/// Does not print panics while a plan is played: some are planned, and the others are returned as a [`Violation`].
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if !IS_PLAYING.get() {
                before(info);
            } else if !info.payload().is::<handler::Planned>() {
                PANIC.set(Some(info.to_string()));
            }
        }));
    });
}
