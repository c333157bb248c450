//! What the other end of a connection has not acknowledged: one call, the only `unsafe` of this crate.
#![allow(unsafe_code)]

use rustix::fd::BorrowedFd;

/// Bytes sent and not acknowledged; `None` for a socket that has no such number, and on OpenBSD, which does not tell.
///
/// Linux counts our FIN among them (`SIOCOUTQ`, tcp(7)); of a Unix-domain socket it tells the memory that they take until
/// they are read. FreeBSD, NetBSD (`FIONWRITE`) and macOS (`SO_NWRITE`) tell what is left in the socket's send buffer,
/// which keeps bytes until they are acknowledged.
#[must_use]
pub fn unacknowledged(socket: BorrowedFd<'_>) -> Option<u32> {
    u32::try_from(ask(socket)?).ok()
}

#[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "netbsd"))]
fn ask(socket: BorrowedFd<'_>) -> Option<i32> {
    use rustix::ioctl::{Getter, ioctl};

    // SAFETY: the request writes one int where a socket has it: SIOCOUTQ by tcp(7) and unix(7), FIONWRITE by
    // sys/filio.h (`_IOR('f', 119, int)`, on NetBSD 121). What is no socket refuses it, but for a terminal of Linux,
    // where it is TIOCOUTQ and writes one int, too.
    let request = unsafe { Getter::<REQUEST, i32>::new() };
    // SAFETY: the request is the one described above, and nothing else depends on what it does: it only reads.
    unsafe { ioctl(socket, request) }.ok()
}

/// `SIOCOUTQ`, which is `TIOCOUTQ` by another name; some architectures number their terminals in their own way.
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

/// `SO_NWRITE`, which only macOS and its relatives have.
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
