//! The table of cases, and what plays them.

#[path = "../../core/tests/connection/harness.rs"]
#[allow(dead_code)] // each test uses a part of it
pub(crate) mod harness;

pub(crate) mod bare;
pub(crate) mod case;
pub(crate) mod probe;
pub(crate) mod reply;
pub(crate) mod rows;
#[cfg(has_backend)]
pub(crate) mod socket;
