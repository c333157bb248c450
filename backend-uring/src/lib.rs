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
//! # What is special about io_uring
//! - It is no poller: operations are handed to the kernel, and their outcomes come back. So the table's entries hold the
//!   operations in flight, with their buffers, and no generations: an index is not used again while one is in flight.
//! - Memory belongs to the kernel from submission to completion, also when the reactor is dropped or leaked.
//! - Lent buffers are in a ring that the kernel picks from when bytes are there.
//! - Sockets are in a table of the ring as well, where the kernel finds them without counting references.
//! - A program may be forbidden to use it, hence [`Refusal`]; kernels differ in what they have of it, hence [`Rungs`].
//! - Waking is a poll on an eventfd, and the ring's descriptor alone does not tell another event loop of everything.
//!
//! What listening sockets, errors, addresses and wakers have in common with the other backends is in
//! `aurora-http-sockets`.
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

#[cfg(test)]
extern crate std;

mod accept;
mod bell;
mod flight;
mod lent;
mod messages;
mod ops;
mod pages;
mod probe;
mod reactor;
mod refusal;
mod ring;
mod table;
mod uring;

pub use lent::LentPlace;
pub use probe::probe;
pub use refusal::{Refusal, Rungs};
pub use table::Entry;
pub use uring::Uring;

/// Descriptors: those of the standard library when rustix is built with `std`.
pub use aurora_http_sockets::fd;
pub use aurora_http_sockets::{ListenOptions, listen};

/// Wakes one [`Uring`] from any thread, through an eventfd that the ring polls.
pub type Waker = aurora_http_sockets::Waker<aurora_http_sockets::Eventfd>;
