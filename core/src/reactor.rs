//! The seam: what the engine asks for, and how it is told what came of it.
//!
//! # The contract
//! Rules that every reactor keeps, and that `tests/reactor_contract.rs` checks on each of them:
//!
//! 1. Every submitted operation completes exactly once; an armed `Accept` or `Recv` may complete several times, and
//!    its last completion has `more == false`. A cancelled operation completes too.
//! 2. A buffer that moved into an operation comes back with that operation's own completion, errors included.
//! 3. [`Reactor::submit`] never blocks and never completes inline; completions are pulled by
//!    [`Reactor::next_completion`]. A reactor may look at eager work (a send on a writable socket) in the same turn,
//!    but no connection gets more than one receive and one send per turn, so that a turn ends.
//! 4. `Recv { into: None }` on a reactor without lent buffers completes with [`IoError::NoBuffers`], at the latest when
//!    bytes are there. While it waits for bytes it holds no lent buffer.
//! 5. An invalid or stale handle completes with an error; it harms nothing. A handle is stale once its `Close` has
//!    completed, until an `Accept` hands the same index out again.
//! 6. [`Reactor::wait`] returns at once when completions are pending, and rounds a timeout *up* to its unit.
//! 7. At most one operation of a kind is in flight per slot, and per handle.
//! 8. `Close` is submitted only when nothing else is in flight on the handle.
//! 9. All operations in flight on one handle carry the same slot and generation, and a token's kind is its operation's.
//!
//! A submission that breaks rule 5, 7 or 9 completes with [`IoError::Unsupported`] and gives its buffers back; so does
//! a receive into a buffer without room, at the latest when bytes are there. Completions in one turn come in no
//! particular order, except that `Close` is the last of its handle.

use core::net::SocketAddr;
use core::time::Duration;

use crate::pool::Buf;
use crate::time::Instant;

/// Index into the backend's own table of sockets: never the file descriptor.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct IoHandle(pub u32);

/// What an operation does; part of its [`OpToken`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum OpKind {
    /// [`Op::Accept`].
    Accept,
    /// [`Op::Recv`].
    Recv,
    /// [`Op::Send`].
    Send,
    /// [`Op::Close`].
    Close,
}

/// Names one operation: slot (32 bits), generation (24), kind (8). Travels as io_uring's `user_data`.
///
/// A reactor may index its table of operations in flight by [`slot`](Self::slot) and [`kind`](Self::kind): at most one
/// operation of a kind is in flight per slot.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct OpToken(u64);

impl OpToken {
    /// Bits of a generation that a token carries.
    pub const GENERATION_BITS: u32 = 24;

    /// Names the operation `kind` of `slot`; only the low 24 bits of `generation` are kept.
    #[must_use]
    pub const fn new(slot: u32, generation: u32, kind: OpKind) -> Self {
        Self(slot as u64 | ((generation & 0x00ff_ffff) as u64) << 32 | (kind as u64) << 56)
    }

    /// The slot: below the engine's number of slots and listeners.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }

    /// The low 24 bits of the slot's generation.
    #[must_use]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & 0x00ff_ffff
    }

    /// What the operation does.
    #[must_use]
    pub const fn kind(self) -> OpKind {
        match self.0 >> 56 {
            0 => OpKind::Accept,
            1 => OpKind::Recv,
            2 => OpKind::Send,
            _ => OpKind::Close,
        }
    }

    /// The same slot and generation with another kind.
    #[must_use]
    pub const fn with_kind(self, kind: OpKind) -> Self {
        Self(self.0 & 0x00ff_ffff_ffff_ffff | (kind as u64) << 56)
    }

    /// As one word, for a kernel's `user_data`.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The inverse of [`to_bits`](Self::to_bits).
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// An operation, with the buffers it needs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Op<'p> {
    /// Takes the next connection from a listener. Stays armed while its completions say `more`.
    Accept {
        /// The listening socket.
        listener: IoHandle,
    },
    /// Receives into the spare part of `into`.
    ///
    /// `None`: the reactor picks a lent buffer once bytes are there. May stay armed (`more`): then data can arrive
    /// while a send is in flight, and the engine cancels to push back.
    Recv {
        /// The connected socket.
        io: IoHandle,
        /// Where to put the bytes; never a buffer without spare room.
        into: Option<Buf<'p>>,
    },
    /// Sends the filled part of `head`, then `body`. A short count is normal; the submitter consumes what was sent.
    Send {
        /// The connected socket.
        io: IoHandle,
        /// Sent first.
        head: Buf<'p>,
        /// Sent behind it.
        body: &'p [u8],
    },
    /// Closes a socket. Legal only when nothing else is in flight on `io`.
    Close {
        /// The socket, connected or listening.
        io: IoHandle,
    },
}

