//! An embeddable HTTP/1.1 server engine: bounded, strict, and without any allocation once it serves.
//!
//! ```no_run
//! use aurora_http::{Request, ResponseWriter, Server, ServerError, WriteError, handler_fn};
//!
//! fn hello(_request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
//!     response.field("Content-Type", "text/plain")?;
//!     response.body("Hello, World!\n")
//! }
//!
//! fn main() -> Result<(), ServerError> {
//!     Server::bind("127.0.0.1:8080")?.announce().signals(true).serve(|_worker| handler_fn(hello))?;
//!     Ok(())
//! }
//! ```
//!
//! [`Server`] is the convenient top of a stack of layers, each usable on its own:
//!
//! | layer | what it adds |
//! |---|---|
//! | [`Server`] | threads, listeners, signals, a report |
//! | [`Worker`] | storage, an engine and a reactor for one thread, yours if you like |
//! | [`run`](core::run) | the event loop: short, and anyone may copy it |
//! | [`Engine`](core::engine::Engine) | many connections: slots, buffers, deadlines; no I/O |
//! | [`Connection`](core::connection::Connection) | one connection: parsing, framing, keep-alive; no I/O |
//!
//! What a program supplies is a [`Handler`]; closures and functions become one by [`handler_fn`].
//!
//! # Cargo features
//! `epoll`, `kqueue`, `uring`, all on by default: a backend that does not exist on the target compiles to nothing. This
//! version has io_uring and epoll, for Linux, and kqueue, for macOS and the BSDs. Without any backend, and on systems
//! that are no Unix, only [`core`] is left. `testing` adds a client for tests of handlers. `kqueue-emulation` is for the
//! tests of this repository.
#![forbid(unsafe_code)]

pub use aurora_http_core as core;
/// The backend of every Linux.
#[cfg(has_epoll)]
pub use aurora_http_epoll as epoll;
/// The backend that this build has on macOS and the BSDs.
#[cfg(has_kqueue)]
pub use aurora_http_kqueue as kqueue;

/// The better backend of newer Linux systems, where it is allowed.
#[cfg(has_uring)]
pub use aurora_http_uring as uring;

pub use aurora_http_core::counters::Counters;
pub use aurora_http_core::defer::DeferToken;
pub use aurora_http_core::encode::FieldLine;
pub use aurora_http_core::error::CloseReason;
pub use aurora_http_core::handler::{
    Around, ConnectionId, ConnectionInfo, Content, Either, ErrorResponse, Exchange, Flow, Handler, Progress, Refusal,
    RefusalCause, Respond, Wire, around, collect_fn, deferred, duplex, handler_fn, producing, receiving, upgraded,
    whole,
};
pub use aurora_http_core::limits::{Limits, Overload, RateMin, Timeouts};
pub use aurora_http_core::pool::{Class, ClassCounts};
pub use aurora_http_core::reactor::{IoError, Peer};
pub use aurora_http_core::request::{Method, Request, Trailers, Version};
pub use aurora_http_core::stop::StopFlag;
pub use aurora_http_core::writer::{BodyWriter, ResponseWriter, WriteError};

#[cfg(unix)]
pub use hosted::{
    Announcement, AnyReactor, AnyWaker, Backend, BodySender, Broadcast, BufferMemory, ChannelBody, ClientGone,
    ContentReader, DetachingServer, HeapStorage, ListenAddr, MailSender, Mailbox, MailboxBody, Offloaded, Pin, Report,
    Responder, Resumer, Running, Server, ServerCounters, ServerError, SocketReactor, StopHandle, StopReport,
    UnknownBackend, Worker, WorkerContext, WorkerOutcome, WorkerReport, WorkerStorage, body_channel, buffer_memory,
    mailbox, offload,
};

#[cfg(unix)]
mod hosted;
#[cfg(feature = "testing")]
pub mod testing;

/// The server of the README compiles.
#[cfg(all(doctest, unix))]
#[doc = include_str!("../README.md")]
struct Readme;
