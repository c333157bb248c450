//! The parts of a response head, put behind each other into memory that the caller provides, and the two decisions
//! that no handler makes: how the body is framed and what is told about the connection.
//!
//! Whatever writes a head does it with these, so that each rule has one implementation. Nothing that comes from a
//! handler can end its line: names are tokens, and values and reasons have no control but HTAB (RFC 9110 §5.5).

use core::fmt;

use crate::error::BufferFull;
use crate::format::{HttpDate, UINT_BYTES_MAX, uint_len, write_digits};
use crate::status;

/// Writes into borrowed memory, front to back. Each method writes all of its part or nothing.
#[derive(Debug)]
pub struct Encoder<'a> {
    spare: &'a mut [u8],
    capacity: usize,
}

impl<'a> Encoder<'a> {
    /// Starts at the front of `out`.
    #[inline]
    #[must_use]
    pub const fn new(out: &'a mut [u8]) -> Self {
        let capacity = out.len();
        Self { spare: out, capacity }
    }

    /// Bytes written.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.capacity - self.spare.len()
    }

    /// Whether nothing is written.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of room left.
    #[inline]
    #[must_use]
    pub const fn spare_len(&self) -> usize {
        self.spare.len()
    }

    /// Writes `bytes` as they are. They are not checked: never a part of a head that comes from a handler.
    ///
    /// # Errors
    /// [`BufferFull`] when they do not fit.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        copy(self.take(bytes.len())?, bytes);
        Ok(())
    }

    /// Writes a status line with the registered reason: `HTTP/1.1 200 OK`. Without one the space before it stays
    /// (RFC 9112 §4). The version is always the server's own, whatever the request's was (RFC 9110 §2.5).
    ///
    /// # Errors
    /// [`StatusError::Full`] when it does not fit, [`StatusError::InvalidStatus`] outside 100 to 999.
    #[inline]
    pub fn status_line(&mut self, status: u16) -> Result<(), StatusError> {
        // By far the most frequent: a copy of known length.
        if status == 200 {
            return Ok(self.put(b"HTTP/1.1 200 OK\r\n")?);
        }
        self.any_status_line(status)
    }

    fn any_status_line(&mut self, status: u16) -> Result<(), StatusError> {
        match status::line(status) {
            Some(line) => Ok(self.put(line.as_bytes())?),
            None => self.status_line_with_reason(status, b""),
        }
    }

    /// Writes a status line with a reason of the handler's own. It may be empty.
    ///
    /// # Errors
    /// [`StatusError::Full`] when it does not fit, [`StatusError::InvalidStatus`] outside 100 to 999,
    /// [`StatusError::InvalidReason`] when it holds a control other than HTAB (RFC 9112 §4).
    pub fn status_line_with_reason(&mut self, status: u16, reason: &[u8]) -> Result<(), StatusError> {
        if !status::is_valid(status) {
            return Err(StatusError::InvalidStatus);
        }
        if !is_field_content(reason) {
            return Err(StatusError::InvalidReason);
        }
        let line = self.take(STATUS_LINE_BYTES.saturating_add(reason.len()))?;
        let (start, end) = line.split_at_mut(STATUS_LINE_BYTES - 2);
        start.copy_from_slice(b"HTTP/1.1 000 ");
        write_digits(status.into(), &mut start[9..12]);
        let (to, line_end) = end.split_at_mut(reason.len());
        to.copy_from_slice(reason);
        line_end.copy_from_slice(b"\r\n");
        Ok(())
    }

    /// Writes a field of the handler's, `name: value`. White space around the value is no part of it: recipients
    /// drop it (RFC 9110 §5.5).
    ///
    /// # Errors
    /// [`FieldError`]: the name is no token or [reserved](is_reserved), the value holds a control other than HTAB, or
    /// the line does not fit.
    #[inline]
    pub fn field(&mut self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        let name = name.as_bytes();
        check_field(name, value)?;
        let length = name.len().saturating_add(value.len()).saturating_add(FIELD_LINE_EXTRA);
        let line = self.take(length)?;
        let (name_to, line) = line.split_at_mut(name.len());
        let (colon, line) = line.split_at_mut(2);
        let (value_to, line_end) = line.split_at_mut(value.len());
        copy(name_to, name);
        copy(colon, b": ");
        copy(value_to, value);
        copy(line_end, b"\r\n");
        Ok(())
    }

    /// Writes a field that was checked when it was made: the fastest way for a constant.
    ///
    /// # Errors
    /// [`BufferFull`] when it does not fit.
    #[inline]
    pub fn field_line(&mut self, line: FieldLine<'_>) -> Result<(), BufferFull> {
        let text = line.0;
        let line = self.take(text.len().saturating_add(2))?;
        let (text_to, line_end) = line.split_at_mut(text.len());
        copy(text_to, text);
        copy(line_end, b"\r\n");
        Ok(())
    }

    /// Writes a field with a number: `name_with_colon` as it is, for example `b"Retry-After: "`, then `value` and the
    /// end of the line.
    ///
    /// # Errors
    /// [`BufferFull`] when it does not fit.
    #[inline]
    pub fn uint_field(&mut self, name_with_colon: &'static [u8], value: u64) -> Result<(), BufferFull> {
        let digits_len = uint_len(value);
        let line = self.take(name_with_colon.len().saturating_add(digits_len + 2))?;
        let (name_to, line) = line.split_at_mut(name_with_colon.len());
        let (digits, line_end) = line.split_at_mut(digits_len);
        copy(name_to, name_with_colon);
        write_digits(value, digits);
        copy(line_end, b"\r\n");
        Ok(())
    }

    /// Writes what tells the framing: `Content-Length`, `Transfer-Encoding: chunked`, or nothing.
    ///
    /// # Errors
    /// [`BufferFull`] when it does not fit.
    #[inline]
    pub fn framing_field(&mut self, framing: BodyFraming) -> Result<(), BufferFull> {
        match framing {
            BodyFraming::Length(length) | BodyFraming::NoBody { content_length: Some(length) } => {
                self.uint_field(CONTENT_LENGTH, length)
            }
            BodyFraming::Chunked => self.put(TRANSFER_ENCODING_CHUNKED),
            BodyFraming::NoBody { content_length: None } | BodyFraming::CloseDelimited => Ok(()),
        }
    }

    /// Writes `Date`.
    ///
    /// # Errors
    /// [`BufferFull`] when it does not fit.
    #[inline]
    pub fn date_field(&mut self, date: &HttpDate) -> Result<(), BufferFull> {
        let line = self.take(DATE_LINE_BYTES)?;
        let (name, line) = line.split_at_mut(DATE_LINE_BYTES - HttpDate::BYTES - 2);
        let (value, line_end) = line.split_at_mut(HttpDate::BYTES);
        copy(name, b"Date: ");
        copy(value, date.as_bytes());
        copy(line_end, b"\r\n");
        Ok(())
    }

    /// Writes `Upgrade` with the protocols offered or switched to (RFC 9110 §7.8). It goes with the `upgrade` option
    /// of [`connection_field`].
    ///
    /// # Errors
    /// [`FieldError::InvalidValue`] when `protocols` is empty or holds a control, [`FieldError::Full`].
    pub fn upgrade_field(&mut self, protocols: &[u8]) -> Result<(), FieldError> {
        if !is_upgrade(protocols) {
            return Err(FieldError::InvalidValue);
        }
        let line = self.take(UPGRADE.len().saturating_add(protocols.len()).saturating_add(2))?;
        let (name, line) = line.split_at_mut(UPGRADE.len());
        let (value, line_end) = line.split_at_mut(protocols.len());
        name.copy_from_slice(UPGRADE);
        value.copy_from_slice(protocols);
        line_end.copy_from_slice(b"\r\n");
        Ok(())
    }

    /// Writes the empty line behind the fields.
    ///
    /// # Errors
    /// [`BufferFull`] when it does not fit.
    #[inline]
    pub fn end_of_head(&mut self) -> Result<(), BufferFull> {
        self.put(b"\r\n")
    }

    /// Splits `length` bytes off the front of the room.
    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a mut [u8], BufferFull> {
        self.spare.split_off_mut(..length).ok_or(BufferFull)
    }
}

