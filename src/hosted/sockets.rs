//! What a worker needs from a backend beyond I/O operations: adding and detaching sockets, a waker, a descriptor.

use std::os::fd::{BorrowedFd, OwnedFd};

use aurora_http_core::reactor::{IoError, IoHandle, Reactor, Wake};

use super::auto::Chosen;
use super::error::ServerError;
#[cfg(any(has_epoll, has_kqueue))]
use super::storage::PollerTables;
use super::storage::Tables;

/// A reactor over sockets: the interface that the backends of this crate share. It is sealed; to serve over a reactor
/// of your own, use [`run`](aurora_http_core::run::run) with a [`HeapStorage`](super::HeapStorage).
pub trait SocketReactor: Reactor<'static> + sealed::Sealed {
    /// Wakes the reactor from another thread.
    type Waker: Wake + 'static;

    /// Makes a waker, which ends the reactor's wait from another thread.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when no descriptor is left.
    fn waker(&self) -> Result<Self::Waker, IoError>;

    /// Adds a listening socket.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when the table is full, or the system's error. The socket is then closed.
    fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError>;

    /// Removes a socket and returns it, open and non-blocking; `None` for an invalid handle. No operation may be in
    /// flight on it.
    fn detach(&mut self, io: IoHandle) -> Option<OwnedFd>;

    /// A descriptor for an event loop of the program: it is readable while the reactor has events to handle.
    fn descriptor(&self) -> BorrowedFd<'_>;
}

/// Opens a worker's reactor.
pub(super) trait Open<'s>: SocketReactor + Sized {
    /// The backend that the tables must be made for, on a storage that is configured for `configured`.
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

/// Implements the traits for the backends over non-blocking calls, which have the same interface.
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
        /// The optional kernel features are not known before the ring is set up.
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
