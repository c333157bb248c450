//! The interface to backends: how the engine requests I/O, and how it is told the outcome.
//!
//! # The contract
//! The rules that every reactor keeps; `tests/reactor_contract.rs` checks them on each:
//!
//! 1. Every submitted operation completes exactly once, also when it is cancelled; an armed `Accept` or `Recv` may
//!    complete several times, and its last completion has `more == false`.
//! 2. A buffer that was moved into an operation comes back with that operation's completion, even if it failed.
//! 3. [`Reactor::submit`] never blocks and never completes inline; completions are pulled with
//!    [`Reactor::next_completion`]. A reactor may try an operation in the turn of its submission (such as a send on a
//!    writable socket), but no connection gets more than one receive and one send per turn, so that turns end.
//! 4. `Recv { into: None }` on a reactor without lent buffers completes with [`IoError::NoBuffers`], at the latest when
//!    bytes arrive. While it waits for bytes it holds no lent buffer.
//! 5. An operation on an invalid or stale handle completes with an error, and has no other effect. A handle is stale
//!    from the completion of its `Close` until an `Accept` returns the same index again.
//! 6. [`Reactor::wait`] returns at once when completions are pending, and rounds a timeout *up* to its unit.
//! 7. At most one operation of a kind is in flight per slot, and per handle.
//! 8. `Close` is submitted only when nothing else is in flight on the handle.
//! 9. All operations in flight on one handle have the same slot and generation, and the kind of a token is that of its
//!    operation.
//!
//! A submission that breaks rule 5, 7 or 9 completes with [`IoError::Unsupported`] and returns its buffers; so does a
//! receive into a buffer without room, at the latest when bytes arrive. The completions of a turn are in no particular
//! order, except that `Close` is the last one of its handle.

use core::net::SocketAddr;
use core::time::Duration;

use crate::pool::Buf;
use crate::time::Instant;

/// An index into the backend's table of sockets, not a file descriptor.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct IoHandle(pub u32);

/// A file that the program has opened, for [`Op::SendFile`]. The core only passes it on: the program and its reactor agree on
/// what it means. It names nothing else once the file has been closed, so a reactor can tell a stale one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FileId {
    /// The file's place in the program's table.
    pub index: u32,
    /// Distinguishes the files that have had this place one after another.
    pub generation: u32,
}

/// Consecutive bytes of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileRange {
    /// The file.
    pub file: FileId,
    /// The position of the first byte.
    pub offset: u64,
    /// The number of bytes, at most [`BYTES_MAX`](Self::BYTES_MAX).
    pub len: u32,
}

impl FileRange {
    /// The most bytes of one range: 1 GiB, so that their number and that of a buffer's bytes fit in 32 bits together.
    pub const BYTES_MAX: u32 = 1 << 30;

    /// The range without its first `count` bytes.
    #[must_use]
    pub const fn after(self, count: u32) -> Self {
        let count = if count < self.len { count } else { self.len };
        Self { file: self.file, offset: self.offset.saturating_add(count as u64), len: self.len - count }
    }
}

/// The kind of an operation; part of its [`OpToken`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum OpKind {
    /// [`Op::Accept`].
    Accept,
    /// [`Op::Recv`].
    Recv,
    /// [`Op::Send`] or [`Op::SendFile`].
    Send,
    /// [`Op::Close`].
    Close,
}

/// Identifies one operation: slot (32 bits), generation (24), kind (8). Fits into io_uring's `user_data`.
///
/// A reactor can index its table of operations in flight by [`slot`](Self::slot) and [`kind`](Self::kind): at most one
/// operation of a kind is in flight per slot.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct OpToken(u64);

impl OpToken {
    /// The number of bits of a generation in a token.
    pub const GENERATION_BITS: u32 = 24;

    /// The token of operation `kind` of `slot`; only the low 24 bits of `generation` are kept.
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

    /// The kind of the operation.
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

    /// The token as one word, for a kernel's `user_data`.
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
    /// Accepts the next connection from a listener. Stays armed as long as its completions have `more` set.
    Accept {
        /// The listening socket.
        listener: IoHandle,
    },
    /// Receives into the spare part of `into`.
    ///
    /// With `None` the reactor takes a lent buffer when bytes have arrived. It may stay armed (`more`): then bytes can
    /// arrive during a send, and the engine cancels to apply backpressure.
    Recv {
        /// The connected socket.
        io: IoHandle,
        /// The buffer for the bytes; it must have spare room.
        into: Option<Buf<'p>>,
    },
    /// Sends the filled part of `head`, then `body`. A short count is normal; the submitter consumes what was sent.
    Send {
        /// The connected socket.
        io: IoHandle,
        /// The first part.
        head: Buf<'p>,
        /// The second part.
        body: &'p [u8],
    },
    /// Sends the filled part of `head`, then a part of a file. It takes the place of a [`Send`](Self::Send), and completes
    /// as one without a body, whose count includes the bytes of the file.
    ///
    /// Only for reactors that [send files](Peers::sends_files); others complete it with [`IoError::Unsupported`]. If the
    /// file ends before the range does, or cannot be read, it completes with [`IoError::FileUnreadable`]. All of `head` has
    /// been sent then, because earlier responses may be in it, and perhaps a part of the range.
    SendFile {
        /// The connected socket.
        io: IoHandle,
        /// The first part.
        head: Buf<'p>,
        /// The second part.
        range: FileRange,
    },
    /// Closes a socket. Allowed only when nothing else is in flight on `io`.
    Close {
        /// The socket, connected or listening.
        io: IoHandle,
    },
}

