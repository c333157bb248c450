//! Which connection it is, and who is at its other end.

use crate::defer::Deferrals;
use crate::reactor::{IoHandle, Peer, Peers};

/// A connection as long as it is open: a slot, and how often the slot was used before.
pub type ConnectionId = crate::pool::Handle;

/// What can be known of a connection.
#[derive(Clone, Copy)]
pub struct ConnectionInfo<'a> {
    pub(crate) peers: &'a dyn Peers,
    pub(crate) io: IoHandle,
    pub(crate) id: ConnectionId,
}

impl ConnectionInfo<'_> {
    /// Names the connection as long as it is open.
    #[must_use]
    pub const fn id(&self) -> ConnectionId {
        self.id
    }

    /// Who is at the other end; `None` where the reactor does not know. It is looked up when it is asked for.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        self.peers.peer(self.io)
    }
}

impl core::fmt::Debug for ConnectionInfo<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ConnectionInfo").field("id", &self.id).field("peer", &self.peer()).finish()
    }
}

/// Where a connection is: for handlers that ask who is at the other end, and for deferred answers.
#[derive(Clone, Copy)]
pub struct Place<'c> {
    /// Knows the other ends.
    pub peers: &'c dyn Peers,
    /// The connection's handle.
    pub io: IoHandle,
    /// The connection's slot.
    pub id: ConnectionId,
    /// Cells for deferred answers.
    pub deferrals: Deferrals<'c>,
}

impl<'c> Place<'c> {
    pub(crate) const fn info(&self) -> ConnectionInfo<'c> {
        ConnectionInfo { peers: self.peers, io: self.io, id: self.id }
    }
}
