//! How many sent bytes the peer has not acknowledged: one call.
#![allow(unsafe_code)]

use rustix::fd::BorrowedFd;

/// Bytes sent and not acknowledged; `None` for a socket that has no such count, and on OpenBSD, which does not report it.
///
/// Linux includes our FIN (`SIOCOUTQ`, tcp(7)); for a Unix-domain socket it reports the memory that unread bytes occupy.
/// FreeBSD, NetBSD (`FIONWRITE`) and macOS (`SO_NWRITE`) report the length of the socket's send buffer, which keeps bytes
/// until they are acknowledged.
///
/// ```
/// use aurora_http_sockets::fd::AsFd;
/// use aurora_http_sockets::{ListenOptions, listen, stream_socket, unacknowledged};
/// use rustix::net::AddressFamily;
///
/// # fn main() -> Result<(), rustix::io::Errno> {
/// let stream = stream_socket(AddressFamily::INET)?;
/// assert!(matches!(unacknowledged(stream.as_fd()), None | Some(0)), "nothing was sent");
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn unacknowledged(socket: BorrowedFd<'_>) -> Option<u32> {
    u32::try_from(ask(socket)?).ok()
}

#[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "netbsd"))]
fn ask(socket: BorrowedFd<'_>) -> Option<i32> {
    use rustix::ioctl::{Getter, ioctl};

    // SAFETY: the request writes one int if the socket supports it: SIOCOUTQ by tcp(7) and unix(7), FIONWRITE by
    // sys/filio.h (`_IOR('f', 119, int)`, on NetBSD 121). Other descriptors reject it, except terminals on Linux, where it
    // is TIOCOUTQ and writes one int, too.
    let request = unsafe { Getter::<REQUEST, i32>::new() };
    // SAFETY: the request is the one described above, and nothing else depends on what it does: it only reads.
    unsafe { ioctl(socket, request) }.ok()
}

/// `SIOCOUTQ`, the same number as `TIOCOUTQ`; some architectures have terminal ioctl numbers of their own.
#[cfg(target_os = "linux")]
const REQUEST: rustix::ioctl::Opcode =
    if cfg!(any(target_arch = "mips", target_arch = "mips32r6", target_arch = "mips64", target_arch = "mips64r6")) {
        0x7472
    } else if cfg!(any(
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "sparc",
        target_arch = "sparc64"
    )) {
        0x4004_7473
    } else {
        0x5411
    };

/// `FIONWRITE`.
#[cfg(target_os = "freebsd")]
const REQUEST: rustix::ioctl::Opcode = 0x4004_6677;
#[cfg(target_os = "netbsd")]
const REQUEST: rustix::ioctl::Opcode = 0x4004_6679;

/// `SO_NWRITE`, which only Apple's systems have.
#[cfg(target_vendor = "apple")]
fn ask(socket: BorrowedFd<'_>) -> Option<i32> {
    use rustix::fd::AsRawFd;

    let mut count: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    let into = (&raw mut count).cast();
    let (socket, level, option) = (socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NWRITE);
    // SAFETY: the descriptor is borrowed, hence open; the option is one int (getsockopt(2)), `length` says how much room
    // there is, and both outlive the call.
    let done = unsafe { libc::getsockopt(socket, level, option, into, &raw mut length) };
    (done == 0).then_some(count)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple", target_os = "freebsd", target_os = "netbsd")))]
fn ask(_socket: BorrowedFd<'_>) -> Option<i32> {
    None
}
