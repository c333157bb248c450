//! An embeddable HTTP/1.1 server engine.
#![forbid(unsafe_code)]
pub use aurora_http_core as core;
