//! New sockets with the flags that all of ours have: non-blocking, closed on exec, and no SIGPIPE.

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, ipproto};

/// A stream socket that is non-blocking and that no program inherits which another thread executes: closed on exec by the
/// call that makes it, where the system can.
///
/// # Errors
/// The system's: EMFILE, ENFILE, EAFNOSUPPORT, …
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

/// Takes one connection from a listener.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn accept_once(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    rustix::net::accept_with(listener, FLAGS)
}

/// There is no accept4 on macOS.
#[cfg(target_vendor = "apple")]
pub(crate) fn accept_once(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let stream = rustix::net::accept(listener)?;
    set_flags(&stream)?;
    // It may have come before the listener was told. What is gone by now takes no options.
    let _ = no_sigpipe(&stream);
    Ok(stream)
}

#[cfg(not(target_vendor = "apple"))]
const FLAGS: rustix::net::SocketFlags = rustix::net::SocketFlags::NONBLOCK.union(rustix::net::SocketFlags::CLOEXEC);

/// macOS cannot set them in the call that makes a socket; a process that another thread starts in between inherits it.
#[cfg(target_vendor = "apple")]
fn set_flags(socket: &OwnedFd) -> Result<(), Errno> {
    rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(socket, true)
}

/// No SIGPIPE from writing to a connection that is gone; a listener hands it on to what it accepts. Elsewhere than on
/// macOS there is no such option, and each send says it.
pub(crate) fn no_sigpipe(socket: &OwnedFd) -> Result<(), Errno> {
    #[cfg(target_vendor = "apple")]
    rustix::net::sockopt::set_socket_nosigpipe(socket, true)?;
    let _ = socket;
    Ok(())
}
