//! The response writer of handlers: it writes straight into the connection's send buffer.
//!
//! The core decides framing, `Content-Length`, chunked, `Date`, `Connection` and whether a body is allowed at all, so a
//! handler cannot get them wrong. The first error is kept: every later call returns it, and the connection answers 500
//! or 503 in place of the response, or cuts it off if a part of it has been sent.

mod body;
mod error;
mod head;
mod instead;
mod recode;
mod special;
#[cfg(feature = "std")]
mod std_io;
mod whole;

use core::convert::Infallible;
use core::fmt;

use crate::answer::{CONTINUE, sendable};
use crate::encode::connection_field;
use crate::format::UINT_BYTES_MAX;
use crate::part::{copy, part, part_mut};
use crate::peer::{ConnectionInfo, Place};
use crate::pool::{Align, Scope};
use crate::preamble::Preamble;
use crate::reactor::FileRange;
pub use error::WriteError;
pub use recode::Begun;
pub use whole::BodyWriter;

/// The length from which a static body is sent in place. Shorter ones are copied, so that pipelined responses leave
/// together.
const IN_PLACE_MIN: usize = 512;
/// Digits of a chunk size: enough for the largest buffer class.
const CHUNK_DIGITS: usize = 5;
const CHUNK_HEAD: usize = CHUNK_DIGITS + 2;
/// After a chunk: its CRLF and possibly the last chunk.
const CHUNK_TAIL: usize = 2 + LAST_CHUNK.len();
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// `Connection`, `Content-Length` or `Transfer-Encoding`, and the empty line.
const HEAD_END_MAX: usize =
    connection_field(true, true, true).len() + "Content-Length: ".len() + UINT_BYTES_MAX + "\r\n\r\n".len();
/// `Retry-After` of a 503, in seconds.
pub(crate) const RETRY_AFTER_S: u32 = 1;

/// Writes the response to one request.
///
/// The order is: [`status`](Self::status), any number of [`field`](Self::field)s, then either one of the `body` methods
/// or [`stream`](Self::stream) followed by writes. [`add_field`](Self::add_field) is allowed at any time before the
/// head is complete. [`Flow::Finish`] completes a response: an empty 200 if nothing was written. A status or fields
/// must be followed by `body` or `stream` in the same call of the handler.
///
/// As long as nothing of it has been sent, a response can be discarded with [`reset`](Self::reset), and replaced by
/// another one.
///
/// ```
/// use aurora_http_core::request::Request;
/// use aurora_http_core::writer::{ResponseWriter, WriteError};
///
/// fn moved(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
///     response.status(308)?;
///     response.field("Location", "/new/")?;
///     response.field("Cache-Control", "max-age=3600")?;
///     response.body("moved to /new/\n")
/// }
/// # let _ = aurora_http_core::handler::handler_fn(moved);
/// ```
///
/// [`Flow::Finish`]: crate::handler::Flow::Finish
pub struct ResponseWriter<'a> {
    /// Everything unsent: earlier responses, then this one.
    out: &'a mut [u8],
    len: usize,
    /// Where this response begins in `out`.
    begin: usize,
    /// Memory for this call.
    scope: Scope<'a>,
    /// The loan that `out` is in, if it had to grow.
    grown: Option<usize>,
    preamble: &'a Preamble,
    /// The longest that the response may become.
    bytes_max: usize,
    static_body: &'static [u8],
    /// The part of a file that is sent after `out`.
    file: Option<FileRange>,
    /// The content has to be in memory.
    keeps_files: bool,
    /// Field lines for the head, which outlast a [`reset`](Self::reset).
    added: &'a [u8],
    content_max: Option<u64>,
    /// The milliseconds after which the handler wants to be called again.
    wake_after_ms: Option<u32>,
    stream: Stream,
    /// The facts when the call began, unless the response had begun before.
    origin: Option<Facts>,
    /// Where the size of the open chunk is to be written.
    chunk: Option<usize>,
    facts: Facts,
    place: &'a Place<'a>,
    status: u16,
    phase: Phase,
    error: Option<WriteError>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Nothing has been written.
    Start,
    /// The status line has been written; fields may follow.
    Fields,
    /// The head is complete; the body may follow.
    Body,
    /// The response is complete.
    Done,
}

