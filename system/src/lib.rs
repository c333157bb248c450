//! What `aurora-http` needs of a Unix beside its sockets, and what the standard library has no safe way for: signals that
//! are watched for a while and then given back, and memory that may be refused. A part of that crate; not of use alone.
//!
//! It is about the process. What is about sockets, and serves the backends without a standard library, is in
//! `aurora-http-sockets`.
//!
//! On systems that are no Unix this crate is empty.
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg(unix)]

mod memory;
mod signals;

pub use memory::{Reservation, zeroed};
pub use signals::{Ender, WATCHERS_MAX, Watch};
