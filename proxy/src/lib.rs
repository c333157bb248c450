//! A reverse proxy for [Aurora](aurora_http): a handler that passes requests on to other servers.
//!
//! ```no_run
//! use aurora_http::Server;
//! use aurora_http_proxy::{Config, Proxy};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::bind("0.0.0.0:8080")?.announce().signals(true);
//!     let proxy = Proxy::new(Config::new(["127.0.0.1:8081", "127.0.0.1:8082"])?, server.resumer())?;
//!     server.serve(move |_worker| proxy.handler())?;
//!     Ok(())
//! }
//! ```
//!
//! [`Proxy::forward`] is what a handler returns to pass on one request: beside other routes, behind middleware, behind TLS.
//!
//! # What it does
//! - **Requests are written anew** from what the server has parsed, never copied: the upstream reads the same request. Hop-by-hop
//!   fields (RFC 9110 §7.6.1) are not passed on: what `Connection` names, `TE`, `Trailer`, `Transfer-Encoding`, `Upgrade`,
//!   `Keep-Alive`, `Proxy-*`. `Via` is added, `X-Forwarded-For`, `-Proto` and `-Host` are replaced, `Forwarded` is
//!   removed: see [`Chain`]. `Host` stays, unless [`Config::replace_host`] says otherwise.
//! - **Content and bodies stream** in both directions, at the pace of the slower side. `Expect: 100-continue` is passed on.
//!   Trailers, and interim responses other than 100, are not.
//! - **Responses are parsed strictly.** What could be read in two ways is 502: two lengths, a length and chunks, folded lines,
//!   bare line feeds, malformed chunks. A response that is cut off reaches the client cut off, never as a complete one.
//!   `Date` is not passed on: the server writes its own. A 401 without `WWW-Authenticate` and a 405 without `Allow` get one
//!   that says nothing, and a 426 without `Upgrade` gets `HTTP/2.0`, because a response with that status must have the field
//!   (RFC 9110 §15.5.2, §15.5.6, §15.5.22).
//! - **Upstream connections are kept**, and used again, the one that was used last first. If a connection ends before the first
//!   byte of a response, the request is sent once more, provided that its method is idempotent and none of its content was taken
//!   (RFC 9110 §9.2.2): to another upstream, or with only one, on a new connection if it had been a kept one.
//! - **Several upstreams** take turns. One that cannot be connected to is left out for a while, and the next one gets the
//!   request: nothing of it has been sent.
//! - **WebSockets** and other [upgrades](Config::upgrades), and [tunnels](Config::tunnels) by CONNECT. A client's FIN is passed
//!   on, and what the upstream still sends arrives; the upstream's FIN ends the tunnel.
//! - **The PROXY protocol** [towards upstreams](Config::proxy_protocol), versions 1 and 2.
//! - OPTIONS and TRACE with `Max-Forwards: 0` are answered here (RFC 9110 §7.6.2).
//!
//! # Which answer says what
//! | status | when |
//! |---|---|
//! | 400 | OPTIONS or TRACE with a `Max-Forwards` that is not a number |
//! | 403 | CONNECT to a target that is not allowed |
//! | 413 | more content than [`ProxyLimits::content_bytes_max`] |
//! | 431 | more than 1 KiB in `Connection` |
//! | 501 | TRACE with `Max-Forwards: 0` |
//! | 502 | no upstream can be connected to, or what it sent is not a response |
//! | 503 | more exchanges than [`ProxyLimits::in_flight_max`], or no descriptor is left |
//! | 504 | connecting, or the head of the response, takes too long |
//!
//! # How it works
//! The handler sends to the upstream and receives from it *within the calls that it gets anyway*, by system calls that do not
//! block: content goes straight from the connection's receive buffer to the upstream's socket, a body from that socket
//! straight into the connection's send buffer. While there is nothing to do, the exchange is deferred
//! ([`Flow::Defer`](aurora_http::Flow::Defer)) or waits for content as well
//! ([`Flow::ReceiveOrResume`](aurora_http::Flow::ReceiveOrResume)). One thread waits for all upstream sockets and resolves the
//! token of the exchange whose socket is ready; it reads and writes nothing.
//!
//! Other proxies do it in two ways. sozu has one thread per worker with one poller for both sides: nothing is handed over, but
//! the proxy has to own the event loop, and here that is the server's, with io_uring among its backends, and open to other
//! handlers. pingora has tasks on a runtime that wait for either side, and a pool that all threads share, in which each idle
//! connection has a task that reads from it to notice its end. From the first this takes edge-triggered readiness that is
//! kept in the connection, from the second the shared pool, whose watching thread does for all connections what a task each
//! does there. The alternative of a thread that does the I/O and passes bytes through channels (`aurora_http::offload`) costs
//! two changes of threads and two copies for each piece; this costs one change of threads when an upstream answers, and no
//! copy. Against one loop for both sides that change is the price: about one wake per response.
//!
//! # Memory
//! | | bound |
//! |---|---|
//! | exchanges | [`ProxyLimits::in_flight_max`]; each has the head of its request, as long as the server's [`Limits`] allow, and up to [`ProxyLimits::head_bytes_max`] of the response's head; what was allocated for one is used again |
//! | bodies | the buffers of the server: nothing is collected here |
//! | content in chunks | up to 16 KiB for each exchange, framed anew |
//! | idle connections | [`ProxyLimits::kept_max`] for each upstream: a descriptor and 100 bytes |
//!
//! The process needs descriptors for exchanges and idle connections besides those of the server; where they run out, the answer
//! is 503.
//!
//! # Not here
//! TLS to upstreams, HTTP/2, a cache, active health checks, and repeated lookups: the names of upstreams are resolved once.
//!
//! [`Limits`]: aurora_http::Limits
#![forbid(unsafe_code)]
#![cfg(unix)]

mod body;
mod config;
mod dial;
mod exchange;
mod hub;
mod link;
mod proxy;
mod request;
mod response;
mod transfer;
mod tunnel;
mod upstream;

use aurora_http::core::request::Fields;

pub use config::{Chain, Config, ConfigError, ProxyLimits, ProxyProtocol};
pub use exchange::Forwarding;
pub use proxy::{Proxy, ProxyCounters};
pub use upstream::UPSTREAMS_MAX;

/// The most fields in the head of a response.
const FIELDS_MAX: usize = 128;

/// The most bytes in all `Connection` fields of a message. Each field is looked for in them, so that the work grows with the product.
const CONNECTION_BYTES_MAX: usize = 1024;

fn has_short_connection(fields: Fields<'_>) -> bool {
    fields.get_all("Connection").map(<[u8]>::len).sum::<usize>() <= CONNECTION_BYTES_MAX
}

/// Compiles the code in the README as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
