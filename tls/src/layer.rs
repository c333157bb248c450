//! TLS over the calls of any [`NonBlocking`].

use std::time::Duration;

use aurora_http_core::reactor::{
    Attempt, IoError, IoHandle, NonBlocking, Peer, Ready, ReadyFn, Security, Seen, Shutdown,
};
use aurora_http_core::time::Instant;

use crate::config::TlsConfig;
use crate::session::{Handshake, Session};
use crate::wire::Wire;

/// Encrypts every connection that is accepted through it.
///
/// It stands between a [`NonBlocking`] and [`Readiness`](aurora_http_core::readiness::Readiness): to the layers above, a
/// connection is a socket that becomes readable when there is plaintext. A handshake takes place within
/// [`wait`](NonBlocking::wait) and [`recv`](NonBlocking::recv), and counts as a client that has not sent anything yet: it
/// must be complete, and the first byte of the request there, within
/// [`first_byte_timeout_ms`](aurora_http_core::limits::Timeouts::first_byte_timeout_ms).
///
/// ```
/// # #[cfg(target_os = "linux")] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use aurora_http_core::readiness::{Held, Parked, Readiness};
/// use aurora_http_epoll::{Entry, Epoll, ListenOptions, listen};
/// use aurora_http_tls::{Tls, TlsConfig};
///
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
/// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// let config = TlsConfig::from_pem(&chain, &key)?;
/// let mut table = [const { Entry::new() }; 16];
/// let mut parked = [const { Parked::new() }; 16];
/// let (mut held, mut lent) = ([const { Held::new() }; 12], [const { None }; 4]);
///
/// let mut epoll = Epoll::new(&mut table)?;
/// epoll.add_listener(listen("127.0.0.1:0".parse()?, &ListenOptions::default())?)?;
/// let reactor = Readiness::new(Tls::new(epoll, &config, 16), &mut parked, &mut held, &mut lent);
/// # drop(reactor);
/// # Ok(())
/// # }
/// # #[cfg(not(target_os = "linux"))] fn main() {}
/// ```
#[derive(Debug)]
pub struct Tls<P> {
    io: P,
    config: TlsConfig,
    /// By handle.
    sessions: Vec<Option<Box<Session>>>,
    /// Sessions that an event concerns, to work on after the wait.
    work: Vec<u32>,
    /// Handles that are ready although the socket will not report it: there are decrypted bytes, or their share of the turn was
    /// used up.
    due: Vec<u32>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("security", &self.security()).finish_non_exhaustive()
    }
}

impl<P: NonBlocking> Tls<P> {
    /// Encrypts the connections of `io`, whose handles are below `handles`.
    #[must_use]
    pub fn new(io: P, config: &TlsConfig, handles: usize) -> Self {
        let mut sessions = Vec::new();
        sessions.resize_with(handles, || None);
        let lists = || Vec::with_capacity(handles);
        Self { io, config: config.clone(), sessions, work: lists(), due: lists() }
    }

    /// What is encrypted.
    #[must_use]
    pub const fn get_ref(&self) -> &P {
        &self.io
    }

    /// What is encrypted, mutably, to add listeners. Do not take connections out of it: their sessions would stay here, and
    /// clients would take what is sent without them for an attack.
    #[must_use]
    pub const fn get_mut(&mut self) -> &mut P {
        &mut self.io
    }

    /// The session of a handle, and its socket.
    fn session(&mut self, handle: IoHandle) -> Option<(&mut Session, Wire<'_, P>)> {
        let session = self.sessions.get_mut(handle.0 as usize)?.as_deref_mut()?;
        Some((session, Wire::new(&mut self.io, handle, self.config.tally())))
    }

    /// Has the handle reported in the next wait.
    fn note(&mut self, handle: IoHandle, is_due: bool) {
        if is_due
            && let Some(Some(session)) = self.sessions.get_mut(handle.0 as usize)
            && !std::mem::replace(&mut session.is_due, true)
        {
            self.due.push(handle.0);
        }
    }

    /// Reports the handles that are due. A handshake is not over, so it goes on instead.
    fn report_due(&mut self, ready: &mut ReadyFn<'_>) {
        for index in self.due.drain(..) {
            let Some(Some(session)) = self.sessions.get_mut(index as usize) else { continue };
            if !std::mem::take(&mut session.is_due) {
                continue; // closed since, and another connection has the handle
            }
            if session.is_handshaking() {
                if !std::mem::replace(&mut session.is_queued, true) {
                    self.work.push(index);
                }
            } else {
                ready(IoHandle(index), Ready { readable: true, writable: true, ended: false });
            }
        }
    }

