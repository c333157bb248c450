//! Routes, middleware and typed requests for [aurora-http](https://docs.rs/aurora-http): what most programs put between the
//! engine and their own functions.
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
//! What this makes is a [`Handler`](aurora_http_core::handler::Handler) like any other, and a server makes one for each of its
//! workers. In a `const` block around the routes, up to `with_state`, the compiler checks them; without one a mistake is a panic
//! when the program starts.
//!
//! # State
//! Each worker has a state of its own, which its functions get as `&mut S`: what they count and keep there needs no lock, because
//! a worker is one thread. What workers share is inside the states, and a function that does not touch it does not pay for it:
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::atomic::AtomicU64;
//! use std::sync::{Arc, RwLock};
//!
//! struct Shop {
//!     /// Of this worker.
//!     visits: u64,
//!     /// Never changes: shared without a lock.
//!     goods: Arc<[&'static str]>,
//!     /// A number that all workers add to: no lock either.
//!     orders: Arc<AtomicU64>,
//!     /// Only who reads or writes these takes the lock.
//!     notes: Arc<RwLock<BTreeMap<u64, String>>>,
//! }
//! ```
//!
//! The values are made before the server starts, and cloned into the state of each worker: see `examples/web.rs` and
//! `examples/json_api.rs`.
//!
//! # What is answered without the program
//! - 404 where no route has the path, 405 with `Allow` where none has the method, 501 for a method that no route knows.
//! - HEAD by the GET route, OPTIONS by 204 with `Allow`, and `OPTIONS *` for the program as a whole, unless it is routed.
//! - 400 for a path with a malformed escape, or with a segment `.` or `..` in any spelling.
//!
//! [`Site::on_refusal`] gives these, and whatever else the server answers by itself, a form of the program's own.
//!
//! # How a path is read
//! It is split at `/`, and then each segment is decoded: `/%69tems` is `/items`, while `%2f` in a segment is a part of its
//! value, and never splits it. Segments are compared exactly, byte for byte: `/items/` is not `/items`, and `//` has an empty
//! segment. Text is preferred to `:param`, and that to `*rest`, segment by segment from the left, with a step back where
//! nothing matches further on. `:param` stands for one segment that is not empty; `*rest` for all that is left, which may be
//! empty: `/files/*path` has `/files/` and not `/files`. The path decides on its own, and then the method: a GET of `/a/b` is
//! 405 where there are `POST /a/b` and `GET /a/:x`.
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
pub mod middleware;
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
