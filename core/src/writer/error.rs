//! Why a response could not be written as the handler wanted it.

use core::fmt;

use super::RETRY_AFTER_S;
use crate::answer::{self, Answer};
use crate::encode::FieldError;
use crate::request::{InvalidField, QueryError};

/// What a handler did that the response cannot have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WriteError {
    /// The response is longer than [`Limits::response_bytes_max`](crate::limits::Limits::response_bytes_max); answered
    /// 500 unless handled. [`ResponseWriter::stream`](super::ResponseWriter::stream) has no such limit.
    TooLarge,
    /// No larger buffer is free; answered 503 unless handled.
    PoolExhausted,
    /// The field name is not a token.
    InvalidName,
    /// The field value holds CR, LF, NUL or another control byte.
    InvalidValue,
    /// The core decides this field.
    Reserved,
    /// The status is outside 200..=599.
    InvalidStatus,
    /// The status [demands](crate::status::demand) a field that is not there: 401, 405, 407, 426.
    FieldMissing,
    /// The call does not fit here: a status behind a field, a field behind the head, a write before `stream`.
    Order,
    /// More or fewer bytes than the announced length.
    LengthMismatch,
    /// The request does not offer to switch protocols.
    NotOffered,
    /// The connection cannot be switched while content of the request is to come, or was left unread; answered 413: there
    /// may be none.
    ContentUnread,
    /// The engine was not set up for it.
    Unsupported,
    /// A value could not be formatted.
    Format,
    /// The handler asked for this status by [`ResponseWriter::fail`](super::ResponseWriter::fail).
    Failed(u16),
}

impl WriteError {
    /// The answer in place of the response, while nothing of it has left.
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
            Self::InvalidValue => "the field value holds a control byte",
            Self::Reserved => "the field is decided by the server",
            Self::InvalidStatus => "the status is outside 200 to 599",
            Self::FieldMissing => "a field that the status demands is missing",
            Self::Order => "the call comes too early or too late in the response",
            Self::LengthMismatch => "the body does not have the announced length",
            Self::NotOffered => "the request does not offer to switch protocols",
            Self::ContentUnread => "content of the request is to come in front of the other protocol",
            Self::Unsupported => "the engine was set up without cells for deferred answers",
            Self::Format => "a value could not be formatted",
            Self::Failed(status) => return write!(f, "the handler failed with status {status}"),
        })
    }
}

impl core::error::Error for WriteError {}