/// Most bytes of what the core adds to a head behind its status line, `Upgrade` apart: `Date`, `Connection`, the
/// framing and the empty line. With so much room kept, a head that a handler filled can always be finished.
pub const OWN_FIELDS_BYTES_MAX: usize = DATE_LINE_BYTES
    + connection_field(true, true, true).len()
    + CONTENT_LENGTH.len()
    + UINT_BYTES_MAX
    + "\r\n".len()
    + "\r\n".len();

/// Bytes of a status line without its reason.
pub(crate) const STATUS_LINE_BYTES: usize = "HTTP/1.1 200 \r\n".len();

/// Bytes of a field line besides its name and its value.
pub(crate) const FIELD_LINE_EXTRA: usize = ": \r\n".len();

/// Bytes of a `Date` line.
pub(crate) const DATE_LINE_BYTES: usize = "Date: \r\n".len() + HttpDate::BYTES;

pub(crate) const CONTENT_LENGTH: &[u8] = b"Content-Length: ";
pub(crate) const TRANSFER_ENCODING_CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";
pub(crate) const UPGRADE: &[u8] = b"Upgrade: ";

/// What is known of a response's content when its head is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyKind {
    /// The handler said nothing about content.
    None,
    /// So many bytes.
    Known(u64),
    /// It is produced piece by piece.
    Unknown,
}

