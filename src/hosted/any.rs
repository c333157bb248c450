//! One reactor type for all backends, chosen at run time.

#[cfg(not(has_backend))]
use std::convert::Infallible;
use std::fmt;
#[cfg(not(has_backend))]
use std::marker::PhantomData;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use aurora_http_core::engine::Engine;
use aurora_http_core::handler::Handler;
use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{
    Completion, IoError, IoHandle, OpToken, Peers, Reactor, Seen, Shutdown, Submission, Wake,
};
use aurora_http_core::stop::StopFlag;
use aurora_http_core::time::Instant;

use super::auto::Chosen;
#[cfg(has_uring)]
use super::auto::choose_after;
use super::backend::Backend;
use super::error::ServerError;
#[cfg(all(feature = "tls", has_backend))]
use super::sockets::Encrypted;
use super::sockets::{Open, SocketReactor, sealed};
use super::storage::Tables;

/// A reactor over any backend of this build; the default reactor of a [`Worker`](super::Worker).
///
/// A worker looks up the backend once per turn, not once per call, so that a request costs what it costs on a concrete
/// reactor. A program that drives it itself, by [`run`](aurora_http_core::run::run), pays for a look-up with each call. It stays
/// on the thread that made it.
pub struct AnyReactor<'s>(Kind<'s>);

// Each worker has exactly one, and never moves it; a box would add an indirection to every turn.
#[allow(clippy::large_enum_variant)]
enum Kind<'s> {
    #[cfg(has_epoll)]
    Epoll(aurora_http_epoll::Reactor<'s, 'static>),
    #[cfg(has_kqueue)]
    Kqueue(aurora_http_kqueue::Reactor<'s, 'static>),
    #[cfg(has_uring)]
    Uring(aurora_http_uring::Uring<'s>),
    #[cfg(all(feature = "tls", has_epoll))]
    TlsEpoll(Encrypted<'s, aurora_http_epoll::Epoll<'s>>),
    #[cfg(all(feature = "tls", has_kqueue))]
    TlsKqueue(Encrypted<'s, aurora_http_kqueue::Kqueue<'s>>),
    /// For PROXY headers.
    #[cfg(has_uring)]
    PollingUring(aurora_http_uring::PollingReactor<'s, 'static>),
    #[cfg(all(feature = "tls", has_uring))]
    TlsUring(Encrypted<'s, aurora_http_uring::UringPoller<'s>>),
    /// Keeps the enum well formed in a build without backends; never constructed.
    #[cfg(not(has_backend))]
    Never(Infallible, PhantomData<&'s ()>),
}

/// Evaluates the same expression for whichever backend it is.
macro_rules! each {
    ($kind:expr, $reactor:ident => $call:expr) => {
        match $kind {
            #[cfg(has_epoll)]
            Kind::Epoll($reactor) => $call,
            #[cfg(has_kqueue)]
            Kind::Kqueue($reactor) => $call,
            #[cfg(has_uring)]
            Kind::Uring($reactor) => $call,
            #[cfg(all(feature = "tls", has_epoll))]
            Kind::TlsEpoll($reactor) => $call,
            #[cfg(all(feature = "tls", has_kqueue))]
            Kind::TlsKqueue($reactor) => $call,
            #[cfg(has_uring)]
            Kind::PollingUring($reactor) => $call,
            #[cfg(all(feature = "tls", has_uring))]
            Kind::TlsUring($reactor) => $call,
            #[cfg(not(has_backend))]
            Kind::Never(never, _) => match *never {},
        }
    };
}

impl AnyReactor<'_> {
    /// The backend in use: never [`Backend::Auto`].
    #[must_use]
    pub const fn backend(&self) -> Backend {
        match self.0 {
            #[cfg(has_epoll)]
            Kind::Epoll(_) => Backend::Epoll,
            #[cfg(has_kqueue)]
            Kind::Kqueue(_) => Backend::Kqueue,
            #[cfg(all(feature = "tls", has_epoll))]
            Kind::TlsEpoll(_) => Backend::Epoll,
            #[cfg(all(feature = "tls", has_kqueue))]
            Kind::TlsKqueue(_) => Backend::Kqueue,
            #[cfg(has_uring)]
            Kind::Uring(_) | Kind::PollingUring(_) => Backend::Uring,
            #[cfg(all(feature = "tls", has_uring))]
            Kind::TlsUring(_) => Backend::Uring,
            #[cfg(not(has_backend))]
            Kind::Never(never, _) => match never {},
        }
    }
}

impl fmt::Debug for AnyReactor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyReactor").field("backend", &self.backend()).finish_non_exhaustive()
    }
}

