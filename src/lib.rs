//! An embeddable HTTP/1.1 server engine: strict about the protocol, bounded in every resource, and free of allocations
//! while it serves.
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
//! That is a whole server, with one worker thread per CPU; SIGINT and SIGTERM stop it gracefully. Where to go from here:
//!
//! | to | use |
//! |---|---|
//! | write a handler | [`handler_fn`] for a function or closure; [`Request`]; [`ResponseWriter`]; [`Handler`] for full control |
//! | receive content | [`collect_fn`] for all of it at once, [`receiving`] piece by piece |
//! | send long answers | [`whole`] for an owned body, [`producing`] for a generated one, [`body_channel`] from another thread |
//! | send events to browsers | [`EventFeed`]; [`Broadcast`] for messages of any kind |
//! | answer later | [`deferred`], and a [`Resumer`] for the thread that works out the answer |
//! | upgrade to another protocol | [`upgraded`] inside the server, [`Server::on_detached`] outside |
//! | return errors with `?` | [`ErrorResponse`] |
//! | wrap handlers in logs, authentication, CORS | [`around`]; [`forward_handler!`] for wrappers that do more |
//! | learn who the client is behind a balancer | [`Server::proxy_headers`] |
//! | configure | [`Server`], [`Limits`], [`Backend`], [`Pin`] |
//! | run beside the rest of a program | [`Server::start`], [`Running`], [`StopHandle`], [`ServerCounters`] |
//! | embed in your own event loop | [`Worker`] |
#![cfg_attr(feature = "compress", doc = " | compress responses | [`compress::Compress`] |")]
#![cfg_attr(
    not(feature = "compress"),
    doc = " | compress responses | `compress::Compress`, with the feature `compress` |"
)]
#![cfg_attr(feature = "tls", doc = " | serve HTTPS | [`tls`], [`Server::tls`] |")]
#![cfg_attr(not(feature = "tls"), doc = " | serve HTTPS | `Server::tls`, with the feature `tls` |")]
#![cfg_attr(feature = "testing", doc = " | test handlers without sockets | [`testing::Client`] |")]
#![cfg_attr(
    not(feature = "testing"),
    doc = " | test handlers without sockets | `testing::Client`, with the feature `testing` |"
)]
//!
//! The directory `examples/` has a program for most rows.
//!
//! # Layers
//! [`Server`] is the top of a stack of layers, each of which can be used on its own:
//!
//! | layer | what it adds |
//! |---|---|
//! | [`Server`] | threads, listeners, signals, a report |
//! | [`Worker`] | memory, an engine and a reactor for one thread, which may be yours |
//! | [`run`](core::run) | the event loop, short enough to copy and adapt |
//! | [`Engine`](core::engine::Engine) | many connections: slots, buffers, deadlines; no I/O |
//! | [`Connection`](core::connection::Connection) | one connection: parsing, framing, keep-alive; no I/O |
//!
//! # Cargo features
//! `epoll` and `uring` (io_uring) for Linux and `kqueue` for macOS and the BSDs, all on by default; a backend that does not
//! exist on the target compiles to nothing. Without any backend no server can start, and on systems other than Unix only
//! [`core`] is available. `tls` adds HTTPS, by rustls, and `compress` compresses responses. `testing` adds a client for tests of handlers. `kqueue-emulation` is for the tests of this
//! repository.
#![forbid(unsafe_code)]

pub use aurora_http_core as core;
/// The backend for any Linux.
#[cfg(has_epoll)]
pub use aurora_http_epoll as epoll;
/// The backend for macOS and the BSDs.
#[cfg(has_kqueue)]
pub use aurora_http_kqueue as kqueue;

/// The preferred backend on Linux 5.19 and later, where the system allows io_uring.
#[cfg(has_uring)]
pub use aurora_http_uring as uring;

/// Compression of responses, for any handler.
#[cfg(feature = "compress")]
pub use aurora_http_compress as compress;

/// TLS: certificates and rules for [`Server::tls`].
#[cfg(all(feature = "tls", unix))]
pub use aurora_http_tls as tls;

pub use aurora_http_core::counters::Counters;
pub use aurora_http_core::defer::DeferToken;
pub use aurora_http_core::encode::FieldLine;
pub use aurora_http_core::error::CloseReason;
pub use aurora_http_core::forward_handler;
pub use aurora_http_core::handler::{
    Around, ConnectionId, ConnectionInfo, Content, Either, ErrorResponse, Exchange, Flow, Handler, Progress, Refusal,
    RefusalCause, Respond, Wire, around, collect_fn, deferred, duplex, handler_fn, producing, receiving, upgraded,
    whole,
};
pub use aurora_http_core::limits::{Limits, Overload, RateMin, Timeouts};
pub use aurora_http_core::pool::{Class, ClassCounts, ClassSizes};
pub use aurora_http_core::reactor::{IoError, Peer, Security};
pub use aurora_http_core::request::{Method, Request, Trailers, Version};
pub use aurora_http_core::stop::StopFlag;
pub use aurora_http_core::writer::{BodyWriter, ResponseWriter, WriteError};

#[cfg(unix)]
pub use hosted::{
    Announcement, AnyReactor, AnyWaker, Backend, BodySender, Broadcast, BufferMemory, ChannelBody, ClientGone,
    ContentReader, DetachingServer, EventFeed, EventStream, HeapStorage, ListenAddr, MailSender, Mailbox, MailboxBody,
    Offloaded, Pin, Report, Responder, Resumer, Running, Server, ServerCounters, ServerError, SocketReactor,
    StopHandle, StopReport, UnknownBackend, Worker, WorkerContext, WorkerOutcome, WorkerReport, WorkerStorage,
    body_channel, buffer_memory, mailbox, offload,
};

#[cfg(unix)]
mod hosted;
#[cfg(feature = "testing")]
pub mod testing;

/// Compiles the code in the README as doc tests.
#[cfg(all(doctest, unix))]
#[doc = include_str!("../README.md")]
struct Readme;
