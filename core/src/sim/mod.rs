//! A network in memory with a virtual clock, to test servers without sockets, threads or sleeps (feature `sim`; it
//! allocates, unlike the rest of the core).
//!
//! - [`Network`]: sockets whose clients are played by the test, a clock that moves only when told to, and [`Faults`]
//!   that happen by chance, the same in every run.
//! - [`Sim`]: a [`Reactor`](crate::reactor::Reactor) over it, completion-style like io_uring. [`SimCalls`]:
//!   non-blocking calls with edge-triggered events over it, like epoll, for [`Readiness`](crate::readiness::Readiness).
//! - [`with_server`]: a whole server over a [`Sim`], to test a handler.
//!
//! # Testing a handler
//! ```
//! use aurora_http_core::handler::handler_fn;
//! use aurora_http_core::limits::Limits;
//! use aurora_http_core::request::Request;
//! use aurora_http_core::sim::with_server;
//! use aurora_http_core::writer::ResponseWriter;
//!
//! let handler = handler_fn(|request: &Request<'_>, response: &mut ResponseWriter<'_>| match request.path() {
//!     b"/" => response.body("hello"),
//!     _ => response.status(404).and_then(|()| response.body("no")),
//! });
//! with_server(handler, Limits::default(), |server| {
//!     let client = server.connect();
//!     server.send(client, b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
//!     assert!(server.receive(client).starts_with(b"HTTP/1.1 404 Not Found\r\n"));
//!     // An idle connection is closed after 75 s, which pass at once.
//!     server.pass_ms(75_000);
//!     assert!(server.has_ended(client));
//! });
//! ```
//!
//! # Properties of the network
//! - Nothing sleeps. A [`wait`](crate::reactor::Reactor::wait) in which nothing can complete moves the clock to the end
//!   of its timeout, so that deadlines run in virtual time; without a timeout it returns at once, since only the caller
//!   could change anything.
//! - Completions are native: an operation completes in a turn after the one that submitted it, like on io_uring, and in
//!   the same order in every run.
//! - It behaves like TCP where a server depends on it: bytes before FIN, and bytes before a reset from the client.
//!   Closing with unread input, or input after the close, resets the connection and destroys what the client has not
//!   read yet.
//!
//! ```
//! use aurora_http_core::pool::Buf;
//! use aurora_http_core::reactor::{Op, OpKind, OpToken, Outcome, Reactor, Submission};
//! use aurora_http_core::sim::{ClientRecv, Sim};
//!
//! let mut memory = [0; 64];
//! let mut sim = Sim::new(4, 1024);
//! let listener = sim.listen().unwrap();
//! let client = sim.connect(listener).unwrap();
//! assert_eq!(sim.client_send(client, b"hello"), 5);
//!
//! let accept = Submission { token: OpToken::new(0, 0, OpKind::Accept), op: Op::Accept { listener } };
//! sim.submit(accept).unwrap();
//! sim.wait(None).unwrap();
//! let Some(Outcome::Accept(Ok(io))) = sim.next_completion().map(|completion| completion.outcome) else { panic!() };
//!
//! let recv = Op::Recv { io, into: Some(Buf::new(&mut memory)) };
//! sim.submit(Submission { token: OpToken::new(1, 0, OpKind::Recv), op: recv }).unwrap();
//! sim.wait(None).unwrap();
//! let Some(Outcome::Recv { result: Ok(5), buf: Some(buf) }) = sim.next_completion().map(|completion|
//! completion.outcome)
//! else {
//!     panic!()
//! };
//! assert_eq!(buf.filled(), b"hello");
//! assert_eq!(sim.client_recv(client, &mut [0; 8]), ClientRecv::Nothing);
//! ```

mod calls;
mod client;
mod completions;
mod dice;
mod faults;
mod files;
mod network;
mod pipe;
mod server;
mod socket;
mod wake;

use core::time::Duration;

pub use calls::SimCalls;
pub use client::{Client, ClientRecv};
pub use completions::{Sim, SimOptions};
pub use dice::Dice;
pub use faults::Faults;
pub use network::Network;
pub use server::{SimServer, with_server};
pub use wake::SimWaker;

use crate::time::Instant;

/// Means "no socket" in a link.
const NONE: u32 = u32::MAX;

/// The end of a wait that begins now, rounded up to whole milliseconds.
fn end_of_wait(now: Instant, timeout: Duration) -> Instant {
    Instant(now.0.saturating_add(timeout.as_nanos().div_ceil(1_000_000) as u64))
}

#[cfg(test)]
mod tests;
