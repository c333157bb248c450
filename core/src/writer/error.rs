//! Why a response could not be written.

use core::fmt;

use super::RETRY_AFTER_S;
use crate::answer::{self, Answer};
use crate::encode::FieldError;
use crate::request::{InvalidField, QueryError};

/// Why a call of the [`ResponseWriter`](super::ResponseWriter) failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WriteError {
    /// The response is longer than [`Limits::response_bytes_max`](crate::limits::Limits::response_bytes_max); answered
    /// with 500 unless handled. [`ResponseWriter::stream`](super::ResponseWriter::stream) has no such limit.
    TooLarge,
    /// No larger buffer is free; answered with 503 unless handled.
    PoolExhausted,
    /// The field name is not a token.
    InvalidName,
    /// The field value contains CR, LF, NUL or another control character.
    InvalidValue,
    /// Only the core may set this field.
    Reserved,
    /// The status is outside 200..=599.
    InvalidStatus,
    /// The status [requires](crate::status::demand) a field that is missing: 401, 405, 407, 426.
    FieldMissing,
    /// The call is not allowed at this point: a status after a field, a field after the head, a write before `stream`.
    Order,
    /// The body has more or fewer bytes than announced.
    LengthMismatch,
    /// The request does not offer to switch protocols.
    NotOffered,
    /// The protocol cannot be switched because content of the request has yet to be taken, or was left unread. Answered
    /// with 413 unless handled: the request must not have content.
    ContentUnread,
    /// The engine was not set up for deferred answers.
    Unsupported,
    /// A value could not be formatted.
    Format,
    /// The handler called [`ResponseWriter::fail`](super::ResponseWriter::fail) with this status.
    Failed(u16),
}

impl WriteError {
    /// The answer that replaces the response, unless a part of it has been sent.
    pub(crate) const fn answer(self) -> Answer<'static> {
        match self {
            Self::TooLarge => Answer { text: Some(answer::RESPONSE_TOO_LONG), ..Answer::new(500) },
            Self::PoolExhausted => Answer { retry_after_s: Some(RETRY_AFTER_S), ..Answer::new(503) },
            Self::ContentUnread => Answer::new(413),
            Self::Failed(status) => Answer::new(status),
            _ => Answer::new(500),
        }
    }
}

impl From<FieldError> for WriteError {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Full => Self::TooLarge,
            FieldError::InvalidName => Self::InvalidName,
            FieldError::InvalidValue => Self::InvalidValue,
            FieldError::Reserved => Self::Reserved,
        }
    }
}

impl From<fmt::Error> for WriteError {
    fn from(_: fmt::Error) -> Self {
        Self::Format
    }
}

impl From<InvalidField> for WriteError {
    fn from(_: InvalidField) -> Self {
        Self::Failed(400)
    }
}

impl From<QueryError> for WriteError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::MalformedEscape { .. } | QueryError::NotText => Self::Failed(400),
            QueryError::BufferFull => Self::Failed(500),
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the response exceeds the maximum size",
            Self::PoolExhausted => "no buffer is free",
            Self::InvalidName => "the field name is not a token",
            Self::InvalidValue => "the field value contains a control character",
            Self::Reserved => "only the server may set this field",
            Self::InvalidStatus => "the status is outside 200 to 599",
            Self::FieldMissing => "a field that the status requires is missing",
            Self::Order => "the call is too early or too late in the response",
            Self::LengthMismatch => "the body does not have the announced length",
            Self::NotOffered => "the request does not offer to switch protocols",
            Self::ContentUnread => "the protocol cannot be switched before all content of the request has been taken",
            Self::Unsupported => "the engine was set up without cells for deferred answers",
            Self::Format => "a value could not be formatted",
            Self::Failed(status) => return write!(f, "the handler failed with status {status}"),
        })
    }
}

impl core::error::Error for WriteError {}
