//! TLS for aurora-http, by [rustls], between the sockets and the engine.
//!
//! Programs get it with the feature `tls` of `aurora-http`, where this crate is `aurora_http::tls`:
//!
//! ```no_run
//! use aurora_http::tls::TlsConfig;
//! use aurora_http::{Server, handler_fn};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let tls = TlsConfig::from_files("chain.pem", "key.pem")?;
//!     Server::bind("127.0.0.1:8443")?
//!         .tls(tls)
//!         .announce()
//!         .signals(true)
//!         .serve(|_worker| handler_fn(|_request, response| response.body("hello, in secret\n")))?;
//!     Ok(())
//! }
//! ```
//!
//! The core does not know of it: [`Tls`] is a [`NonBlocking`](aurora_http_core::reactor::NonBlocking) over another one, so it
//! works with epoll, kqueue, a ring that polls, and a stack of the program's.
//!
//! # What a client sees
//! - TLS 1.3 and 1.2, ALPN `http/1.1`. A client that offers only other protocols is refused, as RFC 7301 §3.2 asks for.
//! - The certificate for the server name that it asks for; see [`TlsBuilder::certificate`].
//! - A close_notify at every orderly end. A response that was cut off shows that by its framing; where only the end of the
//!   connection ends a response, there is no close_notify then.
//! - An alert when it breaks the protocol; an answer in plain text, 400, when it speaks HTTP without TLS.
//! - The end of the connection, when handshake and first byte take longer than `first_byte_timeout_ms`.
//!
//! A client's FIN without a close_notify counts as its end, because many clients leave that way, and a request that is cut
//! off is recognised by its own framing. Protocols after an upgrade need framing of their own too.
//!
//! # Memory
//! Unlike the rest of aurora-http, sessions allocate: when a connection is accepted, and for each record that is sent. How much
//! one connection can take is bounded, and the start-up line shows it: [`CONNECTION_BYTES_MAX`]. An idle connection takes less
//! than 16 KiB.
//!
//! # Not here
//! Encryption in the kernel (kTLS): it would need `unsafe` code and a backend of its own for each system. OCSP stapling and
//! revocation lists: through [`TlsConfig::from_rustls`].
#![forbid(unsafe_code)]

/// Compiles the code of the guide.
#[cfg(all(doctest, unix))]
#[doc = include_str!("../../docs/tls.md")]
struct Guide;

mod certificates;
mod config;
mod error;
mod layer;
mod session;
mod wire;

pub use config::{ClientCertificates, TlsBuilder, TlsConfig, TlsCounters};
pub use error::TlsError;
pub use layer::Tls;
/// The TLS implementation, for [`TlsConfig::from_rustls`].
pub use rustls;

/// The most bytes that one connection allocates: 64 KiB for a handshake message of the client (rustls accepts no longer
/// ones), which later is room for one record of at most 18 KiB and its plaintext; 32 KiB that are encrypted and wait for room
/// in the socket, or the server's certificates; and the keys and states of the session.
pub const CONNECTION_BYTES_MAX: usize = (64 << 10) + session::PENDING_BYTES_MAX + (16 << 10);
