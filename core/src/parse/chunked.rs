//! The chunked transfer coding (RFC 9112 §7.1), in any number of pieces.
//!
//! Every byte of framing is examined once and none has to be kept: a chunk size, an extension or a trailer field may be
//! split anywhere. Trailer fields are checked by the rules for the head and dropped, unless the caller keeps the bytes
//! of their section ([`ChunkedDecoder::poll_content`]). They are never merged into the fields of the head (RFC 9110
//! §6.5.1), so none of them can change framing, routing or authentication.

use core::fmt;

use super::bytes::{QUOTED, TOKEN, VALUE, is};
use super::field_line::{FieldLineError, Place};
use crate::limits::Limits;

/// The most hexadecimal digits of a chunk size, including leading zeros: as many as fit into a `u64`.
const SIZE_DIGITS_MAX: u8 = 16;

/// Finds the content in a chunked message body.
///
/// ```
/// use aurora_http_core::limits::Limits;
/// use aurora_http_core::parse::{Chunk, ChunkedDecoder};
///
/// let limits = Limits::default();
/// let mut body = &b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n"[..];
/// let mut decoder = ChunkedDecoder::new();
/// let mut content = Vec::new();
/// loop {
///     match decoder.poll(body, &limits)? {
///         Chunk::Data { skip, len } => {
///             content.extend_from_slice(&body[skip..skip + len]);
///             decoder.consume_data(len);
///             body = &body[skip + len..];
///         }
///         Chunk::NeedMore { .. } => unreachable!("the whole message body is here"),
///         Chunk::End { consumed } => {
///             body = &body[consumed..];
///             break;
///         }
///     }
/// }
/// assert_eq!((&content[..], body), (&b"hello"[..], &b"GET / HTTP/1.1\r\n"[..]));
/// # Ok::<(), aurora_http_core::parse::ChunkError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ChunkedDecoder {
    /// While a size is being read, its value so far; afterwards, the bytes of the chunk that have not been consumed.
    remaining: u64,
    /// Bytes of chunk extensions in this message so far.
    extension_bytes: u16,
    /// Bytes of the trailer section so far.
    trailer_bytes: u16,
    /// Digits of the chunk size so far.
    digits: u8,
    state: State,
}

const _: () = assert!(size_of::<ChunkedDecoder>() <= 16);

/// What [`ChunkedDecoder::poll`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Chunk {
    /// Drop the first `consumed` bytes, which are usually all of them; more are needed.
    NeedMore {
        /// Bytes of framing.
        consumed: usize,
    },
    /// Drop the first `skip` bytes; the next `len` are content. Take any number of them, pass that number to
    /// [`ChunkedDecoder::consume_data`], and poll with what follows.
    Data {
        /// Bytes of framing.
        skip: usize,
        /// Bytes of content, at least 1.
        len: usize,
    },
    /// Drop the first `consumed` bytes; the next message follows them.
    End {
        /// Bytes of framing.
        consumed: usize,
    },
}

/// What was wrong with a chunked message body. Each of these ends the connection, because it is unknown where the next
/// message starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ChunkError {
    /// A chunk size that does not start with a hexadecimal digit, or is followed by an invalid byte.
    Size,
    /// A chunk size of more than 16 digits.
    SizeTooLong,
    /// White space at the end of a chunk's line: after the size, the name of an extension or its value.
    TrailingBlank,
    /// A malformed chunk extension.
    Extension,
    /// More chunk extensions than [`Limits::chunk_extension_bytes_max`] in one message.
    ExtensionsTooLong,
    /// A line feed without a carriage return, or a carriage return without a line feed, in a chunk's line.
    LineEnd,
    /// Chunk data that is not followed by CRLF.
    DataEnd,
    /// A malformed trailer field.
    Trailer(FieldLineError),
    /// A trailer section longer than [`Limits::trailer_bytes_max`].
    TrailersTooLong,
}

impl ChunkError {
    /// The status code of the answer: 400 or 431.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TrailersTooLong => 431,
            _ => 400,
        }
    }
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "a malformed chunk size",
            Self::SizeTooLong => "a chunk size of more than 16 digits",
            Self::TrailingBlank => "white space at the end of a chunk's line",
            Self::Extension => "a malformed chunk extension",
            Self::ExtensionsTooLong => "chunk extensions over the limit",
            Self::LineEnd => "a line end other than CRLF in a chunk's line",
            Self::DataEnd => "chunk data that is not followed by CRLF",
            Self::Trailer(error) => return write!(f, "in the trailer section: {error}"),
            Self::TrailersTooLong => "a trailer section over the limit",
        })
    }
}

impl core::error::Error for ChunkError {}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum State {
    Size,
    /// After white space after the size: an extension has to follow.
    BlankAfterSize,
    Extension(Extension),
    SizeLineFeed,
    Data,
    DataCarriageReturn,
    DataLineFeed,
    Trailers(Place),
    Finished,
    /// A final state, so that nothing after a fault is taken for content.
    Failed(ChunkError),
}