/// An operation and the token that its completions will carry.
#[derive(Debug)]
pub struct Submission<'p> {
    /// Names the operation.
    pub token: OpToken,
    /// What to do.
    pub op: Op<'p>,
}

/// What came of an operation.
#[derive(Debug)]
pub struct Completion<'p> {
    /// The token it was submitted with.
    pub token: OpToken,
    /// Result and buffers.
    pub outcome: Outcome<'p>,
    /// The operation stays armed: this is not its last completion.
    pub more: bool,
}

/// Result of an operation, with the buffers that come back.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<'p> {
    /// The new connection.
    Accept(Result<IoHandle, IoError>),
    /// `Ok(0)` is the peer's FIN. A buffer comes back whenever one was taken, errors included; the bytes received
    /// already count as filled in it.
    Recv {
        /// Bytes received.
        result: Result<u32, IoError>,
        /// The buffer they are in.
        buf: Option<Buf<'p>>,
    },
    /// Buffer and slice come back as they were submitted; nothing is consumed from them.
    Send {
        /// Bytes sent, over both parts.
        result: Result<u32, IoError>,
        /// As submitted.
        head: Buf<'p>,
        /// As submitted.
        body: &'p [u8],
    },
    /// The handle is gone, whatever close(2) said.
    Close,
}

const _: () = assert!(size_of::<Completion<'static>>() <= 64);
const _: () = assert!(size_of::<OpToken>() == 8);

/// Why an operation failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum IoError {
    /// [`Reactor::cancel`] ended it.
    Canceled,
    /// The peer reset the connection, or it is not connected any more (ECONNRESET, EPIPE, ECONNABORTED, …). From an
    /// accept: the connection that was next is gone, and the one behind it can be taken at once.
    ConnectionReset,
    /// No descriptor left for a new connection (EMFILE, ENFILE), or the reactor's own table is full.
    FileLimit,
    /// No memory for the operation (ENOBUFS, ENOMEM), or no lent buffer for `Recv { into: None }`.
    NoBuffers,
    /// This reactor cannot do it, or not on this handle.
    Unsupported,
    /// Any other error, by the system's number.
    Os(i32),
}

impl core::fmt::Display for IoError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Canceled => f.write_str("the operation was cancelled"),
            Self::ConnectionReset => f.write_str("the peer closed the connection"),
            Self::FileLimit => f.write_str("too many open files"),
            Self::NoBuffers => f.write_str("no buffer space available"),
            Self::Unsupported => f.write_str("the operation is not supported here"),
            Self::Os(code) => write!(f, "system error {code}"),
        }
    }
}

impl core::error::Error for IoError {}

/// Which directions of a connection to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shutdown {
    /// Neither side may send any more.
    Both,
    /// What the peer sends is refused.
    Read,
    /// The peer sees our FIN behind what was sent.
    Write,
}

