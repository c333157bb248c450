//! WebSockets (RFC 6455) for aurora-http, on the server's side: `no_std`, and without allocation unless a program asks for whole
//! messages.
//!
//! | to | use |
//! |---|---|
//! | answer the handshake | [`accept`], [`is_handshake`], [`is_same_origin`] |
#![cfg_attr(feature = "alloc", doc = "| send and receive whole messages | [`websocket`] |")]
#![cfg_attr(
    not(feature = "alloc"),
    doc = "| send and receive whole messages | `websocket`, with the feature `alloc` |"
)]
//! | send and receive messages of any length in fixed memory | [`Socket`] |
#![cfg_attr(feature = "deflate", doc = "| compress messages | [`Deflate`], [`websocket_deflate`] |")]
#![cfg_attr(not(feature = "deflate"), doc = "| compress messages | `Deflate`, with the feature `deflate` |")]
//!
//! ```no_run
//! use aurora_http::{Server, WriteError, handler_fn};
//! # #[cfg(feature = "alloc")]
//! use aurora_http_websocket::{Event, Options, accept, websocket};
//!
//! # #[cfg(feature = "alloc")]
//! fn main() -> Result<(), aurora_http::ServerError> {
//!     Server::bind("127.0.0.1:8080")?.announce().signals(true).serve(|_worker| {
//!         handler_fn(|request, response| {
//!             accept(request, response, &[])?;
//!             Ok::<_, WriteError>(websocket(Options::default(), |event, link| {
//!                 if let Event::Text(text) = event {
//!                     link.send_text(text);
//!                 }
//!             }))
//!         })
//!     })?;
//!     Ok(())
//! }
//! # #[cfg(not(feature = "alloc"))] fn main() {}
//! ```
//!
//! # What is checked
//! Handshakes: method, version of HTTP and of the protocol, the key. Frames: masks, reserved bits, opcodes, the shortest form of the
//! length, control frames in one piece, the order of fragments, the length of messages. Text: UTF-8, with the first wrong byte. Close
//! frames: their codes. Whatever is wrong ends the WebSocket with the code that the RFC has for it, after everything that came before
//! was delivered.
//!
//! # Compression
//! permessage-deflate (RFC 7692) is the feature `deflate`, off by default, for whole messages. It needs memory that is a multiple of that of
//! everything else, and an operating system: zlib-rs, which does the work, uses the standard library to allocate. How many WebSockets may
//! compress at a time is limited, and each message is compressed on its own unless a program wants otherwise, so that a WebSocket
//! which waits needs nothing for it. The length of messages is limited after decompression. A wrong use of the bit RSV1 ends the WebSocket with
//! 1002, what cannot be decompressed with 1007, and a message that would become too long with 1009.
//!
//! [`accept`] agrees to no extension, and [`Socket`] takes no compressed messages.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(feature = "deflate")]
mod deflate;
mod frame;
mod handshake;
#[cfg(feature = "alloc")]
mod messages;
mod socket;
mod utf8;

#[cfg(feature = "deflate")]
pub use deflate::{Agreed, Budget, Deflate};
pub use handshake::{accept, is_handshake, is_same_origin};
#[cfg(feature = "deflate")]
pub use messages::websocket_deflate;
#[cfg(feature = "alloc")]
pub use messages::{Event, Link, Options, websocket};
pub use socket::{Ending, Kind, Next, PIECE_BYTES_MAX, Piece, Socket};
