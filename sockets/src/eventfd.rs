//! The eventfd that a waker writes to on Linux.

use aurora_http_core::reactor::Wake;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, read, write};

use crate::waker::{TryClone, Waker};

/// An eventfd: readable from a wake until it is [emptied](Self::empty), through each of its duplicates.
///
/// ```
/// use aurora_http_core::reactor::Wake;
/// use aurora_http_sockets::Eventfd;
/// use rustix::event::{PollFd, PollFlags, poll};
/// use rustix::time::Timespec;
///
/// let eventfd = Eventfd::new()?;
/// let readable = || poll(&mut [PollFd::new(&eventfd, PollFlags::IN)], Some(&Timespec::default()));
/// assert_eq!(readable()?, 0);
/// eventfd.wake();
/// assert_eq!(readable()?, 1);
/// eventfd.empty();
/// assert_eq!(readable()?, 0);
/// # Ok::<_, rustix::io::Errno>(())
/// ```
#[derive(Debug)]
pub struct Eventfd(OwnedFd);

impl Eventfd {
    /// A new eventfd with a count of zero, non-blocking and close-on-exec.
    ///
    /// # Errors
    /// EMFILE, ENFILE or ENOMEM.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Resets the count to zero.
    pub fn empty(&self) {
        // The read fails with EAGAIN when the count is zero already.
        let _ = read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Eventfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl TryClone for Eventfd {
    fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self(rustix::io::fcntl_dupfd_cloexec(&self.0, 0)?))
    }
}

impl Wake for Eventfd {
    fn wake(&self) {
        // Epoll watches it edge-triggered: every write is a new event, and the counter need not be read. A ring polls it and
        // then empties it, so any number of wakes becomes one. The write fails with EAGAIN only when the counter would
        // overflow, after 2^64 - 2 wakes; then it is emptied first.
        loop {
            match write(&self.0, &1u64.to_ne_bytes()) {
                Err(Errno::AGAIN) => self.empty(),
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

const _: fn(&Waker<Eventfd>) -> &(dyn Send + Sync + 'static) = |waker| waker;
