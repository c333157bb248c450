//! Opening a listener, and errors translated.

use core::net::SocketAddr;

use aurora_http_core::reactor::IoError;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType, ipproto, sockopt};

/// How a listening socket is set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenOptions {
    /// Connections that the kernel completes and holds until they are accepted; the kernel caps it
    /// (`net.core.somaxconn`).
    pub backlog: u32,
    /// `SO_REUSEPORT`: several sockets listen on one address, and the kernel spreads connections over them.
    pub reuse_port: bool,
    /// `TCP_NODELAY`: small segments leave at once. Accepted connections inherit it, so that it costs no call for each.
    pub nodelay: bool,
    /// `IPV6_V6ONLY`: an IPv6 listener does not take IPv4 connections. `None` leaves the system's default.
    pub only_v6: Option<bool>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, reuse_port: false, nodelay: true, only_v6: None }
    }
}

/// Opens a listening TCP socket: closed on exec, with `SO_REUSEADDR`. Port 0 lets the system choose; see
/// [`Uring::local_addr`](crate::Uring::local_addr).
///
/// # Errors
/// [`IoError::FileLimit`], [`IoError::NoBuffers`], or [`IoError::Os`] with the system's number: EADDRINUSE,
/// EADDRNOTAVAIL, EACCES, EAFNOSUPPORT, …
pub fn listen(address: SocketAddr, options: &ListenOptions) -> Result<OwnedFd, IoError> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP))
        .map_err(os_error)?;
    prepare(&socket, address, options).map_err(os_error)?;
    Ok(socket)
}

fn prepare(socket: &OwnedFd, address: SocketAddr, options: &ListenOptions) -> Result<(), Errno> {
    sockopt::set_socket_reuseaddr(socket, true)?;
    if options.reuse_port {
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

/// Errors of one connection, not of the listener. Linux hands out pending network errors of the new socket as accept's
/// own (accept(2), "Error handling").
pub(crate) fn passes(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNABORTED
            | Errno::PROTO
            | Errno::PERM
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
    )
}

pub(crate) fn to_socket_addr(address: SocketAddrAny) -> Result<SocketAddr, IoError> {
    SocketAddr::try_from(address).map_err(os_error)
}

/// The system's number in the seam's words.
#[cold]
pub(crate) fn os_error(error: Errno) -> IoError {
    match error {
        Errno::CONNRESET
        | Errno::PIPE
        | Errno::CONNABORTED
        | Errno::NOTCONN
        | Errno::TIMEDOUT
        | Errno::NETRESET
        | Errno::SHUTDOWN
        | Errno::HOSTUNREACH
        | Errno::NETUNREACH => IoError::ConnectionReset,
        Errno::CANCELED => IoError::Canceled,
        Errno::MFILE | Errno::NFILE => IoError::FileLimit,
        Errno::NOBUFS | Errno::NOMEM => IoError::NoBuffers,
        Errno::BADF | Errno::NOTSOCK | Errno::INVAL | Errno::OPNOTSUPP => IoError::Unsupported,
        other => IoError::Os(other.raw_os_error()),
    }
}
