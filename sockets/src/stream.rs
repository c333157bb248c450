//! System calls on one socket, with errors mapped to [`IoError`].

use core::time::Duration;

use aurora_http_core::reactor::{Attempt, IoError, Shutdown};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, retry_on_intr};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::error::{os_error, passes};
use crate::make::accept_once;

/// Accepts a connection, non-blocking and close-on-exec; `Ok(None)` when none is pending.
///
/// # Errors
/// [`IoError::ConnectionReset`] for a connection that failed before it was accepted; any other error is the listener's.
pub fn accept(listener: BorrowedFd<'_>) -> Result<Option<OwnedFd>, IoError> {
    match retry_on_intr(|| accept_once(listener)) {
        Ok(stream) => Ok(Some(stream)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) if passes(error) => Err(IoError::ConnectionReset),
        Err(error) => Err(os_error(error)),
    }
}

#[inline]
pub(crate) fn recv(socket: BorrowedFd<'_>, spare: &mut [u8]) -> Attempt {
    attempt(retry_on_intr(|| rustix::net::recv(socket, &mut *spare, RecvFlags::empty())).map(|(_, count)| count))
}

/// The most bytes of a body per call. macOS rejects 2 GiB, and elsewhere the count might not fit in an [`Attempt`]. Linux
/// needs no limit: it sends at most just under 2 GiB per call.
#[cfg(not(target_os = "linux"))]
const SEND_BYTES_MAX: usize = 1 << 30;

#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;

/// Sends both parts, with a plain send(2) unless both have bytes.
#[inline]
pub(crate) fn send(socket: BorrowedFd<'_>, parts: [&[u8]; 2]) -> Attempt {
    let [head, body] = parts;
    #[cfg(not(target_os = "linux"))]
    let body = &body[..body.len().min(SEND_BYTES_MAX)];
    let one = match [head, body] {
        [head, []] => head,
        [[], body] => body,
        [head, body] => return send_both(socket, head, body),
    };
    attempt(retry_on_intr(|| rustix::net::send(socket, one, SEND_FLAGS)))
}

/// Sends the beginning of something whose rest follows at once: Linux does not send a short segment for it.
#[cfg(feature = "std")]
pub(crate) fn send_more(socket: BorrowedFd<'_>, bytes: &[u8]) -> Attempt {
    #[cfg(target_os = "linux")]
    let flags = SEND_FLAGS.union(SendFlags::MORE);
    #[cfg(not(target_os = "linux"))]
    let flags = SEND_FLAGS;
    attempt(retry_on_intr(|| rustix::net::send(socket, bytes, flags)))
}

fn send_both(socket: BorrowedFd<'_>, head: &[u8], body: &[u8]) -> Attempt {
    let parts = [IoSlice::new(head), IoSlice::new(body)];
    let mut control = SendAncillaryBuffer::default();
    attempt(retry_on_intr(|| rustix::net::sendmsg(socket, &parts, &mut control, SEND_FLAGS)))
}

#[inline]
fn attempt(result: Result<usize, Errno>) -> Attempt {
    match result {
        // Less than 4 GiB: a receive fills one buffer, and a send has a maximum.
        Ok(count) => Attempt::Done(count as u32),
        Err(Errno::AGAIN) => Attempt::WouldBlock,
        Err(error) => Attempt::Failed(os_error(error)),
    }
}

/// Shuts down one or both directions of a connection, or has its close reset it. A failure is ignored: it means that the
/// connection is gone already.
pub fn shutdown(socket: BorrowedFd<'_>, how: Shutdown) {
    use rustix::net::{Shutdown as Side, shutdown};
    if how == Shutdown::Reset {
        let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
        return;
    }
    if cfg!(target_os = "linux") && how == Shutdown::Both {
        let _ = shutdown(socket, Side::Both);
        return;
    }
    // One side at a time: with both at once, macOS shuts down neither if reading has ended already, for example by the
    // peer's FIN.
    if how != Shutdown::Write {
        let _ = shutdown(socket, Side::Read);
    }
    if how != Shutdown::Read {
        let _ = shutdown(socket, Side::Write);
    }
}
