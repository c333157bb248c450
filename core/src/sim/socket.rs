//! One simulated socket: a listener, or a connection with both of its ends.

use super::NONE;
use super::pipe::Pipe;
use crate::pool::Buf;
use crate::reactor::{OpKind, OpToken};
use crate::time::Instant;

/// State of the server's end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Server {
    /// The socket is not in use.
    Free,
    Listening,
    /// A connection that was not accepted yet.
    Waiting,
    Open,
    Closed,
}

/// An operation in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) token: OpToken,
    /// The turn it was submitted in; it completes in a later one.
    pub(super) turn: u32,
    pub(super) due: Instant,
    pub(super) cancelled: bool,
}

/// Storage for one listener or connection of a [`Sim`](super::Sim).
pub struct Socket<'p> {
    pub(super) server: Server,
    /// The client has closed or reset its end.
    pub(super) client_gone: bool,
    /// Tells the connections apart that use this socket one after another.
    pub(super) generation: u32,
    pub(super) to_server: Pipe,
    pub(super) to_client: Pipe,
    /// No bytes will come from this side.
    pub(super) client_fin: bool,
    pub(super) server_fin: bool,
    /// The server's own end of reading.
    pub(super) read_ended: bool,
    /// The connection is broken.
    pub(super) reset: bool,
    /// By [`OpKind`].
    pub(super) operations: [Option<Stamp>; 4],
    /// The receive is for a lent buffer.
    pub(super) lent: bool,
    pub(super) into: Option<Buf<'p>>,
    pub(super) head: Option<Buf<'p>>,
    pub(super) body: &'p [u8],
    /// Of a listener: the connections to accept, oldest first, linked by `next_waiting`.
    pub(super) first_waiting: u32,
    pub(super) next_waiting: u32,
    /// In one of the reactor's two lists, linked by `next`.
    pub(super) queued: bool,
    pub(super) next: u32,
}

impl Default for Socket<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Socket<'_> {
    /// A socket that is not in use.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            server: Server::Free,
            client_gone: false,
            generation: 0,
            to_server: Pipe::new(),
            to_client: Pipe::new(),
            client_fin: false,
            server_fin: false,
            read_ended: false,
            reset: false,
            operations: [None; 4],
            lent: false,
            into: None,
            head: None,
            body: &[],
            first_waiting: NONE,
            next_waiting: NONE,
            queued: false,
            next: NONE,
        }
    }

    pub(super) fn is_free(&self) -> bool {
        self.server == Server::Free
    }

    /// Whether the server may use it.
    pub(super) fn is_handle(&self) -> bool {
        matches!(self.server, Server::Listening | Server::Open)
    }

    pub(super) fn listen(&mut self) {
        self.server = Server::Listening;
    }

    /// A new connection that waits to be accepted.
    pub(super) fn connect(&mut self) {
        self.server = Server::Waiting;
    }

    pub(super) fn admits(&self, token: OpToken, kind: OpKind) -> bool {
        let same_owner = self.operations.iter().flatten().all(|stamp| stamp.token.with_kind(kind) == token);
        let fits = match kind {
            OpKind::Accept => self.server == Server::Listening,
            OpKind::Recv | OpKind::Send => self.server == Server::Open,
            OpKind::Close => true,
        };
        let closing = self.operations[OpKind::Close as usize].is_some();
        fits && same_owner && !closing && self.operations[kind as usize].is_none() && token.kind() == kind
    }

    pub(super) fn can_recv(&self) -> bool {
        self.to_server.filled() > 0 || self.client_fin || self.read_ended || self.reset
    }

    pub(super) fn can_send(&self, pipe_bytes: usize) -> bool {
        let nothing = self.body.is_empty() && self.head.as_ref().is_none_or(Buf::is_empty);
        let over = self.reset || self.server_fin || self.client_gone;
        nothing || over || self.to_client.filled() < pipe_bytes
    }

    pub(super) fn cancel_all(&mut self) {
        for stamp in self.operations.iter_mut().flatten() {
            stamp.cancelled = true;
        }
    }

    /// A reset: what the client has not read is lost; what the server has not read can still be read.
    pub(super) fn break_up(&mut self) {
        self.reset = true;
        self.to_client.clear();
    }

    /// Closes the server's end. With unread input that is a reset.
    pub(super) fn close_server(&mut self) {
        if self.to_server.filled() > 0 {
            self.break_up();
        }
        if self.server == Server::Listening {
            self.client_gone = true;
        }
        self.server = Server::Closed;
        self.server_fin = true;
        self.release();
    }

    /// Closes the client's end.
    pub(super) fn close_client(&mut self) {
        self.client_gone = true;
        self.client_fin = true;
        self.release();
    }

    /// Makes it free when nobody uses it any more.
    fn release(&mut self) {
        if self.server == Server::Closed && self.client_gone {
            let Self { queued, next, generation, .. } = *self;
            *self = Self { queued, next, generation: generation.wrapping_add(1), ..Self::new() };
        }
    }
}
