//! Compression of responses for [aurora-http](https://docs.rs/aurora-http): `gzip`, `br` and `zstd`, for any handler.
//!
//! ```
//! use aurora_http::testing::Client;
//! use aurora_http::{ResponseWriter, handler_fn};
//! use aurora_http_compress::Compress;
//!
//! let page = "hello ".repeat(1000);
//! let handler = handler_fn(move |_request, response: &mut ResponseWriter<'_>| {
//!     response.field("Content-Type", "text/plain")?;
//!     response.body(&page)
//! });
//! let mut client = Client::new(Compress::new(handler));
//! let response = client.send("GET", "/", &[("Accept-Encoding", "gzip, br;q=0.5")], b"");
//! assert_eq!(response.field("Content-Encoding"), Some("gzip"));
//! assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
//! assert_eq!(client.get("/").field("Content-Encoding"), None);
//! ```
//!
//! # What is compressed
//! Content of a [type](Compress::types) that compresses well, by default text, JSON, XML, JavaScript, WebAssembly, SVG and a few more,
//! if the client [accepts](aurora_http_web::accept::encoding) a coding: `br`, `zstd` or `gzip`, in this order among those of equal weight.
//! Content that is written as a whole keeps a `Content-Length`; streamed content becomes chunked. HEAD is answered with the fields of GET,
//! without a length.
//!
//! Whenever the type is one of these, the response has `Vary: Accept-Encoding`, compressed or not, and so has a 206 or a 304. A strong `ETag` becomes a weak one,
//! because the bytes differ from those it stands for; `If-None-Match` compares weakly, so it goes on working. `Accept-Ranges` is removed.
//! Both are done to a 304 as well, if the client names a weak tag.
//!
//! # What is not
//! - content that is shorter than [`bytes_min`](Compress::bytes_min), where its length is known;
//! - content that has a `Content-Encoding`, and with it the compressed siblings of `aurora-http-files`;
//! - 206 (Partial Content), and everything with `Content-Range` or `Cache-Control: no-transform`;
//! - content with a `Content-Digest`, `Repr-Digest`, `Digest` or `Content-MD5`, which are about its bytes;
//! - content of more than 256 KiB that is written as a whole, which only `static_body` can: compress it beforehand;
//! - streamed responses to HTTP/1.0 clients, which know no chunks;
//! - a stream whose handler asks for content in the call that begins it, if what was written so far is sent in place, or becomes longer
//!   than there is room;
//! - answers of the server itself, which are short, and other protocols after an upgrade;
//! - the content of requests. It is not decompressed: a handler that needs that has to bound what comes out.
//!
//! # Files
//! Those of `aurora-http-files` are compressed like any stream, which costs more than their compressed siblings do, and ranges of them are
//! not. The system sends files that are not compressed, except for the first piece if the client accepts a coding: their type is known only
//! when they begin.
//!
//! # Streams
//! When a handler waits (for time, a token, or more content), what it has written is flushed, so server-sent events arrive when they are
//! sent. While it produces without waiting, the encoder decides when there is enough.
//!
//! # Memory
//! An encoder needs [`ENCODER_BYTES_MAX`] bytes at most, and exists as long as the response; besides, output waits for the client, about
//! as much as the handler writes in one call, until which the handler is not called. At most
//! [`encoders_max`](Compress::encoders_max) exist at a time, over all workers that share the [`Budget`]; further responses are sent as they
//! are. Encoders allocate, and so does nothing else.
//!
//! # Secrets
//! Over TLS, an attacker who can make a victim's browser send requests, and sees the length of the responses, can guess a secret in them if
//! they also repeat something from the request: a guess that is right compresses better (BREACH, CRIME's successor, 2013). Do not compress
//! such pages: use `Cache-Control: no-transform` for them, or put `Compress` around the other routes only. Secrets that change with each
//! response, such as masked CSRF tokens, and cookies, which are not content, are safe.
#![forbid(unsafe_code)]

mod compress;
mod encoder;
mod policy;

pub use compress::{Compress, Compressing};
pub use encoder::Coding;
pub use policy::{Budget, is_compressible};

/// The most that an encoder of any coding allocates, in bytes, without output that waits. Measured: 0.5 MiB for gzip, 2 MiB for brotli,
/// 1.5 MiB for zstd.
pub const ENCODER_BYTES_MAX: usize = 5 << 19;
