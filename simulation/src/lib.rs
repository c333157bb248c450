//! The whole server under a seed.
//!
//! A [`Plan`] says what a world is like, which clients come, what they send, what the handler does with it and what goes
//! wrong; all of it follows from one number. [`run`] plays it over the simulated network, with the engine as it is
//! shipped, and checks in each turn and at the end that nothing was lost, mixed up or left over, and that every client saw
//! what it had to see: the model says what that is, from the RFCs, and shares nothing with the engine. A plan that
//! fails is made smaller by [`shrink`].

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

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed of the plan.
    pub seed: u64,
    /// What happened, in words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

impl std::error::Error for Violation {}

thread_local! {
    /// Where a panic came from while a plan is played, and what it said.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_PLAYING: Cell<bool> = const { Cell::new(false) };
}

/// Plays a plan.
///
/// # Errors
/// The first promise that was broken.
pub fn run(plan: &Plan) -> Result<Tally, Violation> {
    keep_panics();
    IS_PLAYING.set(true);
    let played = catch_unwind(AssertUnwindSafe(|| world::play(plan)));
    IS_PLAYING.set(false);
    let panic = PANIC.take().unwrap_or_else(|| "a panic".to_owned());
    played.unwrap_or(Err(panic)).map_err(|what| Violation { seed: plan.seed, what })
}

/// Panics of a plan that is played are not printed: some are planned, and the others end as a [`Violation`].
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
