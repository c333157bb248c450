//! The io_uring backend of aurora-http: completions that are sound by construction.
//!
//! The kernel only ever sees memory that is `'static` and that was moved into the operation. [`Uring`] implements
//! [`Reactor<'static>`](aurora_http_core::reactor::Reactor), its tables of operations in flight own every buffer until the
//! operation's own completion, and dropping it early leaks buffers rather than free them while the kernel uses them.
//!
//! ```no_run
//! use aurora_http_uring::{Entry, Held, LentPlace, ListenOptions, Uring, listen};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let mut table = [const { Entry::new() }; 16];
//! let (mut held, mut lent) = ([const { Held::new() }; 12], [const { LentPlace::new() }; 4]);
//!
//! let mut uring = Uring::new(&mut table, &mut held, &mut lent)?;
//! let listener = uring.add_listener(listen("127.0.0.1:0".parse()?, &ListenOptions::default())?)?;
//! println!("listening on {} with {}", uring.local_addr(listener)?, uring.rungs());
//! # Ok(())
//! # }
//! ```
//!
//! # What is special about io_uring
//! - It is completion-based, not a poller (but see [`UringPoller`]): the kernel carries out operations and reports their results. So table entries
//!   hold the operations in flight, and a second table their buffers. They need no generations, because an index is not reused while an
//!   operation is in flight on it.
//! - Memory belongs to the kernel from submission to completion, even if the reactor is dropped or leaked in between.
//! - Lent buffers are in a ring of provided buffers; the kernel picks one when data arrives.
//! - Sockets are registered with the ring as fixed files as well, which saves the kernel counting references.
//! - Systems may forbid io_uring, hence [`Refusal`]; kernels differ in the features they have, hence [`Rungs`].
//! - A wake is a poll on an eventfd. The ring's own descriptor does not show everything to another event loop.
//!
//! The code for listening sockets, errors, addresses and wakers is shared with the other backends, in
//! `aurora-http-sockets`.
//!
//! # Required and optional kernel features
//! Linux 5.19 is required, for rings of provided buffers and for receives that wait first. [`Uring::new`] detects and uses
//! features of newer kernels; [`Uring::rungs`] tells which. Where a required feature is missing or forbidden, `new` and
//! [`probe`] return a [`Refusal`] that says why; this crate never falls back to something else.
//!
//! # One turn
//! [`wait`](aurora_http_core::reactor::Reactor::wait) is one `io_uring_enter`: it submits what was queued since the last
//! one, waits, and collects completions. Shutdown and address lookups are ordinary system calls, because every socket keeps
//! its descriptor; `IORING_OP_SHUTDOWN` would run on a kernel worker thread each time.
//!
//! No allocation (with the feature `std`: one per reactor, for its [`Waker`]s), and no libc unless the feature `libc` asks
//! for it. On systems other than Linux this crate is empty.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg(target_os = "linux")]

#[cfg(test)]
extern crate std;

mod accept;
mod file;
mod flight;
mod held;
mod lent;
mod messages;
mod nested;
mod ops;
mod pages;
mod probe;
mod reactor;
mod refusal;
mod ring;
mod selector;
mod table;
mod uring;

pub use held::Held;
pub use lent::LentPlace;
pub use probe::probe;
pub use refusal::{Refusal, Rungs};
pub use selector::UringSelector;
pub use table::Entry;
pub use uring::Uring;

/// Descriptor types: those of the standard library when rustix is built with `std`.
pub use aurora_http_sockets::fd;
pub use aurora_http_sockets::{ListenOptions, listen};

/// Non-blocking sockets and a ring that polls them, over the caller's table: for layers between sockets and engine, such as
/// TLS. What needs none is faster over a [`Uring`].
///
/// ```no_run
/// use aurora_http_core::readiness::{Held, Parked};
/// use aurora_http_uring::{ListenOptions, PollerEntry, PollingReactor, UringPoller, listen};
///
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// let mut table: [PollerEntry; 16] = core::array::from_fn(|_| PollerEntry::new());
/// let mut parked = [const { Parked::new() }; 16];
/// let (mut held, mut lent) = ([const { Held::new() }; 12], [const { None }; 4]);
///
/// let mut poller = UringPoller::new(&mut table)?;
/// let listener = poller.add_listener(listen("127.0.0.1:0".parse()?, &ListenOptions::default())?)?;
/// println!("listening on {}", poller.local_addr(listener)?);
/// let reactor = PollingReactor::new(poller, &mut parked, &mut held, &mut lent);
/// # drop(reactor);
/// # Ok(())
/// # }
/// ```
pub type UringPoller<'s> = aurora_http_sockets::Poller<'s, UringSelector>;

/// An entry of a [`UringPoller`]'s table.
pub use aurora_http_sockets::Entry as PollerEntry;

/// Completion-style I/O on a ring that polls. With nothing between it and the engine, a [`Uring`] does less.
pub type PollingReactor<'s, 'p> = aurora_http_core::readiness::Readiness<'s, 'p, UringPoller<'s>>;

/// Wakes one [`Uring`] or [`UringPoller`] from any thread, through an eventfd that the ring polls.
///
/// ```no_run
/// use aurora_http_core::reactor::{Reactor, Wake};
/// use aurora_http_uring::{Entry, Held, LentPlace, Uring};
///
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// let mut table = [const { Entry::new() }; 1];
/// let (mut held, mut lent) = ([const { Held::new() }; 1], [const { LentPlace::new() }; 1]);
/// let mut uring = Uring::new(&mut table, &mut held, &mut lent)?;
/// let waker = uring.waker()?;
/// std::thread::spawn(move || waker.wake());
/// // Without the wake, this would wait forever.
/// uring.wait(None)?;
/// # Ok(())
/// # }
/// ```
pub type Waker = aurora_http_sockets::Waker<aurora_http_sockets::Eventfd>;
