//! Calls on one socket, with errors translated.

use core::net::SocketAddr;

use aurora_http_core::reactor::{Attempt, IoError, Peer};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketType, ipproto, sockopt,
};

/// How a listening socket is set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenOptions {
    /// Connections that the kernel completes and holds until they are accepted; the kernel caps it
    /// (`kern.ipc.somaxconn`: 128 on macOS unless raised).
    pub backlog: u32,
    /// `SO_REUSEPORT_LB` on FreeBSD: several sockets listen on one address, and the kernel spreads connections over
    /// them, though in FreeBSD 13 not in a jail, and IPv4 connections not over listeners on `[::]`: one of them gets all
    /// then. Elsewhere `SO_REUSEPORT`, which does not spread: share one socket instead, by duplicates of its descriptor
    /// ([`ListenOptions::SPREADS`]).
    pub reuse_port: bool,
    /// `TCP_NODELAY`: small segments leave at once. Accepted connections inherit it, so that it costs no call for each.
    pub nodelay: bool,
    /// `IPV6_V6ONLY`: an IPv6 listener does not take IPv4 connections. `None` leaves the system's default.
    pub only_v6: Option<bool>,
}

impl ListenOptions {
    /// Whether this system spreads connections over several listeners with [`reuse_port`](Self::reuse_port).
    pub const SPREADS: bool = cfg!(target_os = "freebsd");
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, reuse_port: false, nodelay: true, only_v6: None }
    }
}

/// Opens a listening TCP socket: non-blocking, closed on exec, with `SO_REUSEADDR`. Port 0 lets the system choose; see
/// [`Kqueue::local_addr`](crate::Kqueue::local_addr).
///
/// # Errors
/// [`IoError::FileLimit`], [`IoError::NoBuffers`], or [`IoError::Os`] with the system's number: EADDRINUSE,
/// EADDRNOTAVAIL, EACCES, EAFNOSUPPORT, …
pub fn listen(address: SocketAddr, options: &ListenOptions) -> Result<OwnedFd, IoError> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = open(family).map_err(os_error)?;
    prepare(&socket, address, options).map_err(os_error)?;
    Ok(socket)
}

#[cfg(not(target_vendor = "apple"))]
fn open(family: AddressFamily) -> Result<OwnedFd, Errno> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
}

/// Flags cannot be set by the call that makes a socket on macOS.
#[cfg(target_vendor = "apple")]
fn open(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let socket = rustix::net::socket(family, SocketType::STREAM, Some(ipproto::TCP))?;
    set_flags(&socket)?;
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

/// Non-blocking and closed on exec. By hand, because not every system can do it in the call that makes the socket; a
/// process that another thread starts in between inherits the socket.
#[cfg(not(any(target_os = "freebsd", target_os = "netbsd", target_os = "openbsd")))]
fn set_flags(socket: &OwnedFd) -> Result<(), Errno> {
    rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(socket, true)
}

/// No SIGPIPE from writing to a connection that is gone; a listener hands it on to what it accepts. Where there is no
/// such option, [`SEND_FLAGS`] say it.
pub(crate) fn no_sigpipe(socket: &OwnedFd) -> Result<(), Errno> {
    #[cfg(target_vendor = "apple")]
    sockopt::set_socket_nosigpipe(socket, true)?;
    let _ = socket;
    Ok(())
}

#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;

/// Takes a connection; `Ok(None)` when there is none.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<Option<OwnedFd>, IoError> {
    match retry_on_intr(|| accept_once(listener)) {
        Ok(stream) => Ok(Some(stream)),
        Err(Errno::AGAIN) => Ok(None),
        // It was gone before it was taken.
        Err(Errno::CONNABORTED | Errno::PROTO) => Err(IoError::ConnectionReset),
        Err(error) => Err(os_error(error)),
    }
}

#[cfg(any(target_os = "freebsd", target_os = "netbsd", target_os = "openbsd"))]
fn accept_once(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    use rustix::net::SocketFlags;
    rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

/// There is no accept4 on macOS.
#[cfg(not(any(target_os = "freebsd", target_os = "netbsd", target_os = "openbsd")))]
fn accept_once(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let stream = rustix::net::accept(listener)?;
    set_flags(&stream)?;
    // It may have come before the listener was told. What is gone by now takes no options.
    let _ = no_sigpipe(&stream);
    Ok(stream)
}

#[inline]
pub(crate) fn recv(socket: BorrowedFd<'_>, spare: &mut [u8]) -> Attempt {
    attempt(retry_on_intr(|| rustix::net::recv(socket, &mut *spare, RecvFlags::empty())).map(|(_, count)| count))
}

/// Of a body, per call: macOS refuses to send 2 GiB at once, where others send a part.
const SEND_BYTES_MAX: usize = 1 << 30;

/// One plain send unless both parts have bytes.
#[inline]
pub(crate) fn send(socket: BorrowedFd<'_>, parts: [&[u8]; 2]) -> Attempt {
    let [head, body] = parts;
    let body = &body[..body.len().min(SEND_BYTES_MAX)];
    let one = match [head, body] {
        [head, []] => head,
        [[], body] => body,
        [head, body] => return send_both(socket, head, body),
    };
    attempt(retry_on_intr(|| rustix::net::send(socket, one, SEND_FLAGS)))
}

fn send_both(socket: BorrowedFd<'_>, head: &[u8], body: &[u8]) -> Attempt {
    let parts = [IoSlice::new(head), IoSlice::new(body)];
    let mut control = SendAncillaryBuffer::default();
    attempt(retry_on_intr(|| rustix::net::sendmsg(socket, &parts, &mut control, SEND_FLAGS)))
}

#[inline]
fn attempt(result: Result<usize, Errno>) -> Attempt {
    match result {
        // Less than 4 GiB: a receive fills one buffer, a send has its maximum.
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

/// What the system says of a stream that it does not look at more closely: macOS finds the call invalid when the
/// connection is gone.
#[cold]
pub(crate) fn stream_error(error: Errno) -> IoError {
    match error {
        Errno::INVAL => IoError::ConnectionReset,
        other => os_error(other),
    }
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
        // What macOS says to a send while it takes the connection down.
        | Errno::PROTOTYPE
        | Errno::HOSTUNREACH
        | Errno::NETUNREACH => IoError::ConnectionReset,
        Errno::MFILE | Errno::NFILE => IoError::FileLimit,
        Errno::NOBUFS | Errno::NOMEM => IoError::NoBuffers,
        Errno::BADF | Errno::NOTSOCK | Errno::INVAL | Errno::OPNOTSUPP => IoError::Unsupported,
        other => IoError::Os(other.raw_os_error()),
    }
}
