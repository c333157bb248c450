//! The epoll backend of aurora-http: system calls for Linux, and nothing else.
//!
//! [`Epoll`] supplies the non-blocking calls; the core's [`Readiness`](aurora_http_core::readiness::Readiness) turns it
//! into a [`Reactor`]:
//!
//! ```
//! use aurora_http_core::readiness::{Held, Parked};
//! use aurora_http_epoll::{Entry, Epoll, ListenOptions, Reactor, listen};
//!
//! # fn main() -> Result<(), aurora_http_core::reactor::IoError> {
//! let mut table: [Entry; 16] = core::array::from_fn(|_| Entry::new());
//! let mut parked = [const { Parked::new() }; 16];
//! let (mut held, mut lent) = ([const { Held::new() }; 12], [const { None }; 4]);
//!
//! let mut epoll = Epoll::new(&mut table)?;
//! let listener = epoll.add_listener(listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default())?)?;
//! println!("listening on {}", epoll.local_addr(listener)?);
//! let reactor = Reactor::new(epoll, &mut parked, &mut held, &mut lent);
//! # drop(reactor);
//! # Ok(())
//! # }
//! ```
//!
//! # What is special about epoll
//! - A socket is registered once, for every kind of event, and never again: a request costs no registration call.
//! - One event carries the whole state of a socket: readable, writable, FIN received, connection broken.
//! - A registration belongs to the open file description, not to the descriptor. It outlives a closed descriptor as long
//!   as a duplicate stays open, such as the same listener in another worker. So listeners are deregistered before they are
//!   closed.
//! - The kernel stores 64 bits of user data with a registration; index and generation take 32 of them.
//! - Wakers write to an eventfd, which is registered like a socket.
//!
//! All of that is in [`EpollSelector`]. The rest is shared with kqueue and comes from `aurora-http-sockets`.
//!
//! No allocation (with the feature `std`: one per reactor, for its [`Waker`]s), no `unsafe`, and no libc unless the feature
//! `libc` asks for it. On systems other than Linux this crate is empty.
#![no_std]
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod selector;

/// The epoll instance behind [`Epoll`]: how sockets are registered and what its events mean.
pub use selector::EpollSelector;

/// Descriptor types: those of the standard library when rustix is built with `std`.
pub use aurora_http_sockets::fd;
pub use aurora_http_sockets::{Entry, ListenOptions, listen};

/// Non-blocking sockets and an epoll instance over the caller's table; an
/// [`IoHandle`](aurora_http_core::reactor::IoHandle) is an index into that table.
pub type Epoll<'s> = aurora_http_sockets::Poller<'s, EpollSelector>;

/// Wakes one [`Epoll`] from any thread, through an eventfd.
///
/// ```
/// use aurora_http_core::reactor::{IoError, NonBlocking, Wake};
/// use aurora_http_epoll::{Entry, Epoll};
///
/// let mut table = [const { Entry::new() }; 1];
/// let mut epoll = Epoll::new(&mut table)?;
/// let waker = epoll.waker()?;
/// std::thread::spawn(move || waker.wake());
/// // Without the wake, this would wait forever.
/// epoll.wait(None, &mut |_, _| {})?;
/// # Ok::<_, IoError>(())
/// ```
pub type Waker = aurora_http_sockets::Waker<aurora_http_sockets::Eventfd>;

/// Completion-style I/O on epoll.
pub type Reactor<'s, 'p> = aurora_http_core::readiness::Readiness<'s, 'p, Epoll<'s>>;
