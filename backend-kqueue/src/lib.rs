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
//! # What is special about kqueue
//! - Reading and writing are filters of their own, each with its own events. A socket is registered for reading once,
//!   edge-triggered (`EV_CLEAR`), and for writing when a send did not go through, for one event (`EV_ONESHOT`): the filter
//!   of a socket with room would report every segment that the peer acknowledges.
//! - The end of reading is a flag on an event (`EV_EOF`), with bytes still there or not.
//! - Registrations belong to a descriptor, and end when it is closed.
//! - An event carries a pointer, which may have 32 bits; index and generation fit in there.
//! - It wakes by an event that the queue raises itself (`EVFILT_USER`), or by a pipe on NetBSD and OpenBSD.
//! - macOS drops a connection that it has accepted when it then finds no descriptor for it.
//!
//! That is [`KqueueSelector`]. All else is the same with epoll, and comes from `aurora-http-sockets`.
//!
//! No allocation (with the feature `std`: one when a reactor is made, for its [`Waker`]s); `unsafe` only in the
//! module `sys`, for kevent(2); no libc but where rustix stands on it. On other systems this crate is empty, except on
//! Linux with the feature `emulation`, which is for the tests of its repository.
#![no_std]
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]
#![cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    all(target_os = "linux", feature = "emulation")
))]

#[cfg_attr(any(target_os = "netbsd", target_os = "openbsd", target_os = "linux"), path = "bell/pipe.rs")]
#[cfg_attr(not(any(target_os = "netbsd", target_os = "openbsd", target_os = "linux")), path = "bell/user.rs")]
mod bell;
mod queue;
mod selector;
#[cfg_attr(target_os = "linux", path = "../tests/emulation/sys.rs")]
mod sys;

/// The queue that a [`Waker`] wakes.
pub use queue::Queue;
/// What is registered with a kqueue, and what its events mean, behind [`Kqueue`].
pub use selector::KqueueSelector;

/// Descriptors: those of the standard library when rustix is built with `std`.
pub use aurora_http_sockets::fd;
pub use aurora_http_sockets::{Entry, ListenOptions, listen};

/// Non-blocking sockets and a kqueue over a caller's table; an
/// [`IoHandle`](aurora_http_core::reactor::IoHandle) is an index into that table.
pub type Kqueue<'s> = aurora_http_sockets::Poller<'s, KqueueSelector>;

/// Wakes one [`Kqueue`] from any thread, through an event of the queue's own (`EVFILT_USER`; a pipe on NetBSD and OpenBSD).
pub type Waker = aurora_http_sockets::Waker<Queue>;

/// Completion-style I/O on kqueue.
pub type Reactor<'s, 'p> = aurora_http_core::readiness::Readiness<'s, 'p, Kqueue<'s>>;