/// An operation and the token that its completions will carry.
#[derive(Debug)]
pub struct Submission<'p> {
    /// Identifies the operation.
    pub token: OpToken,
    /// The operation.
    pub op: Op<'p>,
}

/// The completion of an operation.
#[derive(Debug)]
pub struct Completion<'p> {
    /// The token of its submission.
    pub token: OpToken,
    /// Result and buffers.
    pub outcome: Outcome<'p>,
    /// The operation stays armed: this is not its last completion.
    pub more: bool,
}

/// The result of an operation, with its buffers.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<'p> {
    /// The new connection.
    Accept(Result<IoHandle, IoError>),
    /// `Ok(0)` is the peer's FIN. If a buffer was used, it comes back, even on errors; the received bytes already count
    /// as filled in it.
    Recv {
        /// Bytes received.
        result: Result<u32, IoError>,
        /// The buffer they are in.
        buf: Option<Buf<'p>>,
    },
    /// Buffer and slice come back as submitted; nothing is consumed from them. After [`Op::SendFile`] the slice is empty.
    Send {
        /// The number of bytes sent from both parts together.
        result: Result<u32, IoError>,
        /// As submitted.
        head: Buf<'p>,
        /// As submitted.
        body: &'p [u8],
    },
    /// The handle has been closed, whatever close(2) returned.
    Close,
}

const _: () = assert!(size_of::<Completion<'static>>() <= 64);
const _: () = assert!(size_of::<OpToken>() == 8);

/// Why an operation failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum IoError {
    /// It was cancelled by [`Reactor::cancel`].
    Canceled,
    /// The peer reset the connection, or it is no longer connected (ECONNRESET, EPIPE, ECONNABORTED, …). From an
    /// accept: the next connection has failed, and the one after it can be accepted at once.
    ConnectionReset,
    /// No descriptor is free for a new connection (EMFILE, ENFILE), or the reactor's table is full.
    FileLimit,
    /// There is no memory for the operation (ENOBUFS, ENOMEM), or no lent buffer for `Recv { into: None }`.
    NoBuffers,
    /// The reactor does not support the operation, or not on this handle.
    Unsupported,
    /// The file of an [`Op::SendFile`] is shorter than the range, was closed, or cannot be read.
    FileUnreadable,
    /// Any other error, with the system's number.
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
            Self::FileUnreadable => f.write_str("the file cannot be read as far as announced"),
            Self::Os(code) => write!(f, "system error {code}"),
        }
    }
}

impl core::error::Error for IoError {}

/// The directions of a connection to shut down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shutdown {
    /// Both directions.
    Both,
    /// Receiving.
    Read,
    /// Sending: the peer gets our FIN after everything that was sent.
    ///
    /// The engine requests it before every orderly end of a connection that has served a request. When a response is cut off
    /// that only the end of the connection ends, it requests a [`Reset`](Self::Reset). So a layer that marks the end of what
    /// is sent, as TLS does by a close_notify, marks it here and nowhere else.
    Write,
    /// The close, which follows, resets the connection (SO_LINGER with a time of 0), so that the peer does not take a
    /// response that is cut off for a complete one (RFC 9112 §8). What the peer has not received is lost.
    ///
    /// Operations in flight are cancelled one by one. Where there are no resets, as with Unix domain sockets, this does
    /// nothing.
    Reset,
}

