//! Finding out what this system's io_uring can do.

use crate::lent::LentPlace;
use crate::refusal::{Refusal, Rungs};
use crate::table::Entry;
use crate::uring::Uring;

/// Sets a reactor up, has it do something, takes it down again: whether [`Uring::new`] would work here, and how well.
///
/// The kernel goes on taking it down for a while, and may interrupt a system call of the calling thread by that
/// (EINTR). Call it on a thread of its own where that matters.
///
/// # Errors
/// Why not.
pub fn probe() -> Result<Rungs, Refusal> {
    let mut table = [Entry::new()];
    let mut lent = [LentPlace::new()];
    Uring::new(&mut table, &mut lent).map(|uring| uring.rungs())
}
