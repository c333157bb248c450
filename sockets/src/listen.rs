//! Opening a listener.

use core::net::SocketAddr;

use aurora_http_core::reactor::IoError;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, sockopt};

use crate::error::os_error;
use crate::make::{no_sigpipe, stream_socket};

/// How a listening socket is set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenOptions {
    /// How many established connections the kernel queues until they are accepted. The kernel caps it: Linux at
    /// `net.core.somaxconn`, other systems at `kern.ipc.somaxconn` (128 on macOS unless raised).
    pub backlog: u32,
    /// Lets several sockets listen on one address, with the kernel spreading connections over them: `SO_REUSEPORT` on Linux,
    /// `SO_REUSEPORT_LB` on FreeBSD. FreeBSD 13 does not spread inside a jail, nor IPv4 connections over listeners on
    /// `[::]`: one socket gets them all. Elsewhere this sets `SO_REUSEPORT`, which does not spread
    /// ([`ListenOptions::SPREADS`]); share one socket there, by duplicates of its descriptor.
    pub reuse_port: bool,
    /// `TCP_NODELAY`: small segments are sent at once. Accepted connections inherit it, which saves a call for each.
    pub nodelay: bool,
    /// `IPV6_V6ONLY`: whether an IPv6 listener refuses IPv4 connections. `None` keeps the system's default.
    pub only_v6: Option<bool>,
}

impl ListenOptions {
    /// Whether this system spreads connections over several listeners with [`reuse_port`](Self::reuse_port).
    pub const SPREADS: bool = cfg!(any(target_os = "linux", target_os = "freebsd"));
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, reuse_port: false, nodelay: true, only_v6: None }
    }
}

/// Opens a listening TCP socket: non-blocking, close-on-exec, with `SO_REUSEADDR`. With port 0 the system chooses one; the
/// `local_addr` of a reactor, or [`local_addr`](crate::local_addr) here, tells which.
///
/// # Errors
/// [`IoError::FileLimit`], [`IoError::NoBuffers`], or [`IoError::Os`] with the errno value: EADDRINUSE, EADDRNOTAVAIL,
/// EACCES, EAFNOSUPPORT, …
pub fn listen(address: SocketAddr, options: &ListenOptions) -> Result<OwnedFd, IoError> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = stream_socket(family).map_err(os_error)?;
    prepare(&socket, address, options).map_err(os_error)?;
    Ok(socket)
}

fn prepare(socket: &OwnedFd, address: SocketAddr, options: &ListenOptions) -> Result<(), Errno> {
    no_sigpipe(socket)?;
    sockopt::set_socket_reuseaddr(socket, true)?;
    if options.reuse_port {
        #[cfg(target_os = "freebsd")]
        sockopt::set_socket_reuseport_lb(socket, true)?;
        #[cfg(not(target_os = "freebsd"))]
        sockopt::set_socket_reuseport(socket, true)?;
    }
    if options.nodelay {
        sockopt::set_tcp_nodelay(socket, true)?;
    }
    if let (true, Some(only)) = (address.is_ipv6(), options.only_v6) {
        sockopt::set_ipv6_v6only(socket, only)?;
    }
    rustix::net::bind(socket, &address)?;
    rustix::net::listen(socket, i32::try_from(options.backlog).unwrap_or(i32::MAX))
}
