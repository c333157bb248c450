//! What the other end of a connection has not acknowledged: what is left in the socket's send buffer, which keeps bytes
//! until then.

use rustix::fd::BorrowedFd;

/// FreeBSD's and NetBSD's `FIONWRITE`.
#[cfg(any(target_os = "freebsd", target_os = "netbsd"))]
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> Option<u32> {
    use rustix::ioctl::{Getter, Opcode, ioctl};

    const FIONWRITE: Opcode = if cfg!(target_os = "freebsd") { 0x4004_6677 } else { 0x4004_6679 };
    // SAFETY: FIONWRITE writes one int (sys/filio.h: `_IOR('f', 119, int)`, on NetBSD 121).
    let request = unsafe { Getter::<FIONWRITE, i32>::new() };
    // SAFETY: the request is the one described above, and it only reads.
    let count = unsafe { ioctl(socket, request) };
    u32::try_from(count.ok()?).ok()
}

/// `SO_NWRITE`, which only macOS and its relatives have.
#[cfg(target_vendor = "apple")]
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> Option<u32> {
    use rustix::fd::AsRawFd;

    let mut count: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    let into = (&raw mut count).cast();
    let (socket, level, option) = (socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NWRITE);
    // SAFETY: the descriptor is borrowed, hence open; the option is one int (getsockopt(2)), `length` says how much room
    // there is, and both outlive the call.
    let done = unsafe { libc::getsockopt(socket, level, option, into, &raw mut length) };
    if done == 0 { u32::try_from(count).ok() } else { None }
}

/// OpenBSD does not tell.
#[cfg(not(any(target_vendor = "apple", target_os = "freebsd", target_os = "netbsd")))]
pub(crate) fn unacknowledged(_socket: BorrowedFd<'_>) -> Option<u32> {
    None
}
