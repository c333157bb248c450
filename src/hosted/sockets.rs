//! What a worker needs from a backend beyond I/O operations: adding and detaching sockets, a waker, a descriptor.

#[cfg(has_backend)]
use std::os::fd::AsFd;
use std::os::fd::{BorrowedFd, OwnedFd};

#[cfg(all(feature = "tls", has_backend))]
use aurora_http_core::reactor::NonBlocking;
use aurora_http_core::reactor::{IoError, IoHandle, Reactor, Wake};
#[cfg(has_backend)]
use aurora_http_core::readiness::Readiness;
#[cfg(has_backend)]
use aurora_http_sockets::Poller;
#[cfg(all(feature = "tls", has_backend))]
use aurora_http_tls::Tls;

use super::auto::Chosen;
#[cfg(has_uring)]
use super::backend::Backend;
use super::error::ServerError;
#[cfg(has_backend)]
use super::secure::Secure;
#[cfg(has_backend)]
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
    #[cfg(has_backend)]
    use std::os::fd::{BorrowedFd, OwnedFd};
    use std::time::Duration;

    use aurora_http_core::engine::Engine;
    use aurora_http_core::handler::Handler;
    use aurora_http_core::reactor::{IoError, Reactor};
    #[cfg(has_backend)]
    use aurora_http_core::reactor::{IoHandle, NonBlocking, Wake};
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

    /// The sockets below a reactor over non-blocking calls.
    #[cfg(has_backend)]
    #[allow(unnameable_types)]
    pub trait Sockets: NonBlocking + Sized {
        type Waker: Wake + 'static;

        fn waker(&self) -> Result<Self::Waker, IoError>;

        fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError>;

        fn detach(&mut self, io: IoHandle) -> Option<OwnedFd>;

        fn descriptor(&self) -> BorrowedFd<'_>;
    }
}

/// A reactor over encrypted connections.
#[cfg(all(feature = "tls", has_backend))]
pub(super) type Encrypted<'s, P> = Readiness<'s, 'static, Tls<P>>;

#[cfg(has_backend)]
use sealed::Sockets;

/// Makes the sockets below a reactor over non-blocking calls.
#[cfg(has_backend)]
trait Make<'s>: Sockets {
    const BACKEND: Chosen;

    fn open(
        entries: &'s mut [aurora_http_sockets::Entry],
        tls: Option<Secure>,
        proxy_headers: bool,
    ) -> Result<Self, ServerError>;
}

/// The backend of a selector.
#[cfg(has_backend)]
trait Named: aurora_http_sockets::Selector<Waking: 'static> {
    const BACKEND: Chosen;

    fn error(refusal: Self::Refusal) -> ServerError;
}

#[cfg(has_epoll)]
impl Named for aurora_http_epoll::EpollSelector {
    const BACKEND: Chosen = Chosen::Epoll;

    fn error(error: IoError) -> ServerError {
        ServerError::Reactor { backend: Chosen::Epoll.name(), error }
    }
}

#[cfg(has_kqueue)]
impl Named for aurora_http_kqueue::KqueueSelector {
    const BACKEND: Chosen = Chosen::Kqueue;

    fn error(error: IoError) -> ServerError {
        ServerError::Reactor { backend: Chosen::Kqueue.name(), error }
    }
}

/// A ring that polls, below TLS or for PROXY headers.
#[cfg(has_uring)]
impl Named for aurora_http_uring::UringSelector {
    /// The optional kernel features are not known before the ring is set up.
    const BACKEND: Chosen = Chosen::Uring(aurora_http_uring::Rungs::NONE);

    fn error(refusal: aurora_http_uring::Refusal) -> ServerError {
        ServerError::Backend { backend: Backend::Uring, reason: refusal.to_string() }
    }
}

#[cfg(has_backend)]
impl<'s, S: Named> Make<'s> for Poller<'s, S> {
    const BACKEND: Chosen = S::BACKEND;

    fn open(
        entries: &'s mut [aurora_http_sockets::Entry],
        tls: Option<Secure>,
        proxy_headers: bool,
    ) -> Result<Self, ServerError> {
        if tls.is_some() {
            return Err(encrypts_not());
        }
        let mut poller = Poller::new(entries).map_err(S::error)?;
        if proxy_headers {
            poller.expect_proxy_headers();
        }
        Ok(poller)
    }
}

/// Whoever configures TLS must not get a server without.
#[cfg(has_backend)]
fn encrypts_not() -> ServerError {
    ServerError::setting("tls", "a worker on a named backend", "use Worker::new, which encrypts, with Server::backend")
}

#[cfg(has_backend)]
impl<S: aurora_http_sockets::Selector<Waking: 'static>> Sockets for Poller<'_, S> {
    type Waker = aurora_http_sockets::Waker<S::Waking>;

    fn waker(&self) -> Result<Self::Waker, IoError> {
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

#[cfg(all(feature = "tls", has_backend))]
impl<'s, P: Make<'s>> Make<'s> for Tls<P> {
    const BACKEND: Chosen = P::BACKEND;

    fn open(
        entries: &'s mut [aurora_http_sockets::Entry],
        tls: Option<Secure>,
        proxy_headers: bool,
    ) -> Result<Self, ServerError> {
        let handles = entries.len();
        let config = tls.ok_or_else(|| ServerError::setting("tls", "nothing", "call Server::tls"))?;
        Ok(Self::new(P::open(entries, None, proxy_headers)?, &config, handles))
    }
}

#[cfg(all(feature = "tls", has_backend))]
impl<P: Sockets> Sockets for Tls<P> {
    type Waker = P::Waker;

    fn waker(&self) -> Result<Self::Waker, IoError> {
        self.get_ref().waker()
    }

    fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError> {
        self.get_mut().add_listener(listener)
    }

    /// A socket without its session is of no use: it is closed.
    fn detach(&mut self, io: IoHandle) -> Option<OwnedFd> {
        self.close(io);
        None
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.get_ref().descriptor()
    }
}

#[cfg(has_backend)]
impl<T: Sockets> sealed::Sealed for Readiness<'_, 'static, T> {}

#[cfg(has_backend)]
impl<T: Sockets> SocketReactor for Readiness<'_, 'static, T> {
    type Waker = T::Waker;

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
        self.get_ref().descriptor()
    }
}

#[cfg(has_backend)]
impl<'s, T: Make<'s>> Open<'s> for Readiness<'s, 'static, T> {
    fn backend(_configured: Chosen) -> Chosen {
        T::BACKEND
    }

    fn open(tables: Tables<'s>) -> Result<Self, ServerError> {
        let PollerTables { entries, parked, held, lent } = &mut tables.handles.poller;
        Ok(Self::new(T::open(entries, tables.tls, tables.proxy_headers)?, parked, held, lent))
    }
}

#[cfg(has_uring)]
mod uring {
    use std::os::fd::AsFd;

    use aurora_http_uring::{Rungs, Uring, Waker};

    use super::*;
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
            if tables.tls.is_some() {
                return Err(encrypts_not());
            }
            if tables.proxy_headers {
                let advice = "use Worker::new, which reads PROXY headers, with Server::backend(Backend::Uring)";
                return Err(ServerError::setting("proxy_headers", "Worker::uring", advice));
            }
            let UringTables { entries, held, lent } = &mut tables.handles.uring;
            Uring::new(entries, held, lent)
                .map_err(|refusal| ServerError::Backend { backend: Backend::Uring, reason: refusal.to_string() })
        }
    }
}
