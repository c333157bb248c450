//! What both JSON crates share.

use core::fmt;

use aurora_http_core::handler::ErrorResponse;
use aurora_http_core::request::Request;
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::message;

/// Why JSON content could not be parsed, or a response not written. It answers with its message as text;
/// [`Problem`](crate::Problem) answers with JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JsonError<E> {
    /// The content is not declared as JSON: 415.
    MediaType,
    /// It is not valid JSON (400), does not match the type (422), or has a string that is too long to decode (413).
    Content(E),
    /// The response could not be written.
    Write(WriteError),
}

/// An error of one of the JSON crates.
pub trait JsonFault: fmt::Display {
    /// The status that it answers with.
    fn status(&self) -> u16;
}

impl<E: JsonFault> JsonError<E> {
    /// The status that it answers with.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::MediaType => 415,
            Self::Content(error) => error.status(),
            Self::Write(WriteError::Failed(status)) => *status,
            Self::Write(_) => 500,
        }
    }
}

impl<E> From<WriteError> for JsonError<E> {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl<E: JsonFault> From<JsonError<E>> for WriteError {
    fn from(error: JsonError<E>) -> Self {
        match error {
            JsonError::Write(error) => error,
            error => Self::Failed(error.status()),
        }
    }
}

impl<E: JsonFault> ErrorResponse for JsonError<E> {
    fn respond(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        match self {
            Self::Write(error) => Err(*error),
            error => message::respond(error.status(), error, response),
        }
    }
}

impl<E: JsonFault> fmt::Display for JsonError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType => f.write_str("JSON is expected: application/json"),
            Self::Content(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
        }
    }
}

impl<E: JsonFault + fmt::Debug> core::error::Error for JsonError<E> {}

/// Whether the content is JSON: `application/json`, or a type that ends in `+json` (RFC 6839 §3.1).
pub(crate) fn is_json(request: &Request<'_>) -> bool {
    if request.has_content_type("application/json") {
        return true;
    }
    let value = request.fields().get("Content-Type").unwrap_or_default();
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let ends = |end: &[u8]| essence.len() > end.len() && essence[essence.len() - end.len()..].eq_ignore_ascii_case(end);
    let begins = |front: &[u8]| essence.get(..front.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(front));
    begins(b"application/") && ends(b"+json")
}