/// The state of a response; kept by the connection between two calls.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Stream {
    /// No value: it leaves 0 for the `None` of whatever contains this, so that a `static` table of vacant slots is all zeros
    /// and takes no flash.
    #[allow(dead_code)]
    Never(Infallible),
    /// No head has been written.
    #[default]
    Unbegun,
    /// With an announced length, of which this many bytes are still to be written.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Ends with the connection.
    CloseDelimited,
    /// No body is allowed: what the handler writes is dropped.
    Dropped,
    /// Bytes of another protocol.
    Raw,
    /// Complete.
    Done,
    /// All of a [`CloseDelimited`](Self::CloseDelimited) one has been written: it is complete once the connection has ended.
    DoneByClose,
}

impl Stream {
    /// Whether all of the response has been written.
    pub(crate) const fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::DoneByClose)
    }

    /// Whether the end of the connection is the end of the response.
    pub(crate) const fn ends_with_connection(self) -> bool {
        matches!(self, Self::CloseDelimited | Self::DoneByClose)
    }
}

/// Properties of the request and the connection that matter for the response.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Facts(u16);

impl Facts {
    /// What another connection may have left, in debug builds: all of them.
    #[cfg(all(not(feature = "small"), debug_assertions))]
    pub(crate) const SPOILT: Self = Self(u16::MAX);
    /// The method is HEAD.
    pub(crate) const HEAD: Self = Self(1);
    /// The method is CONNECT.
    pub(crate) const CONNECT: Self = Self(2);
    /// The request is HTTP/1.0.
    pub(crate) const HTTP10: Self = Self(4);
    /// The connection ends after this response.
    pub(crate) const CLOSE: Self = Self(8);
    /// If the handler answers without reading the content, the connection has to be closed, because the content is too
    /// long or of unknown length.
    pub(crate) const CLOSE_UNREAD: Self = Self(16);
    /// The client waits for a 100 (Continue).
    pub(crate) const EXPECTS: Self = Self(32);
    /// The client offers to switch to another protocol.
    pub(crate) const UPGRADE: Self = Self(64);
    /// The limit for content has been set.
    pub(crate) const LIMITED: Self = Self(128);
    /// The handler wants the trailer section.
    pub(crate) const TRAILERS: Self = Self(256);
    /// The request has content of which the handler has not been given the end.
    pub(crate) const CONTENT: Self = Self(512);
    /// The handler took a token for a deferred answer, and it is still valid.
    pub(crate) const TOKEN: Self = Self(1024);
    /// The status of the head that is being written requires a field.
    pub(crate) const NEEDS_FIELD: Self = Self(2048);
    /// A stop has begun.
    pub(crate) const STOPPING: Self = Self(4096);
    /// The handler is called because the time that it set has come.
    pub(crate) const WOKEN_BY_TIME: Self = Self(8192);
    /// A 100 (Continue) precedes the response.
    pub(crate) const INTERIM: Self = Self(16384);

    /// Files are not sent by the reactor.
    pub(crate) const NO_FILES: Self = Self(32768);

    /// Facts that may cause an insertion before the response, or into its head, after the call.
    pub(crate) const MAY_INSERT: Self = Self(Self::EXPECTS.0 | Self::CLOSE_UNREAD.0);

    /// Facts that may cause the end of the connection.
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

/// The outcome of a call, for the connection.
pub(crate) struct Written {
    pub(crate) len: usize,
    pub(crate) grown: Option<usize>,
    pub(crate) static_body: &'static [u8],
    pub(crate) file: Option<FileRange>,
    pub(crate) content_max: Option<u64>,
    pub(crate) wake_after_ms: Option<u32>,
    pub(crate) stream: Stream,
    pub(crate) facts: Facts,
}

/// A handler failed, or wrote something that is not a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) error: WriteError,
    /// Its response was replaced by an answer.
    pub(crate) is_answered: bool,
}