/// How a response's end is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyFraming {
    /// The head is all of it, whatever the handler wrote.
    NoBody {
        /// Told in `Content-Length` all the same, when it is some.
        content_length: Option<u64>,
    },
    /// `Content-Length` and exactly so many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The end of the connection is the end of the body.
    CloseDelimited,
}

/// Decides the framing of a response: RFC 9112 §6.3 seen from the server, row by row.
///
/// `method_is_connect` is about the request, like `request_method_is_head`; `http10` says that it was HTTP/1.0.
#[inline]
#[must_use]
pub const fn response_body(
    request_method_is_head: bool,
    method_is_connect: bool,
    status: u16,
    http10: bool,
    length: BodyKind,
) -> BodyFraming {
    const NOTHING_TOLD: BodyFraming = BodyFraming::NoBody { content_length: None };
    match (status, length) {
        // Interim responses, and 101 behind which another protocol begins: no content (RFC 9110 §15.2), neither
        // Content-Length (§8.6) nor Transfer-Encoding (RFC 9112 §6.1).
        (100..=199, _) => NOTHING_TOLD,
        // A tunnel begins behind the head: neither of the two (RFC 9110 §9.3.6, §8.6, RFC 9112 §6.1).
        (200..=299, _) if method_is_connect => NOTHING_TOLD,
        // No content, neither of the two (RFC 9110 §15.3.5, §8.6, RFC 9112 §6.1).
        (204, _) => NOTHING_TOLD,
        // No content (RFC 9110 §15.3.6), but the client reads a body by the common rules: its length is zero.
        (205, _) => BodyFraming::NoBody { content_length: Some(0) },
        // No content (RFC 9110 §15.4.5). Content-Length would have to be that of the 200 (§8.6), which only the
        // handler could know; it is optional, so nothing is told.
        (304, _) => NOTHING_TOLD,
        // The same Content-Length as for GET, without the content (RFC 9110 §9.3.2, §8.6).
        (_, BodyKind::Known(length)) if request_method_is_head => BodyFraming::NoBody { content_length: Some(length) },
        // What GET would have had is not known here: both fields may be left out (RFC 9110 §9.3.2, RFC 9112 §6.1).
        (_, BodyKind::None | BodyKind::Unknown) if request_method_is_head => NOTHING_TOLD,
        // Told, so that the connection can persist (RFC 9112 §6.3, §9.3).
        (_, BodyKind::Known(length)) => BodyFraming::Length(length),
        // Without Content-Length the client would read up to the end of the connection (RFC 9112 §6.3, rule 8).
        (_, BodyKind::None) => BodyFraming::Length(0),
        // Chunked is for 1.1 requests only (RFC 9112 §6.1): with 1.0 the connection ends behind the body.
        (_, BodyKind::Unknown) if http10 => BodyFraming::CloseDelimited,
        (_, BodyKind::Unknown) => BodyFraming::Chunked,
    }
}

