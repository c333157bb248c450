//! What is known of a socket besides its own state.

use aurora_http_core::reactor::Ready;
use aurora_http_core::time::Instant;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};

use crate::{HANDSHAKE_MS, LEAVE_MS};

/// Whose a socket is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// It listens, or has a newcomer.
    Free,
    /// The engine's.
    Taken,
    /// The engine has closed it, and TCP has not.
    Leaving,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) handle: Option<SocketHandle>,
    pub(crate) phase: Phase,
    /// When its newcomer came, or when the engine closed it.
    since: Option<Instant>,
    /// The engine was told that it cannot receive more at present.
    pub(crate) wants_receive: bool,
    /// The engine was told that it cannot send more at present.
    pub(crate) wants_send: bool,
    /// The engine does not want what comes.
    pub(crate) is_deaf: bool,
}

impl Seat {
    pub(crate) const FREE: Self =
        Self { handle: None, phase: Phase::Free, since: None, wants_receive: false, wants_send: false, is_deaf: false };

    /// The engine takes it.
    pub(crate) fn take(&mut self) {
        *self = Self { phase: Phase::Taken, ..Self { handle: self.handle, ..Self::FREE } };
    }

    /// The engine is through with it.
    pub(crate) fn leave(&mut self, socket: &mut Socket<'_>, now: Instant) {
        // As kernels do: what was sent to nobody is answered by a reset.
        if socket.can_recv() {
            socket.abort();
        } else {
            socket.close();
        }
        self.phase = Phase::Leaving;
        self.since = Some(now);
    }

    /// Has it listen, if nothing stands against it; without a port, it is free and does nothing.
    pub(crate) fn refresh(&mut self, socket: &mut Socket<'_>, port: Option<u16>, now: Instant) {
        let is_over = |timeout_ms: u32, since: Instant| now.ms_since(since) >= u64::from(timeout_ms);
        match (self.phase, socket.state()) {
            (Phase::Taken, _) => return,
            (Phase::Free, State::Listen) => {
                self.since = None;
                return;
            }
            (Phase::Free, State::SynReceived) => {
                if is_over(HANDSHAKE_MS, *self.since.get_or_insert(now)) {
                    self.recycle(socket, port);
                }
            }
            // It waits to be accepted.
            (Phase::Free, _) if has_newcomer(socket) => {
                self.since.get_or_insert(now);
            }
            (Phase::Leaving, State::Closed) | (Phase::Free, _) => {}
            (Phase::Leaving, _) => {
                if socket.can_recv() || self.since.is_some_and(|since| is_over(LEAVE_MS, since)) {
                    socket.abort();
                }
            }
        }
        // A reset that is still to be sent needs the socket.
        if socket.state() == State::Closed && socket.local_endpoint().is_none() {
            self.recycle(socket, port);
        }
    }

    /// Forgets the connection without a word and listens, if there is a port.
    pub(crate) fn recycle(&mut self, socket: &mut Socket<'_>, port: Option<u16>) {
        socket.abort();
        if let Some(port) = port {
            // Fails for port 0 alone, at which nobody is listened to.
            let _ = socket.listen(port);
        }
        *self = Self { handle: self.handle, ..Self::FREE };
    }

    /// Since when it could listen if a socket is needed: everything that its client may want has been acknowledged.
    pub(crate) fn expendable_since(&self, socket: &Socket<'_>) -> Option<Instant> {
        let is_acknowledged = matches!(socket.state(), State::TimeWait | State::FinWait2 | State::Closed);
        if self.phase == Phase::Leaving && is_acknowledged { self.since } else { None }
    }

    /// Since when a newcomer waits to be accepted.
    pub(crate) fn waiting_since(&self, socket: &Socket<'_>) -> Option<Instant> {
        if self.phase == Phase::Free && has_newcomer(socket) { self.since } else { None }
    }

    /// What the engine waits for and can have now.
    pub(crate) fn ready(&mut self, socket: &Socket<'_>) -> Ready {
        let ended = !matches!(socket.state(), State::Established | State::FinWait1 | State::FinWait2);
        let readable = self.wants_receive && (ended || socket.can_recv());
        let writable = self.wants_send && (socket.can_send() || !socket.may_send());
        self.wants_receive &= !readable;
        self.wants_send &= !writable;
        Ready { readable, writable, ended: ended && readable }
    }
}

/// Whether a handshake is complete. The client may have closed its side since.
fn has_newcomer(socket: &Socket<'_>) -> bool {
    matches!(socket.state(), State::Established | State::CloseWait)
}
