//! What stands around handlers, each an [`Around`](aurora_http_core::handler::Around): put around a whole handler by
//! [`Wrap::wrap`], or around a part of the routes by [`Routes::behind`](crate::Routes::behind).
//!
//! The last one that was put around is the first one that sees a request:
//!
//! ```
//! use aurora_http_web::Routes;
//! use aurora_http_web::middleware::{BodyLimit, Cors, RequestId, SecurityFields, Wrap};
//!
//! let handler = Routes::new()
//!     .post("/echo", |_, call, response| response.body(call.content()))
//!     .with_state(())
//!     .wrap(BodyLimit::new(10_000))
//!     .wrap(Cors::new(&["https://example.org"]))
//!     .wrap(SecurityFields::STRICT)
//!     .wrap(RequestId::new(1));
//! ```
//!
//! One of a program's own is an `Around`, or a function by [`before`] or [`after`].

mod access_log;
mod auth;
mod cors;
mod etag;
mod forward;
mod functions;
mod limits;
mod request_id;
mod security;

pub use access_log::{AccessLog, Combined, Common, Entry, LogNote};
pub use auth::{Authenticate, BasicCredentials, basic_credentials, bearer_token, is_same_secret};
pub use cors::{Cors, CorsNote};
pub use etag::ETags;
pub use functions::{After, Before, Wrap, after, before};
pub use limits::{BodyLimit, InFlightLimit, TimeLimit};
pub use request_id::{Id, RequestId};
pub use security::SecurityFields;
