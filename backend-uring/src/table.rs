//! One place for a socket, with the operations in flight on it.

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{OpKind, OpToken};
use rustix::fd::{AsRawFd, OwnedFd, RawFd};

/// "No entry" in a link. Beyond the end of every table, so that looking it up is the test for it.
pub(crate) const NONE: u32 = u32::MAX;

/// The socket is there, and has been handed out or waits for that.
pub(crate) const OPEN: u16 = 1;
/// It listens.
pub(crate) const LISTENER: u16 = 1 << 1;
/// A receive is in flight.
pub(crate) const RECV: u16 = 1 << 2;
pub(crate) const SEND: u16 = 1 << 3;
/// An accept was submitted to us; how many are in flight in the kernel is another matter.
pub(crate) const ACCEPT: u16 = 1 << 4;
/// A close was submitted to us.
pub(crate) const CLOSE: u16 = 1 << 5;
/// The kernel was asked to close it.
pub(crate) const CLOSING: u16 = 1 << 6;
/// The end of the receive was asked for.
pub(crate) const CANCEL_RECV: u16 = 1 << 7;
pub(crate) const CANCEL_SEND: u16 = 1 << 8;
/// The accept ends without a connection: `recv_result` says why.
pub(crate) const FAILED_ACCEPT: u16 = 1 << 9;
/// The receive has completed, with `recv_result` and the buffer in its place.
pub(crate) const DONE_RECV: u16 = 1 << 10;
pub(crate) const DONE_SEND: u16 = 1 << 11;
pub(crate) const DONE_CLOSE: u16 = 1 << 12;
/// In the list of entries with something to hand out.
pub(crate) const READY: u16 = 1 << 13;
/// Bytes may be there already: the next receive tries before it waits.
pub(crate) const TRY: u16 = 1 << 14;

/// The socket is in the kernel's own table too, at the same index, and operations name it by that.
pub(crate) const FIXED: u16 = 1 << 15;

// Bits of `waits`. A kernel may answer EAGAIN where the socket does not block; then a poll is in flight in place of the
// operation, which is asked for again behind it.
pub(crate) const WAIT_RECV: u8 = 1;
pub(crate) const WAIT_SEND: u8 = 1 << 1;
pub(crate) const WAIT_ACCEPT: u8 = 1 << 2;
/// The receive has to be queued again, and found no room.
pub(crate) const AGAIN_RECV: u8 = 1 << 3;
pub(crate) const AGAIN_SEND: u8 = 1 << 4;

/// One place for a socket in the caller's storage: 96 bytes with the feature `std` where pointers have 64 bits.
///
/// It owns the buffers of the operations in flight until their own completions.
pub struct Entry {
    /// Of the receive; `None` while a lent one is still to be picked.
    pub(crate) into: Option<Buf<'static>>,
    /// Of the send.
    pub(crate) head: Option<Buf<'static>>,
    pub(crate) body: &'static [u8],
    /// Names the slot and generation of every operation on this handle; its kind means nothing.
    pub(crate) owner: OpToken,
    pub(crate) socket: Option<OwnedFd>,
    /// The kernel's answer to a receive that has completed but was not handed out.
    pub(crate) recv_result: i32,
    pub(crate) send_result: i32,
    /// The next one in the list of free entries, of those with something to hand out, or of accepted ones that wait.
    pub(crate) next: u32,
    /// Of a listener: the first connection that was accepted and waits for the engine's next accept.
    pub(crate) accepted: u32,
    pub(crate) flags: u16,
    /// Of a listener: accepts in flight in the kernel.
    pub(crate) armed: u8,
    /// What the kernel did not wait for itself: `WAIT_…` and `AGAIN_…`.
    pub(crate) waits: u8,
}

#[cfg(all(feature = "std", target_pointer_width = "64"))]
const _: () = assert!(size_of::<Entry>() == 96);

impl Entry {
    /// A free entry.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            into: None,
            head: None,
            body: &[],
            owner: OpToken::from_bits(0),
            socket: None,
            recv_result: 0,
            send_result: 0,
            next: NONE,
            accepted: NONE,
            flags: 0,
            armed: 0,
            waits: 0,
        }
    }

    /// Takes out the buffers that the kernel has given back, after the reactor over this table was dropped.
    ///
    /// Dropping it waits for the kernel. What is still in the kernel's hands then, and all that was in flight when a
    /// reactor was leaked instead (`mem::forget`), is never handed out: those bytes belong to the kernel.
    pub fn take_buffers(&mut self) -> impl Iterator<Item = Buf<'static>> + use<> {
        let into = if self.flags & (RECV | DONE_RECV) == RECV { None } else { self.into.take() };
        let head = if self.flags & (SEND | DONE_SEND) == SEND { None } else { self.head.take() };
        into.into_iter().chain(head)
    }

    /// Whether an operation may take the place `seat` of a connection: it is free, nothing is being closed, and what
    /// else is in flight has the same owner.
    #[inline(always)]
    pub(crate) fn admits(&self, seat: u16, token: OpToken) -> bool {
        self.flags & (OPEN | LISTENER | CLOSE | seat) == OPEN
            && (self.flags & (RECV | SEND) == 0 || self.is_owned_by(token))
    }

    #[inline(always)]
    pub(crate) fn is_owned_by(&self, token: OpToken) -> bool {
        self.owner.with_kind(OpKind::Accept) == token.with_kind(OpKind::Accept)
    }

    /// The descriptor, to name it to the kernel; -1 for none, which the kernel refuses.
    #[inline(always)]
    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// What names the socket of the entry `index` to the kernel at the least cost.
    #[inline(always)]
    pub(crate) fn target(&self, index: u32) -> Target {
        if self.flags & FIXED != 0 { Target::Fixed(index) } else { Target::Descriptor(self.descriptor()) }
    }

    /// Whether there is something to hand out.
    pub(crate) fn is_due(&self) -> bool {
        self.flags & (DONE_RECV | DONE_SEND | DONE_CLOSE) != 0
            || (self.flags & ACCEPT != 0 && (self.accepted != NONE || self.flags & FAILED_ACCEPT != 0))
    }

    /// Whether an accept waits for a connection.
    pub(crate) fn wants_accept(&self) -> bool {
        self.flags & (ACCEPT | FAILED_ACCEPT) == ACCEPT && self.accepted == NONE
    }

    /// Whether the kernel still works on it.
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

/// A name of a socket for the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// A descriptor of the process.
    Descriptor(RawFd),
    /// An index into the ring's own table, which spares the kernel counting references.
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