impl BodyFraming {
    /// Whether body bytes follow the head.
    #[inline]
    #[must_use]
    pub const fn has_body(self) -> bool {
        !matches!(self, Self::NoBody { .. })
    }

    /// Whether the connection has to be closed behind the body.
    #[inline]
    #[must_use]
    pub const fn closes(self) -> bool {
        matches!(self, Self::CloseDelimited)
    }
}

/// The `Connection` line, CRLF included; empty when nothing has to be told.
///
/// `persistent` says that the connection stays open behind this response, `upgrade` that an `Upgrade` field goes with
/// it, which needs its option (RFC 9110 §7.8). A 101 and a 2xx to CONNECT end HTTP on the connection without closing
/// it: for them `persistent` is true and `http10` false.
#[inline]
#[must_use]
pub const fn connection_field(http10: bool, persistent: bool, upgrade: bool) -> &'static [u8] {
    match (http10, persistent, upgrade) {
        // The default of 1.1 (RFC 9112 §9.3).
        (false, true, false) => b"",
        (false, true, true) => b"Connection: upgrade\r\n",
        // Closing is always told (RFC 9112 §9.6), to 1.0 as well, where it is the default.
        (_, false, false) => b"Connection: close\r\n",
        (_, false, true) => b"Connection: close, upgrade\r\n",
        // A 1.0 client that asked for it learns that it was granted (RFC 9112 §9.3, appendix C.2.2).
        (true, true, false) => b"Connection: keep-alive\r\n",
        (true, true, true) => b"Connection: keep-alive, upgrade\r\n",
    }
}

/// A whole field line, `Name: value` without its CRLF, checked when it was made.
///
/// ```
/// use aurora_http_core::encode::FieldLine;
/// const JSON: FieldLine<'_> = FieldLine::new("Content-Type: application/json").unwrap();
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FieldLine<'a>(&'a [u8]);

impl<'a> FieldLine<'a> {
    /// Checks `line` by the rules of [`Encoder::field`]. `None` when it breaks one or has no `: ` behind its name.
    #[must_use]
    pub const fn new(line: &'a str) -> Option<Self> {
        let bytes = line.as_bytes();
        let mut colon = 0;
        while colon < bytes.len() && bytes[colon] != b':' {
            colon += 1;
        }
        let (name, rest) = bytes.split_at(colon);
        match rest {
            [b':', b' ', value @ ..] if check_field(name, value).is_ok() => Some(Self(bytes)),
            _ => None,
        }
    }

    /// Bytes of the line, without its CRLF.
    #[inline]
    pub(crate) const fn len(self) -> usize {
        self.0.len()
    }
}

/// Whether only the core may send a field of this name, in any case. A handler's own would contradict it:
///
/// * `Content-Length`, `Transfer-Encoding`, `Trailer`: the framing ([`response_body`]);
/// * `Connection`, `Keep-Alive`, `Proxy-Connection`, `Upgrade`: the connection ([`connection_field`],
///   [`Encoder::upgrade_field`]);
/// * `Date`: the server's clock; without a clock there is none (RFC 9110 §6.6.1).
#[inline]
#[must_use]
pub const fn is_reserved(name: &[u8]) -> bool {
    // The length alone sorts out nearly all others.
    match name.len() {
        4 => name.eq_ignore_ascii_case(b"Date"),
        7 => name.eq_ignore_ascii_case(b"Upgrade") || name.eq_ignore_ascii_case(b"Trailer"),
        10 => name.eq_ignore_ascii_case(b"Connection") || name.eq_ignore_ascii_case(b"Keep-Alive"),
        14 => name.eq_ignore_ascii_case(b"Content-Length"),
        16 => name.eq_ignore_ascii_case(b"Proxy-Connection"),
        17 => name.eq_ignore_ascii_case(b"Transfer-Encoding"),
        _ => false,
    }
}

/// Checks a field of a handler's. Never [`FieldError::Full`].
#[inline]
pub(crate) const fn check_field(name: &[u8], value: &[u8]) -> Result<(), FieldError> {
    if !is_token(name) {
        return Err(FieldError::InvalidName);
    }
    if is_reserved(name) {
        return Err(FieldError::Reserved);
    }
    if !is_field_content(value) {
        return Err(FieldError::InvalidValue);
    }
    Ok(())
}

