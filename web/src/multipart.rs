//! Forms with files: `multipart/form-data` (RFC 7578, RFC 2046 §5.1), read as they arrive.
//!
//! [`Multipart`] is a parser without I/O and without memory of its own besides the boundary: parts are borrowed from the content
//! that was received, so a file of many gigabytes passes through the connection's buffer.
//!
//! ```
//! use aurora_http_core::handler::{Respond, receiving};
//! use aurora_http_core::request::Method;
//! use aurora_http_core::writer::ResponseWriter;
//! use aurora_http_web::multipart::{Event, Multipart, MultipartError};
//! use aurora_http_web::{Call, Routes, streaming};
//!
//! /// Counts the bytes of the files.
//! fn count(_: &mut (), call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<impl Respond + use<>, MultipartError> {
//!     let mut form = Multipart::of(call)?.part_bytes_max(1 << 30).bytes_max(1 << 30);
//!     response.limit_content(1 << 30); // the server's own limit, 1 MiB by default
//!     let (mut is_file, mut bytes) = (false, 0);
//!     Ok(receiving(move |content, response| {
//!         while let Some(event) = form.next(content)? {
//!             match event {
//!                 Event::Part(part) => is_file = part.file_name().is_some(),
//!                 Event::Data(data) if is_file => bytes += data.len(),
//!                 Event::Data(_) | Event::End => {}
//!             }
//!         }
//!         if content.ended() {
//!             response.body_fmt(format_args!("{bytes} bytes\n"))?;
//!         }
//!         Ok::<_, MultipartError>(())
//!     }))
//! }
//!
//! let handler = Routes::new().on(Method::Post, "/count", streaming(count)).with_state(());
//! ```
//!
//! # What is accepted
//! What browsers, curl and the usual libraries send, and little else: a form is refused rather than guessed at, because a proxy or a
//! filter in front may have guessed differently. Lines end with CRLF. There is no text before the first boundary or after the last
//! one, except one CRLF. After a boundary there is `--` or the end of the line. Each part has one `Content-Disposition: form-data`
//! with one `name`, at most one `filename` and one `Content-Type`; other fields are checked for their form and ignored. A
//! `Content-Transfer-Encoding` other than `7bit`, `8bit` or `binary` is refused, since the content would be mistaken for something
//! else, and so is a `filename*`, which RFC 7578 §4.2 forbids, unless it says the same as `filename`: .NET sends both, but for names
//! beyond ASCII unlike ones. Nested `multipart/mixed` (RFC 7578 §4.3, obsolete) is one part.
//!
//! # Names
//! Names are UTF-8; how they are decoded is described at [`Text`]. A name is what the client claims. Use [`Text::file_name`] for a
//! name that is to become part of a path.

mod disposition;
mod head;
mod text;

use core::fmt;

use aurora_http_core::handler::{Content, ErrorResponse};
use aurora_http_core::request::Request;
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::message;

pub use head::PartHead;
pub use text::Text;

/// Longest boundary, in bytes (RFC 2046 §5.1.1).
pub const BOUNDARY_BYTES_MAX: usize = 70;

/// `\r\n--` before a boundary.
const DASHES: &[u8] = b"\r\n--";
/// `--` or CRLF after a boundary.
const SUFFIX_BYTES: usize = 2;

/// What [`Multipart::next`] has found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event<'c> {
    /// A part begins.
    Part(PartHead<'c>),
    /// The next piece of the part's content, which is not empty. A part may have none.
    Data(&'c [u8]),
    /// The part is complete.
    End,
}

/// A parser for one form.
///
/// By default a form may have 100 parts of 1 MiB each, 8 MiB in total, and 2 KiB for the fields of a part. The server's limits apply
/// as well: see [`ResponseWriter::limit_content`].
#[derive(Clone, Debug)]
pub struct Multipart {
    /// CRLF, two dashes, the boundary.
    delimiter: [u8; DASHES.len() + BOUNDARY_BYTES_MAX],
    delimiter_len: u8,
    state: State,
    /// Bytes of an incomplete head that are known not to contain its end.
    scanned: u16,
    parts: u16,
    parts_max: u16,
    head_bytes_max: u16,
    part_bytes: u64,
    part_bytes_max: u64,
    bytes: u64,
    bytes_max: u64,
}

// Every connection has room for one if a handler uses it.
const _: () = assert!(size_of::<Multipart>() <= 128);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Nothing has been read.
    Start,
    /// In the fields of a part.
    Head,
    /// In the content of a part.
    Data,
    /// After the last boundary.
    After,
    /// After the CRLF that may follow the last boundary.
    Ended,
}

/// What was found, and how many bytes are done with.
type Step<'c> = (usize, Option<Event<'c>>);