/// One thread's I/O. Safe to implement: buffers arrive owned and leave in exactly one completion.
///
/// The rules are in the [module's documentation](self). Object-safe.
pub trait Reactor<'p> {
    /// Queues an operation. Never blocks, never completes inline.
    ///
    /// # Errors
    /// Hands the submission back when the queue is full; try again after the next [`wait`](Self::wait).
    // The error is the submission itself: a box would need an allocator.
    #[allow(clippy::result_large_err)]
    fn submit(&mut self, submission: Submission<'p>) -> Result<(), Submission<'p>>;

    /// Lends a buffer for `Recv { into: None }`; the engine decides when and how many.
    ///
    /// # Errors
    /// Hands the buffer back when the reactor can hold no more.
    fn provide(&mut self, buf: Buf<'p>) -> Result<(), Buf<'p>>;

    /// Takes back one lent buffer that no operation holds; `None` when there is none left.
    fn reclaim(&mut self) -> Option<Buf<'p>>;

    /// Ends one or both directions. Ordered before later submissions, so that operations in flight finish and the peer
    /// sees our FIN: a receive in flight completes when reading ends, and a send in flight may fail when writing does,
    /// so wait for its completion first if its bytes matter. Harmless on an invalid handle.
    fn shutdown(&mut self, io: IoHandle, how: Shutdown);

    /// Asks for an early end. The operation still completes exactly once, with its buffer: cancelled, or with the
    /// result it had already. Harmless when it has completed.
    fn cancel(&mut self, token: OpToken, io: IoHandle);

    /// Blocks until something is there, a wake, or `timeout` (`None`: for ever); at once if completions are pending.
    ///
    /// Tells whether it looked at everything that had happened when it was called: a deadline may only expire behind
    /// such a wait, or what arrived in time would be too late.
    ///
    /// # Errors
    /// Only what makes the reactor unusable; being interrupted is no error, but [`Seen::Part`].
    fn wait(&mut self, timeout: Option<Duration>) -> Result<Seen, IoError>;

    /// Whether the next turn has work that no event will announce: completions not handed out, connections that had
    /// their share of this turn, a batch of events that was full. A program with an event loop of its own must then
    /// turn again at once, because the reactor's descriptor does not show such work.
    fn has_work(&self) -> bool;

    /// Hands what was submitted to the system without waiting. [`wait`](Self::wait) does that too; a program with an
    /// event loop of its own needs it before it sleeps elsewhere.
    ///
    /// Does nothing unless overridden: readiness systems have nothing to hand on.
    fn flush(&mut self) {}

    /// The next completion of this turn. Pulled, not queued: no second copy, no queue to size.
    fn next_completion(&mut self) -> Option<Completion<'p>>;

    /// The monotonic clock; read once or twice per turn by the loop.
    fn now(&self) -> Instant;

    /// Seconds since 1970-01-01 00:00:00 UTC for the `Date` field; `None` where there is no wall clock.
    fn unix_time(&self) -> Option<u64> {
        None
    }

    /// Who is at the other end of its connections; nobody unless overridden.
    fn peers(&self) -> &dyn Peers {
        &NoPeers
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Peer {
    /// An address and a port.
    Ip(SocketAddr),
    /// A process on the same machine, by a Unix-domain socket.
    Unix,
}

/// How much of what had happened a [`Reactor::wait`] looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seen {
    /// Everything: an operation submitted before the wait that is still in flight once its completions were pulled could
    /// not complete when the wait was called.
    ///
    /// On a server that always has more than one wait takes, the waits together have: what could complete when the first
    /// one of a bounded number of waits in a row was called. Otherwise no deadline would ever expire there.
    All,
    /// It was interrupted, or there was more than it takes at once.
    Part,
}

/// Looks up the other end of a connection.
pub trait Peers {
    /// Who is at the other end of `io`; `None` when that cannot be found out.
    fn peer(&self, io: IoHandle) -> Option<Peer>;

    /// Bytes that were sent on `io` and that the other end has not acknowledged; `None` where the system cannot tell.
    /// May count our FIN as one byte.
    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        let _ = io;
        None
    }
}

/// Knows nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn peer(&self, _io: IoHandle) -> Option<Peer> {
        None
    }
}

