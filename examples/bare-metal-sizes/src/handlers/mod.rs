//! The handlers, of which a feature chooses one.

#[cfg(feature = "everything")]
pub(crate) mod everything;
#[cfg(feature = "full")]
pub(crate) mod full;
#[cfg(not(feature = "full"))]
pub(crate) mod smallest;
