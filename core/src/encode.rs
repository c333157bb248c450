//! Writes the parts of a response head one after another into memory that the caller provides, and makes two decisions
//! that no handler makes: how the body is framed and what `Connection` says.
//!
//! Everything that writes a head uses these functions, so each rule has one implementation. Nothing from a handler can
//! break out of its line: names are tokens, and values and reasons contain no control characters except HTAB (RFC 9110
//! §5.5).

use core::fmt;

use crate::error::BufferFull;
use crate::format::{HttpDate, UINT_BYTES_MAX, uint_len, write_digits};
use crate::part::split;
use crate::status;

/// Writes into borrowed memory, front to back. Each method writes its whole part or nothing.
#[derive(Debug)]
pub struct Encoder<'a> {
    spare: &'a mut [u8],
    capacity: usize,
}

impl<'a> Encoder<'a> {
    /// An encoder that writes to `out`, starting at its front.
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

    /// Whether nothing has been written.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of room that are left.
    #[inline]
    #[must_use]
    pub const fn spare_len(&self) -> usize {
        self.spare.len()
    }

    /// Writes `bytes` unchecked: not for any part of a head that comes from a handler.
    ///
    /// # Errors
    /// [`BufferFull`] if they do not fit.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        copy(self.take(bytes.len())?, bytes);
        Ok(())
    }

    /// Writes a status line with the registered reason: `HTTP/1.1 200 OK`. For a status without one, the space before
    /// the reason is still written (RFC 9112 §4). The version is always the server's own, whatever the request's was
    /// (RFC 9110 §2.5).
    ///
    /// # Errors
    /// [`StatusError::Full`] if it does not fit, [`StatusError::InvalidStatus`] outside 100 to 999.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn status_line(&mut self, status: u16) -> Result<(), StatusError> {
        // By far the most frequent one: a copy of constant length.
        if status == 200 {
            return Ok(self.put(b"HTTP/1.1 200 OK\r\n")?);
        }
        self.any_status_line(status)
    }

    fn any_status_line(&mut self, status: u16) -> Result<(), StatusError> {
        #[cfg(not(feature = "small"))]
        if let Some(line) = status::line(status) {
            return Ok(self.put(line.as_bytes())?);
        }
        self.status_line_with_reason(status, status::reason(status).as_bytes())
    }

    /// Writes a status line with a reason of the handler's choice, which may be empty.
    ///
    /// # Errors
    /// [`StatusError::Full`] if it does not fit, [`StatusError::InvalidStatus`] outside 100 to 999,
    /// [`StatusError::InvalidReason`] if it contains a control character other than HTAB (RFC 9112 §4).
    pub fn status_line_with_reason(&mut self, status: u16, reason: &[u8]) -> Result<(), StatusError> {
        if !status::is_valid(status) {
            return Err(StatusError::InvalidStatus);
        }
        if !is_field_content(reason) {
            return Err(StatusError::InvalidReason);
        }
        self.check_room(STATUS_LINE_BYTES.saturating_add(reason.len()))?;
        self.put(b"HTTP/1.1 ")?;
        write_digits(status.into(), self.take(3)?);
        self.put(b" ")?;
        self.put(reason)?;
        Ok(self.put(b"\r\n")?)
    }

    /// Writes a field of the handler's, `name: value`. White space around the value is not part of it: recipients drop
    /// it (RFC 9110 §5.5).
    ///
    /// # Errors
    /// [`FieldError`] if the name is not a token or is [reserved](is_reserved), the value contains a control character
    /// other than HTAB, or the line does not fit.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn field(&mut self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        let name = name.as_bytes();
        check_field(name, value)?;
        let length = name.len().saturating_add(value.len()).saturating_add(FIELD_LINE_EXTRA);
        let line = self.take(length)?;
        let (name_to, line) = split(line, name.len())?;
        let (colon, line) = split(line, 2)?;
        let (value_to, line_end) = split(line, value.len())?;
        copy(name_to, name);
        copy(colon, b": ");
        copy(value_to, value);
        copy(line_end, b"\r\n");
        Ok(())
    }

    /// Writes a field that was checked when it was created: the fastest way for a constant.
    ///
    /// # Errors
    /// [`BufferFull`] if it does not fit.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn field_line(&mut self, line: FieldLine<'_>) -> Result<(), BufferFull> {
        let text = line.0;
        let line = self.take(text.len().saturating_add(2))?;
        let (text_to, line_end) = split(line, text.len())?;
        copy(text_to, text);
        copy(line_end, b"\r\n");
        Ok(())
    }

    /// Writes a field with a number: `name_with_colon` unchecked, for example `b"Retry-After: "`, then `value` and the
    /// end of the line.
    ///
    /// # Errors
    /// [`BufferFull`] if it does not fit.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn uint_field(&mut self, name_with_colon: &'static [u8], value: u64) -> Result<(), BufferFull> {
        let digits_len = uint_len(value);
        let line = self.take(name_with_colon.len().saturating_add(digits_len + 2))?;
        let (name_to, line) = split(line, name_with_colon.len())?;
        let (digits, line_end) = split(line, digits_len)?;
        copy(name_to, name_with_colon);
        write_digits(value, digits);
        copy(line_end, b"\r\n");
        Ok(())
    }

    /// Writes the field that declares the framing: `Content-Length`, `Transfer-Encoding: chunked`, or none.
    ///
    /// # Errors
    /// [`BufferFull`] if it does not fit.
    #[cfg_attr(not(feature = "small"), inline)]
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
    /// [`BufferFull`] if it does not fit.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn date_field(&mut self, date: &HttpDate) -> Result<(), BufferFull> {
        self.check_room(DATE_LINE_BYTES)?;
        self.put(b"Date: ")?;
        self.put(date.as_bytes())?;
        self.put(b"\r\n")
    }

    /// Writes `Upgrade` with the protocols offered or switched to (RFC 9110 §7.8). `Connection` must then have the
    /// `upgrade` option: see [`connection_field`].
    ///
    /// # Errors
    /// [`FieldError::InvalidValue`] if `protocols` is empty or contains a control character, [`FieldError::Full`] if
    /// the line does not fit.
    pub fn upgrade_field(&mut self, protocols: &[u8]) -> Result<(), FieldError> {
        if !is_upgrade(protocols) {
            return Err(FieldError::InvalidValue);
        }
        self.check_room(UPGRADE.len().saturating_add(protocols.len()).saturating_add(2))?;
        self.put(UPGRADE)?;
        self.put(protocols)?;
        Ok(self.put(b"\r\n")?)
    }

    /// Writes the empty line after the fields.
    ///
    /// # Errors
    /// [`BufferFull`] if it does not fit.
    #[inline]
    pub fn end_of_head(&mut self) -> Result<(), BufferFull> {
        self.put(b"\r\n")
    }

    fn check_room(&self, length: usize) -> Result<(), BufferFull> {
        if length <= self.spare.len() { Ok(()) } else { Err(BufferFull) }
    }

    /// Splits `length` bytes off the front of the remaining room.
    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a mut [u8], BufferFull> {
        self.spare.split_off_mut(..length).ok_or(BufferFull)
    }
}

