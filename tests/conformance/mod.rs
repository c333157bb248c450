//! The table of cases, and the runners.

// Every test crate uses its own part of this.
#![allow(dead_code)]

#[path = "../../core/tests/connection/harness.rs"]
pub(crate) mod harness;

pub(crate) mod bare;
pub(crate) mod case;
pub(crate) mod probe;
pub(crate) mod reply;
pub(crate) mod rows;
#[cfg(has_backend)]
pub(crate) mod socket;
