//! The code that the backends of `aurora-http` share. Programs use it through a backend's crate, which re-exports it.
//!
//! - For all backends: listening sockets and their [`ListenOptions`], addresses, errno values as
//!   [`IoError`](aurora_http_core::reactor::IoError), clocks, and the number of unacknowledged bytes. Where systems differ
//!   in one of these calls, all variants are here, side by side.
//! - For epoll, kqueue and a ring that polls: [`Poller`], the table of sockets and the non-blocking calls, over a [`Selector`]. The systems
//!   differ in how a socket is registered and in what an event means. That is the selector; the poller is everything else.
//! - With the feature `std`: [`OpenFile`], a file whose parts a poller sends by sendfile(2), where the system has that.
//! - [`Waker`], which ends a wait from another thread, and the [`Eventfd`] that it writes to on Linux.
//!
//! `aurora-http-system` is a different crate: it concerns the process (signals, memory), needs the standard library, and
//! only the server uses it. This crate concerns sockets and is `no_std`, as the backends are.
//!
//! ```
//! use aurora_http_sockets::fd::AsFd;
//! use aurora_http_sockets::{ListenOptions, accept, listen, local_addr};
//!
//! # fn main() -> Result<(), aurora_http_core::reactor::IoError> {
//! let listener = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions { backlog: 16, ..ListenOptions::default() })?;
//! println!("listening on {}", local_addr(listener.as_fd())?);
//! assert!(accept(listener.as_fd())?.is_none(), "no client has connected");
//! # Ok(())
//! # }
//! ```
//!
//! No allocation (with the feature `std`: one per reactor, for its wakers, and the table of open files, which grows with their
//! number). `unsafe` is used in two places: [`unacknowledged`], and sendfile(2) on systems other than Linux. On systems other than Unix this crate is empty.
#![no_std]
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]
#![cfg(unix)]

#[cfg(feature = "std")]
extern crate alloc;

mod address;
#[cfg(feature = "std")]
mod announced;
mod clock;
mod error;
#[cfg(target_os = "linux")]
mod eventfd;
#[cfg(feature = "std")]
mod files;
mod listen;
mod make;
mod outq;
mod poller;
#[cfg(feature = "std")]
mod sendfile;
mod stream;
mod table;
mod waker;

pub use address::{local_addr, peer, peer_addr};
pub use clock::{now, unix_time};
pub use error::{os_error, passes};
#[cfg(target_os = "linux")]
pub use eventfd::Eventfd;
#[cfg(feature = "std")]
pub use files::OpenFile;
pub use listen::{ListenOptions, listen};
pub use make::stream_socket;
pub use outq::unacknowledged;
pub use poller::{Poller, Selector};
/// Descriptor types: those of the standard library when rustix is built with `std`.
pub use rustix::fd;
#[cfg(feature = "std")]
pub use sendfile::send_file;
pub use stream::{accept, shutdown};
pub use table::{Entry, Key, Role};
pub use waker::{TryClone, Waker};
