//! The clients' ends of connections, which the test plays.

use super::NONE;
use super::network::Network;
use super::socket::{Server, Socket};
use crate::reactor::IoHandle;

/// The client's end of a simulated connection.
///
/// Its socket is in use until the client closes or resets it, even if the server has closed. After that the client is
/// stale: it sends nothing and receives [`ClientRecv::Reset`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Client {
    socket: u32,
    generation: u32,
}

/// What a client received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientRecv {
    /// This many bytes.
    Bytes(usize),
    /// Nothing has arrived.
    Nothing,
    /// The server's FIN: nothing more will arrive.
    Fin,
    /// The connection was reset; unread bytes are lost.
    Reset,
}

impl Network {
    /// Connects to a listener; `None` if it does not listen or all sockets are in use.
    ///
    /// The client may send at once, before the connection is accepted.
    pub fn connect(&mut self, listener: IoHandle) -> Option<Client> {
        if self.sockets.get(listener.0 as usize)?.server != Server::Listening {
            return None;
        }
        let index = self.take_free()?;
        self.sockets[index as usize].server = Server::Waiting;
        let last = core::mem::replace(&mut self.sockets[listener.0 as usize].last_waiting, index);
        if self.sockets[listener.0 as usize].first_waiting == NONE {
            self.sockets[listener.0 as usize].first_waiting = index;
        } else {
            self.sockets[last as usize].next_waiting = index;
        }
        self.sockets[listener.0 as usize].edge.readable = true;
        self.change(listener.0);
        Some(Client { socket: index, generation: self.sockets[index as usize].generation })
    }

    fn client(&mut self, client: Client) -> Option<&mut Socket> {
        self.sockets
            .get_mut(client.socket as usize)
            .filter(|socket| socket.generation == client.generation && !socket.client_gone)
    }

    /// Sends, and returns how many bytes were taken: fewer if the server does not read, none if the connection has
    /// ended.
    ///
    /// Bytes that reach a server that has closed reset the connection.
    pub fn client_send(&mut self, client: Client, bytes: &[u8]) -> usize {
        let window = self.window();
        let Some(socket) = self.client(client) else { return 0 };
        if socket.client_fin || socket.reset || bytes.is_empty() {
            return 0;
        }
        if socket.server == Server::Closed {
            socket.break_up();
            self.tell(client.socket);
            return 0;
        }
        let count = socket.to_server.write(window, bytes, usize::MAX);
        socket.edge.readable = true;
        self.change(client.socket);
        count
    }

    /// Receives what the server has sent, as much as `into` has room for.
    pub fn client_recv(&mut self, client: Client, into: &mut [u8]) -> ClientRecv {
        let window = self.window();
        let Some(socket) = self.client(client) else { return ClientRecv::Reset };
        if socket.reset {
            return ClientRecv::Reset;
        }
        if socket.to_client.filled() == 0 {
            return if socket.server_fin { ClientRecv::Fin } else { ClientRecv::Nothing };
        }
        let was_full = socket.to_client.filled() >= window;
        let count = socket.to_client.read(into, usize::MAX);
        if was_full {
            socket.edge.writable = true;
            self.change(client.socket);
        }
        ClientRecv::Bytes(count)
    }

    /// The number of bytes that had arrived at a client and were destroyed by a reset before it read them.
    pub fn client_lost(&mut self, client: Client) -> usize {
        self.client(client).map_or(0, |socket| socket.lost)
    }

    /// Sends FIN and continues to read: a half-close.
    pub fn client_finish(&mut self, client: Client) {
        let Some(socket) = self.client(client) else { return };
        socket.client_fin = true;
        socket.edge.readable = true;
        socket.edge.ended = true;
        self.change(client.socket);
    }

    /// Closes the client's end: sends FIN, and answers what the server sends from now on with a reset. With unread
    /// bytes, this is a reset at once.
    pub fn client_close(&mut self, client: Client) {
        let Some(socket) = self.client(client) else { return };
        if socket.to_client.filled() > 0 {
            socket.break_up();
        }
        socket.close_client();
        self.end(client.socket);
    }

    /// Resets the connection (RST). The server can still read bytes that it has not read yet.
    pub fn client_reset(&mut self, client: Client) {
        let Some(socket) = self.client(client) else { return };
        socket.break_up();
        socket.close_client();
        self.end(client.socket);
    }

    fn end(&mut self, index: u32) {
        self.change(index);
        self.release_if_over(index);
    }

    /// Whether [`next_news`](Self::next_news) may return a client.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// The next client for which something changed: bytes arrived or were taken, the server's FIN, a reset. Each client
    /// is returned once, however much changed.
    pub fn next_news(&mut self) -> Option<Client> {
        while let Some(index) = self.news.pop_front() {
            let socket = &mut self.sockets[index as usize];
            socket.has_news = false;
            if !socket.client_gone && socket.server != Server::Free {
                return Some(Client { socket: index, generation: socket.generation });
            }
        }
        None
    }
}