/// The I/O of one thread. Safe to implement: buffers arrive owned and leave in exactly one completion.
///
/// The [module's documentation](self) has the rules. The trait is object-safe.
pub trait Reactor<'p> {
    /// Queues an operation. Never blocks, never completes inline.
    ///
    /// # Errors
    /// Returns the submission if the queue is full; try again after the next [`wait`](Self::wait).
    // The error is the submission itself: a box would need an allocator.
    #[allow(clippy::result_large_err)]
    fn submit(&mut self, submission: Submission<'p>) -> Result<(), Submission<'p>>;

    /// Lends a buffer for `Recv { into: None }`; the engine decides when, and how many.
    ///
    /// # Errors
    /// Returns the buffer if the reactor cannot hold any more.
    fn provide(&mut self, buf: Buf<'p>) -> Result<(), Buf<'p>>;

    /// Takes back one lent buffer that no operation holds; `None` if there is none left.
    fn reclaim(&mut self) -> Option<Buf<'p>>;

    /// Shuts down one or both directions, before any later submission is carried out. Operations in flight complete,
    /// and the peer gets our FIN: a receive completes when reading ends; a send may fail when writing ends, so if its
    /// bytes matter, wait for its completion first. No effect on an invalid handle.
    fn shutdown(&mut self, io: IoHandle, how: Shutdown);

    /// Cancels an operation. It still completes exactly once, with its buffer: as cancelled, or with the result that it
    /// already had. No effect if it has completed.
    fn cancel(&mut self, token: OpToken, io: IoHandle);

    /// Blocks until an event, a wake, or `timeout` (`None`: without limit); returns at once if completions are pending.
    ///
    /// Returns whether it saw everything that had happened when it was called. Deadlines may expire only after such a
    /// wait, or input that arrived in time could count as late.
    ///
    /// # Errors
    /// Only errors that make the reactor unusable; an interruption is not an error, but [`Seen::Part`].
    fn wait(&mut self, timeout: Option<Duration>) -> Result<Seen, IoError>;

    /// Whether the next turn has work that no event will announce: pending completions, connections that had their
    /// share of this turn, a full batch of events. A program with its own event loop must then turn again at once,
    /// because the reactor's descriptor does not signal such work.
    fn has_work(&self) -> bool;

    /// Passes submissions to the system without waiting. [`wait`](Self::wait) does that too; a program with its own
    /// event loop must call this before it sleeps elsewhere.
    ///
    /// The default does nothing: with kernels that are called for every operation there is nothing to pass on.
    fn flush(&mut self) {}

    /// The next completion of this turn. Completions are pulled one by one, so there is no second copy and no queue to
    /// size.
    fn next_completion(&mut self) -> Option<Completion<'p>>;

    /// The monotonic clock; the loop reads it once or twice per turn.
    fn now(&self) -> Instant;

    /// Seconds since 1970-01-01 00:00:00 UTC, for the `Date` field; `None` without a wall clock.
    fn unix_time(&self) -> Option<u64> {
        None
    }

    /// Looks up the peers of its connections; the default knows none.
    fn peers(&self) -> &dyn Peers {
        &NoPeers
    }
}

/// The peer of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Peer {
    /// An address and a port.
    Ip(SocketAddr),
    /// A process on the same machine, over a Unix-domain socket.
    Unix,
}

/// How much a [`Reactor::wait`] has seen of what had happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seen {
    /// Everything: an operation that was submitted before the wait, and is still in flight when all its completions
    /// have been pulled, could not complete at the time when the wait was called.
    ///
    /// If there are always more events than one wait takes, consecutive waits count together: the last one of a bounded
    /// number of them may return this if they have seen everything that could complete when the first one was called.
    /// Otherwise no deadline would ever expire on a busy server.
    All,
    /// A part: it was interrupted, or there was more than it takes at once.
    Part,
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Security<'a> {
    /// The protocol: `"TLSv1.3"`.
    pub protocol: &'a str,
    /// The cipher suite: `"TLS13_AES_256_GCM_SHA384"`.
    pub cipher: &'a str,
    /// The name of the server that the client asked for (RFC 6066 §3).
    pub server_name: Option<&'a str>,
    /// The certificate that the client has proved to hold, in DER; `None` if it has shown none, or was not asked to.
    pub certificate: Option<&'a [u8]>,
}

impl<'a> Security<'a> {
    /// A connection without a server's name and without a client's certificate; set them afterwards.
    #[must_use]
    pub const fn new(protocol: &'a str, cipher: &'a str) -> Self {
        Self { protocol, cipher, server_name: None, certificate: None }
    }
}

/// Looks up the peers of connections.
pub trait Peers {
    /// The peer of `io`; `None` if that is unknown.
    fn peer(&self, io: IoHandle) -> Option<Peer>;

    /// How `io` is encrypted; `None` if it is not, or not by this reactor.
    fn security(&self, io: IoHandle) -> Option<Security<'_>> {
        let _ = io;
        None
    }

    /// The number of bytes that were sent on `io` and not yet acknowledged by the peer; `None` if the system cannot
    /// tell. Our FIN may count as one byte.
    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        let _ = io;
        None
    }

    /// Whether the reactor of these connections carries out [`Op::SendFile`].
    fn sends_files(&self) -> bool {
        false
    }
}

