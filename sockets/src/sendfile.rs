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
/// non-blocking for the duration of the call, and one that is corked is not afterwards.
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
    let is_corked = cork(socket, range.len);
    let mut rest = range;
    let end = loop {
        if rest.len == 0 {
            break None;
        }
        match retry_on_intr(|| send_once(socket, file, rest.offset, rest.len as usize)) {
            Ok(0) => break Some(IoError::FileUnreadable),
            Ok(count) => rest = rest.after(count as u32),
            Err(Errno::AGAIN) => break None,
            Err(error) => break Some(error_of(error)),
        }
    };
    if is_corked {
        uncork(socket);
    }
    match end {
        Some(error) => Attempt::Failed(error),
        None if rest.len == range.len && range.len > 0 => Attempt::WouldBlock,
        None => Attempt::Done(range.len - rest.len),
    }
}

/// From this length on, a socket is corked while a range is sent.
#[cfg(target_os = "linux")]
const CORKED_MIN: u32 = 128 * 1024;

/// Lets only full segments leave while a long range is sent. Linux passes a range on in pieces of 64 KiB, handles acknowledgements
/// between two of them, and sends a segment that is not full yet with each, because the socket has `TCP_NODELAY`.
#[cfg(target_os = "linux")]
fn cork(socket: BorrowedFd<'_>, len: u32) -> bool {
    len >= CORKED_MIN && rustix::net::sockopt::set_tcp_cork(socket, true).is_ok()
}

/// Sends what is left, too.
#[cfg(target_os = "linux")]
fn uncork(socket: BorrowedFd<'_>) {
    // What has just succeeded one way does not fail the other way.
    let _ = rustix::net::sockopt::set_tcp_cork(socket, false);
}

#[cfg(not(target_os = "linux"))]
fn cork(_: BorrowedFd<'_>, _: u32) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn uncork(_: BorrowedFd<'_>) {}

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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    extern crate std;

    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use rustix::fd::{AsFd, OwnedFd};
    use rustix::net::sockopt::tcp_cork;

    use super::*;

    /// A corked socket would keep the last bytes of a response for 200 ms.
    #[test]
    fn a_socket_is_not_left_corked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.set_nonblocking(true).unwrap();
        // More than a socket takes at once.
        let len = 32 * CORKED_MIN + 1;
        rustix::net::sockopt::set_socket_send_buffer_size(&server, CORKED_MIN as usize).unwrap();
        let path = std::env::temp_dir().join(std::format!("aurora-cork-{}", std::process::id()));
        std::fs::File::create(&path).unwrap().write_all(&std::vec![b'x'; len as usize]).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let file = crate::OpenFile::new(OwnedFd::from(file)).unwrap();
        // The second range goes beyond the end of the file.
        for (offset, is_complete) in [(0, true), (2, false)] {
            let (mut sent, mut failed, mut was_full) = (0, false, false);
            while sent < len && !failed {
                match send_file(server.as_fd(), &[], file.range(offset + u64::from(sent), len - sent)) {
                    Attempt::Done(count) => sent += count,
                    Attempt::WouldBlock => was_full = true,
                    Attempt::Failed(_) => failed = true,
                }
                assert!(!tcp_cork(&server).unwrap());
                // Only once it has met a full socket.
                while was_full && client.read(&mut [0; 65_536]).is_ok_and(|count| count > 0) {}
            }
            assert_eq!((sent == len, failed, was_full), (is_complete, !is_complete, true));
        }
    }
}
