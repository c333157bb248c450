//! The configured listeners.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// One configured listener.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Addresses to try in order; the first one that works is used.
    Tcp(Vec<SocketAddr>),
    /// A Unix-domain socket in the file system.
    Unix(PathBuf),
    /// A listening socket that was opened elsewhere.
    Given(Arc<OwnedFd>),
    /// A listener that is already open and belongs to the workers.
    Opened,
}