/// What a [`ResponseWriter`] is made of.
pub(crate) struct WriterParts<'a> {
    pub(crate) out: &'a mut [u8],
    pub(crate) len: usize,
    pub(crate) scope: Scope<'a>,
    pub(crate) preamble: &'a Preamble,
    pub(crate) bytes_max: usize,
    pub(crate) stream: Stream,
    pub(crate) facts: Facts,
    pub(crate) place: &'a Place<'a>,
}

/// Set-up and completion, by the connection.
impl<'a> ResponseWriter<'a> {
    #[cfg_attr(not(feature = "small"), inline)]
    pub(crate) fn new(parts: WriterParts<'a>) -> Self {
        let phase = match parts.stream {
            Stream::Unbegun => Phase::Start,
            Stream::Done | Stream::DoneByClose => Phase::Done,
            _ => Phase::Body,
        };
        let mut out = parts.out;
        if parts.facts.has(Facts::MAY_INSERT) {
            let end = out.len().saturating_sub(CONTINUE.len()).max(parts.len);
            out = part_mut(out, ..end);
        }
        Self {
            out,
            len: parts.len,
            begin: parts.len,
            scope: parts.scope,
            grown: None,
            preamble: parts.preamble,
            bytes_max: parts.bytes_max,
            static_body: &[],
            file: None,
            keeps_files: false,
            added: &[],
            content_max: None,
            wake_after_ms: None,
            stream: parts.stream,
            origin: if matches!(parts.stream, Stream::Unbegun) { Some(parts.facts) } else { None },
            chunk: None,
            facts: parts.facts,
            place: parts.place,
            status: 200,
            phase,
            error: None,
        }
    }

    /// Completes the response, after [`Flow::Finish`](crate::handler::Flow::Finish).
    #[inline]
    pub(crate) fn finish(&mut self) {
        if self.phase != Phase::Done && self.error.is_none() {
            self.finish_begun();
        }
    }

    /// Ends a call that another one follows. The next call writes a complete head, so none may be half written.
    #[cfg_attr(not(feature = "small"), inline)]
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
            // It stays raw: nothing is HTTP any more.
            Stream::Raw => {
                self.phase = Phase::Done;
                return;
            }
            Stream::Length(0) | Stream::CloseDelimited | Stream::Dropped => {}
            Stream::Chunked => {
                self.close_chunk();
                // There is room for the last chunk: it is reserved after every chunk, and without one the buffer is
                // empty.
                let _ = self.put(LAST_CHUNK);
            }
            _ => {
                let _ = self.latch::<()>(WriteError::LengthMismatch);
            }
        }
        self.stream = if self.stream == Stream::CloseDelimited { Stream::DoneByClose } else { Stream::Done };
        self.phase = Phase::Done;
    }

    /// What the call came to.
    #[cfg(not(feature = "small"))]
    #[inline]
    pub(crate) fn take_written(mut self) -> Written {
        self.outcome()
    }

    /// What the call came to. By reference, because moving the writer takes its place on the stack twice.
    #[cfg(feature = "small")]
    pub(crate) fn take_written(&mut self) -> Written {
        self.outcome()
    }

    #[inline(always)]
    fn outcome(&mut self) -> Written {
        if self.chunk.is_some() {
            self.close_chunk();
        }
        Written {
            len: self.len,
            grown: self.grown,
            static_body: self.static_body,
            file: self.file,
            content_max: self.content_max,
            wake_after_ms: self.wake_after_ms,
            stream: self.stream,
            facts: self.facts,
        }
    }
}

