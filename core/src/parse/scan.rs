//! The line scanner: it alone decides what is wrong with a head, byte by byte, in any number of pieces.
//!
//! The answer depends only on the bytes up to the first fault, not on how they were split. Each byte is examined once,
//! and those of the request line once more when it is complete.

use super::bytes::{TARGET, TOKEN, VALUE, is, span};
use super::error::HeadError;
use super::field_line::Place;
use super::request_line::{METHOD_BYTES_MAX, request_line};
use crate::limits::Limits;
use crate::part::part;

/// The progress of scanning a head that arrives in pieces.
///
/// Start each head with `HeadScan::default()`. While the head is incomplete, pass the same value again with the same
/// bytes, followed by more.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Bytes examined.
    at: u32,
    /// Where the current element of the request line starts.
    mark: u32,
    /// Complete field lines so far.
    fields: u16,
    /// Bits of [`seen`].
    seen: u8,
    state: State,
}

const _: () = assert!(size_of::<HeadScan>() == 12);

/// What was seen of a head.
mod seen {
    /// An empty line before the request line, to be skipped (RFC 9112 §2.2).
    pub(super) const BLANK_LINE: u8 = 1;
    /// The method is HEAD.
    pub(super) const HEAD: u8 = 1 << 1;
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// The very first byte.
    #[default]
    Start,
    /// The line feed of an empty line before the request line.
    BlankLineFeed,
    /// The first byte after that empty line.
    AfterBlankLine,
    Method,
    Target,
    Version,
    /// A field line, or the empty line.
    Fields(Place),
}

impl HeadScan {
    /// Whether nothing has been examined yet.
    #[inline]
    pub(crate) const fn is_fresh(&self) -> bool {
        self.at == 0
    }

    /// Where the request line begins.
    pub(super) const fn line_at(&self) -> usize {
        if self.seen & seen::BLANK_LINE == 0 { 0 } else { BLANK_LINE_LEN }
    }

    /// Whether the method is complete and is HEAD.
    pub(crate) const fn is_head_request(&self) -> bool {
        self.seen & seen::HEAD != 0
    }

    /// Complete field lines so far.
    pub(super) const fn fields(&self) -> usize {
        self.fields as usize
    }

    /// Examines the new bytes of `window`, and returns the length of the head once it is complete. The window must not
    /// exceed [`Limits::head_bytes_max`]. `fields_max` applies instead of the limit in `limits`.
    ///
    /// # Errors
    /// The first fault; repeated calls return the same one.
    pub(super) fn advance(
        &mut self,
        window: &[u8],
        limits: &Limits,
        fields_max: u16,
    ) -> Result<Option<usize>, HeadError> {
        while !matches!(self.state, State::Fields(Place::End)) {
            let rest = window.get(self.at as usize..).unwrap_or_default();
            if matches!(self.state, State::Fields(Place::Value)) {
                // Most bytes of a large head are in values and do not change the state.
                let skipped = span(rest, VALUE);
                if skipped > 0 {
                    count_scanned(skipped);
                    self.at += skipped as u32;
                    continue;
                }
            }
            let Some(&byte) = rest.first() else {
                let is_full = window.len() >= limits.head_bytes_max as usize;
                return if is_full { Err(HeadError::HeadTooLong) } else { Ok(None) };
            };
            count_scanned(1);
            self.state = match self.state {
                State::Fields(place) => self.field_byte(place, byte, fields_max)?,
                _ => self.request_line_byte(byte, window, limits)?,
            };
            self.at += 1;
        }
        Ok(Some(self.at as usize))
    }

    /// Steps through a field line, and counts it when it is complete.
    #[cfg_attr(not(feature = "small"), inline)]
    fn field_byte(&mut self, place: Place, byte: u8, fields_max: u16) -> Result<State, HeadError> {
        let next = place.step(byte)?;
        if matches!((place, next), (Place::LineFeed, Place::LineStart)) {
            if self.fields >= fields_max {
                return Err(HeadError::TooManyFields);
            }
            self.fields += 1;
        }
        Ok(State::Fields(next))
    }