impl<'s> Open<'s> for AnyReactor<'s> {
    fn backend(configured: Chosen) -> Chosen {
        configured
    }

    fn open(tables: Tables<'s>) -> Result<Self, ServerError> {
        match tables.chosen {
            #[cfg(all(feature = "tls", has_epoll))]
            Chosen::Epoll if tables.tls.is_some() => {
                Encrypted::open(tables).map(|reactor| Self(Kind::TlsEpoll(reactor)))
            }
            #[cfg(all(feature = "tls", has_kqueue))]
            Chosen::Kqueue if tables.tls.is_some() => {
                Encrypted::open(tables).map(|reactor| Self(Kind::TlsKqueue(reactor)))
            }
            #[cfg(has_epoll)]
            Chosen::Epoll => aurora_http_epoll::Reactor::open(tables).map(|reactor| Self(Kind::Epoll(reactor))),
            #[cfg(has_kqueue)]
            Chosen::Kqueue => aurora_http_kqueue::Reactor::open(tables).map(|reactor| Self(Kind::Kqueue(reactor))),
            #[cfg(has_uring)]
            Chosen::Uring(_) => {
                let Tables { chosen, handles, spare, tls, proxy_headers } = tables;
                match open_uring(Tables { chosen, handles, spare: None, tls, proxy_headers }) {
                    Ok(reactor) => Ok(reactor),
                    // It was usable when the storage was made, and no longer is.
                    Err(error) => match (choose_after(chosen, &error), spare) {
                        (Some(next), Some(spare)) => Self::open(spare.tables(next?.0)?),
                        _ => Err(error),
                    },
                }
            }
        }
    }
}

/// On io_uring: layers between sockets and engine have the ring poll, and make the calls.
#[cfg(has_uring)]
fn open_uring(tables: Tables<'_>) -> Result<AnyReactor<'_>, ServerError> {
    #[cfg(feature = "tls")]
    if tables.tls.is_some() {
        return Encrypted::open(tables).map(|reactor| AnyReactor(Kind::TlsUring(reactor)));
    }
    if tables.proxy_headers {
        return aurora_http_uring::PollingReactor::open(tables).map(|reactor| AnyReactor(Kind::PollingUring(reactor)));
    }
    aurora_http_uring::Uring::open(tables).map(|reactor| AnyReactor(Kind::Uring(reactor)))
}

impl sealed::Sealed for AnyReactor<'_> {
    #[inline]
    fn turn<H: Handler>(
        &mut self,
        engine: &mut Engine<'_, 'static, H>,
        stop: &StopFlag,
        wait_max: Option<Duration>,
    ) -> Result<(), IoError> {
        each!(&mut self.0, reactor => reactor.turn(engine, stop, wait_max))
    }
}

impl SocketReactor for AnyReactor<'_> {
    type Waker = AnyWaker;

    fn waker(&self) -> Result<AnyWaker, IoError> {
        each!(&self.0, reactor => Ok(AnyWaker(Box::new(SocketReactor::waker(reactor)?))))
    }

    fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError> {
        each!(&mut self.0, reactor => SocketReactor::add_listener(reactor, listener))
    }

    fn detach(&mut self, io: IoHandle) -> Option<OwnedFd> {
        each!(&mut self.0, reactor => SocketReactor::detach(reactor, io))
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        each!(&self.0, reactor => SocketReactor::descriptor(reactor))
    }
}

impl Reactor<'static> for AnyReactor<'_> {
    fn submit(&mut self, submission: Submission<'static>) -> Result<(), Submission<'static>> {
        each!(&mut self.0, reactor => reactor.submit(submission))
    }

    fn provide(&mut self, buf: Buf<'static>) -> Result<(), Buf<'static>> {
        each!(&mut self.0, reactor => reactor.provide(buf))
    }

    fn reclaim(&mut self) -> Option<Buf<'static>> {
        each!(&mut self.0, reactor => reactor.reclaim())
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        each!(&mut self.0, reactor => reactor.shutdown(io, how));
    }

    fn cancel(&mut self, token: OpToken, io: IoHandle) {
        each!(&mut self.0, reactor => reactor.cancel(token, io));
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<Seen, IoError> {
        each!(&mut self.0, reactor => reactor.wait(timeout))
    }

    fn has_work(&self) -> bool {
        each!(&self.0, reactor => reactor.has_work())
    }

    fn flush(&mut self) {
        each!(&mut self.0, reactor => Reactor::flush(reactor));
    }

    fn next_completion(&mut self) -> Option<Completion<'static>> {
        each!(&mut self.0, reactor => reactor.next_completion())
    }

    fn now(&self) -> Instant {
        each!(&self.0, reactor => reactor.now())
    }

    fn unix_time(&self) -> Option<u64> {
        each!(&self.0, reactor => reactor.unix_time())
    }

    fn peers(&self) -> &dyn Peers {
        each!(&self.0, reactor => reactor.peers())
    }
}

/// Ends the wait of an [`AnyReactor`] from another thread.
pub struct AnyWaker(Box<dyn Wake>);

impl Wake for AnyWaker {
    fn wake(&self) {
        self.0.wake();
    }
}

impl fmt::Debug for AnyWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyWaker").finish_non_exhaustive()
    }
}
