//! Where a server is asked to listen.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// Where to listen.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Tried in this order until one can be listened on.
    Tcp(Vec<SocketAddr>),
    /// A Unix-domain socket in the file system.
    Unix(PathBuf),
    /// Somebody else opened it.
    Given(Arc<OwnedFd>),
    /// It is open already, and the workers have it.
    Opened,
}