    fn request_line_byte(&mut self, byte: u8, window: &[u8], limits: &Limits) -> Result<State, HeadError> {
        let length = (self.at - self.mark) as usize;
        match (self.state, byte) {
            (State::Start, b'\r') => Ok(State::BlankLineFeed),
            (State::BlankLineFeed, b'\n') => {
                self.seen |= seen::BLANK_LINE;
                self.mark = BLANK_LINE_LEN as u32;
                Ok(State::AfterBlankLine)
            }
            (State::BlankLineFeed, _) => Err(HeadError::BareCr),
            (State::AfterBlankLine, b'\r') => Err(HeadError::BlankLines),
            (State::Target | State::Version, b'\n') if !self.ends_line(length) => Err(HeadError::BareLf),
            (State::Start | State::AfterBlankLine | State::Method, b'\n') => Err(HeadError::BareLf),
            (State::Start | State::AfterBlankLine | State::Method, _) => self.method_byte(byte, length, window),
            (State::Target, _) => self.target_byte(byte, length, limits),
            _ => self.version_byte(byte, length, window, limits),
        }
    }

    /// Whether the next byte has to be the line feed of the request line.
    fn ends_line(&self, length: usize) -> bool {
        matches!(self.state, State::Version) && length == VERSION_AND_CR_LEN
    }

    fn method_byte(&mut self, byte: u8, length: usize, window: &[u8]) -> Result<State, HeadError> {
        match byte {
            b' ' if length > 0 => {
                if window.get(self.line_at()..self.at as usize) == Some(b"HEAD") {
                    self.seen |= seen::HEAD;
                }
                self.mark = self.at + 1;
                Ok(State::Target)
            }
            _ if !is(byte, TOKEN) => Err(HeadError::Method),
            _ if length >= METHOD_BYTES_MAX => Err(HeadError::MethodTooLong),
            _ => Ok(State::Method),
        }
    }

    fn target_byte(&mut self, byte: u8, length: usize, limits: &Limits) -> Result<State, HeadError> {
        match byte {
            b' ' if length > 0 => {
                self.mark = self.at + 1;
                Ok(State::Version)
            }
            _ if !is(byte, TARGET) => Err(HeadError::Target),
            _ if length as u64 >= u64::from(limits.target_bytes_max) => Err(HeadError::TargetTooLong),
            _ => Ok(State::Target),
        }
    }

    /// Compares with the form of a version; at its line feed the request line is complete and is checked as a whole.
    fn version_byte(&mut self, byte: u8, length: usize, window: &[u8], limits: &Limits) -> Result<State, HeadError> {
        match (length, byte) {
            (0..5, _) if b"HTTP/".get(length) == Some(&byte) => Ok(State::Version),
            (5 | 7, b'0'..=b'9') | (6, b'.') | (8, b'\r') => Ok(State::Version),
            (VERSION_AND_CR_LEN, b'\n') => {
                let line = part(window, self.line_at()..self.at as usize + 1);
                count_scanned(line.len());
                request_line(line, limits.target_bytes_max)?;
                Ok(State::Fields(Place::LineStart))
            }
            (VERSION_AND_CR_LEN, _) => Err(HeadError::BareCr),
            _ => Err(HeadError::Version),
        }
    }
}

/// Whether the head at the front of `bytes`, which may be incomplete or malformed, has the method HEAD.
pub(crate) fn is_head_request(bytes: &[u8]) -> bool {
    bytes.strip_prefix(b"\r\n").unwrap_or(bytes).starts_with(b"HEAD ")
}

/// The target of the head at the front of `bytes`, as far as it has arrived, unchecked: for reports only.
pub(crate) fn target_in(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    line.split(|byte| *byte == b' ').nth(1).filter(|target| !target.is_empty())
}

/// Bytes of an empty line.
const BLANK_LINE_LEN: usize = b"\r\n".len();

/// Bytes between the second space of the request line and its line feed.
const VERSION_AND_CR_LEN: usize = b"HTTP/1.1\r".len();

/// Counts the bytes examined, in this crate's own tests.
#[cfg_attr(not(feature = "small"), inline(always))]
pub(super) fn count_scanned(bytes: usize) {
    #[cfg(test)]
    SCANNED.set(SCANNED.get() + bytes);
    let _ = bytes;
}

#[cfg(test)]
std::thread_local! {
    /// Bytes examined by this thread: every byte that the line scanner steps over or reads again, and the whole input
    /// of every one-shot attempt.
    pub(super) static SCANNED: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}
