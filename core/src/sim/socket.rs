//! One simulated socket: a listener, or a connection with both of its ends.

use super::NONE;
use super::pipe::Pipe;
use crate::reactor::Ready;

/// The state of the server's end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Server {
    /// The socket is not in use.
    #[default]
    Free,
    Listening,
    /// A connection that has not been accepted yet.
    Waiting,
    Open,
    Closed,
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) server: Server,
    /// The client has closed or reset its end.
    pub(super) client_gone: bool,
    /// Distinguishes the connections that use this socket one after another.
    pub(super) generation: u32,
    pub(super) to_server: Pipe,
    pub(super) to_client: Pipe,
    /// The client has sent its FIN.
    pub(super) client_fin: bool,
    pub(super) server_fin: bool,
    /// The server has shut down receiving.
    pub(super) read_ended: bool,
    /// The server's close will reset the connection.
    pub(super) resets: bool,
    /// The connection has been reset.
    pub(super) reset: bool,
    /// The number of bytes that the client had not read at the reset.
    pub(super) lost: usize,
    /// For a listener: the connections to accept, oldest first, linked by `next_waiting`.
    pub(super) first_waiting: u32,
    pub(super) last_waiting: u32,
    pub(super) next_waiting: u32,
    /// Whether it is in the network's list of changes for the server.
    pub(super) changed: bool,
    /// Whether it is in the network's list of news for clients.
    pub(super) has_news: bool,
    /// The flags of its pending event.
    pub(super) edge: Ready,
}

impl Socket {
    pub(super) fn new(generation: u32) -> Self {
        Self {
            server: Server::Free,
            client_gone: false,
            generation,
            to_server: Pipe::default(),
            to_client: Pipe::default(),
            client_fin: false,
            server_fin: false,
            read_ended: false,
            resets: false,
            reset: false,
            lost: 0,
            first_waiting: NONE,
            last_waiting: NONE,
            next_waiting: NONE,
            changed: false,
            has_news: false,
            edge: Ready::default(),
        }
    }

    /// Whether it is a handle of the server.
    pub(super) fn is_handle(&self) -> bool {
        matches!(self.server, Server::Listening | Server::Open)
    }

    pub(super) fn can_recv(&self) -> bool {
        self.to_server.filled() > 0 || self.client_fin || self.read_ended || self.reset
    }

    pub(super) fn can_send(&self, window: usize) -> bool {
        let over = self.reset || self.server_fin || self.client_gone;
        over || self.to_client.filled() < window
    }

    /// Resets the connection: bytes that the client has not read are lost; those that the server has not read can still
    /// be read.
    pub(super) fn break_up(&mut self) {
        self.reset = true;
        self.lost += self.to_client.filled();
        self.to_client.clear();
        self.edge = Ready { readable: true, writable: true, ended: true };
    }

    /// Closes the server's end; with unread input, or if it has been asked for, this is a reset.
    pub(super) fn close_server(&mut self) {
        if self.to_server.filled() > 0 || self.resets {
            self.break_up();
        }
        if self.server == Server::Listening {
            self.client_gone = true;
        }
        self.server = Server::Closed;
        self.server_fin = true;
    }

    /// Closes the client's end.
    pub(super) fn close_client(&mut self) {
        self.client_gone = true;
        self.client_fin = true;
        self.edge.readable = true;
        self.edge.ended = true;
    }

    /// Whether both ends are closed.
    pub(super) fn is_over(&self) -> bool {
        self.server == Server::Closed && self.client_gone
    }

    /// Frees it for another connection.
    pub(super) fn release(&mut self) {
        self.to_server.clear();
        self.to_client.clear();
        let (to_server, to_client) = (core::mem::take(&mut self.to_server), core::mem::take(&mut self.to_client));
        let (changed, has_news) = (self.changed, self.has_news);
        *self = Self { to_server, to_client, changed, has_news, ..Self::new(self.generation.wrapping_add(1)) };
    }
}
