//! Calls on one socket, with errors translated.

use core::net::SocketAddr;

use aurora_http_core::reactor::{Attempt, IoError, Peer};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketFlags, SocketType, ipproto, sockopt,
};

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

/// Opens a listening TCP socket: non-blocking, closed on exec, with `SO_REUSEADDR`. Port 0 lets the system choose; see
/// [`Epoll::local_addr`](crate::Epoll::local_addr).
///
/// # Errors
/// [`IoError::FileLimit`], [`IoError::NoBuffers`], or [`IoError::Os`] with the system's number: EADDRINUSE,
/// EADDRNOTAVAIL, EACCES, EAFNOSUPPORT, …
pub fn listen(address: SocketAddr, options: &ListenOptions) -> Result<OwnedFd, IoError> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP)).map_err(os_error)?;
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

/// Takes a connection; `Ok(None)` when there is none.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<Option<OwnedFd>, IoError> {
    match retry_on_intr(|| rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)) {
        Ok(stream) => Ok(Some(stream)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) if passes(error) => Err(IoError::ConnectionReset),
        Err(error) => Err(os_error(error)),
    }
}

/// Errors of one connection, not of the listener. Linux hands out pending network errors of the new socket as accept's
/// own (accept(2), "Error handling").
fn passes(error: Errno) -> bool {
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

#[inline]
pub(crate) fn recv(socket: BorrowedFd<'_>, spare: &mut [u8]) -> Attempt {
    attempt(retry_on_intr(|| rustix::net::recv(socket, &mut *spare, RecvFlags::empty())).map(|(_, count)| count))
}

/// One plain send unless both parts have bytes.
#[inline]
pub(crate) fn send(socket: BorrowedFd<'_>, parts: [&[u8]; 2]) -> Attempt {
    let one = match parts {
        [head, []] => head,
        [[], body] => body,
        [head, body] => return send_both(socket, head, body),
    };
    attempt(retry_on_intr(|| rustix::net::send(socket, one, SendFlags::NOSIGNAL)))
}

fn send_both(socket: BorrowedFd<'_>, head: &[u8], body: &[u8]) -> Attempt {
    let parts = [IoSlice::new(head), IoSlice::new(body)];
    let mut control = SendAncillaryBuffer::default();
    attempt(retry_on_intr(|| rustix::net::sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL)))
}

#[inline]
fn attempt(result: Result<usize, Errno>) -> Attempt {
    match result {
        // The kernel moves less than 2 GiB in one call.
        Ok(count) => Attempt::Done(count as u32),
        Err(Errno::AGAIN) => Attempt::WouldBlock,
        Err(error) => Attempt::Failed(os_error(error)),
    }
}

pub(crate) fn to_socket_addr(address: SocketAddrAny) -> Result<SocketAddr, IoError> {
    SocketAddr::try_from(address).map_err(os_error)
}

/// Who is at the other end; `None` when nobody is any more.
pub(crate) fn peer(socket: BorrowedFd<'_>) -> Option<Peer> {
    let address = rustix::net::getpeername(socket).ok()??;
    if address.address_family() == AddressFamily::UNIX {
        return Some(Peer::Unix);
    }
    SocketAddr::try_from(address).ok().map(Peer::Ip)
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
        Errno::MFILE | Errno::NFILE => IoError::FileLimit,
        Errno::NOBUFS | Errno::NOMEM => IoError::NoBuffers,
        Errno::BADF | Errno::NOTSOCK | Errno::INVAL | Errno::OPNOTSUPP => IoError::Unsupported,
        other => IoError::Os(other.raw_os_error()),
    }
}
