//! The io_uring backend of aurora-http: completions that are sound by construction.
//!
//! The kernel only ever sees memory that lives as long as the process and that moved into the operation: [`Uring`]
//! implements [`Reactor<'static>`](aurora_http_core::reactor::Reactor), its table of operations in flight owns every
//! buffer until that operation's own completion, and dropping it early loses buffers rather than free them under the
//! kernel.
//!
//! ```no_run
//! use aurora_http_uring::{Entry, LentPlace, ListenOptions, Uring, listen};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let mut table: [Entry; 16] = core::array::from_fn(|_| Entry::new());
//! let mut lent = [const { LentPlace::new() }; 4];
//!
//! let mut uring = Uring::new(&mut table, &mut lent)?;
//! let listener = uring.add_listener(listen("127.0.0.1:0".parse()?, &ListenOptions::default())?)?;
//! println!("listening on {} with {}", uring.local_addr(listener)?, uring.rungs());
//! # Ok(())
//! # }
//! ```
//!
//! # The ladder
//! Linux 5.19 is needed: rings of provided buffers, and receives that wait first. What newer kernels have is used where
//! [`Uring::new`] finds it, and [`Uring::rungs`] tells. Where even the foot of the ladder is missing or forbidden, `new`
//! and [`probe`] give a [`Refusal`] that says why; this crate never does anything else instead.
//!
//! # One turn
//! [`wait`](aurora_http_core::reactor::Reactor::wait) is one `io_uring_enter`: it submits what was queued since the last
//! one, waits, and brings the completions. Shutting down and looking up addresses are ordinary calls, because every
//! socket keeps its descriptor; `io_uring`'s own shutdown would start a kernel thread for each.
//!
//! No allocation (with the feature `std`: one when a reactor is made, for its [`Waker`]s), no libc unless the feature
//! `libc` asks for it. On other systems than Linux this crate is empty.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg(target_os = "linux")]

#[cfg(feature = "std")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod accept;
mod bell;
mod flight;
mod lent;
mod messages;
mod ops;
mod outq;
mod pages;
mod probe;
mod reactor;
mod ring;
mod socket;
mod table;
mod uring;
mod waker;

pub use lent::LentPlace;
pub use probe::{Refusal, Rungs, probe};
/// Descriptors: those of the standard library when rustix is built with `std`.
pub use rustix::fd;
pub use socket::{ListenOptions, listen};
pub use table::Entry;
pub use uring::Uring;
pub use waker::Waker;
