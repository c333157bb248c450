//! Numbers about a server, as text for [Prometheus](https://prometheus.io) and for people, and pages for health checks.
//!
//! [`Metrics`] counts exchanges by status and measures their durations, in fixed memory and without locks; the server's own
//! counters ([`Counters`]) come from `Server::counters`, or from the [engine](aurora_http_core::engine::Engine::counters). [`Text`]
//! writes both:
//!
//! ```
//! # #[cfg(feature = "std")]
//! # {
//! use aurora_http::ServerCounters;
//! use aurora_http_core::handler::Handler;
//! use aurora_http_core::writer::WriteError;
//! use aurora_http_web::metrics::{CONTENT_TYPE, Registry, Text, healthy, ready};
//! use aurora_http_web::middleware::Wrap;
//! use aurora_http_web::Routes;
//!
//! /// The handler of one of the workers that share `registry`.
//! fn handler(registry: &Registry, server: ServerCounters) -> impl Handler {
//!     let all = registry.clone();
//!     Routes::new()
//!         .get("/healthz", healthy)
//!         .get("/readyz", ready)
//!         .get("/metrics", move |_, _, response| {
//!             response.field("Content-Type", CONTENT_TYPE)?;
//!             response.body_with(|body| {
//!                 let mut text = Text::new(body);
//!                 text.server(&server.read())?;
//!                 text.buffers(|class| server.buffers(class))?;
//!                 Ok::<_, WriteError>(all.read(|all| text.exchanges(all))?)
//!             })
//!         })
//!         .with_state(())
//!         .wrap(registry.metrics())
//! }
//! # }
//! ```

mod health;
#[cfg(feature = "std")]
mod registry;
mod stats;
mod status;
mod text;

pub use health::{healthy, ready};
#[cfg(feature = "std")]
pub use registry::Registry;
pub use stats::{Exchanges, Metrics, MetricsNote};
pub use status::Status;
pub use text::{CONTENT_TYPE, Text};

#[cfg(doc)]
use aurora_http_core::counters::Counters;