    /// Carries on with handshakes, and with sends for which there was no room.
    fn work(&mut self, ready: &mut ReadyFn<'_>) {
        for at in 0..self.work.len() {
            let handle = IoHandle(self.work[at]);
            let Some(Some(session)) = self.sessions.get_mut(handle.0 as usize) else { continue };
            session.is_queued = false;
            let mut wire = Wire::new(&mut self.io, handle, self.config.tally());
            session.push(&mut wire);
            if !session.is_handshaking() {
                continue;
            }
            match session.handshake(&mut wire) {
                Handshake::Waits => {}
                Handshake::Interrupted => self.note(handle, true),
                Handshake::Over => {
                    let ended = session.is_last_event;
                    ready(handle, Ready { readable: true, writable: true, ended });
                }
            }
        }
        self.work.clear();
    }
}

impl<P: NonBlocking> NonBlocking for Tls<P> {
    fn accept(&mut self, listener: IoHandle) -> Attempt {
        let attempt = self.io.accept(listener);
        let Attempt::Done(handle) = attempt else { return attempt };
        let session = Session::new(self.config.current());
        match (self.sessions.get_mut(handle as usize), session) {
            (Some(place), Some(session)) => {
                *place = Some(Box::new(session));
                attempt
            }
            (None, _) => {
                self.io.close(IoHandle(handle));
                Attempt::Failed(IoError::FileLimit)
            }
            (_, None) => {
                self.io.close(IoHandle(handle));
                Attempt::Failed(IoError::ConnectionReset)
            }
        }
    }

    fn recv(&mut self, io: IoHandle, spare: &mut [u8]) -> Attempt {
        let Some((session, mut wire)) = self.session(io) else { return Attempt::Failed(IoError::Unsupported) };
        let (attempt, is_due) = session.recv(&mut wire, spare);
        self.note(io, is_due);
        attempt
    }

    fn send(&mut self, io: IoHandle, parts: [&[u8]; 2]) -> Attempt {
        let Some((session, mut wire)) = self.session(io) else { return Attempt::Failed(IoError::Unsupported) };
        let (attempt, is_due) = session.send(&mut wire, parts);
        self.note(io, is_due);
        attempt
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        let Some((session, mut wire)) = self.session(io) else { return };
        match how {
            Shutdown::Write => session.finish(&mut wire),
            Shutdown::Read => wire.shutdown(how),
            Shutdown::Both | Shutdown::Reset => {
                session.abort();
                wire.shutdown(how);
            }
        }
    }

    fn close(&mut self, io: IoHandle) {
        if let Some((session, mut wire)) = self.session(io) {
            session.push(&mut wire);
        }
        if let Some(place) = self.sessions.get_mut(io.0 as usize) {
            *place = None;
        }
        self.io.close(io);
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError> {
        let timeout = if self.due.is_empty() { timeout } else { Some(Duration::ZERO) };
        let Self { io, sessions, work, .. } = self;
        let seen = io.wait(timeout, &mut |handle, flags| {
            if let Some(Some(session)) = sessions.get_mut(handle.0 as usize) {
                session.is_last_event |= flags.ended;
                let is_handshaking = session.is_handshaking();
                if (is_handshaking || session.has_unsent()) && !std::mem::replace(&mut session.is_queued, true) {
                    work.push(handle.0);
                }
                if is_handshaking {
                    return; // nothing is ready before it is over
                }
            }
            ready(handle, flags);
        })?;
        self.report_due(ready);
        self.work(ready);
        // What is due now was interrupted, so not everything has been seen.
        Ok(if self.due.is_empty() { seen } else { Seen::Part })
    }

    fn has_more(&self) -> bool {
        self.io.has_more() || !self.due.is_empty()
    }

    fn flush(&mut self) {
        self.io.flush();
    }

    fn now(&self) -> Instant {
        self.io.now()
    }

    fn unix_time(&self) -> Option<u64> {
        self.io.unix_time()
    }

    fn peer(&self, io: IoHandle) -> Option<Peer> {
        self.io.peer(io)
    }

    fn security(&self, io: IoHandle) -> Option<Security<'_>> {
        self.sessions.get(io.0 as usize)?.as_ref()?.security()
    }

    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        let has_unsent = self.sessions.get(io.0 as usize)?.as_ref().is_some_and(|session| session.has_unsent());
        Some(self.io.unacknowledged(io)?.saturating_add(u32::from(has_unsent)))
    }
}
