//! Table entries: a socket, with the operations in flight on it.

use aurora_http_core::reactor::{OpKind, OpToken};
use rustix::fd::{AsRawFd, OwnedFd, RawFd};

/// "No entry" in a link. It is beyond the end of every table, so a failed lookup is the test for it.
pub(crate) const NONE: u32 = u32::MAX;

/// The handle is valid: the socket has been handed out.
pub(crate) const OPEN: u16 = 1;
/// It listens.
pub(crate) const LISTENER: u16 = 1 << 1;
/// A receive is in flight.
pub(crate) const RECV: u16 = 1 << 2;
pub(crate) const SEND: u16 = 1 << 3;
/// The engine has an accept in flight; how many are in flight in the kernel is independent of that.
pub(crate) const ACCEPT: u16 = 1 << 4;
/// The engine has submitted a close.
pub(crate) const CLOSE: u16 = 1 << 5;
/// The close was submitted to the kernel.
pub(crate) const CLOSING: u16 = 1 << 6;
/// The receive is being cancelled.
pub(crate) const CANCEL_RECV: u16 = 1 << 7;
pub(crate) const CANCEL_SEND: u16 = 1 << 8;
/// The accept ends without a connection: `recv_result` says why.
pub(crate) const FAILED_ACCEPT: u16 = 1 << 9;
/// The receive has completed: `recv_result`, and `lent` if the kernel has picked a buffer.
pub(crate) const DONE_RECV: u16 = 1 << 10;
pub(crate) const DONE_SEND: u16 = 1 << 11;
pub(crate) const DONE_CLOSE: u16 = 1 << 12;
/// The entry is in the list of those with something to hand out.
pub(crate) const READY: u16 = 1 << 13;
/// Data may have arrived already: the next receive tries before it waits.
pub(crate) const TRY: u16 = 1 << 14;

/// The socket is registered as a fixed file, at the same index, and operations use that instead of the descriptor.
pub(crate) const FIXED: u16 = 1 << 15;

// Bits of `waits`. A kernel may return EAGAIN for a non-blocking socket. Then a poll is in flight in place of the operation,
// which is queued again when the poll completes.
pub(crate) const WAIT_RECV: u8 = 1;
pub(crate) const WAIT_SEND: u8 = 1 << 1;
pub(crate) const WAIT_ACCEPT: u8 = 1 << 2;
/// The receive has to be queued again, and the submission queue was full.
pub(crate) const AGAIN_RECV: u8 = 1 << 3;
pub(crate) const AGAIN_SEND: u8 = 1 << 4;

/// "No place of a lent buffer": there are fewer.
pub(crate) const NOT_LENT: u16 = u16::MAX;

/// One entry for a socket in the caller's storage: 40 bytes with the feature `std`. What its operations hold is in a
/// [`Held`](crate::Held).
pub struct Entry {
    /// Slot and generation of every operation on this handle; the token's kind is ignored.
    pub(crate) owner: OpToken,
    pub(crate) socket: Option<OwnedFd>,
    /// The kernel's result of a receive that has completed but was not handed out.
    pub(crate) recv_result: i32,
    pub(crate) send_result: i32,
    /// The next entry in the list of free entries, of those with something to hand out, or of accepted connections.
    pub(crate) next: u32,
    /// For a listener: the first accepted connection that waits for the engine's next accept.
    pub(crate) accepted: u32,
    /// The record of what its operations hold, [`NONE`] if they hold nothing.
    pub(crate) held: u32,
    pub(crate) flags: u16,
    /// The place of the lent buffer that a receive has picked which was not handed out, or [`NOT_LENT`].
    pub(crate) lent: u16,
    /// For a listener: accepts in flight in the kernel.
    pub(crate) armed: u8,
    /// Operations that wait by polling or have to be queued again: `WAIT_…` and `AGAIN_…`.
    pub(crate) waits: u8,
}

#[cfg(all(feature = "std", target_pointer_width = "64"))]
const _: () = assert!(size_of::<Entry>() == 40);

impl Entry {
    /// A free entry.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            owner: OpToken::from_bits(0),
            socket: None,
            recv_result: 0,
            send_result: 0,
            next: NONE,
            accepted: NONE,
            held: NONE,
            flags: 0,
            lent: NOT_LENT,
            armed: 0,
            waits: 0,
        }
    }

    /// Whether an operation of kind `op` may be submitted: the entry is an open stream, none of that kind is in flight, and
    /// any other in flight has the same owner.
    #[inline(always)]
    pub(crate) fn admits(&self, op: u16, token: OpToken) -> bool {
        self.flags & (OPEN | LISTENER | CLOSE | op) == OPEN
            && (self.flags & (RECV | SEND) == 0 || self.is_owned_by(token))
    }

    #[inline(always)]
    pub(crate) fn is_owned_by(&self, token: OpToken) -> bool {
        self.owner.with_kind(OpKind::Accept) == token.with_kind(OpKind::Accept)
    }

    /// The descriptor; -1 if there is none, which the kernel rejects.
    #[inline(always)]
    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// How operations refer to the socket of the entry `index`: as a fixed file if it is one.
    #[inline(always)]
    pub(crate) fn target(&self, index: u32) -> Target {
        if self.flags & FIXED != 0 { Target::Fixed(index) } else { Target::Descriptor(self.descriptor()) }
    }

    /// Whether there is something to hand out.
    pub(crate) fn is_due(&self) -> bool {
        self.flags & (DONE_RECV | DONE_SEND | DONE_CLOSE) != 0
            || (self.flags & ACCEPT != 0 && (self.accepted != NONE || self.flags & FAILED_ACCEPT != 0))
    }

    /// Whether the engine's accept waits for a connection.
    pub(crate) fn wants_accept(&self) -> bool {
        self.flags & (ACCEPT | FAILED_ACCEPT) == ACCEPT && self.accepted == NONE
    }

    /// Whether the kernel has an operation in flight on it.
    pub(crate) fn is_busy(&self) -> bool {
        let done_recv = self.flags & DONE_RECV != 0;
        let done_send = self.flags & DONE_SEND != 0;
        (self.flags & RECV != 0 && !done_recv)
            || (self.flags & SEND != 0 && !done_send)
            || self.armed > 0
            || self.waits & WAIT_ACCEPT != 0
            || (self.flags & CLOSING != 0 && self.flags & DONE_CLOSE == 0)
    }
}

/// Parts of files are sent: they are looked up in a table that needs the standard library.
pub(crate) const SENDS_FILES: bool = cfg!(feature = "std");

/// How a submission refers to a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// A descriptor of the process.
    Descriptor(RawFd),
    /// A fixed file of the ring, which saves the kernel counting references.
    Fixed(u32),
}

impl Default for Entry {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Entry").field("socket", &self.socket).field("flags", &self.flags).finish_non_exhaustive()
    }
}
