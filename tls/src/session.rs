//! One encrypted connection: what rustls does for it, and what is still to be done.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use aurora_http_core::reactor::{Attempt, IoError, NonBlocking, Security, Shutdown};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};

use crate::wire::Wire;

/// The most plaintext that is encrypted before it is sent: two records, which leave in one call.
pub(crate) const PENDING_BYTES_MAX: usize = 32 << 10;
/// The most plaintext that one send takes, so that a fast reader cannot keep a worker from its other connections.
const SEND_BYTES_MAX: usize = 256 << 10;
/// The most receives in one call, for the same reason: records may be empty, and handshakes long.
const PULLS_MAX: u32 = 32;

/// The answer to a request without TLS, for people who have typed `http://` instead of `https://`.
const PLAIN_HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 48\r\n\
    Connection: close\r\n\r\nThis port speaks HTTPS: the URL needs https://.\n";

pub(crate) struct Session {
    tls: ServerConnection,
    phase: Phase,
    end: End,
    /// How many bytes of plaintext the encrypted bytes are that wait for room. They count as sent once those have left, and
    /// are the first ones of the next send.
    encrypted: usize,
    /// The client's close_notify, or its FIN.
    has_ended: bool,
    /// Nothing has been received yet.
    is_new: bool,
    /// The socket reported its end: it will not report anything else.
    pub(crate) is_last_event: bool,
    /// It is in the list of sessions to work on after the wait.
    pub(crate) is_queued: bool,
    /// It is in the list of handles to report in the next wait.
    pub(crate) is_due: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Phase {
    Handshake,
    Open,
    Failed(IoError),
}

/// How far the end of our direction is.
#[derive(Clone, Copy, Eq, PartialEq)]
enum End {
    /// More may be sent.
    Open,
    /// The close_notify is encrypted, and waits for room in the socket.
    Announced,
    /// Everything was sent, and the FIN after it.
    Sent,
}

/// The outcome of one receive from the socket.
enum Pull {
    /// Records, perhaps incomplete.
    Some,
    /// Nothing until the next event.
    Nothing,
    /// No more will come.
    End,
    /// The phase tells why.
    Failed,
}

/// What [`Session::handshake`] came to.
pub(crate) enum Handshake {
    /// It waits for the client.
    Waits,
    /// It has had its share of this turn.
    Interrupted,
    /// It is complete, or has failed: the next receive tells.
    Over,
}

impl Session {
    /// A session in front of its handshake; `None` when the configuration cannot make one.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Option<Self> {
        let mut tls = ServerConnection::new(config).ok()?;
        tls.set_buffer_limit(Some(PENDING_BYTES_MAX));
        Some(Self {
            tls,
            phase: Phase::Handshake,
            end: End::Open,
            encrypted: 0,
            has_ended: false,
            is_new: true,
            is_last_event: false,
            is_queued: false,
            is_due: false,
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.phase == Phase::Handshake
    }

    /// Whether encrypted bytes wait for room in the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        self.end == End::Announced || self.end == End::Open && self.tls.wants_write()
    }

    /// Carries the handshake on as far as the bytes that have arrived allow.
    pub(crate) fn handshake<P: NonBlocking>(&mut self, wire: &mut Wire<'_, P>) -> Handshake {
        for _ in 0..PULLS_MAX {
            match self.pull(wire) {
                Pull::Some if !self.is_handshaking() => return Handshake::Over,
                Pull::Some if wire.is_drained && !self.is_last_event => return Handshake::Waits,
                Pull::Some => {}
                Pull::Nothing => return Handshake::Waits,
                Pull::End => {
                    self.give_up(wire, IoError::ConnectionReset);
                    return Handshake::Over;
                }
                Pull::Failed => return Handshake::Over,
            }
        }
        Handshake::Interrupted
    }

    /// Receives plaintext. Sets `is_due` when the handle must be reported again, although no event will.
    pub(crate) fn recv<P: NonBlocking>(&mut self, wire: &mut Wire<'_, P>, spare: &mut [u8]) -> (Attempt, bool) {
        let mut filled = 0;
        let some = |filled: usize| if filled > 0 { Attempt::Done(filled as u32) } else { Attempt::WouldBlock };
        for _ in 0..PULLS_MAX {
            if let Phase::Failed(error) = self.phase
                && filled == 0
            {
                return (Attempt::Failed(error), false);
            }
            filled += self.take(&mut spare[filled..]);
            if filled == spare.len() {
                return (Attempt::Done(filled as u32), false);
            }
            if self.has_ended || matches!(self.phase, Phase::Failed(_)) {
                // The end, or the error, is for the next receive.
                return (Attempt::Done(filled as u32), filled > 0);
            }
            match self.pull(wire) {
                // Once the end was reported, receives continue until it is reached.
                Pull::Some if wire.is_drained => {
                    filled += self.take(&mut spare[filled..]);
                    let is_over = self.has_ended || matches!(self.phase, Phase::Failed(_));
                    if filled == spare.len() || !is_over {
                        return (some(filled), false);
                    }
                }
                Pull::Some => {}
                Pull::Nothing => return (some(filled), false),
                Pull::End if self.is_handshaking() => self.give_up(wire, IoError::ConnectionReset),
                Pull::End => self.has_ended = true,
                Pull::Failed => {} // the next round tells
            }
        }
        (some(filled), true)
    }

