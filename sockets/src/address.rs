//! The addresses of both ends of a socket.

use core::net::SocketAddr;

use aurora_http_core::reactor::{IoError, Peer};
use rustix::fd::BorrowedFd;
use rustix::net::{AddressFamily, SocketAddrAny};

use crate::error::{os_error, stream_error};

/// The local address of a socket.
///
/// # Errors
/// [`IoError::Os`] when it is not an IP socket.
pub fn local_addr(socket: BorrowedFd<'_>) -> Result<SocketAddr, IoError> {
    to_socket_addr(rustix::net::getsockname(socket).map_err(os_error)?)
}

/// The address of the peer.
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

/// The peer of a connection; `None` when it is not connected any more.
#[must_use]
pub fn peer(socket: BorrowedFd<'_>) -> Option<Peer> {
    match rustix::net::getpeername(socket).ok()? {
        Some(address) if address.address_family() == AddressFamily::UNIX => Some(Peer::Unix),
        Some(address) => SocketAddr::try_from(address).ok().map(Peer::Ip),
        // macOS reports no address for an unnamed Unix client. An accepted socket's own address is its listener's, which
        // tells the family.
        None => {
            let own = rustix::net::getsockname(socket).ok()?;
            (own.address_family() == AddressFamily::UNIX).then_some(Peer::Unix)
        }
    }
}
