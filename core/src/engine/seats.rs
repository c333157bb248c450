//! The connections of an engine, and which record each of them sits on.
//!
//! Most connections of a server are idle, and most of what a connection is made of matters only during an exchange. So a slot
//! holds what a connection [at rest](crate::connection) has to remember, and a record the rest: a connection takes one when
//! bytes arrive, and gives it back when it is at rest again. The record that was given back last is taken first, and a
//! record that was never taken is not even written to: only as many take memory as connections were ever busy at the same
//! time. There is one for each slot, so none ever waits for one.
//!
//! With the feature `small` a slot holds the whole connection, and records are empty: on a device most connections are busy,
//! and memory that is set aside is memory that is used.

#[cfg(not(feature = "small"))]
mod apart;
#[cfg(feature = "small")]
mod inline;

use crate::error::CloseReason;
use crate::reactor::IoHandle;

#[cfg(not(feature = "small"))]
pub(super) use apart::Seats;
#[cfg(not(feature = "small"))]
pub use apart::{Record, Slot};
#[cfg(feature = "small")]
pub(super) use inline::Seats;
#[cfg(feature = "small")]
pub use inline::{Record, Slot};

/// The table of records for programs that know its size at compile time.
pub struct Records<'p, E, const COUNT: usize> {
    records: [Record<'p, E>; COUNT],
}

impl<'p, E, const COUNT: usize> Records<'p, E, COUNT> {
    /// A table of records that were never used.
    #[must_use]
    pub const fn new() -> Self {
        Self { records: [const { Record::new() }; COUNT] }
    }

    /// The table.
    pub const fn records(&mut self) -> &mut [Record<'p, E>] {
        &mut self.records
    }
}

impl<E, const COUNT: usize> Default for Records<'_, E, COUNT> {
    fn default() -> Self {
        Self::new()
    }
}

/// What is known of a connection that has left its slot.
pub(super) struct Left {
    pub(super) io: IoHandle,
    /// See [`mark`](super::mark).
    pub(super) marks: u8,
    pub(super) reason: Option<CloseReason>,
    pub(super) served: u32,
}
