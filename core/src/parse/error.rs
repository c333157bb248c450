//! The errors for which a head is refused.

use core::fmt;

use super::field_line::FieldLineError;
use super::framing::FramingError;

/// What was wrong with a head. Each of them ends the connection, because it is unknown where the next message starts.
///
/// The error is the first one by position; in a head that is well-formed as a whole, the rules are checked in the order
/// Host, framing, Expect. It does not depend on how the bytes were split on arrival.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum HeadError {
    /// More than one empty line before the request line (RFC 9112 §2.2).
    BlankLines,
    /// A byte in the method that is not a token character, or no method.
    Method,
    /// A method longer than [`METHOD_BYTES_MAX`](super::METHOD_BYTES_MAX).
    MethodTooLong,
    /// A byte that no request target allows, or not this form of it; a fragment; a malformed authority.
    Target,
    /// A form of request target that this method does not allow (RFC 9112 §3.2).
    TargetForm,
    /// A request target longer than [`Limits::target_bytes_max`](crate::limits::Limits::target_bytes_max).
    TargetTooLong,
    /// Not exactly a single space, `HTTP/`, a digit, `.`, a digit and the end of the line.
    Version,
    /// A well-formed version with a major other than 1, as in the HTTP/2 preface.
    VersionUnsupported,
    /// A line feed without a carriage return before it, in or before the request line.
    BareLf,
    /// A carriage return without a line feed after it, in or before the request line.
    BareCr,
    /// A malformed field line.
    FieldLine(FieldLineError),
    /// More fields than [`Limits::fields_max`](crate::limits::Limits::fields_max).
    TooManyFields,
    /// No end within [`Limits::head_bytes_max`](crate::limits::Limits::head_bytes_max).
    HeadTooLong,
    /// No Host on HTTP/1.1 (RFC 9112 §3.2).
    HostMissing,
    /// More than one Host.
    HostRepeated,
    /// A Host that is empty or not `uri-host [ ":" port ]`.
    Host,
    /// The length of the content cannot be determined with certainty.
    Framing(FramingError),
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    Expectation,
}

impl HeadError {
    /// The status code of the answer: 400, 414, 417, 431, 501 or 505.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::TooManyFields | Self::HeadTooLong => 431,
            // RFC 9112 §3: a method longer than any implemented one.
            Self::MethodTooLong => 501,
            Self::Framing(error) => error.status(),
            Self::VersionUnsupported => 505,
            _ => 400,
        }
    }
}

impl From<FieldLineError> for HeadError {
    fn from(error: FieldLineError) -> Self {
        Self::FieldLine(error)
    }
}

impl From<FramingError> for HeadError {
    fn from(error: FramingError) -> Self {
        Self::Framing(error)
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BlankLines => "more than one empty line before the request line",
            Self::Method => "a malformed method",
            Self::MethodTooLong => "a method longer than any implemented one",
            Self::Target => "a malformed request target",
            Self::TargetForm => "a form of request target that the method does not allow",
            Self::TargetTooLong => "a request target over the limit",
            Self::Version => "a malformed HTTP version",
            Self::VersionUnsupported => "an unsupported HTTP version",
            Self::BareLf => "a line feed without a carriage return",
            Self::BareCr => "a carriage return without a line feed",
            Self::FieldLine(error) => return error.fmt(f),
            Self::TooManyFields => "more fields than the limit",
            Self::HeadTooLong => "a head over the limit",
            Self::HostMissing => "no Host field",
            Self::HostRepeated => "more than one Host field",
            Self::Host => "a malformed Host field",
            Self::Framing(error) => return error.fmt(f),
            Self::Expectation => "an expectation other than 100-continue",
        })
    }
}

impl core::error::Error for HeadError {}
