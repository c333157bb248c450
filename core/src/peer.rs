//! The identity of a connection, and its peer.

use crate::defer::Deferrals;
use crate::reactor::{IoHandle, Peer, Peers, Security};

/// Identifies a connection as long as it is open: the index of its slot, and how often the slot was used before.
pub type ConnectionId = crate::pool::Handle;

/// What a program can find out about a connection.
#[derive(Clone, Copy)]
pub struct ConnectionInfo<'a> {
    pub(crate) peers: &'a dyn Peers,
    pub(crate) io: IoHandle,
    pub(crate) id: ConnectionId,
}

impl ConnectionInfo<'_> {
    /// Identifies the connection as long as it is open.
    #[must_use]
    pub const fn id(&self) -> ConnectionId {
        self.id
    }

    /// The address of the peer; `None` if the reactor does not know it. Each call looks it up, which may be a system
    /// call.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        self.peers.peer(self.io)
    }

    /// How the connection is encrypted, and who the client has proved to be; `None` if it is not encrypted, or if that is
    /// done by a proxy in front of the server.
    #[must_use]
    pub fn security(&self) -> Option<Security<'_>> {
        self.peers.security(self.io)
    }
}

impl core::fmt::Debug for ConnectionInfo<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ConnectionInfo").field("id", &self.id).field("peer", &self.peer()).finish()
    }
}

/// Where a connection is: for handlers that ask for the peer's address, and for deferred answers.
#[derive(Clone, Copy)]
pub struct Place<'c> {
    /// Looks up peers.
    pub peers: &'c dyn Peers,
    /// The connection's handle.
    pub io: IoHandle,
    /// The connection's slot.
    pub id: ConnectionId,
    /// The cells for deferred answers.
    pub deferrals: Deferrals<'c>,
}

impl<'c> Place<'c> {
    pub(crate) const fn info(&self) -> ConnectionInfo<'c> {
        ConnectionInfo { peers: self.peers, io: self.io, id: self.id }
    }
}
