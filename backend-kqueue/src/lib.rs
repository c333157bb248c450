//! The kqueue backend of aurora-http: system calls for Apple's systems, FreeBSD, NetBSD and OpenBSD, and nothing else.
//!
//! [`Kqueue`] supplies the non-blocking calls; the core's [`Readiness`](aurora_http_core::readiness::Readiness) turns it
//! into a [`Reactor`]:
//!
//! ```
//! use aurora_http_core::readiness::{Held, Parked};
//! use aurora_http_kqueue::{Entry, Kqueue, ListenOptions, Reactor, listen};
//!
//! # fn main() -> Result<(), aurora_http_core::reactor::IoError> {
//! let mut table: [Entry; 16] = core::array::from_fn(|_| Entry::new());
//! let mut parked = [const { Parked::new() }; 16];
//! let (mut held, mut lent) = ([const { Held::new() }; 12], [const { None }; 4]);
//!
//! let mut kqueue = Kqueue::new(&mut table)?;
//! let listener = kqueue.add_listener(listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default())?)?;
//! println!("listening on {}", kqueue.local_addr(listener)?);
//! let reactor = Reactor::new(kqueue, &mut parked, &mut held, &mut lent);
//! # drop(reactor);
//! # Ok(())
//! # }
//! ```
//!
//! # What is special about kqueue
//! - Reading and writing are separate filters with events of their own. A socket is registered for reading once,
//!   edge-triggered (`EV_CLEAR`), and for writing after a short send, for one event (`EV_ONESHOT`): the write filter of a
//!   socket with free send buffer would report every segment that the peer acknowledges.
//! - The end of reading is a flag on an event (`EV_EOF`), which may come with bytes still to be read.
//! - Registrations belong to a descriptor, and end when it is closed.
//! - The user data of an event is a pointer, which may have only 32 bits; index and generation fit in it.
//! - A wake is an event that the program triggers itself (`EVFILT_USER`), or a pipe on NetBSD and OpenBSD.
//! - macOS accepts a connection before it allocates the descriptor, and drops the connection if there is none left.
//!
//! All of that is in [`KqueueSelector`]. The rest is shared with epoll and comes from `aurora-http-sockets`.
//!
//! No allocation (with the feature `std`: one per reactor, for its [`Waker`]s); `unsafe` only in the module `sys`, for
//! kevent(2); no libc except where rustix uses it. On other systems this crate is empty, except on Linux with the feature
//! `emulation`, which is for the tests of its repository.
#![no_std]
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]
#![cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    all(target_os = "linux", feature = "emulation")
))]

mod queue;
mod selector;
#[cfg_attr(target_os = "linux", path = "../tests/emulation/sys.rs")]
mod sys;
#[cfg_attr(any(target_os = "netbsd", target_os = "openbsd", target_os = "linux"), path = "wake_event/pipe.rs")]
#[cfg_attr(not(any(target_os = "netbsd", target_os = "openbsd", target_os = "linux")), path = "wake_event/user.rs")]
mod wake_event;

/// The queue that a [`Waker`] wakes.
pub use queue::Queue;
/// The kqueue behind [`Kqueue`]: how sockets are registered and what its events mean.
pub use selector::KqueueSelector;

/// Descriptor types: those of the standard library when rustix is built with `std`.
pub use aurora_http_sockets::fd;
pub use aurora_http_sockets::{Entry, ListenOptions, listen};

/// Non-blocking sockets and a kqueue over the caller's table; an
/// [`IoHandle`](aurora_http_core::reactor::IoHandle) is an index into that table.
pub type Kqueue<'s> = aurora_http_sockets::Poller<'s, KqueueSelector>;

/// Wakes one [`Kqueue`] from any thread, by triggering a user event of it (`EVFILT_USER`; a pipe on NetBSD and OpenBSD).
///
/// ```
/// use aurora_http_core::reactor::{IoError, NonBlocking, Wake};
/// use aurora_http_kqueue::{Entry, Kqueue};
///
/// let mut table = [const { Entry::new() }; 1];
/// let mut kqueue = Kqueue::new(&mut table)?;
/// let waker = kqueue.waker()?;
/// std::thread::spawn(move || waker.wake());
/// // Without the wake, this would wait forever.
/// kqueue.wait(None, &mut |_, _| {})?;
/// # Ok::<_, IoError>(())
/// ```
pub type Waker = aurora_http_sockets::Waker<Queue>;

/// Completion-style I/O on kqueue.
pub type Reactor<'s, 'p> = aurora_http_core::readiness::Readiness<'s, 'p, Kqueue<'s>>;