impl Multipart {
    /// A parser for the content of a request.
    ///
    /// # Errors
    /// [`MultipartError::MediaType`] if the content is not `multipart/form-data`, [`MultipartError::Boundary`] if its boundary is
    /// missing or invalid.
    pub fn of(request: &Request<'_>) -> Result<Self, MultipartError> {
        let mut values = request.fields().get_all("Content-Type");
        match (values.next(), values.next()) {
            (Some(value), None) => Self::new(disposition::boundary(value)?),
            _ => Err(MultipartError::MediaType),
        }
    }

    /// A parser for content with this boundary.
    ///
    /// # Errors
    /// [`MultipartError::Boundary`] if it is empty, longer than [`BOUNDARY_BYTES_MAX`], or contains bytes that a boundary must not
    /// contain (RFC 2046 §5.1.1).
    pub fn new(boundary: &[u8]) -> Result<Self, MultipartError> {
        let mut delimiter = [0; DASHES.len() + BOUNDARY_BYTES_MAX];
        let len = DASHES.len() + boundary.len();
        let whole = delimiter.get_mut(..len).ok_or(MultipartError::Boundary)?;
        if !disposition::is_boundary(boundary) {
            return Err(MultipartError::Boundary);
        }
        let (dashes, rest) = whole.split_at_mut(DASHES.len());
        dashes.copy_from_slice(DASHES);
        rest.copy_from_slice(boundary);
        Ok(Self {
            delimiter,
            delimiter_len: len as u8,
            state: State::Start,
            scanned: 0,
            parts: 0,
            parts_max: 100,
            head_bytes_max: 2048,
            part_bytes: 0,
            part_bytes_max: 1 << 20,
            bytes: 0,
            bytes_max: 8 << 20,
        })
    }

    /// Sets how many parts the form may have.
    #[must_use]
    pub const fn parts_max(self, parts_max: u16) -> Self {
        Self { parts_max, ..self }
    }

    /// Sets how long the fields of a part may be, in bytes, with the empty line after them. They have to fit into a buffer of the
    /// server.
    #[must_use]
    pub const fn head_bytes_max(self, head_bytes_max: u16) -> Self {
        Self { head_bytes_max, ..self }
    }

    /// Sets how long the content of a part may be, in bytes.
    #[must_use]
    pub const fn part_bytes_max(self, part_bytes_max: u64) -> Self {
        Self { part_bytes_max, ..self }
    }

