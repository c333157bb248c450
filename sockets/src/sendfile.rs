//! Sending a part of a file without copying it: sendfile(2), which Linux, macOS and FreeBSD have, each in a form of its own.
#![allow(unsafe_code)]

#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
extern crate std;

use aurora_http_core::reactor::{Attempt, FileRange, IoError};
use rustix::fd::BorrowedFd;
use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};

use crate::error::os_error;
use crate::files::with_file;
use crate::stream;

/// Whether this system can.
pub(crate) const IS_SUPPORTED: bool = cfg!(any(target_os = "linux", target_vendor = "apple", target_os = "freebsd"));

/// Sends `head`, then the range. A count smaller than both means that the socket is full.
pub(crate) fn send(socket: BorrowedFd<'_>, head: &[u8], range: FileRange) -> Attempt {
    if !IS_SUPPORTED {
        return Attempt::Failed(IoError::Unsupported);
    }
    if !head.is_empty() {
        match stream::send_more(socket, head) {
            Attempt::Done(count) if count as usize == head.len() => {}
            ended => return ended,
        }
    }
    let sent = with_file(range.file, |file| send_range(socket, file, range));
    match sent.unwrap_or(Attempt::Failed(IoError::FileUnreadable)) {
        Attempt::Done(count) => Attempt::Done(head.len() as u32 + count),
        // The head was sent, which is less than requested.
        Attempt::WouldBlock if !head.is_empty() => Attempt::Done(head.len() as u32),
        other => other,
    }
}

/// Sends `head`, then a part of a file, as far as the socket takes it without waiting. A socket in blocking mode is made
/// non-blocking for the duration of the call.
///
/// Systems without sendfile(2) return [`IoError::Unsupported`].
pub fn send_file(socket: BorrowedFd<'_>, head: &[u8], range: FileRange) -> Attempt {
    let is_blocking = rustix::fs::fcntl_getfl(socket).is_ok_and(|flags| !flags.contains(OFlags::NONBLOCK));
    if is_blocking && let Err(error) = rustix::io::ioctl_fionbio(socket, true) {
        return Attempt::Failed(os_error(error));
    }
    let attempt = send(socket, head, range);
    if is_blocking {
        // What has just succeeded one way does not fail the other way.
        let _ = rustix::io::ioctl_fionbio(socket, false);
    }
    attempt
}

/// Sends until the range is complete, the socket is full, or the file ends. A short count alone would not tell the last two
/// apart, and a socket that is not full never becomes writable again.
fn send_range(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, range: FileRange) -> Attempt {
    let mut rest = range;
    while rest.len > 0 {
        match retry_on_intr(|| send_once(socket, file, rest.offset, rest.len as usize)) {
            Ok(0) => return Attempt::Failed(IoError::FileUnreadable),
            Ok(count) => rest = rest.after(count as u32),
            Err(Errno::AGAIN) if rest.len == range.len => return Attempt::WouldBlock,
            Err(Errno::AGAIN) => break,
            Err(error) => return Attempt::Failed(error_of(error)),
        }
    }
    Attempt::Done(range.len - rest.len)
}

/// The connection's errors are known; any other one is the file's.
#[cold]
fn error_of(error: Errno) -> IoError {
    match os_error(error) {
        IoError::Os(_) | IoError::Unsupported => IoError::FileUnreadable,
        error => error,
    }
}

#[cfg(target_os = "linux")]
fn send_once(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno> {
    let mut offset = offset;
    rustix::fs::sendfile(socket, file, Some(&mut offset), len)
}

/// EAGAIN after a part was sent comes with its length.
#[cfg(target_vendor = "apple")]
fn send_once(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno> {
    use rustix::fd::AsRawFd;

    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::OVERFLOW)?;
    // 0 would mean "to the end of the file".
    let mut count = libc::off_t::try_from(len.max(1)).map_err(|_| Errno::OVERFLOW)?;
    let (file, socket) = (file.as_raw_fd(), socket.as_raw_fd());
    // SAFETY: both descriptors are borrowed, hence open; `count` outlives the call, and there are no headers.
    let result = unsafe { libc::sendfile(file, socket, offset, &raw mut count, core::ptr::null_mut(), 0) };
    outcome(result, count)
}

/// As on macOS, with the length and the count apart.
#[cfg(target_os = "freebsd")]
fn send_once(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno> {
    use rustix::fd::AsRawFd;

    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::OVERFLOW)?;
    let mut count: libc::off_t = 0;
    let (file, socket) = (file.as_raw_fd(), socket.as_raw_fd());
    // SAFETY: both descriptors are borrowed, hence open; `count` outlives the call, and there are no headers.
    let result = unsafe { libc::sendfile(file, socket, offset, len.max(1), core::ptr::null_mut(), &raw mut count, 0) };
    outcome(result, count)
}

#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
fn outcome(result: libc::c_int, count: libc::off_t) -> Result<usize, Errno> {
    let number = std::io::Error::last_os_error().raw_os_error().unwrap_or_default();
    match (result, usize::try_from(count).unwrap_or(0)) {
        (0, count) => Ok(count),
        (_, count) if count > 0 => Ok(count),
        _ => Err(Errno::from_raw_os_error(number)),
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple", target_os = "freebsd")))]
fn send_once(_: BorrowedFd<'_>, _: BorrowedFd<'_>, _: u64, _: usize) -> Result<usize, Errno> {
    Err(Errno::OPNOTSUPP)
}