/// The most bytes that the core adds to a head after its status line, except `Upgrade`: `Date`, `Connection`, the
/// framing and the empty line. If this much room is reserved, the head can always be finished, whatever fields a
/// handler adds.
pub const OWN_FIELDS_BYTES_MAX: usize = DATE_LINE_BYTES
    + connection_field(true, true, true).len()
    + CONTENT_LENGTH.len()
    + UINT_BYTES_MAX
    + "\r\n".len()
    + "\r\n".len();

/// Bytes of a status line without its reason.
pub(crate) const STATUS_LINE_BYTES: usize = "HTTP/1.1 200 \r\n".len();

/// Bytes of a field line in addition to its name and value.
pub(crate) const FIELD_LINE_EXTRA: usize = ": \r\n".len();

/// Bytes of a `Date` line.
pub(crate) const DATE_LINE_BYTES: usize = "Date: \r\n".len() + HttpDate::BYTES;

pub(crate) const CONTENT_LENGTH: &[u8] = b"Content-Length: ";
pub(crate) const TRANSFER_ENCODING_CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";
pub(crate) const UPGRADE: &[u8] = b"Upgrade: ";

/// What is known about a response's content when its head is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyKind {
    /// The handler gave no content.
    None,
    /// This many bytes.
    Known(u64),
    /// Produced piece by piece, with an unknown total length.
    Unknown,
}

/// How the end of a response is marked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyFraming {
    /// The response ends with the head, whatever the handler wrote.
    NoBody {
        /// Declared in `Content-Length` nevertheless, if `Some`.
        content_length: Option<u64>,
    },
    /// `Content-Length` and exactly this many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The body ends when the connection is closed.
    CloseDelimited,
}