/// Whether `protocols` can be the value of `Upgrade`.
pub(crate) const fn is_upgrade(protocols: &[u8]) -> bool {
    !protocols.is_empty() && is_field_content(protocols)
}

/// Whether `name` is a token (RFC 9110 §5.6.2): one or more bytes of [`TOKEN`].
#[inline]
pub(crate) const fn is_token(name: &[u8]) -> bool {
    let mut rest = name;
    // Four look-ups for one branch.
    while let Some((four, behind)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = *four;
        if !(TOKEN[a as usize] & TOKEN[b as usize] & TOKEN[c as usize] & TOKEN[d as usize]) {
            return false;
        }
        rest = behind;
    }
    while let [byte, behind @ ..] = rest {
        if !TOKEN[*byte as usize] {
            return false;
        }
        rest = behind;
    }
    !name.is_empty()
}

/// The bytes a token is made of. A byte per entry: an eighth of the size would cost twice the instructions.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        ) || byte.is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

/// Whether `value` has no control but HTAB: visible ASCII, space, HTAB and 0x80 to 0xFF (RFC 9110 §5.5).
#[inline]
pub(crate) const fn is_field_content(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        if has_control(u64::from_ne_bytes(*word)) {
            return is_field_content_with_tabs(value);
        }
        rest = behind;
    }
    if rest.is_empty() {
        return true;
    }
    // The last word once more, overlapping the one before: shorter than a loop over its bytes.
    match value.last_chunk::<8>() {
        Some(word) if !has_control(u64::from_ne_bytes(*word)) => true,
        _ => is_field_content_with_tabs(rest),
    }
}

/// Byte by byte: for short values, and those with a control that may be HTAB.
const fn is_field_content_with_tabs(value: &[u8]) -> bool {
    let mut rest = value;
    while let [byte, behind @ ..] = rest {
        if byte.is_ascii_control() && *byte != b'\t' {
            return false;
        }
        rest = behind;
    }
    true
}

/// Whether one of the eight bytes is below 0x20 or 0x7F.
#[inline]
const fn has_control(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES * 0x80;
    // A subtraction borrows into a byte's high bit only when a byte at or below it was less than what is taken off.
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let not_delete = word ^ (ONES * 0x7f);
    let delete = not_delete.wrapping_sub(ONES) & !not_delete;
    (below_space | delete) & HIGH_BITS != 0
}

/// Copies `from` to `to`, which is as long. Up to 32 bytes without a call: both ends, which may overlap.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    // The longest first: the shortest parts are constants, for which nothing of this is left.
    match from.len() {
        33.. => to.copy_from_slice(from),
        16.. => copy_ends::<16>(to, from),
        8.. => copy_ends::<8>(to, from),
        4.. => copy_ends::<4>(to, from),
        2.. => copy_ends::<2>(to, from),
        _ => copy_ends::<1>(to, from),
    }
}

#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *to = *from;
    }
}

/// Why a status line was not written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatusError {
    /// It does not fit.
    Full,
    /// The status is outside 100 to 999.
    InvalidStatus,
    /// The reason holds CR, LF, NUL or another control.
    InvalidReason,
}

/// Why a field was not written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldError {
    /// It does not fit.
    Full,
    /// The name is empty or no token (RFC 9110 §5.6.2).
    InvalidName,
    /// The value holds CR, LF, NUL or another control.
    InvalidValue,
    /// The core decides this field ([`is_reserved`]).
    Reserved,
}

impl From<BufferFull> for StatusError {
    #[inline]
    fn from(_: BufferFull) -> Self {
        Self::Full
    }
}

impl From<BufferFull> for FieldError {
    #[inline]
    fn from(_: BufferFull) -> Self {
        Self::Full
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the status line does not fit into the buffer",
            Self::InvalidStatus => "the status is not between 100 and 999",
            Self::InvalidReason => "the reason phrase holds a control character",
        })
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the field does not fit into the buffer",
            Self::InvalidName => "the field name is not a token",
            Self::InvalidValue => "the field value holds a control character",
            Self::Reserved => "the server itself decides this field",
        })
    }
}

impl core::error::Error for StatusError {}

impl core::error::Error for FieldError {}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
