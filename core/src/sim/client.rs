//! The clients' side: what a test does to the server.

use super::socket::{Server, Socket};
use super::{NONE, Sim, pipe_memory};
use crate::reactor::IoHandle;

/// The client's end of a simulated connection.
///
/// Its socket is in use until the client closes or resets it, even when the server has closed. A client that has done
/// so is stale: it sends nothing and receives [`ClientRecv::Reset`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Client {
    socket: u32,
    generation: u32,
}

/// What a client received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientRecv {
    /// So many bytes.
    Bytes(usize),
    /// Nothing is there yet.
    Nothing,
    /// The server's FIN: nothing will come any more.
    Fin,
    /// The connection was reset; what had not been read is lost.
    Reset,
}

impl<'p> Sim<'_, 'p> {
    /// Connects to a listener; `None` when it does not listen or all sockets are in use.
    ///
    /// The client may send at once, before the connection is accepted.
    pub fn connect(&mut self, listener: IoHandle) -> Option<Client> {
        let server = self.sockets.get(listener.0 as usize)?.server;
        if server != Server::Listening {
            return None;
        }
        let index = self.sockets.iter().position(Socket::is_free)?;
        self.sockets[index].connect();
        let client = Client { socket: index as u32, generation: self.sockets[index].generation };
        self.append_waiting(listener.0, client.socket);
        self.poke(listener.0);
        Some(client)
    }

    fn append_waiting(&mut self, listener: u32, connection: u32) {
        let mut last = self.sockets[listener as usize].first_waiting;
        if last == NONE {
            self.sockets[listener as usize].first_waiting = connection;
            return;
        }
        while self.sockets[last as usize].next_waiting != NONE {
            last = self.sockets[last as usize].next_waiting;
        }
        self.sockets[last as usize].next_waiting = connection;
    }

    fn client(&mut self, client: Client) -> Option<&mut Socket<'p>> {
        self.sockets
            .get_mut(client.socket as usize)
            .filter(|socket| socket.generation == client.generation && !socket.client_gone)
    }

    /// Sends, and says how many bytes were taken: fewer when the server does not read, none when the connection is over.
    ///
    /// Bytes that reach a server which has closed reset the connection.
    pub fn client_send(&mut self, client: Client, bytes: &[u8]) -> usize {
        let Some(socket) = self.client(client) else { return 0 };
        if socket.client_fin || socket.reset {
            return 0;
        }
        if socket.server == Server::Closed {
            if !bytes.is_empty() {
                socket.break_up();
            }
            return 0;
        }
        let memory = pipe_memory(self.to_server, self.pipe_bytes, client.socket);
        let count = self.sockets[client.socket as usize].to_server.write(memory, bytes, usize::MAX);
        self.poke(client.socket);
        count
    }

    /// Receives what the server has sent, as much as `into` has room for.
    pub fn client_recv(&mut self, client: Client, into: &mut [u8]) -> ClientRecv {
        let Some(socket) = self.client(client) else { return ClientRecv::Reset };
        if socket.reset {
            return ClientRecv::Reset;
        }
        if socket.to_client.filled() == 0 {
            return if socket.server_fin { ClientRecv::Fin } else { ClientRecv::Nothing };
        }
        let memory = pipe_memory(self.to_client, self.pipe_bytes, client.socket);
        let count = self.sockets[client.socket as usize].to_client.read(memory, into, usize::MAX);
        self.poke(client.socket);
        ClientRecv::Bytes(count)
    }

    /// Sends FIN and goes on reading: a half-close.
    pub fn client_finish(&mut self, client: Client) {
        let Some(socket) = self.client(client) else { return };
        socket.client_fin = true;
        self.poke(client.socket);
    }

    /// Closes the client's end: FIN, and what the server sends from now on is answered by a reset. With unread bytes it
    /// is a reset at once.
    pub fn client_close(&mut self, client: Client) {
        let Some(socket) = self.client(client) else { return };
        if socket.to_client.filled() > 0 {
            socket.break_up();
        }
        socket.close_client();
        self.poke(client.socket);
    }

    /// Breaks the connection: RST. What the server has not read yet can still be read.
    pub fn client_reset(&mut self, client: Client) {
        let Some(socket) = self.client(client) else { return };
        socket.break_up();
        socket.close_client();
        self.poke(client.socket);
    }
}
