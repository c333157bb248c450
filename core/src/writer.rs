//! The response as a handler writes it: straight into the connection's send buffer.
//!
//! The core decides framing, `Content-Length`, chunked, `Date`, `Connection` and whether a body is allowed at all; a
//! handler cannot get them wrong. The first error latches: every later call returns it, and the connection answers 500
//! or 503 in place of the response, or breaks it off when a part has left already.

mod body;
mod error;
mod head;
mod instead;
mod special;
#[cfg(feature = "std")]
mod std_io;
mod whole;

use core::fmt;

use crate::answer::{CONTINUE, sendable};
use crate::encode::connection_field;
use crate::format::UINT_BYTES_MAX;
use crate::peer::{ConnectionInfo, Place};
use crate::pool::{Align, Scope};
use crate::preamble::Preamble;
pub use error::WriteError;
pub use whole::BodyWriter;

/// Bytes from which a static body is sent in place; shorter ones are copied, so that pipelined responses gather.
const IN_PLACE_MIN: usize = 512;
/// Digits of a chunk size: enough for the largest buffer class.
const CHUNK_DIGITS: usize = 5;
const CHUNK_HEAD: usize = CHUNK_DIGITS + 2;
/// Behind a chunk: its CRLF and, perhaps, the last chunk.
const CHUNK_TAIL: usize = 2 + LAST_CHUNK.len();
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// `Connection`, `Content-Length` or `Transfer-Encoding`, and the empty line.
const HEAD_END_MAX: usize =
    connection_field(true, true, true).len() + "Content-Length: ".len() + UINT_BYTES_MAX + "\r\n\r\n".len();
/// What a client is told to wait after a 503, in seconds.
pub(crate) const RETRY_AFTER_S: u32 = 1;

/// Writes the response to one request.
///
/// Order: [`status`](Self::status), any number of [`field`](Self::field)s, then either one of the `body` methods or
/// [`stream`](Self::stream) followed by writes. [`add_field`](Self::add_field) has its turn at any time before the head is
/// complete. A response that is left unfinished by [`Flow::Finish`] is completed: an empty 200 if nothing was written.
/// Status and fields do not outlast a call: what is begun by them must be followed by `body` or `stream` before the handler
/// returns.
///
/// What went wrong may be thrown away as long as nothing has left: [`reset`](Self::reset), then a response of another kind.
///
/// [`Flow::Finish`]: crate::handler::Flow::Finish
pub struct ResponseWriter<'a> {
    /// Everything unsent: responses gathered before this one, then this one.
    out: &'a mut [u8],
    len: usize,
    /// Where this response begins in `out`.
    begin: usize,
    /// Memory for this call.
    scope: Scope<'a>,
    /// Which loan `out` lies in, when it had to grow.
    grown: Option<usize>,
    preamble: &'a Preamble,
    /// Longest `out` may grow.
    bytes_max: usize,
    static_body: &'static [u8],
    /// Field lines for the head, whenever it is written, and whatever becomes of the response.
    added: &'a [u8],
    content_max: Option<u64>,
    /// When the handler wants to be called again, in milliseconds.
    wake_after_ms: Option<u32>,
    stream: Stream,
    /// The facts when the call began, where the response had not begun before.
    origin: Option<Facts>,
    /// Where the open chunk's size goes.
    chunk: Option<usize>,
    facts: Facts,
    place: &'a Place<'a>,
    status: u16,
    phase: Phase,
    error: Option<WriteError>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Nothing is written yet.
    Start,
    /// The status line is written, fields may follow.
    Fields,
    /// The head is complete, the body goes on.
    Body,
    /// The response is complete.
    Done,
}

/// How far a streamed response has come; kept by the connection between two calls.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Stream {
    /// No head was written yet.
    #[default]
    Unbegun,
    /// Bytes still to be written of the announced length.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Ends with the connection.
    CloseDelimited,
    /// No body is allowed: what is written is dropped.
    Dropped,
    /// Another protocol's bytes.
    Raw,
    /// Complete.
    Done,
}

/// What the request and the connection mean for the response.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Facts(u16);

impl Facts {
    /// The method is HEAD.
    pub(crate) const HEAD: Self = Self(1);
    /// The method is CONNECT.
    pub(crate) const CONNECT: Self = Self(2);
    /// The request is HTTP/1.0.
    pub(crate) const HTTP10: Self = Self(4);
    /// The connection ends behind this response.
    pub(crate) const CLOSE: Self = Self(8);
    /// Unread content is too long, or of unknown length, to be dropped: answering without reading means closing.
    pub(crate) const CLOSE_UNREAD: Self = Self(16);
    /// A 100 (Continue) is expected and was not sent.
    pub(crate) const EXPECTS: Self = Self(32);
    /// The client offers to switch to another protocol.
    pub(crate) const UPGRADE: Self = Self(64);
    /// How much content may come was decided.
    pub(crate) const LIMITED: Self = Self(128);
    /// The handler wants the trailer section.
    pub(crate) const TRAILERS: Self = Self(256);
    /// The request has content that the handler was not given to the end.
    pub(crate) const CONTENT: Self = Self(512);
    /// The handler took a token for a deferred answer, which may not have come.
    pub(crate) const TOKEN: Self = Self(1024);
    /// The status of the head that is being written demands a field.
    pub(crate) const DEMANDS: Self = Self(2048);
    /// A stop has begun.
    pub(crate) const STOPPING: Self = Self(4096);
    /// The handler is called because its time has come.
    pub(crate) const TIME: Self = Self(8192);