/// Ends a [`Reactor::wait`] from another thread, or makes the next one return at once. Several wakes may count as one.
pub trait Wake: Send + Sync {
    /// Wakes the reactor that this belongs to.
    fn wake(&self);
}

/// What came of one non-blocking call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attempt {
    /// It worked: bytes moved, or the index of the new handle.
    Done(u32),
    /// Not now; an event will tell when to try again.
    WouldBlock,
    /// It failed for good.
    Failed(IoError),
}

/// What an event says about a socket. Flags may be set without cause: the next attempt finds out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ready {
    /// Bytes, a FIN, an error or a new connection are there.
    pub readable: bool,
    /// A send may take bytes.
    pub writable: bool,
    /// The peer has sent its FIN or the connection is broken: no new edge will come, so read on to the end.
    pub ended: bool,
}

/// Hands [`Ready`] flags from [`NonBlocking::wait`] to the adapter.
pub type ReadyFn<'f> = dyn FnMut(IoHandle, Ready) + 'f;

/// What epoll, kqueue and polled network stacks supply: non-blocking calls and a wait, edge-triggered. [`Readiness`]
/// makes a [`Reactor`] of it.
///
/// What edge-triggered means here: after `WouldBlock`, and after a count below what was asked for, [`wait`](Self::wait)
/// reports the handle once more can be done, and need not report it again until the next such answer. Two things need
/// no further report: bytes and FIN behind a report that said `ended`, and what [`shutdown`](Self::shutdown) ended. A
/// handle that comes in otherwise than by [`accept`](Self::accept) is reported once as what it is, because its index may
/// have been another socket's. Every call on a handle that is not open fails and harms nothing.
///
/// A count below what was asked for means "that was all". A receive that stops in front of something else, as sockets do
/// at TCP's urgent mark or at passed descriptors, leaves what is behind it until more comes or a deadline passes: it is
/// the sender that has stalled itself.
///
/// [`Readiness`]: crate::readiness::Readiness
pub trait NonBlocking {
    /// Takes a connection from `listener`: `Done(handle)`.
    fn accept(&mut self, listener: IoHandle) -> Attempt;
    /// Receives into `spare`, which is not empty: `Done(bytes)`, 0 for the peer's FIN.
    fn recv(&mut self, io: IoHandle, spare: &mut [u8]) -> Attempt;
    /// Sends the parts in order: `Done(bytes)` over both.
    fn send(&mut self, io: IoHandle, parts: [&[u8]; 2]) -> Attempt;
    /// Ends one or both directions.
    fn shutdown(&mut self, io: IoHandle, how: Shutdown);
    /// Closes a handle; its index may be used again afterwards.
    fn close(&mut self, io: IoHandle);
    /// Blocks until an event, a wake or `timeout`, and reports what became ready. Rounds `timeout` up. Never reports a
    /// handle that was closed.
    ///
    /// # Errors
    /// Only what makes waiting impossible; being interrupted is no error, but [`Seen::Part`], as is a batch of events
    /// that was full. [`Batches`](crate::readiness::Batches) counts those.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError>;
    /// Whether the last wait took as many events as it takes at once, so that there may be more: no descriptor tells.
    fn has_more(&self) -> bool {
        false
    }
    /// The monotonic clock.
    fn now(&self) -> Instant;
    /// Seconds since 1970-01-01 00:00:00 UTC; `None` where there is no wall clock.
    fn unix_time(&self) -> Option<u64> {
        None
    }
    /// Who is at the other end of a connection; `None` where that is not known.
    fn peer(&self, io: IoHandle) -> Option<Peer> {
        let _ = io;
        None
    }
    /// As [`Peers::unacknowledged`].
    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        let _ = io;
        None
    }
}

const _: fn(&mut dyn Reactor<'static>, &mut dyn NonBlocking, &dyn Wake) = |_, _, _| {};
