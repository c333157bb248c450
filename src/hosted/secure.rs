//! The TLS of a server, or what stands for it in a build without.

/// A server's certificates and keys.
#[cfg(feature = "tls")]
pub(super) use aurora_http_tls::TlsConfig as Secure;

/// There is none without the feature.
#[cfg(not(feature = "tls"))]
#[derive(Clone, Debug)]
pub(super) enum Secure {}

/// The most bytes that TLS allocates for one connection.
#[cfg(feature = "tls")]
pub(super) const CONNECTION_BYTES_MAX: usize = aurora_http_tls::CONNECTION_BYTES_MAX;
#[cfg(not(feature = "tls"))]
pub(super) const CONNECTION_BYTES_MAX: usize = 0;
