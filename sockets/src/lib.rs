//! What the backends of `aurora-http` have in common. A part of them; programs use it through the crate of a backend.
//!
//! - Listening sockets and their [`ListenOptions`], addresses, errors in the words of the core, the clock, and what the
//!   other end has not acknowledged yet: for all backends. Where systems differ in one of these calls, the difference is
//!   here, beside the call.
//! - [`Poller`]: the table of sockets and the non-blocking calls, over a [`Selector`]. Epoll and kqueue differ in how a
//!   socket is registered and in what an event means; a selector is that, and the poller is everything else.
//! - [`Waker`], which ends a wait from another thread, and the [`Eventfd`] that it rings on Linux.
//!
//! This is not `aurora-http-system`: that one is for the server alone, stands on the standard library, and has to do with
//! the process (its signals, its memory). This one is about sockets and nothing else, and works without a standard library,
//! as the backends do; nothing of the one is of use to whoever needs the other.
//!
//! No allocation (with the feature `std`: one when a reactor is made, for its wakers); `unsafe` for one question about a
//! socket, [`unacknowledged`]. On systems that are no Unix this crate is empty.
#![no_std]
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]
#![cfg(unix)]

#[cfg(feature = "std")]
extern crate alloc;

mod address;
mod clock;
mod error;
#[cfg(target_os = "linux")]
mod eventfd;
mod listen;
mod make;
mod outq;
mod poller;
mod stream;
mod table;
mod waker;

pub use address::{local_addr, peer, peer_addr};
pub use clock::{now, unix_time};
pub use error::{os_error, passes};
#[cfg(target_os = "linux")]
pub use eventfd::Eventfd;
pub use listen::{ListenOptions, listen};
pub use make::stream_socket;
pub use outq::unacknowledged;
pub use poller::{Poller, Selector};
/// Descriptors: those of the standard library when rustix is built with `std`.
pub use rustix::fd;
pub use stream::{accept, shutdown};
pub use table::{Entry, Key, Role};
pub use waker::{TryClone, Waker};
