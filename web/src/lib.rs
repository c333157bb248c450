//! Routes, middleware and typed requests for [aurora-http](https://docs.rs/aurora-http).
//!
//! ```
//! use aurora_http_core::writer::{ResponseWriter, WriteError};
//! use aurora_http_web::{Call, Routes};
//!
//! struct Shop {
//!     names: Vec<String>,
//! }
//!
//! fn list(shop: &mut Shop, _call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
//!     response.body(shop.names.join("\n"))
//! }
//!
//! fn show(shop: &mut Shop, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
//!     let number: usize = call.param("number")?;
//!     match shop.names.get(number) {
//!         Some(name) => response.body(name),
//!         None => response.fail(404),
//!     }
//! }
//!
//! fn add(shop: &mut Shop, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
//!     shop.names.push(String::from_utf8_lossy(call.content()).into_owned());
//!     response.status(201)
//! }
//!
//! let handler = Routes::new()
//!     .get("/names", list)
//!     .get("/names/:number", show)
//!     .post("/names", add)
//!     .with_state(Shop { names: Vec::new() });
//! ```
//!
//! The result is a [`Handler`](aurora_http_core::handler::Handler) like any other; a server creates one for each worker. If the
//! routes are built in a `const` block, up to `with_state`, the compiler checks them. Otherwise a mistake is a panic at start-up.
//!
//! # State
//! Each worker has its own state, which functions receive as `&mut S`. A worker is one thread, so nothing in its state needs a
//! lock. Data that workers share is referenced from the states, and only the functions that use it pay for its synchronisation:
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::atomic::AtomicU64;
//! use std::sync::{Arc, RwLock};
//!
//! struct Shop {
//!     /// This worker's own.
//!     visits: u64,
//!     /// Never changes, so it needs no lock.
//!     goods: Arc<[&'static str]>,
//!     /// Counted by all workers, without a lock.
//!     orders: Arc<AtomicU64>,
//!     /// Only functions that use these take the lock.
//!     notes: Arc<RwLock<BTreeMap<u64, String>>>,
//! }
//! ```
//!
//! Create the shared values before the server starts, and clone them into the state of each worker. `examples/web.rs` and
//! `examples/json_api.rs` do that.
//!
//! # Requests that no route answers
//! - 404 if no route has the path; 405 with `Allow` if none of its routes has the method; 501 if the method is neither a standard
//!   one nor used by any route.
//! - HEAD is answered by the GET route, OPTIONS with 204 and `Allow`, and `OPTIONS *` with the methods of the whole table, unless
//!   there are routes for them.
//! - 400 for a path with a malformed escape, or with a segment `.` or `..`, in any spelling.
//!
//! [`Site::on_refusal`] gives these answers, and all others that the server sends by itself, a form of your own.
//!
//! # How paths are matched
//! A path is split at `/`, and then each segment is decoded: `/%69tems` matches `/items`, and `%2f` is part of a value but never
//! splits a segment. Segments are compared byte for byte: `/items/` differs from `/items`, and `//` contains an empty segment.
//! In each segment from left to right, literal text takes precedence over `:param`, and `:param` over `*rest`; if the rest of the
//! path does not match, the next alternative is tried. `:param` matches one non-empty segment. `*rest` matches the remaining path,
//! which may be empty: `/files/*path` matches `/files/`, but not `/files`.
//!
//! The path selects the routes before the method does: with the routes `POST /a/b` and `GET /a/:x`, `GET /a/b` is answered with
//! 405.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod accept;
mod call;
pub mod cookie;
mod endpoint;
pub mod form;
#[cfg(feature = "json")]
pub mod json;
#[cfg(feature = "json-core")]
pub mod json_core;
#[cfg(any(feature = "json", feature = "json-core"))]
mod json_error;
mod message;
pub mod metrics;
pub mod middleware;
pub mod multipart;
mod problem;
mod routes;
mod site;
mod table;

pub use call::{Call, ParamError, Params};
pub use endpoint::{Behind, Each, Endpoint, Function, Mounted, NoEndpoint, Pair, Streaming, handler, streaming};
#[cfg(any(feature = "json", feature = "json-core"))]
pub use json_error::{JsonError, JsonFault};
pub use problem::Problem;
pub use routes::Routes;
pub use site::Site;
pub use table::{NoRoute, Table};
