//! Ends a wait from another thread.

use aurora_http_core::reactor::{IoError, Wake};
use rustix::io::Errno;

use crate::sys::Queue;

#[cfg(feature = "std")]
type Shared = alloc::sync::Arc<Queue>;
#[cfg(not(feature = "std"))]
type Shared = Queue;

/// Wakes one [`Kqueue`](crate::Kqueue) from any thread, through an event of the queue's own
/// (`EVFILT_USER`; a pipe on NetBSD and OpenBSD).
///
/// It may outlive the reactor; then a wake does nothing. With the feature `std` all wakers share one descriptor, and
/// cloning costs a reference count. Without it there is no allocator to share through, so that each waker holds a
/// duplicate of the descriptor, which [`try_clone`](Self::try_clone) may fail to make.
#[derive(Debug)]
#[cfg_attr(feature = "std", derive(Clone))]
pub struct Waker {
    queue: Shared,
}

impl Waker {
    pub(crate) fn new() -> Result<Self, Errno> {
        let queue = Queue::new()?;
        #[cfg(feature = "std")]
        let queue = Shared::new(queue);
        Ok(Self { queue })
    }

    /// Another waker of the same reactor.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when no descriptor is left; never with the feature `std`.
    pub fn try_clone(&self) -> Result<Self, IoError> {
        #[cfg(feature = "std")]
        let queue = self.queue.clone();
        #[cfg(not(feature = "std"))]
        let queue = self.queue.try_clone().map_err(crate::socket::os_error)?;
        Ok(Self { queue })
    }

    /// The queue that it wakes.
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl Wake for Waker {
    fn wake(&self) {
        // It fails when the queue is gone, and then there is nobody to wake.
        let _ = self.queue.wake();
    }
}

const _: fn(&Waker) -> &(dyn Send + Sync + 'static) = |waker| waker;