    /// Sets how long the contents of all parts together may be, in bytes.
    #[must_use]
    pub const fn bytes_max(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    /// The next event in the content that was received. `None` if more has to arrive first: bytes that belong to what follows are
    /// [held](Content::hold); or if [all of it](Content::ended) was read.
    ///
    /// Call it until it returns `None`, and again in the next [`receive`](aurora_http_core::handler::Handler::receive) call.
    ///
    /// # Errors
    /// [`MultipartError`], after which the content cannot be read further.
    pub fn next<'c>(&mut self, content: &mut Content<'c>) -> Result<Option<Event<'c>>, MultipartError> {
        let (count, event) = self.step(content.bytes(), content.ended())?;
        content.consume(count);
        if event.is_none() && !content.bytes().is_empty() {
            content.hold();
        }
        Ok(event)
    }

    /// The same for bytes from anywhere: returns how many bytes at the front of `bytes` are done with, and what was found. `None`
    /// asks for more: call it again with the rest of `bytes` and what follows it. `ended` tells that nothing follows; then `None`
    /// means that the form is complete.
    ///
    /// ```
    /// use aurora_http_web::multipart::{Event, Multipart, MultipartError};
    ///
    /// # fn main() -> Result<(), MultipartError> {
    /// let mut form = Multipart::new(b"x")?;
    /// let mut rest: &[u8] = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhello\r\n--x--\r\n";
    /// let mut value: Vec<u8> = Vec::new();
    /// loop {
    ///     let (count, event) = form.step(rest, true)?;
    ///     rest = &rest[count..];
    ///     match event {
    ///         Some(Event::Part(part)) => assert_eq!(part.name(), "a"),
    ///         Some(Event::Data(data)) => value.extend(data),
    ///         Some(Event::End) => {}
    ///         None => break,
    ///     }
    /// }
    /// assert_eq!(value, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`MultipartError`], after which the content cannot be read further.
    pub fn step<'c>(&mut self, bytes: &'c [u8], ended: bool) -> Result<Step<'c>, MultipartError> {
        let mut skipped = 0;
        if self.state == State::Start {
            skipped = self.start(bytes)?;
        }
        let rest = bytes.get(skipped..).unwrap_or_default();
        let (count, event) = match self.state {
            State::Start => (0, None),
            State::Head => self.head(rest)?,
            State::Data => self.data(rest)?,
            State::After | State::Ended => (self.after(rest)?, None),
        };
        let is_over = count == rest.len() && matches!(self.state, State::After | State::Ended);
        if ended && event.is_none() && !is_over {
            return Err(MultipartError::Incomplete);
        }
        Ok((skipped + count, event))
    }

    /// The first boundary; returns how long it is.
    fn start(&mut self, bytes: &[u8]) -> Result<usize, MultipartError> {
        // The CRLF before it belongs to it, and may be missing as nothing precedes it.
        let is_bare = bytes.first() != Some(&b'\r');
        let delimiter = self.delimiter().get(if is_bare { 2 } else { 0 }..).unwrap_or_default();
        let common = bytes.len().min(delimiter.len());
        if bytes.get(..common) != delimiter.get(..common) {
            return Err(MultipartError::Malformed(Fault::Preamble));
        }
        let len = delimiter.len();
        self.suffix(bytes.get(len..).unwrap_or_default(), len)
    }

    /// What follows a boundary that is `len` bytes long. Returns the length of both; 0 if it has not arrived.
    fn suffix(&mut self, rest: &[u8], len: usize) -> Result<usize, MultipartError> {
        self.state = match rest {
            [b'\r', b'\n', ..] => State::Head,
            [b'-', b'-', ..] => State::After,
            [] | [b'\r' | b'-'] => return Ok(0),
            _ => return Err(MultipartError::Malformed(Fault::Boundary)),
        };
        Ok(len + SUFFIX_BYTES)
    }

    fn head<'c>(&mut self, bytes: &'c [u8]) -> Result<Step<'c>, MultipartError> {
        if self.parts >= self.parts_max {
            return Err(MultipartError::TooManyParts);
        }
        if bytes.starts_with(b"\r\n") {
            return Err(MultipartError::Malformed(Fault::Disposition)); // there is not a single field
        }
        let head_bytes_max = usize::from(self.head_bytes_max);
        let scanned = usize::from(self.scanned).min(bytes.len());
        let unscanned = bytes.get(scanned..).unwrap_or_default();
        let Some(at) = unscanned.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            if bytes.len() >= head_bytes_max {
                return Err(MultipartError::HeadTooLong);
            }
            self.scanned = bytes.len().saturating_sub(3) as u16;
            return Ok((0, None));
        };
        let len = scanned + at + 4;
        if len > head_bytes_max {
            return Err(MultipartError::HeadTooLong);
        }
        let part = PartHead::parse(bytes.get(..len - 4).unwrap_or_default())?;
        (self.scanned, self.state, self.part_bytes) = (0, State::Data, 0);
        self.parts += 1;
        Ok((len, Some(Event::Part(part))))
    }

    fn data<'c>(&mut self, bytes: &'c [u8]) -> Result<Step<'c>, MultipartError> {
        let at = find(bytes, self.delimiter());
        if at > 0 {
            self.part_bytes = self.part_bytes.saturating_add(at as u64);
            self.bytes = self.bytes.saturating_add(at as u64);
            if self.part_bytes > self.part_bytes_max {
                return Err(MultipartError::PartTooLong);
            }
            if self.bytes > self.bytes_max {
                return Err(MultipartError::TooLong);
            }
            return Ok((at, bytes.get(..at).map(Event::Data)));
        }
        let len = usize::from(self.delimiter_len);
        match self.suffix(bytes.get(len..).unwrap_or_default(), len)? {
            0 => Ok((0, None)),
            count => Ok((count, Some(Event::End))),
        }
    }

    /// How much of what follows the last boundary is done with.
    fn after(&mut self, bytes: &[u8]) -> Result<usize, MultipartError> {
        match (self.state, bytes) {
            (_, []) => Ok(0),
            (State::After, [b'\r']) => Ok(0),
            (State::After, [b'\r', b'\n']) => {
                self.state = State::Ended;
                Ok(2)
            }
            _ => Err(MultipartError::Malformed(Fault::Epilogue)),
        }
    }

    fn delimiter(&self) -> &[u8] {
        self.delimiter.get(..usize::from(self.delimiter_len)).unwrap_or_default()
    }
}

/// Where the first delimiter begins, or what may be the front of one at the end of `bytes`; or else their length.
fn find(bytes: &[u8], delimiter: &[u8]) -> usize {
    let mut from = 0;
    while let Some(at) = position_of_cr(bytes.get(from..).unwrap_or_default()) {
        let candidate = bytes.get(from + at..).unwrap_or_default();
        let common = candidate.iter().zip(delimiter).take_while(|(byte, expected)| byte == expected).count();
        if common == candidate.len() || common == delimiter.len() {
            return from + at;
        }
        // A boundary contains no CR, so no delimiter begins within another one.
        from += at + common.max(1);
    }
    bytes.len()
}

