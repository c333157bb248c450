//! The handlers, of which a feature chooses one.

use aurora_http_core::handler::Needs;

/// What the handlers need of the engine, except for the one that calls everything.
pub(crate) const NEEDS: Needs =
    if cfg!(feature = "least") { Needs { eviction: cfg!(feature = "evicting"), ..Needs::LEAST } } else { Needs::ALL };

#[cfg(feature = "everything")]
pub(crate) mod everything;
#[cfg(feature = "full")]
pub(crate) mod full;
#[cfg(not(feature = "full"))]
pub(crate) mod smallest;