/// Decides the framing of a response: RFC 9112 §6.3 from the server's side, row by row.
///
/// `method_is_connect`, like `request_method_is_head`, is about the request; `http10` tells that it was HTTP/1.0.
#[cfg_attr(not(feature = "small"), inline)]
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
        // Interim responses, and 101, after which another protocol begins: no content (RFC 9110 §15.2), neither
        // Content-Length (§8.6) nor Transfer-Encoding (RFC 9112 §6.1).
        (100..=199, _) => NOTHING_TOLD,
        // A tunnel begins after the head: neither of the two (RFC 9110 §9.3.6, §8.6, RFC 9112 §6.1).
        (200..=299, _) if method_is_connect => NOTHING_TOLD,
        // No content, neither of the two (RFC 9110 §15.3.5, §8.6, RFC 9112 §6.1).
        (204, _) => NOTHING_TOLD,
        // No content (RFC 9110 §15.3.6), but the client applies the general rules for bodies: declare a length of zero.
        (205, _) => BodyFraming::NoBody { content_length: Some(0) },
        // No content (RFC 9110 §15.4.5). Content-Length would have to be that of the 200 (§8.6), which only the handler
        // could know; it is optional, so it is left out.
        (304, _) => NOTHING_TOLD,
        // The same Content-Length as for GET, without the content (RFC 9110 §9.3.2, §8.6).
        (_, BodyKind::Known(length)) if request_method_is_head => BodyFraming::NoBody { content_length: Some(length) },
        // What GET would have had is not known here, and both fields are optional (RFC 9110 §9.3.2, RFC 9112 §6.1).
        (_, BodyKind::None | BodyKind::Unknown) if request_method_is_head => NOTHING_TOLD,
        // Declared, so that the connection can persist (RFC 9112 §6.3, §9.3).
        (_, BodyKind::Known(length)) => BodyFraming::Length(length),
        // Without Content-Length the client would read until the connection is closed (RFC 9112 §6.3, rule 8).
        (_, BodyKind::None) => BodyFraming::Length(0),
        // Chunked is for 1.1 requests only (RFC 9112 §6.1): with 1.0 the connection is closed after the body.
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

    /// Whether the connection has to be closed after the body.
    #[inline]
    #[must_use]
    pub const fn closes(self) -> bool {
        matches!(self, Self::CloseDelimited)
    }
}

/// The `Connection` line, including CRLF; empty if none is needed.
///
/// `persistent`: the connection stays open after this response. `upgrade`: an `Upgrade` field is sent, which needs its
/// option (RFC 9110 §7.8). A 101 and a 2xx to CONNECT end HTTP on the connection without closing it: for them
/// `persistent` is true and `http10` false.
#[cfg_attr(not(feature = "small"), inline)]
#[must_use]
pub const fn connection_field(http10: bool, persistent: bool, upgrade: bool) -> &'static [u8] {
    match (http10, persistent, upgrade) {
        // The default of 1.1 (RFC 9112 §9.3).
        (false, true, false) => b"",
        (false, true, true) => b"Connection: upgrade\r\n",
        // Closing is always announced (RFC 9112 §9.6), to 1.0 as well, where it is the default.
        (_, false, false) => b"Connection: close\r\n",
        (_, false, true) => b"Connection: close, upgrade\r\n",
        // A 1.0 client that asked for persistence is told that it was granted (RFC 9112 §9.3, appendix C.2.2).
        (true, true, false) => b"Connection: keep-alive\r\n",
        (true, true, true) => b"Connection: keep-alive, upgrade\r\n",
    }
}

/// A whole field line, `Name: value` without its CRLF, checked when it is created.
///
/// ```
/// use aurora_http_core::encode::FieldLine;
/// const JSON: FieldLine<'_> = FieldLine::new("Content-Type: application/json").unwrap();
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FieldLine<'a>(&'a [u8]);

