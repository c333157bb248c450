//! TCP by [`smoltcp`] under the engine: for devices without an operating system.
//!
//! [`Stack`] is a [`NonBlocking`](aurora_http_core::reactor::NonBlocking), of which
//! [`Readiness`](aurora_http_core::readiness::Readiness) makes a reactor. It listens on one port with all sockets that are not in
//! use, and does what a kernel does with a backlog:
//!
//! - Newcomers wait in sockets until the engine accepts them, the one that came first first.
//! - When no socket listens, a SYN is dropped, so that its client tries again. `smoltcp` by itself would answer with a reset.
//! - A socket whose connection the engine has closed listens again as soon as TCP allows, and earlier when no other one does and
//!   its client has acknowledged everything.
//! - A handshake that is not completed within [`HANDSHAKE_MS`] is forgotten.
//!
//! The program has the device, the interface with its addresses, and [`Platform`]: a clock, and how to sleep. Sockets of its
//! own (DHCP, DNS, UDP) go into the same set: [`Stack::sockets_mut`]. The repository's `examples/bare-metal-net` is a whole
//! program.
//!
//! # Memory
//! [`Memory`] has two buffers and a seat for each socket. A socket that listens for newcomers while all slots of the engine are
//! taken is a place in the backlog, and one that is on its way through TCP's last states is neither: twice as many sockets as
//! slots serve well.
#![no_std]
#![forbid(unsafe_code)]

mod gate;
mod memory;
mod seat;
mod stack;

pub use memory::Memory;
pub use stack::{Platform, Stack, TooFewSockets};

/// How long a client has to complete the handshake, in milliseconds.
pub const HANDSHAKE_MS: u32 = 3_000;

/// How long the client of a connection that the engine has closed has to acknowledge it and to close its own side, in
/// milliseconds; then it is reset.
pub const LEAVE_MS: u32 = 5_000;
