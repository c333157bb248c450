//! Finding out whether io_uring can be used here, and which features it has.

use crate::lent::LentPlace;
use crate::refusal::{Refusal, Rungs};
use crate::table::Entry;
use crate::uring::Uring;

/// Creates a small reactor, runs a no-op through it, and drops it: tells whether [`Uring::new`] would work here, and which
/// optional features it would use.
///
/// The kernel tears the ring down asynchronously, which may interrupt a system call of the calling thread (EINTR). Where
/// that matters, call this on a thread of its own.
///
/// ```
/// match aurora_http_uring::probe() {
///     Ok(rungs) => println!("io_uring with {rungs}"),
///     Err(refusal) => println!("no io_uring: {refusal}"),
/// }
/// ```
///
/// # Errors
/// The reason why io_uring cannot be used.
pub fn probe() -> Result<Rungs, Refusal> {
    let mut table = [Entry::new()];
    let mut lent = [LentPlace::new()];
    Uring::new(&mut table, &mut [], &mut lent).map(|uring| uring.rungs())
}
