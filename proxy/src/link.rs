//! A connection to an upstream: a socket that does not block, and what is known of its readiness.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::upstream::Address;

pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What events have said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// The peer has sent its FIN, or the connection is broken: no other event will say so.
    pub(crate) end: bool,
}

impl Ready {
    pub(crate) const fn is_any(self) -> bool {
        self.read || self.write || self.end
    }
}

impl Socket {
    /// Begins to connect.
    pub(crate) fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Ip(address) => TcpStream::connect(*address).map(Self::Tcp),
            Address::Unix(path) => UnixStream::connect(path).map(Self::Unix),
        }
    }

    /// Whether the connection stands; an error if it never will.
    fn is_connected(&self) -> io::Result<bool> {
        let (error, peer) = match self {
            Self::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Self::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
        };
        if let Some(error) = error {
            return Err(error);
        }
        match peer {
            Ok(()) => {
                if let Self::Tcp(stream) = self {
                    // Requests are written as a whole; waiting for more would only delay them.
                    let _ = stream.set_nodelay(true);
                }
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether there is neither a byte to be read nor an end. A byte would be lost; but nobody has asked for it.
    pub(crate) fn is_quiet(&mut self) -> bool {
        matches!(self.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn finish(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interests),
            Self::Unix(stream) => stream.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.reregister(registry, token, interests),
            Self::Unix(stream) => stream.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(registry),
            Self::Unix(stream) => stream.deregister(registry),
        }
    }
}

pub(crate) struct Link {
    socket: Socket,
    slot: u32,
    ready: Ready,
    is_reused: bool,
}

impl Link {
    /// A new connection, which is not established yet.
    pub(crate) const fn new(socket: Socket, slot: u32) -> Self {
        Self { socket, slot, ready: Ready { read: false, write: false, end: false }, is_reused: false }
    }

    /// One that was used before: it has room for what is sent, or its first send says otherwise.
    pub(crate) const fn reused(socket: Socket, slot: u32) -> Self {
        Self { socket, slot, ready: Ready { read: false, write: true, end: false }, is_reused: true }
    }

    pub(crate) fn into_parts(self) -> (Socket, u32) {
        (self.socket, self.slot)
    }

    /// Whether nothing of what events have told of is left in the socket: neither bytes behind the last that were received, which
    /// no other event will tell of, nor the peer's end.
    pub(crate) fn is_emptied(&mut self) -> bool {
        !self.ready.end && (!self.ready.read || self.socket.is_quiet())
    }

    pub(crate) const fn slot(&self) -> u32 {
        self.slot
    }

    pub(crate) const fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Whether a send is worth trying.
    pub(crate) const fn can_write(&self) -> bool {
        self.ready.write
    }

    pub(crate) const fn note(&mut self, ready: Ready) {
        self.ready.read |= ready.read;
        self.ready.write |= ready.write;
        self.ready.end |= ready.end;
    }

    /// Whether the connection stands; an error if it never will.
    pub(crate) fn is_connected(&mut self) -> io::Result<bool> {
        if !self.ready.is_any() {
            return Ok(false);
        }
        let is_connected = self.socket.is_connected()?;
        self.ready.write &= is_connected;
        Ok(is_connected)
    }

    /// Receives; `None` when nothing is there.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.ready.read && !self.ready.end {
            return Ok(None);
        }
        loop {
            match self.socket.read(into) {
                Ok(count) => {
                    // A short read has emptied the socket: what comes later is another event. Only an end that has been
                    // reported already is not.
                    self.ready.read = count == into.len() || self.ready.end;
                    return Ok(Some(count));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.ready.read = false;
                    self.ready.end = false;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends as much of `bytes` as there is room for.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.ready.write {
            return Ok(0);
        }
        loop {
            match self.socket.write(bytes) {
                Ok(count) => {
                    self.ready.write = count == bytes.len();
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.ready.write = false;
                    return Ok(0);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends our FIN.
    pub(crate) fn finish(&self) {
        self.socket.finish();
    }
}