    /// Sends plaintext. Returns as well whether the handle must be reported again, although no event will.
    pub(crate) fn send<P: NonBlocking>(&mut self, wire: &mut Wire<'_, P>, parts: [&[u8]; 2]) -> (Attempt, bool) {
        match self.phase {
            Phase::Handshake => return (Attempt::WouldBlock, false), // its end is reported
            Phase::Failed(error) => return (Attempt::Failed(error), false),
            Phase::Open if self.end != End::Open => return (Attempt::Failed(IoError::ConnectionReset), false),
            Phase::Open => {}
        }
        let total = parts[0].len() + parts[1].len();
        let mut taken = 0;
        loop {
            match self.flush(wire) {
                Ok(true) => taken = total.min(taken + std::mem::take(&mut self.encrypted)),
                Ok(false) if taken > 0 => return (Attempt::Done(taken as u32), false),
                Ok(false) => return (Attempt::WouldBlock, false),
                Err(error) => return (Attempt::Failed(error), false),
            }
            if taken == total || taken >= SEND_BYTES_MAX {
                return (Attempt::Done(taken as u32), taken < total);
            }
            let head = parts[0].get(taken..).unwrap_or_default();
            let body = parts[1].get(taken.saturating_sub(parts[0].len())..).unwrap_or_default();
            let encrypted = match [head, body] {
                [head, []] => self.tls.writer().write(head),
                [[], body] => self.tls.writer().write(body),
                [head, body] => self.tls.writer().write_vectored(&[IoSlice::new(head), IoSlice::new(body)]),
            };
            match encrypted {
                Ok(count) if count > 0 => self.encrypted = count,
                _ => return (self.fail(wire, IoError::ConnectionReset), false),
            }
        }
    }

    /// Says that nothing more will be sent (RFC 8446 §6.1), and ends our direction once that has left.
    pub(crate) fn finish<P: NonBlocking>(&mut self, wire: &mut Wire<'_, P>) {
        if self.end == End::Open && self.phase == Phase::Open {
            self.tls.send_close_notify();
        }
        if self.end == End::Open {
            self.end = End::Announced;
        }
        self.push(wire);
    }

    /// Sends what is encrypted, as far as there is room.
    pub(crate) fn push<P: NonBlocking>(&mut self, wire: &mut Wire<'_, P>) {
        let _ = self.flush(wire); // a failure is kept in the phase
    }

    /// Cuts the connection off: nothing is announced, so that the client knows that the end is missing.
    pub(crate) fn abort(&mut self) {
        self.end = End::Sent;
    }

    pub(crate) fn security(&self) -> Option<Security<'_>> {
        let protocol = match self.tls.protocol_version()? {
            ProtocolVersion::TLSv1_2 => "TLSv1.2",
            ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => "TLS",
        };
        let cipher = self.tls.negotiated_cipher_suite()?.suite().as_str()?;
        let mut security = Security::new(protocol, cipher);
        security.server_name = self.tls.server_name();
        security.certificate = self.tls.peer_certificates().and_then(<[_]>::first).map(AsRef::as_ref);
        Some(security)
    }

    /// Moves decrypted bytes into `spare`.
    fn take(&mut self, spare: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < spare.len() {
            match self.tls.reader().read(&mut spare[filled..]) {
                Ok(count) if count > 0 => filled += count,
                _ => break, // none are left
            }
        }
        filled
    }

    /// Receives from the socket once, and decrypts. Answers of the protocol leave as far as there is room.
    fn pull<P: NonBlocking>(&mut self, wire: &mut Wire<'_, P>) -> Pull {
        match self.tls.read_tls(wire) {
            Ok(0) => return Pull::End,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Pull::Nothing,
            Err(_) => {
                let error = wire.error.take().unwrap_or(IoError::ConnectionReset);
                self.give_up(wire, error);
                return Pull::Failed;
            }
        }
        let is_new = std::mem::replace(&mut self.is_new, false);
        match self.tls.process_new_packets() {
            Ok(state) => self.has_ended |= state.peer_has_closed(),
            Err(_) => {
                if is_new && wire.first.is_some_and(|first| first.is_ascii_uppercase()) {
                    // The alert of rustls would be noise to such a client.
                    wire.send_plain(PLAIN_HTTP_ANSWER);
                    self.end = End::Sent;
                }
                self.fail(wire, IoError::ConnectionReset);
                return Pull::Failed;
            }
        }
        if self.is_handshaking() && !self.tls.is_handshaking() {
            self.phase = Phase::Open;
            wire.tally.completed(self.tls.handshake_kind() == Some(HandshakeKind::Resumed));
        }
        match self.flush(wire) {
            Ok(_) => Pull::Some,
            Err(_) => Pull::Failed,
        }
    }

    /// Sends encrypted bytes, and our FIN if it was waiting for that; `Ok(false)` when some are left, for which there is no
    /// room.
    fn flush<P: NonBlocking>(&mut self, wire: &mut Wire<'_, P>) -> Result<bool, IoError> {
        if self.end == End::Sent {
            return Ok(true);
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(wire) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(_) => {
                    let error = wire.error.take().unwrap_or(IoError::ConnectionReset);
                    self.give_up(wire, error);
                    self.end = End::Sent;
                    return Err(error);
                }
            }
        }
        if self.end == End::Announced {
            self.end = End::Sent;
            wire.shutdown(Shutdown::Write);
        }
        Ok(true)
    }

    /// The connection is over.
    fn give_up<P>(&mut self, wire: &Wire<'_, P>, error: IoError) {
        if self.phase == Phase::Handshake {
            wire.tally.failed();
        }
        self.phase = Phase::Failed(error);
    }

    /// The client broke the protocol: it is told why, by the alert that rustls has made, and the connection is over.
    fn fail<P: NonBlocking>(&mut self, wire: &mut Wire<'_, P>, error: IoError) -> Attempt {
        // Counted before the client can know.
        self.give_up(wire, error);
        let _ = self.flush(wire);
        self.end = End::Sent;
        wire.drop_input();
        wire.shutdown(Shutdown::Write);
        Attempt::Failed(error)
    }
}