impl<'a> FieldLine<'a> {
    /// Checks `line` by the rules of [`Encoder::field`]. `None` if it breaks one or has no `: ` after its name.
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

/// Whether only the core may send a field with this name, in any case. One from a handler could contradict it:
///
/// * `Content-Length`, `Transfer-Encoding`, `Trailer`: the framing ([`response_body`]);
/// * `Connection`, `Keep-Alive`, `Proxy-Connection`, `Upgrade`: the connection ([`connection_field`],
///   [`Encoder::upgrade_field`]);
/// * `Date`: the server's clock; a server without a clock sends none (RFC 9110 §6.6.1).
#[cfg_attr(not(feature = "small"), inline)]
#[must_use]
pub const fn is_reserved(name: &[u8]) -> bool {
    // The length alone rules out nearly all other names.
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

/// Checks a field of a handler's. Never returns [`FieldError::Full`].
#[cfg_attr(not(feature = "small"), inline)]
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
#[cfg_attr(not(feature = "small"), inline)]
pub(crate) const fn is_token(name: &[u8]) -> bool {
    let mut rest = name;
    // Four look-ups per branch.
    while !cfg!(feature = "small")
        && let Some((four, following)) = rest.split_first_chunk::<4>()
    {
        let [a, b, c, d] = *four;
        if !(TOKEN[a as usize] & TOKEN[b as usize] & TOKEN[c as usize] & TOKEN[d as usize]) {
            return false;
        }
        rest = following;
    }
    while let [byte, following @ ..] = rest {
        let is_allowed = if cfg!(feature = "small") { is_tchar(*byte) } else { TOKEN[*byte as usize] };
        if !is_allowed {
            return false;
        }
        rest = following;
    }
    !name.is_empty()
}

/// Whether a token may contain `byte`.
const fn is_tchar(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    ) || byte.is_ascii_alphanumeric()
}

/// The bytes that a token may contain. One byte per entry: a bit set, an eighth of the size, would take twice the
/// instructions.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = is_tchar(byte);
        byte += 1;
    }
    table
};

/// Whether `value` has no control characters except HTAB: only visible ASCII, space, HTAB and 0x80 to 0xFF (RFC 9110
/// §5.5).
#[cfg_attr(not(feature = "small"), inline)]
pub(crate) const fn is_field_content(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some((word, following)) = rest.split_first_chunk::<8>() {
        if has_control(u64::from_ne_bytes(*word)) {
            return is_field_content_with_tabs(value);
        }
        rest = following;
    }
    if rest.is_empty() {
        return true;
    }
    // A last word that overlaps the one before: shorter than a loop over the remaining bytes.
    match value.last_chunk::<8>() {
        Some(word) if !has_control(u64::from_ne_bytes(*word)) => true,
        _ => is_field_content_with_tabs(rest),
    }
}

/// Byte by byte: for short values, and for those with a control character, which may be HTAB.
const fn is_field_content_with_tabs(value: &[u8]) -> bool {
    let mut rest = value;
    while let [byte, following @ ..] = rest {
        if byte.is_ascii_control() && *byte != b'\t' {
            return false;
        }
        rest = following;
    }
    true
}

/// Whether one of the eight bytes is 0x7F or below 0x20.
#[cfg_attr(not(feature = "small"), inline)]
const fn has_control(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES * 0x80;
    // A subtraction sets a byte's high bit wrongly only if it borrowed for a lower byte, which is then itself less than
    // what is subtracted.
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let not_delete = word ^ (ONES * 0x7f);
    let delete = not_delete.wrapping_sub(ONES) & !not_delete;
    (below_space | delete) & HIGH_BITS != 0
}

/// Copies `from` to `to`, which has the same length. Up to 32 bytes are copied without a call: both ends, which may
/// overlap.
#[cfg_attr(not(feature = "small"), inline)]
fn copy(to: &mut [u8], from: &[u8]) {
    // The longest first: the shortest parts have constant lengths, for which the compiler removes all of this.
    match from.len() {
        33.. => crate::part::copy(to, from),
        16.. => copy_ends::<16>(to, from),
        8.. => copy_ends::<8>(to, from),
        4.. => copy_ends::<4>(to, from),
        2.. => copy_ends::<2>(to, from),
        _ => copy_ends::<1>(to, from),
    }
}

#[cfg_attr(not(feature = "small"), inline)]
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
    /// The reason contains CR, LF, NUL or another control character.
    InvalidReason,
}

/// Why a field was not written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldError {
    /// It does not fit.
    Full,
    /// The name is empty or not a token (RFC 9110 §5.6.2).
    InvalidName,
    /// The value contains CR, LF, NUL or another control character.
    InvalidValue,
    /// Only the core may send this field ([`is_reserved`]).
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
            Self::InvalidReason => "the reason phrase contains a control character",
        })
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the field does not fit into the buffer",
            Self::InvalidName => "the field name is not a token",
            Self::InvalidValue => "the field value contains a control character",
            Self::Reserved => "only the server may set this field",
        })
    }
}

impl core::error::Error for StatusError {}

impl core::error::Error for FieldError {}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
