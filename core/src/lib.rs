//! The core of aurora-http: a strict HTTP/1.1 engine that never allocates, never reads a clock, never makes a system
//! call and contains no `unsafe`. It *requests* I/O operations and is *told* their outcome.
//!
//! Programs on an operating system use the crate `aurora-http`, whose `Server` brings threads, sockets and signals. This
//! crate is for everything below that, each layer usable on its own:
//!
//! | module | what it has |
//! |---|---|
//! | [`handler`], [`writer`], [`request`] | what a program writes: handlers, their responses, requests |
//! | [`run`] | the event loop |
//! | [`engine`] | many connections: slots, buffers, deadlines, overload |
//! | [`connection`] | one connection: framing, keep-alive, pipelining |
//! | [`parse`], [`encode`], [`answer`] | heads and chunks in; heads and the server's own answers out |
//! | [`reactor`], [`readiness`] | the interface to backends, and an adapter for non-blocking calls |
//! | [`pool`], [`deadlines`], [`timers`] | memory and time, with fixed capacity |
//! | [`tables`], [`budget`] | the memory of a server in one declaration, and how much that is |
//! | `adapter` | one connection over a byte stream of embedded-io (features `embedded-io`, `embedded-io-async`) |
//! | `sim` | a network in memory with a virtual clock, to test handlers and servers (feature `sim`) |
//!
//! A handler, and a server for it in memory:
//! ```
//! # #[cfg(feature = "sim")] {
//! use aurora_http_core::handler::handler_fn;
//! use aurora_http_core::limits::Limits;
//! use aurora_http_core::request::Request;
//! use aurora_http_core::sim::with_server;
//! use aurora_http_core::writer::{ResponseWriter, WriteError};
//!
//! fn hello(_request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
//!     response.field("Content-Type", "text/plain")?;
//!     response.body("Hello, World!\n")
//! }
//!
//! with_server(handler_fn(hello), Limits::default(), |server| {
//!     let client = server.connect();
//!     server.send(client, b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
//!     assert!(server.receive(client).ends_with(b"\r\n\r\nHello, World!\n"));
//! });
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

/// Whether a fault is planted: see [`planted`]. Always `false` in other builds.
#[cfg(planted)]
macro_rules! planted {
    ($fault:ident) => {
        $crate::planted::is_planted($crate::planted::Fault::$fault)
    };
}
#[cfg(not(planted))]
macro_rules! planted {
    ($fault:ident) => {
        false
    };
}

#[cfg(feature = "sim")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(any(feature = "embedded-io", feature = "embedded-io-async"))]
pub mod adapter;
pub mod answer;
pub mod budget;
pub mod connection;
pub mod counters;
pub mod deadlines;
pub mod defer;
pub mod encode;
pub mod engine;
pub mod error;
mod fifo;
pub mod format;
pub mod handler;
pub mod limits;
pub mod parse;
mod part;
pub mod peer;
#[cfg(planted)]
pub mod planted;
pub mod pool;
pub mod preamble;
pub mod proxy_header;
pub mod reactor;
pub mod readiness;
pub mod request;
pub mod response;
mod roles;
pub mod run;
#[cfg(feature = "sim")]
pub mod sim;
pub mod state;
pub mod status;
pub mod stop;
pub mod tables;
pub mod time;
pub mod timers;
pub mod writer;

/// Compiles the code in the README as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
