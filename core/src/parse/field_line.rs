//! Field lines, byte by byte (RFC 9112 §5): the same rules for the head and for the trailer section.

use core::fmt;

use super::bytes::{TOKEN, VALUE, is};

/// What was wrong with a field line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldLineError {
    /// A line feed without a carriage return before it.
    BareLf,
    /// A carriage return without a line feed after it.
    BareCr,
    /// White space at the start of a line: obsolete line folding (RFC 9112 §5.2), or a disguised first field.
    LeadingBlank,
    /// A colon at the start of a line.
    EmptyName,
    /// A byte in a name that is not a token character.
    Name,
    /// White space between name and colon (RFC 9112 §5.1).
    BlankBeforeColon,
    /// A line without a colon.
    NoColon,
    /// A control byte other than HTAB in a value.
    Value,
}

impl fmt::Display for FieldLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareLf => "a line feed without a carriage return",
            Self::BareCr => "a carriage return without a line feed",
            Self::LeadingBlank => "white space at the start of a field line",
            Self::EmptyName => "an empty field name",
            Self::Name => "a byte in a field name that is not a token character",
            Self::BlankBeforeColon => "white space between a field name and its colon",
            Self::NoColon => "a field line without a colon",
            Self::Value => "a control byte in a field value",
        })
    }
}

impl core::error::Error for FieldLineError {}

/// The position of the next byte in a section of field lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// At the start of a line.
    LineStart,
    /// In a name, after its first byte.
    Name,
    /// After the colon.
    Value,
    /// After the carriage return of a field line.
    LineFeed,
    /// After the carriage return of the empty line.
    LastLineFeed,
    /// After the empty line.
    End,
}

impl Place {
    /// The position after `byte`, or what is wrong with it. A field is complete when this goes from
    /// [`LineFeed`](Self::LineFeed) to [`LineStart`](Self::LineStart).
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn step(self, byte: u8) -> Result<Self, FieldLineError> {
        match (self, byte) {
            (Self::LineStart, b'\r') => Ok(Self::LastLineFeed),
            (Self::LineStart, b' ' | b'\t') => Err(FieldLineError::LeadingBlank),
            (Self::LineStart, b':') => Err(FieldLineError::EmptyName),

            (Self::Name, b':') => Ok(Self::Value),
            (Self::Name, b' ' | b'\t') => Err(FieldLineError::BlankBeforeColon),
            (Self::Name, b'\r' | b'\n') => Err(FieldLineError::NoColon),

            (Self::Value, b'\r') => Ok(Self::LineFeed),
            (Self::Value, byte) if is(byte, VALUE) => Ok(Self::Value),

            (Self::LineFeed, b'\n') => Ok(Self::LineStart),
            (Self::LastLineFeed, b'\n') => Ok(Self::End),
            (Self::LineFeed | Self::LastLineFeed, _) => Err(FieldLineError::BareCr),

            (Self::LineStart | Self::Value, b'\n') => Err(FieldLineError::BareLf),
            (Self::LineStart | Self::Name, byte) if is(byte, TOKEN) => Ok(Self::Name),
            (Self::LineStart | Self::Name, _) => Err(FieldLineError::Name),
            (Self::Value, _) => Err(FieldLineError::Value),
            (Self::End, _) => Ok(Self::End),
        }
    }
}
