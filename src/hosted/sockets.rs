//! What a worker needs of a backend beside its operations: sockets in and out, a waker, a descriptor.

use std::os::fd::{BorrowedFd, OwnedFd};

use aurora_http_core::reactor::{IoError, IoHandle, Reactor, Wake};

use super::auto::Chosen;
use super::error::ServerError;
#[cfg(any(has_epoll, has_kqueue))]
use super::storage::PollerTables;
use super::storage::Tables;

/// A reactor of sockets: what the backends of this crate have in common. It cannot be implemented elsewhere; a reactor of
/// one's own is driven by [`run`](aurora_http_core::run::run).
pub trait SocketReactor: Reactor<'static> + sealed::Sealed {
    /// Ends a wait from another thread.
    type Waker: Wake + 'static;

    /// What ends a wait from another thread.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when no descriptor is left.
    fn waker(&self) -> Result<Self::Waker, IoError>;

    /// Takes a listening socket in.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when the table is full, or what the system said. The socket is closed then.
    fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError>;

    /// Gives a socket away, still open and non-blocking; `None` for an invalid handle. No operation may be in flight on
    /// it.
    fn detach(&mut self, io: IoHandle) -> Option<OwnedFd>;

    /// Readable while a turn would find something to do.
    fn descriptor(&self) -> BorrowedFd<'_>;
}

/// How a worker gets its reactor.
pub(super) trait Open<'s>: SocketReactor + Sized {
    /// The backend that its tables are made for, on a storage that is configured for `configured`.
    fn backend(configured: Chosen) -> Chosen;

    fn open(tables: Tables<'s>) -> Result<Self, ServerError>;
}

pub(super) mod sealed {
    use std::time::Duration;

    use aurora_http_core::engine::Engine;
    use aurora_http_core::handler::Handler;
    use aurora_http_core::reactor::{IoError, Reactor};
    use aurora_http_core::run::pass;
    use aurora_http_core::stop::StopFlag;

    #[allow(unnameable_types)]
    pub trait Sealed: Reactor<'static> + Sized {
        /// One pass of the loop over this reactor.
        #[inline]
        fn turn<H: Handler>(
            &mut self,
            engine: &mut Engine<'_, 'static, H>,
            stop: &StopFlag,
            wait_max: Option<Duration>,
        ) -> Result<(), IoError> {
            pass(engine, self, stop, wait_max)
        }
    }
}

/// The backends that supply non-blocking calls have the same interface.
#[cfg(any(has_epoll, has_kqueue))]
macro_rules! over_readiness {
    ($backend:ident, $Poller:ident) => {
        impl sealed::Sealed for $backend::Reactor<'_, 'static> {}

        impl SocketReactor for $backend::Reactor<'_, 'static> {
            type Waker = $backend::Waker;

            fn waker(&self) -> Result<Self::Waker, IoError> {
                self.get_ref().waker()
            }

            fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError> {
                self.get_mut().add_listener(listener)
            }

            fn detach(&mut self, io: IoHandle) -> Option<OwnedFd> {
                self.get_mut().detach(io)
            }

            fn descriptor(&self) -> BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(self.get_ref())
            }
        }

        impl<'s> Open<'s> for $backend::Reactor<'s, 'static> {
            fn backend(_configured: Chosen) -> Chosen {
                Chosen::$Poller
            }

            fn open(tables: Tables<'s>) -> Result<Self, ServerError> {
                let PollerTables { entries, parked, lent } = &mut tables.handles.poller;
                let failed = |error| ServerError::Reactor { backend: Chosen::$Poller.name(), error };
                Ok(Self::new($backend::$Poller::new(entries).map_err(failed)?, parked, lent))
            }
        }
    };
}

#[cfg(has_epoll)]
over_readiness!(aurora_http_epoll, Epoll);
#[cfg(has_kqueue)]
over_readiness!(aurora_http_kqueue, Kqueue);

#[cfg(has_uring)]
mod uring {
    use std::os::fd::AsFd;

    use aurora_http_uring::{Rungs, Uring, Waker};

    use super::*;
    use crate::hosted::backend::Backend;
    use crate::hosted::storage::UringTables;

    impl sealed::Sealed for Uring<'_> {}

    impl SocketReactor for Uring<'_> {
        type Waker = Waker;

        fn waker(&self) -> Result<Waker, IoError> {
            self.waker()
        }

        fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError> {
            self.add_listener(listener)
        }

        fn detach(&mut self, io: IoHandle) -> Option<OwnedFd> {
            self.detach(io)
        }

        fn descriptor(&self) -> BorrowedFd<'_> {
            self.as_fd()
        }
    }

    impl<'s> Open<'s> for Uring<'s> {
        /// What is found of it is not known before it is there.
        fn backend(_configured: Chosen) -> Chosen {
            Chosen::Uring(Rungs::NONE)
        }

        fn open(tables: Tables<'s>) -> Result<Self, ServerError> {
            let UringTables { entries, lent } = &mut tables.handles.uring;
            Uring::new(entries, lent)
                .map_err(|refusal| ServerError::Backend { backend: Backend::Uring, reason: refusal.to_string() })
        }
    }
}
