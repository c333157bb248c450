//! Ending a wait from another thread.

use aurora_http_core::reactor::{IoError, Wake};
use rustix::io::Errno;

use crate::error::os_error;

/// Duplicates a value together with its descriptors, which may fail.
pub trait TryClone: Sized {
    /// A duplicate with the same effect, holding descriptors of its own.
    ///
    /// # Errors
    /// EMFILE when no descriptor is left.
    fn try_clone(&self) -> Result<Self, Errno>;
}

#[cfg(feature = "std")]
type Shared<T> = alloc::sync::Arc<T>;
#[cfg(not(feature = "std"))]
type Shared<T> = T;

/// Wakes one reactor from any thread, through `T`: an eventfd on Linux, elsewhere an event of the kqueue itself.
///
/// It may outlive the reactor; then a wake does nothing. With the feature `std` all wakers share one descriptor, and
/// cloning increments a reference count. Without it there is no allocator, so each waker holds a duplicate of the
/// descriptor, which [`try_clone`](Self::try_clone) may fail to make.
#[derive(Debug)]
pub struct Waker<T> {
    through: Shared<T>,
}

impl<T: Wake + TryClone> Waker<T> {
    /// The first waker of a reactor that watches `through`.
    #[must_use]
    pub fn new(through: T) -> Self {
        #[cfg(feature = "std")]
        let through = Shared::new(through);
        Self { through }
    }

    /// Another waker of the same reactor.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when no descriptor is left; never with the feature `std`.
    pub fn try_clone(&self) -> Result<Self, IoError> {
        #[cfg(feature = "std")]
        let through: Result<_, Errno> = Ok(self.through.clone());
        #[cfg(not(feature = "std"))]
        let through = self.through.try_clone();
        Ok(Self { through: through.map_err(os_error)? })
    }

    /// The object that it wakes through.
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.through
    }
}

#[cfg(feature = "std")]
impl<T> Clone for Waker<T> {
    fn clone(&self) -> Self {
        Self { through: self.through.clone() }
    }
}

impl<T: Wake> Wake for Waker<T> {
    fn wake(&self) {
        self.through.wake();
    }
}
