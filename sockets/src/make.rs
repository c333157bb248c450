//! Creates sockets with the flags that all of ours have: non-blocking, close-on-exec, no SIGPIPE.

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, ipproto};

/// A non-blocking stream socket with close-on-exec set atomically where the system can, so that a program which another
/// thread executes does not inherit it.
///
/// # Errors
/// EMFILE, ENFILE, EAFNOSUPPORT, …
pub fn stream_socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let protocol = if family == AddressFamily::UNIX { None } else { Some(ipproto::TCP) };
    #[cfg(not(target_vendor = "apple"))]
    let socket = rustix::net::socket_with(family, SocketType::STREAM, FLAGS, protocol)?;
    #[cfg(target_vendor = "apple")]
    let socket = rustix::net::socket(family, SocketType::STREAM, protocol)?;
    #[cfg(target_vendor = "apple")]
    set_flags(&socket)?;
    Ok(socket)
}

/// Accepts one connection.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn accept_once(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    rustix::net::accept_with(listener, FLAGS)
}

/// macOS has no accept4.
#[cfg(target_vendor = "apple")]
pub(crate) fn accept_once(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let stream = rustix::net::accept(listener)?;
    set_flags(&stream)?;
    // The connection may have arrived before the listener had the option. A connection that is gone by now takes no
    // options.
    let _ = no_sigpipe(&stream);
    Ok(stream)
}

#[cfg(not(target_vendor = "apple"))]
const FLAGS: rustix::net::SocketFlags = rustix::net::SocketFlags::NONBLOCK.union(rustix::net::SocketFlags::CLOEXEC);

/// macOS cannot set them in the call that creates a socket: a process that another thread starts in between inherits it.
#[cfg(target_vendor = "apple")]
fn set_flags(socket: &OwnedFd) -> Result<(), Errno> {
    rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(socket, true)
}

/// Disables SIGPIPE for writes to a broken connection; accepted sockets inherit it from their listener. Only macOS has this
/// option; elsewhere each send passes `MSG_NOSIGNAL`.
pub(crate) fn no_sigpipe(socket: &OwnedFd) -> Result<(), Errno> {
    #[cfg(target_vendor = "apple")]
    rustix::net::sockopt::set_socket_nosigpipe(socket, true)?;
    let _ = socket;
    Ok(())
}