/// A [`Peers`] that knows none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn peer(&self, _io: IoHandle) -> Option<Peer> {
        None
    }
}

/// Ends a [`Reactor::wait`] from another thread, or makes the next one return at once. Several wakes may count as one.
pub trait Wake: Send + Sync {
    /// Wakes the reactor.
    fn wake(&self);
}

/// The outcome of one non-blocking call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attempt {
    /// It succeeded: the number of bytes, or the index of the new handle.
    Done(u32),
    /// It would block; an event will tell when to try again.
    WouldBlock,
    /// It failed.
    Failed(IoError),
}

/// What an event says about a socket. Flags may be set without reason; the next attempt finds out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ready {
    /// There are bytes, a FIN, an error or a new connection.
    pub readable: bool,
    /// A send may take bytes.
    pub writable: bool,
    /// The peer has sent its FIN, or the connection is broken: there will be no further event, so read to the end.
    pub ended: bool,
}

/// Passes [`Ready`] flags from [`NonBlocking::wait`] to the adapter.
pub type ReadyFn<'f> = dyn FnMut(IoHandle, Ready) + 'f;

/// The calls that epoll, kqueue and polled network stacks provide: non-blocking operations and a wait, edge-triggered.
/// [`Readiness`] makes a [`Reactor`] of them.
///
/// Edge-triggered means: after `WouldBlock`, and after a count smaller than requested, [`wait`](Self::wait) reports the
/// handle when more is possible, and need not report it again until the next such outcome. Two things need no further
/// report: bytes and FIN after a report with `ended`, and the effects of [`shutdown`](Self::shutdown). A handle that
/// was not returned by [`accept`](Self::accept) is reported once with its current state, because its index may have
/// been another socket's. Every call on a handle that is not open fails without other effects.
///
/// A count smaller than requested means "that was all". If a receive stops before something special, as sockets do at
/// TCP's urgent mark or at passed descriptors, what follows it is not read until more arrives or a deadline expires:
/// such a sender stalls only itself.
///
/// [`Readiness`]: crate::readiness::Readiness
pub trait NonBlocking {
    /// Accepts a connection from `listener`: `Done(handle)`.
    fn accept(&mut self, listener: IoHandle) -> Attempt;
    /// Receives into `spare`, which is not empty: `Done(bytes)`, where 0 is the peer's FIN.
    fn recv(&mut self, io: IoHandle, spare: &mut [u8]) -> Attempt;
    /// Sends the parts in order: `Done(bytes)`, counting both.
    fn send(&mut self, io: IoHandle, parts: [&[u8]; 2]) -> Attempt;
    /// Sends `head`, then a part of a file: `Done(bytes)`, counting both. A count smaller than requested means that the
    /// socket is full; if the file has ended, or cannot be read, this fails with
    /// [`IoError::FileUnreadable`]. The default supports no files.
    fn send_file(&mut self, io: IoHandle, head: &[u8], range: FileRange) -> Attempt {
        let _ = (io, head, range);
        Attempt::Failed(IoError::Unsupported)
    }
    /// Whether [`send_file`](Self::send_file) is supported.
    fn sends_files(&self) -> bool {
        false
    }
    /// Shuts down one or both directions, or has the close reset the connection.
    fn shutdown(&mut self, io: IoHandle, how: Shutdown);
    /// Closes a handle; its index may be reused afterwards.
    fn close(&mut self, io: IoHandle);
    /// Blocks until an event, a wake or `timeout`, and reports what became ready. It rounds `timeout` up, and never
    /// reports a closed handle.
    ///
    /// # Errors
    /// Only errors that make waiting impossible; an interruption is not an error but [`Seen::Part`], and so is a full
    /// batch of events. [`Batches`](crate::readiness::Batches) counts those.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError>;
    /// Whether the last wait took as many events as it can take at once, so that there may be more, which no descriptor
    /// signals.
    fn has_more(&self) -> bool {
        false
    }
    /// As [`Reactor::flush`]: sends what calls have only queued, for stacks that send when they are polled.
    fn flush(&mut self) {}
    /// The monotonic clock.
    fn now(&self) -> Instant;
    /// Seconds since 1970-01-01 00:00:00 UTC; `None` without a wall clock.
    fn unix_time(&self) -> Option<u64> {
        None
    }
    /// The peer of a connection; `None` if that is unknown.
    fn peer(&self, io: IoHandle) -> Option<Peer> {
        let _ = io;
        None
    }
    /// See [`Peers::security`].
    fn security(&self, io: IoHandle) -> Option<Security<'_>> {
        let _ = io;
        None
    }
    /// See [`Peers::unacknowledged`].
    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        let _ = io;
        None
    }
}

const _: fn(&mut dyn Reactor<'static>, &mut dyn NonBlocking, &dyn Wake) = |_, _, _| {};
