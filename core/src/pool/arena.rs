//! Bump arena for one call.
