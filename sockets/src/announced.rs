//! Connections that begin with a PROXY header, which tells who the client is.

use alloc::vec::Vec;
use core::net::SocketAddr;

use aurora_http_core::proxy_header::ProxyHeader;
use aurora_http_core::reactor::{Attempt, IoError, IoHandle};
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, recv};

use crate::error::stream_error;

/// What is known of the clients, by handle.
#[derive(Debug)]
pub(crate) struct Announced {
    clients: Vec<Client>,
}

#[derive(Clone, Copy, Debug)]
enum Client {
    /// The header has not arrived, or not all of it.
    Awaited,
    /// The connection is the sender's own.
    Direct,
    Known(SocketAddr),
}

impl Announced {
    /// For so many handles.
    pub(crate) fn new(handles: usize) -> Self {
        Self { clients: alloc::vec![Client::Direct; handles] }
    }

    /// A connection was accepted.
    pub(crate) fn accepted(&mut self, io: IoHandle) {
        if let Some(client) = self.clients.get_mut(io.0 as usize) {
            *client = Client::Awaited;
        }
    }

    /// The client that the header of this connection has told.
    pub(crate) fn client(&self, io: IoHandle) -> Option<SocketAddr> {
        match self.clients.get(io.0 as usize) {
            Some(Client::Known(address)) => Some(*address),
            _ => None,
        }
    }

    /// Takes the header from the front of the connection, unless that has been done. An error is what a receive has to return
    /// instead of what follows.
    #[inline]
    pub(crate) fn take_header(&mut self, io: IoHandle, socket: BorrowedFd<'_>) -> Result<(), Attempt> {
        match self.clients.get_mut(io.0 as usize) {
            Some(client @ Client::Awaited) => receive(client, socket),
            _ => Ok(()),
        }
    }
}

/// Looks at what is there, and takes the header once it is complete: so a part of one needs no memory.
#[cold]
fn receive(client: &mut Client, socket: BorrowedFd<'_>) -> Result<(), Attempt> {
    let mut bytes = [0; ProxyHeader::BYTES_MAX];
    let seen = match retry_on_intr(|| recv(socket, &mut bytes[..], RecvFlags::PEEK)) {
        Ok((_, 0)) => return Ok(()), // the client's FIN, which the receive reports
        Ok((_, seen)) => seen,
        Err(Errno::AGAIN) => return Err(Attempt::WouldBlock),
        Err(error) => return Err(Attempt::Failed(stream_error(error))),
    };
    // A connection without a header does not come from the balancer.
    let wrong = || Attempt::Failed(IoError::Os(Errno::PROTO.raw_os_error()));
    let (header, len) = match ProxyHeader::decode(bytes.get(..seen).unwrap_or_default()) {
        Ok(Some(found)) => found,
        Ok(None) => return Err(Attempt::WouldBlock),
        Err(_) => return Err(wrong()),
    };
    let Some(header_bytes) = bytes.get_mut(..len) else { return Err(wrong()) };
    match retry_on_intr(|| recv(socket, &mut *header_bytes, RecvFlags::empty())) {
        Ok((_, taken)) if taken == len => {}
        // It cannot be less than what was peeked at.
        Ok(_) | Err(_) => return Err(wrong()),
    }
    *client = match header {
        ProxyHeader::Local => Client::Direct,
        ProxyHeader::Client { source, .. } => Client::Known(source),
    };
    Ok(())
}
