//! Numbers about a server, as text for [Prometheus](https://prometheus.io) and for people, and pages for health checks.
//!
//! [`Metrics`] counts exchanges by status and measures their durations, in fixed memory and without locks; the server's own
//! counters ([`Counters`]) come from `Server::counters`, or from the [engine](aurora_http_core::engine::Engine::counters).
//! [`Registry::respond`] writes both; [`Text`] is for numbers of the program's own, and for devices:
//!
//! ```
//! # #[cfg(feature = "std")]
//! # {
//! use aurora_http::ServerCounters;
//! use aurora_http_core::handler::Handler;
//! use aurora_http_web::metrics::{Registry, healthy, ready};
//! use aurora_http_web::middleware::Wrap;
//! use aurora_http_web::Routes;
//!
//! /// The handler of one of the workers that share `registry`.
//! fn handler(registry: &Registry, server: ServerCounters) -> impl Handler {
//!     let all = registry.clone();
//!     Routes::new()
//!         .get("/healthz", healthy)
//!         .get("/readyz", ready)
//!         .get("/metrics", move |_, _, response| all.respond(response, &server.read(), |class| server.buffers(class)))
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
