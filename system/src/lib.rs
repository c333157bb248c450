//! What the server of `aurora-http` needs of Unix besides sockets, and the standard library offers no safe way for: handling
//! signals for a while and then restoring the previous handlers, allocating memory without aborting on failure, and an option of
//! listeners. This is a part of `aurora-http`, not meant to be used on its own.
//!
//! Code that concerns sockets, and has to be `no_std` for the backends, is in `aurora-http-sockets`.
//!
//! On systems other than Unix this crate is empty.
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg(unix)]

mod listener;
mod memory;
mod signals;

pub use listener::defer_accept;
pub use memory::{Reservation, ZeroValid, zeroed, zeroed_table};
pub use signals::{Ender, WATCHERS_MAX, Watch};