    /// One of those that may put something in front of the response, or into its head, when the call is over.
    pub(crate) const MAY_INSERT: Self = Self(Self::EXPECTS.0 | Self::CLOSE_UNREAD.0);

    /// One of those that may mean the end of the connection.
    pub(crate) const MAY_CLOSE: Self = Self(Self::CLOSE_UNREAD.0 | Self::CONNECT.0);

    #[inline]
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(crate) const fn with(self, other: Self, on: bool) -> Self {
        if on { Self(self.0 | other.0) } else { Self(self.0 & !other.0) }
    }
}

/// What came of a call, for the connection.
pub(crate) struct Written {
    pub(crate) len: usize,
    pub(crate) grown: Option<usize>,
    pub(crate) static_body: &'static [u8],
    pub(crate) content_max: Option<u64>,
    pub(crate) wake_after_ms: Option<u32>,
    pub(crate) stream: Stream,
    pub(crate) facts: Facts,
}

/// A handler failed, or wrote what cannot be a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) error: WriteError,
    /// What it wrote was replaced by another answer.
    pub(crate) is_answered: bool,
}

/// Everything a [`ResponseWriter`] stands on.
pub(crate) struct Ground<'a> {
    pub(crate) out: &'a mut [u8],
    pub(crate) len: usize,
    pub(crate) scope: Scope<'a>,
    pub(crate) preamble: &'a Preamble,
    pub(crate) bytes_max: usize,
    pub(crate) stream: Stream,
    pub(crate) facts: Facts,
    pub(crate) place: &'a Place<'a>,
}

/// Setting up and finishing, by the connection.
impl<'a> ResponseWriter<'a> {
    #[inline]
    pub(crate) fn new(ground: Ground<'a>) -> Self {
        let phase = match ground.stream {
            Stream::Unbegun => Phase::Start,
            Stream::Done => Phase::Done,
            _ => Phase::Body,
        };
        let mut out = ground.out;
        if ground.facts.has(Facts::MAY_INSERT) {
            let end = out.len().saturating_sub(CONTINUE.len()).max(ground.len);
            out = &mut out[..end];
        }
        Self {
            out,
            len: ground.len,
            begin: ground.len,
            scope: ground.scope,
            grown: None,
            preamble: ground.preamble,
            bytes_max: ground.bytes_max,
            static_body: &[],
            added: &[],
            content_max: None,
            wake_after_ms: None,
            stream: ground.stream,
            origin: if matches!(ground.stream, Stream::Unbegun) { Some(ground.facts) } else { None },
            chunk: None,
            facts: ground.facts,
            place: ground.place,
            status: 200,
            phase,
            error: None,
        }
    }

    /// Completes the response: what [`Flow::Finish`](crate::handler::Flow::Finish) means for the writer.
    #[inline]
    pub(crate) fn finish(&mut self) {
        if self.phase != Phase::Done && self.error.is_none() {
            self.finish_begun();
        }
    }

    /// Another call follows, and it would write a head of its own: none may be half written by then.
    #[inline]
    pub(crate) fn pause(&mut self) {
        let is_begun = self.phase == Phase::Fields || self.phase == Phase::Start && self.status != 200;
        if is_begun {
            let _ = self.latch::<()>(WriteError::Order);
        }
    }

    fn finish_begun(&mut self) {
        if self.phase != Phase::Body {
            let _ = self.body([]);
            return;
        }
        match self.stream {
            // It stays what it is: nothing is HTTP any more.
            Stream::Raw => {
                self.phase = Phase::Done;
                return;
            }
            Stream::Length(0) | Stream::CloseDelimited | Stream::Dropped => {}
            Stream::Chunked => {
                self.close_chunk();
                // Room for the last chunk: reserved behind every chunk, and the buffer is empty without one.
                let _ = self.put(LAST_CHUNK);
            }
            _ => {
                let _ = self.latch::<()>(WriteError::LengthMismatch);
            }
        }
        self.stream = Stream::Done;
        self.phase = Phase::Done;
    }

    #[inline]
    pub(crate) fn into_written(mut self) -> Written {
        if self.chunk.is_some() {
            self.close_chunk();
        }
        Written {
            len: self.len,
            grown: self.grown,
            static_body: self.static_body,
            content_max: self.content_max,
            wake_after_ms: self.wake_after_ms,
            stream: self.stream,
            facts: self.facts,
        }
    }
}