/// Scratch memory, and queries.
impl<'a> ResponseWriter<'a> {
    /// Scratch memory of `len` bytes for the duration of this call, from the worker's arena or, when that is full, from
    /// the buffer pool. It is not cleared, and stays usable while the response is written.
    ///
    /// # Errors
    /// [`WriteError::PoolExhausted`] if neither has that much. This error is not kept: the response can still be
    /// written.
    pub fn scratch(&mut self, len: usize) -> Result<&'a mut [u8], WriteError> {
        self.scope.alloc(len).map_err(|_| WriteError::PoolExhausted)
    }

    /// Like [`scratch`](Self::scratch), with an alignment.
    ///
    /// # Errors
    /// Same as [`scratch`](Self::scratch).
    pub fn scratch_aligned(&mut self, len: usize, align: Align) -> Result<&'a mut [u8], WriteError> {
        self.scope.alloc_aligned(len, align).map_err(|_| WriteError::PoolExhausted)
    }

    /// The connection of the exchange: its id and peer.
    #[must_use]
    pub const fn connection(&self) -> ConnectionInfo<'a> {
        self.place.info()
    }

    /// Whether a stop of the server has begun: this response is the last one of its connection, and streams and waiting
    /// exchanges should come to an end.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.facts.has(Facts::STOPPING)
    }

    /// Sets the most content, in bytes, that [`Flow::Receive`](crate::handler::Flow::Receive) accepts from now on, in
    /// place of [`Limits::content_bytes_max`](crate::limits::Limits::content_bytes_max). It takes effect in the call
    /// that returns `Receive`, and stays for the rest of the request. It also applies to
    /// [`Flow::Collect`](crate::handler::Flow::Collect) from the same call, if it is less than
    /// [`Limits::content_collected_max`](crate::limits::Limits::content_collected_max).
    pub fn limit_content(&mut self, bytes_max: u64) {
        self.content_max = Some(bytes_max);
    }

    /// Asks for the trailer fields of chunked content, which are dropped otherwise: [`Content::trailers`] returns them
    /// in the [`receive`](crate::handler::Handler::receive) call with the end of the content. Call it before that, at
    /// the latest in the call that returns the first [`Flow::Receive`](crate::handler::Flow::Receive).
    ///
    /// [`Content::trailers`]: crate::handler::Content::trailers
    pub const fn keep_trailers(&mut self) {
        self.facts = self.facts.with(Facts::TRAILERS, true);
    }

    pub(crate) const fn error(&self) -> Option<WriteError> {
        self.error
    }

    /// The status of the response so far, or after an error that of the answer that replaces it.
    #[must_use]
    pub fn status_so_far(&self) -> u16 {
        match self.error {
            None => self.status,
            Some(error) => self.sendable(error.answer().status),
        }
    }

    /// The status that is sent for a requested one, with the fields that were added.
    pub(crate) fn sendable(&self, status: u16) -> u16 {
        sendable(status, self.added)
    }

    /// Bytes of the response that were written in this call, including head and framing. It includes neither what
    /// [`Flow::Finish`] adds afterwards nor an answer that replaces the response.
    ///
    /// [`Flow::Finish`]: crate::handler::Flow::Finish
    #[must_use]
    pub const fn written(&self) -> usize {
        let of_file = match self.file {
            Some(range) => range.len as usize,
            None => 0,
        };
        self.len - self.begin + self.static_body.len() + of_file
    }

    #[cfg_attr(not(feature = "small"), inline)]
    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.ensure(bytes.len())?;
        let Some(to) = self.spare().get_mut(..bytes.len()) else { return self.latch(WriteError::TooLarge) };
        to.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// The room after what was written.
    #[inline(always)]
    fn spare(&mut self) -> &mut [u8] {
        part_mut(self.out, self.len..)
    }

    /// This response, as far as it was written.
    fn so_far(&self) -> &[u8] {
        part(self.out, self.begin..self.len)
    }

    /// Makes sure that `count` bytes fit, if necessary by moving to a larger buffer.
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
        if self.move_to_larger(wanted) { Ok(()) } else { self.latch(WriteError::PoolExhausted) }
    }

    /// Moves to a buffer of at least `wanted` bytes; `false` if none is free.
    #[cold]
    pub(crate) fn move_to_larger(&mut self, wanted: usize) -> bool {
        let lender = self.scope.lender();
        let loan = lender.lent_count();
        let keeps = self.facts.has(Facts::MAY_INSERT) && !planted!(RoomForContinueLost);
        let kept = if keeps { CONTINUE.len() } else { 0 };
        let Some(larger) = lender.lend(wanted.saturating_add(kept)) else { return false };
        let end = larger.len() - kept;
        let larger = part_mut(larger, ..end);
        copy(part_mut(larger, ..self.len), part(self.out, ..self.len));
        self.out = larger;
        self.grown = Some(loan);
        true
    }

    #[cfg_attr(not(feature = "small"), inline)]
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
