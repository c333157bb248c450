//! The epoll backend of aurora-http: system calls for Linux, and nothing else.
//!
//! [`Epoll`] supplies the non-blocking calls, the core's [`Readiness`](aurora_http_core::readiness::Readiness) makes a
//! [`Reactor`] of it:
//!
//! ```
//! use aurora_http_core::readiness::Parked;
//! use aurora_http_epoll::{Entry, Epoll, ListenOptions, Reactor, listen};
//!
//! # fn main() -> Result<(), aurora_http_core::reactor::IoError> {
//! let mut table: [Entry; 16] = core::array::from_fn(|_| Entry::new());
//! let mut parked: [Parked<'_>; 16] = core::array::from_fn(|_| Parked::new());
//! let mut lent = [const { None }; 4];
//!
//! let mut epoll = Epoll::new(&mut table)?;
//! let listener = epoll.add_listener(listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default())?)?;
//! println!("listening on {}", epoll.local_addr(listener)?);
//! let reactor = Reactor::new(epoll, &mut parked, &mut lent);
//! # drop(reactor);
//! # Ok(())
//! # }
//! ```
//!
//! No allocation (with the feature `std`: one when a reactor is made, for its [`Waker`]s), `unsafe` for one
//! ioctl, no libc unless the feature `libc` asks for it. On other systems than Linux this crate is empty.
#![no_std]
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]
#![cfg(target_os = "linux")]

#[cfg(feature = "std")]
extern crate alloc;

mod outq;
mod poller;
mod socket;
mod waker;

pub use poller::{Entry, Epoll};
/// Descriptors: those of the standard library when rustix is built with `std`.
pub use rustix::fd;
pub use socket::{ListenOptions, listen};
pub use waker::Waker;

/// Completion-style I/O on epoll.
pub type Reactor<'s, 'p> = aurora_http_core::readiness::Readiness<'s, 'p, Epoll<'s>>;
