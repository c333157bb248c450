//! Middleware. Each is an [`Around`](aurora_http_core::handler::Around): [`Wrap::wrap`] applies it to a whole handler,
//! [`Routes::behind`](crate::Routes::behind) to a part of the routes.
//!
//! The outermost one, which is applied last, sees a request first:
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
//! For your own, implement `Around`, or pass a function to [`before`] or [`after`].

mod access_log;
mod auth;
mod cors;
mod etag;
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
