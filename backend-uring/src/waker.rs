//! Ends a wait from another thread.

use aurora_http_core::reactor::{IoError, Wake};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read, write};

#[cfg(feature = "std")]
type Shared = alloc::sync::Arc<OwnedFd>;
#[cfg(not(feature = "std"))]
type Shared = OwnedFd;

/// Wakes one [`Uring`](crate::Uring) from any thread, through an eventfd.
///
/// It may outlive the reactor; then a wake does nothing. With the feature `std` all wakers share one descriptor, and
/// cloning costs a reference count. Without it there is no allocator to share through, so that each waker holds a
/// duplicate of the descriptor, which [`try_clone`](Self::try_clone) may fail to make.
#[derive(Debug)]
#[cfg_attr(feature = "std", derive(Clone))]
pub struct Waker {
    eventfd: Shared,
}

impl Waker {
    pub(crate) fn new() -> Result<Self, Errno> {
        use rustix::event::{EventfdFlags, eventfd};
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        #[cfg(feature = "std")]
        let eventfd = Shared::new(eventfd);
        Ok(Self { eventfd })
    }

    /// Another waker of the same reactor.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when no descriptor is left; never with the feature `std`.
    pub fn try_clone(&self) -> Result<Self, IoError> {
        #[cfg(feature = "std")]
        let eventfd = self.eventfd.clone();
        #[cfg(not(feature = "std"))]
        let eventfd = rustix::io::fcntl_dupfd_cloexec(&self.eventfd, 0).map_err(crate::socket::os_error)?;
        Ok(Self { eventfd })
    }

    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.eventfd
    }

    /// Forgets the wakes so far.
    pub(crate) fn empty(&self) {
        // It fails when there was none.
        let _ = read(self.descriptor(), &mut [0; 8]);
    }
}

impl Wake for Waker {
    fn wake(&self) {
        // A poll on the ring waits for it, and the reactor then empties it, so that any number of wakes is one. It is
        // full after 2^64 - 2 of them.
        loop {
            match write(self.descriptor(), &1u64.to_ne_bytes()) {
                Err(Errno::AGAIN) => {
                    self.empty();
                }
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

const _: fn(&Waker) -> &(dyn Send + Sync + 'static) = |waker| waker;
