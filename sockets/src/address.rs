//! Who is at either end of a socket.

use core::net::SocketAddr;

use aurora_http_core::reactor::{IoError, Peer};
use rustix::fd::BorrowedFd;
use rustix::net::{AddressFamily, SocketAddrAny};

use crate::error::{os_error, stream_error};

/// The address that a socket is bound to.
///
/// # Errors
/// [`IoError::Os`] when it is no IP socket.
pub fn local_addr(socket: BorrowedFd<'_>) -> Result<SocketAddr, IoError> {
    to_socket_addr(rustix::net::getsockname(socket).map_err(os_error)?)
}

/// The address of the other end.
///
/// # Errors
/// As for [`local_addr`], and [`IoError::ConnectionReset`] when it is not connected.
pub fn peer_addr(socket: BorrowedFd<'_>) -> Result<SocketAddr, IoError> {
    let address = rustix::net::getpeername(socket).map_err(stream_error)?;
    to_socket_addr(address.ok_or(IoError::Unsupported)?)
}

fn to_socket_addr(address: SocketAddrAny) -> Result<SocketAddr, IoError> {
    SocketAddr::try_from(address).map_err(os_error)
}

/// Who is at the other end; `None` when nobody is any more.
#[must_use]
pub fn peer(socket: BorrowedFd<'_>) -> Option<Peer> {
    match rustix::net::getpeername(socket).ok()? {
        Some(address) if address.address_family() == AddressFamily::UNIX => Some(Peer::Unix),
        Some(address) => SocketAddr::try_from(address).ok().map(Peer::Ip),
        // macOS has nothing to say of a client without a name. What we accepted has that of its listener.
        None => {
            let own = rustix::net::getsockname(socket).ok()?;
            (own.address_family() == AddressFamily::UNIX).then_some(Peer::Unix)
        }
    }
}