/// Memory for the length of one call.
impl<'a> ResponseWriter<'a> {
    /// `len` bytes for the length of this call, from the worker's arena or, when that is full, from the buffer pool.
    /// They hold whatever was there before, and stay usable while the response is written.
    ///
    /// # Errors
    /// [`WriteError::PoolExhausted`] when neither has that much; it does not latch.
    pub fn scratch(&mut self, len: usize) -> Result<&'a mut [u8], WriteError> {
        self.scope.alloc(len).map_err(|_| WriteError::PoolExhausted)
    }

    /// As [`scratch`](Self::scratch), aligned.
    ///
    /// # Errors
    /// As [`scratch`](Self::scratch).
    pub fn scratch_aligned(&mut self, len: usize, align: Align) -> Result<&'a mut [u8], WriteError> {
        self.scope.alloc_aligned(len, align).map_err(|_| WriteError::PoolExhausted)
    }

    /// The connection that the exchange is on: its id, and who is at the other end.
    #[must_use]
    pub const fn connection(&self) -> ConnectionInfo<'a> {
        self.place.info()
    }

    /// Whether a stop of the server has begun: this response is the last one of its connection, and what streams or waits
    /// should come to its end.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.facts.has(Facts::STOPPING)
    }

    /// Sets the most content, in bytes, that [`Flow::Receive`](crate::handler::Flow::Receive) accepts from now on, in
    /// place of [`Limits::content_bytes_max`](crate::limits::Limits::content_bytes_max). Takes effect in the call that
    /// returns `Receive`; it is remembered for the rest of the request. [`Flow::Collect`](crate::handler::Flow::Collect)
    /// from the same call accepts no more than that either, nor than
    /// [`Limits::content_collected_max`](crate::limits::Limits::content_collected_max).
    pub fn limit_content(&mut self, bytes_max: u64) {
        self.content_max = Some(bytes_max);
    }

    /// Asks for the trailer fields of chunked content, which are dropped otherwise: [`Content::trailers`] has them in the
    /// [`receive`](crate::handler::Handler::receive) call that brings the end. Call it before that, at the latest when
    /// returning the first [`Flow::Receive`](crate::handler::Flow::Receive).
    ///
    /// [`Content::trailers`]: crate::handler::Content::trailers
    pub const fn keep_trailers(&mut self) {
        self.facts = self.facts.with(Facts::TRAILERS, true);
    }

    pub(crate) const fn error(&self) -> Option<WriteError> {
        self.error
    }

    /// The status that the response has so far: the one set, or that of the answer that replaces it after an error.
    #[must_use]
    pub fn status_so_far(&self) -> u16 {
        match self.error {
            None => self.status,
            Some(error) => self.sendable(error.answer().status),
        }
    }

    /// The status of an answer that was to have this one, with what was added.
    pub(crate) fn sendable(&self, status: u16) -> u16 {
        sendable(status, self.added)
    }

    /// Bytes written of the response in this call, head and framing included. What [`Flow::Finish`] completes comes
    /// behind that, and an answer in place of the response does not show.
    ///
    /// [`Flow::Finish`]: crate::handler::Flow::Finish
    #[must_use]
    pub const fn written(&self) -> usize {
        self.len - self.begin + self.static_body.len()
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.ensure(bytes.len())?;
        self.out[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// Makes sure that `count` bytes fit, growing into the next buffer class that has room.
    #[inline]
    fn ensure(&mut self, count: usize) -> Result<(), WriteError> {
        if count <= self.out.len() - self.len { Ok(()) } else { self.grow(count) }
    }

    #[cold]
    fn grow(&mut self, count: usize) -> Result<(), WriteError> {
        let wanted = self.len.saturating_add(count);
        if wanted - self.begin > self.bytes_max {
            return self.latch(WriteError::TooLarge);
        }
        let lender = self.scope.lender();
        let loan = lender.lent_count();
        let keeps = self.facts.has(Facts::MAY_INSERT) && !planted!(RoomForContinueLost);
        let kept = if keeps { CONTINUE.len() } else { 0 };
        let Some(larger) = lender.lend(wanted.saturating_add(kept)) else {
            return self.latch(WriteError::PoolExhausted);
        };
        let end = larger.len() - kept;
        let larger = &mut larger[..end];
        larger[..self.len].copy_from_slice(&self.out[..self.len]);
        self.out = larger;
        self.grown = Some(loan);
        Ok(())
    }

    #[inline]
    fn check(&self) -> Result<(), WriteError> {
        match self.error {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    #[cold]
    fn latch<T>(&mut self, error: WriteError) -> Result<T, WriteError> {
        Err(*self.error.get_or_insert(error))
    }
}

impl fmt::Debug for ResponseWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseWriter")
            .field("status", &self.status)
            .field("phase", &self.phase)
            .field("written", &(self.len - self.begin))
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}