/// The position of the next byte in `*( BWS ";" BWS name [ BWS "=" BWS value ] )` (RFC 9112 §7.1.1).
#[derive(Clone, Copy, Debug)]
enum Extension {
    /// After `;` and any white space.
    BeforeName,
    Name,
    BlankAfterName,
    /// After `=` and any white space.
    BeforeValue,
    TokenValue,
    QuotedValue,
    /// After a backslash in a quoted string.
    QuotedPair,
    AfterQuoted,
    BlankAfterValue,
    /// After the CR.
    LineEnd,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkedDecoder {
    /// A decoder at the start of a message body.
    #[must_use]
    pub const fn new() -> Self {
        Self { remaining: 0, extension_bytes: 0, trailer_bytes: 0, digits: 0, state: State::Size }
    }

    /// Whether the end of the message body has been reached.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// Reads framing up to the next content, the end of the message body, or the end of `bytes`.
    ///
    /// `bytes` must start where the last call left off. Content that was offered and not consumed is offered again.
    ///
    /// # Errors
    /// What is wrong with the message body, with the [status](ChunkError::status) of the answer. All later calls return
    /// the same error.
    #[inline]
    pub fn poll(&mut self, bytes: &[u8], limits: &Limits) -> Result<Chunk, ChunkError> {
        self.poll_to::<false>(bytes, limits)
    }

    /// Like [`poll`](Self::poll), but stops before the trailer section: [`Chunk::NeedMore`] then tells where it begins,
    /// and [`is_at_trailers`](Self::is_at_trailers) returns true. From then on, call only
    /// [`poll_trailers`](Self::poll_trailers).
    ///
    /// # Errors
    /// Same as [`poll`](Self::poll).
    pub fn poll_content(&mut self, bytes: &[u8], limits: &Limits) -> Result<Chunk, ChunkError> {
        self.poll_to::<true>(bytes, limits)
    }

    /// Whether the trailer section is next, being read, or complete.
    #[must_use]
    pub const fn is_at_trailers(&self) -> bool {
        matches!(self.state, State::Trailers(_) | State::Finished)
    }

    /// Checks the trailer section at the front of `bytes`, which must again hold all bytes of it that earlier calls
    /// were given. Returns its length, including the empty line at its end, once it is complete, and `None` until then.
    /// Each byte is examined once.
    ///
    /// # Errors
    /// Same as [`poll`](Self::poll).
    pub fn poll_trailers(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, ChunkError> {
        let seen =
            usize::from(self.trailer_bytes) + usize::from(matches!(self.state, State::Trailers(Place::LastLineFeed)));
        let polled = self.poll_to::<false>(bytes.get(seen..).unwrap_or_default(), limits)?;
        // `trailer_bytes` does not count the empty line.
        Ok(matches!(polled, Chunk::End { .. }).then_some(usize::from(self.trailer_bytes) + 2))
    }

    fn poll_to<const BEFORE_TRAILERS: bool>(&mut self, bytes: &[u8], limits: &Limits) -> Result<Chunk, ChunkError> {
        for (at, &byte) in bytes.iter().enumerate() {
            match self.state {
                State::Data => {
                    let available = bytes.len() - at;
                    // Compared as u64: a chunk may be longer than a 32-bit address space.
                    let len = if self.remaining < available as u64 { self.remaining as usize } else { available };
                    return Ok(Chunk::Data { skip: at, len });
                }
                State::Finished => return Ok(Chunk::End { consumed: at }),
                State::Trailers(_) if BEFORE_TRAILERS => return Ok(Chunk::NeedMore { consumed: at }),
                state => {
                    self.state = match self.step(state, byte, limits) {
                        Ok(next) => next,
                        Err(error) => {
                            self.state = State::Failed(error);
                            return Err(error);
                        }
                    };
                }
            }
        }
        match self.state {
            State::Finished => Ok(Chunk::End { consumed: bytes.len() }),
            State::Failed(error) => Err(error),
            _ => Ok(Chunk::NeedMore { consumed: bytes.len() }),
        }
    }

    /// Marks `count` bytes of the content that [`poll`](Self::poll) offered as taken. A larger number than the rest of
    /// the chunk counts as all of it.
    pub fn consume_data(&mut self, count: usize) {
        if matches!(self.state, State::Data) {
            self.remaining = self.remaining.saturating_sub(count as u64);
            if self.remaining == 0 {
                self.state = State::DataCarriageReturn;
            }
        }
    }

    #[cfg_attr(not(feature = "small"), inline)]
    fn step(&mut self, state: State, byte: u8, limits: &Limits) -> Result<State, ChunkError> {
        match (state, byte) {
            (State::Size, _) => self.size_byte(byte, limits),
            (State::BlankAfterSize, b' ' | b'\t' | b';') => self.extension_start(byte, limits),
            (State::BlankAfterSize, b'\r') => Err(ChunkError::TrailingBlank),
            (State::BlankAfterSize, b'\n') => Err(ChunkError::LineEnd),
            (State::BlankAfterSize, _) => Err(ChunkError::Size),
            (State::Extension(place), _) => self.extension_byte(place, byte, limits),
            (State::SizeLineFeed, b'\n') => Ok(self.size_end()),
            (State::SizeLineFeed, _) => Err(ChunkError::LineEnd),
            (State::DataCarriageReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::Size),
            (State::DataCarriageReturn | State::DataLineFeed, _) => Err(ChunkError::DataEnd),
            (State::Trailers(place), _) => self.trailer_byte(place, byte, limits),
            (State::Failed(error), _) => Err(error),
            (State::Data | State::Finished, _) => Ok(state),
        }
    }

    #[cfg_attr(not(feature = "small"), inline)]
    fn size_byte(&mut self, byte: u8, limits: &Limits) -> Result<State, ChunkError> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if self.digits == SIZE_DIGITS_MAX + u8::from(planted!(SeventeenDigits)) {
                return Err(ChunkError::SizeTooLong);
            }
            self.digits += 1;
            // 16 digits of 4 bits cannot overflow.
            self.remaining = self.remaining << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        match byte {
            b'\n' => Err(ChunkError::LineEnd),
            _ if self.digits == 0 => Err(ChunkError::Size),
            b'\r' => Ok(State::SizeLineFeed),
            b' ' | b'\t' | b';' => self.extension_start(byte, limits),
            _ => Err(ChunkError::Size),
        }
    }

    /// White space after the size, or the semicolon of the first extension.
    fn extension_start(&mut self, byte: u8, limits: &Limits) -> Result<State, ChunkError> {
        self.count_extension_byte(limits)?;
        Ok(if byte == b';' { State::Extension(Extension::BeforeName) } else { State::BlankAfterSize })
    }

    fn extension_byte(&mut self, place: Extension, byte: u8, limits: &Limits) -> Result<State, ChunkError> {
        let next = place.step(byte)?;
        match (place, next) {
            (_, Extension::LineEnd) => return Ok(State::SizeLineFeed),
            _ => self.count_extension_byte(limits)?,
        }
        Ok(State::Extension(next))
    }

    fn count_extension_byte(&mut self, limits: &Limits) -> Result<(), ChunkError> {
        if self.extension_bytes >= limits.chunk_extension_bytes_max {
            return Err(ChunkError::ExtensionsTooLong);
        }
        self.extension_bytes += 1;
        Ok(())
    }

    /// The state after a chunk's line: its data, or the trailer section if it is the last chunk.
    fn size_end(&mut self) -> State {
        self.digits = 0;
        if self.remaining == 0 { State::Trailers(Place::LineStart) } else { State::Data }
    }

    fn trailer_byte(&mut self, place: Place, byte: u8, limits: &Limits) -> Result<State, ChunkError> {
        match place.step(byte).map_err(ChunkError::Trailer)? {
            Place::End => Ok(State::Finished),
            Place::LastLineFeed => Ok(State::Trailers(Place::LastLineFeed)),
            next => {
                if self.trailer_bytes >= limits.trailer_bytes_max {
                    return Err(ChunkError::TrailersTooLong);
                }
                self.trailer_bytes += 1;
                Ok(State::Trailers(next))
            }
        }
    }
}

impl Extension {
    /// The position after `byte`, or what is wrong with it.
    fn step(self, byte: u8) -> Result<Self, ChunkError> {
        match (self, byte) {
            (Self::BeforeName, b' ' | b'\t') => Ok(Self::BeforeName),
            (Self::BeforeName | Self::Name, _) if is(byte, TOKEN) => Ok(Self::Name),
            (Self::Name | Self::BlankAfterName, b' ' | b'\t') => Ok(Self::BlankAfterName),
            (Self::Name | Self::BlankAfterName, b'=') => Ok(Self::BeforeValue),

            (Self::BeforeValue, b' ' | b'\t') => Ok(Self::BeforeValue),
            (Self::BeforeValue, b'"') => Ok(Self::QuotedValue),
            (Self::BeforeValue | Self::TokenValue, _) if is(byte, TOKEN) => Ok(Self::TokenValue),

            (Self::QuotedValue, b'"') => Ok(Self::AfterQuoted),
            (Self::QuotedValue, b'\\') => Ok(Self::QuotedPair),
            (Self::QuotedValue, _) if is(byte, QUOTED) => Ok(Self::QuotedValue),
            (Self::QuotedPair, _) if is(byte, VALUE) => Ok(Self::QuotedValue),

            (Self::TokenValue | Self::AfterQuoted | Self::BlankAfterValue, b' ' | b'\t') => Ok(Self::BlankAfterValue),

            (Self::Name | Self::BlankAfterName, b';') => Ok(Self::BeforeName),
            (Self::TokenValue | Self::AfterQuoted | Self::BlankAfterValue, b';') => Ok(Self::BeforeName),
            (Self::Name | Self::TokenValue | Self::AfterQuoted, b'\r') => Ok(Self::LineEnd),

            (Self::BlankAfterName | Self::BlankAfterValue, b'\r') => Err(ChunkError::TrailingBlank),
            (_, b'\n') => Err(ChunkError::LineEnd),
            _ => Err(ChunkError::Extension),
        }
    }
}
