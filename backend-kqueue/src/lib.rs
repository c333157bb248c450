//! The kqueue backend of aurora-http: system calls for macOS and its relatives, FreeBSD, NetBSD
//! and OpenBSD, and nothing else.
//!
//! [`Kqueue`] supplies the non-blocking calls, the core's [`Readiness`](aurora_http_core::readiness::Readiness) makes a
//! [`Reactor`] of it:
//!
//! ```
//! use aurora_http_core::readiness::Parked;
//! use aurora_http_kqueue::{Entry, Kqueue, ListenOptions, Reactor, listen};
//!
//! # fn main() -> Result<(), aurora_http_core::reactor::IoError> {
//! let mut table: [Entry; 16] = core::array::from_fn(|_| Entry::new());
//! let mut parked: [Parked<'_>; 16] = core::array::from_fn(|_| Parked::new());
//! let mut lent = [const { None }; 4];
//!
//! let mut kqueue = Kqueue::new(&mut table)?;
//! let listener = kqueue.add_listener(listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default())?)?;
//! println!("listening on {}", kqueue.local_addr(listener)?);
//! let reactor = Reactor::new(kqueue, &mut parked, &mut lent);
//! # drop(reactor);
//! # Ok(())
//! # }
//! ```
//!
//! No allocation (with the feature `std`: one when a reactor is made, for its [`Waker`]s); `unsafe` only in the
//! module `sys`, for kevent(2) and one question about a socket. No libc but where macOS has that question answered by
//! getsockopt(2). On other systems this crate is empty, except on Linux with the feature `emulation`,
//! which is for the tests of its repository.
#![no_std]
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]
#![cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    all(target_os = "linux", feature = "emulation")
))]

#[cfg(feature = "std")]
extern crate alloc;

mod poller;
mod socket;
#[cfg_attr(target_os = "linux", path = "../tests/emulation/sys.rs")]
mod sys;
mod waker;

pub use poller::{Entry, Kqueue};
/// Descriptors: those of the standard library when rustix is built with `std`.
pub use rustix::fd;
pub use socket::{ListenOptions, listen};
pub use waker::Waker;

/// Completion-style I/O on kqueue.
pub type Reactor<'s, 'p> = aurora_http_core::readiness::Readiness<'s, 'p, Kqueue<'s>>;
