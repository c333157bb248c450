//! An option of listeners that rustix has no call for.

use std::io;
use std::os::fd::BorrowedFd;

/// Has the kernel hold a connection back until the client has sent something, for about so many seconds: `TCP_DEFER_ACCEPT`. On
/// systems other than Linux this does nothing.
///
/// # Errors
/// Those of setsockopt(2), such as for a socket that is not of TCP.
#[cfg(target_os = "linux")]
pub fn defer_accept(listener: BorrowedFd<'_>, seconds: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    let seconds = libc::c_int::try_from(seconds).unwrap_or(libc::c_int::MAX);
    let len = size_of_val(&seconds) as libc::socklen_t;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
    // SAFETY: the descriptor is borrowed, hence open; the kernel reads `len` bytes, which is the size of `seconds`.
    match unsafe { libc::setsockopt(listener.as_raw_fd(), level, option, (&raw const seconds).cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Does nothing.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn defer_accept(_: BorrowedFd<'_>, _: u32) -> io::Result<()> {
    Ok(())
}
