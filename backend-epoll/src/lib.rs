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
//! # What is special about epoll
//! - A socket is registered once, for everything, and is never registered again: it costs no call per request.
//! - One event tells all that there is of a socket: bytes, room, the peer's FIN, the end of the connection.
//! - A registration belongs to the open socket, not to the descriptor: it outlives a descriptor that is closed while a
//!   duplicate, as of a listener in another worker, stays open. So listeners are taken out before they are closed.
//! - The kernel keeps 64 bits with a registration; index and generation take 32 of them.
//! - It wakes through an eventfd, registered like a socket.
//!
//! That is [`EpollSelector`]. All else is the same with kqueue, and comes from `aurora-http-sockets`.
//!
//! No allocation (with the feature `std`: one when a reactor is made, for its [`Waker`]s), no `unsafe`, no libc unless the
//! feature `libc` asks for it. On other systems than Linux this crate is empty.
#![no_std]
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod selector;

/// What is registered with an epoll, and what its events mean, behind [`Epoll`].
pub use selector::EpollSelector;

/// Descriptors: those of the standard library when rustix is built with `std`.
pub use aurora_http_sockets::fd;
pub use aurora_http_sockets::{Entry, ListenOptions, listen};

/// Non-blocking sockets and an epoll instance over a caller's table; an
/// [`IoHandle`](aurora_http_core::reactor::IoHandle) is an index into that table.
pub type Epoll<'s> = aurora_http_sockets::Poller<'s, EpollSelector>;

/// Wakes one [`Epoll`] from any thread, through an eventfd.
pub type Waker = aurora_http_sockets::Waker<aurora_http_sockets::Eventfd>;

/// Completion-style I/O on epoll.
pub type Reactor<'s, 'p> = aurora_http_core::readiness::Readiness<'s, 'p, Epoll<'s>>;
