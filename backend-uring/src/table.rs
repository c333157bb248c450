//! Table entries: a socket, with the operations in flight on it.

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{FileId, FileRange, OpKind, OpToken};
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
/// The receive has completed; `recv_result` and the buffer are in the entry.
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

/// One entry for a socket in the caller's storage: 104 bytes on 64-bit targets with the feature `std`.
///
/// It owns the buffers of the operations in flight until their own completions.
pub struct Entry {
    /// The buffer of the receive; `None` until the kernel has picked a lent one.
    pub(crate) into: Option<Buf<'static>>,
    /// The buffer of the send.
    pub(crate) head: Option<Buf<'static>>,
    pub(crate) tail: Tail,
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
    pub(crate) flags: u16,
    /// For a listener: accepts in flight in the kernel.
    pub(crate) armed: u8,
    /// Operations that wait by polling or have to be queued again: `WAIT_…` and `AGAIN_…`.
    pub(crate) waits: u8,
}

#[cfg(all(feature = "std", target_pointer_width = "64"))]
const _: () = assert!(size_of::<Entry>() == 104);

impl Entry {
    /// A free entry.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            into: None,
            head: None,
            tail: Tail::Bytes(&[]),
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

    /// Takes the buffers that the kernel has given back, after the reactor over this table was dropped.
    ///
    /// Dropping the reactor waits for the kernel. Buffers that the kernel still has then, and all that were in flight when a
    /// reactor was leaked (`mem::forget`), are never returned: the kernel may still write to them.
    pub fn take_buffers(&mut self) -> impl Iterator<Item = Buf<'static>> + use<> {
        let into = if self.flags & (RECV | DONE_RECV) == RECV { None } else { self.into.take() };
        let head = if self.flags & (SEND | DONE_SEND) == SEND { None } else { self.head.take() };
        into.into_iter().chain(head)
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

/// What a send has after its buffer. The fields of a [`FileRange`] are spread out, because the range as a whole would take
/// eight bytes more.
#[derive(Clone, Copy)]
pub(crate) enum Tail {
    Bytes(&'static [u8]),
    File { file: FileId, offset: u64, len: u32 },
}

impl Tail {
    /// The bytes; none if it is a part of a file.
    #[inline(always)]
    pub(crate) const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::File { .. } => &[],
        }
    }

    pub(crate) const fn file(self) -> Option<FileRange> {
        match self {
            Self::Bytes(_) => None,
            Self::File { file, offset, len } => Some(FileRange { file, offset, len }),
        }
    }
}

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