/// Looks at blocks without a branch for each byte, which the compiler turns into vector instructions: long ones for content without
/// lines, short ones for text.
fn position_of_cr(bytes: &[u8]) -> Option<usize> {
    if bytes.first() == Some(&b'\r') {
        return Some(0);
    }
    let mut skipped = blocks_without_cr::<64>(bytes);
    skipped += blocks_without_cr::<16>(bytes.get(skipped..).unwrap_or_default());
    let rest = bytes.get(skipped..).unwrap_or_default();
    Some(skipped + rest.iter().position(|&byte| byte == b'\r')?)
}

/// The length of the blocks at the front that contain no CR.
fn blocks_without_cr<const BLOCK: usize>(bytes: &[u8]) -> usize {
    let has_cr = |block: &[u8; BLOCK]| block.iter().fold(false, |found, &byte| found | (byte == b'\r'));
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    blocks.iter().take_while(|block| !has_cr(block)).count() * BLOCK
}

/// Why a form could not be read. Also as a [`WriteError`], it answers with the given status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MultipartError {
    /// The content is not `multipart/form-data`: 415.
    MediaType,
    /// The boundary is missing or invalid: 400.
    Boundary,
    /// The form is malformed: 400.
    Malformed(Fault),
    /// The content ends before the form does: 400.
    Incomplete,
    /// The fields of a part are longer than [`Multipart::head_bytes_max`]: 413.
    HeadTooLong,
    /// More parts than [`Multipart::parts_max`]: 413.
    TooManyParts,
    /// A part is longer than [`Multipart::part_bytes_max`]: 413.
    PartTooLong,
    /// All parts together are longer than [`Multipart::bytes_max`]: 413.
    TooLong,
    /// The response could not be written: a status of its own.
    Write(WriteError),
}

/// What is wrong with a malformed form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The content does not begin with the boundary.
    Preamble,
    /// A boundary is followed by neither `--` nor the end of the line.
    Boundary,
    /// Something follows the last boundary.
    Epilogue,
    /// A field of a part is malformed: no name, no colon, a control character, a line that continues the one before it.
    Field,
    /// The fields of a part are not UTF-8.
    NotText,
    /// `Content-Disposition` is missing, repeated, malformed, or something else than `form-data` with one name.
    Disposition,
    /// There is a `filename*` that does not say the same as `filename`.
    ExtendedName,
    /// A part has several fields `Content-Type`.
    ContentType,
    /// The content of a part is encoded.
    TransferEncoding,
}

impl MultipartError {
    /// The status that it answers with; 500 for [`Write`](Self::Write).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::MediaType => 415,
            Self::Boundary | Self::Malformed(_) | Self::Incomplete => 400,
            Self::HeadTooLong | Self::TooManyParts | Self::PartTooLong | Self::TooLong => 413,
            Self::Write(_) => 500,
        }
    }
}

impl From<WriteError> for MultipartError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<MultipartError> for WriteError {
    fn from(error: MultipartError) -> Self {
        match error {
            MultipartError::Write(error) => error,
            error => Self::Failed(error.status()),
        }
    }
}

/// Answers with the message as text.
impl ErrorResponse for MultipartError {
    fn respond(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        match self {
            Self::Write(error) => Err(*error),
            error => message::respond(error.status(), error, response),
        }
    }
}

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MediaType => "a form is expected: multipart/form-data",
            Self::Boundary => "the boundary of the form is missing or invalid",
            Self::Malformed(fault) => return write!(f, "the form is malformed: {fault}"),
            Self::Incomplete => "the form is not complete",
            Self::HeadTooLong => "the fields of a part are too long",
            Self::TooManyParts => "the form has too many parts",
            Self::PartTooLong => "a part is too long",
            Self::TooLong => "the form is too long",
            Self::Write(error) => return error.fmt(f),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preamble => "it does not begin with its boundary",
            Self::Boundary => "a boundary is followed by something else",
            Self::Epilogue => "something follows the last boundary",
            Self::Field => "a field of a part is invalid",
            Self::NotText => "the fields of a part are not UTF-8",
            Self::Disposition => "a part needs one Content-Disposition: form-data with one name",
            Self::ExtendedName => "filename* does not say the same as filename",
            Self::ContentType => "a part has more than one Content-Type",
            Self::TransferEncoding => "the content of a part is encoded",
        })
    }
}

impl core::error::Error for MultipartError {}
