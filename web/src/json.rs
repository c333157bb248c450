//! JSON on systems with an allocator (feature `json`), by serde_json.

use core::fmt;

use aurora_http_core::handler::ErrorResponse;
use aurora_http_core::writer::{ResponseWriter, WriteError};
use serde::{Deserialize, Serialize};

use crate::Call;
use crate::media::is_json;

/// The content of a request, which must be declared as JSON: `Content-Type: application/json`, or a type that ends in `+json`.
/// Pages of other sites can only send that when they may: see [`Cors`](crate::middleware::Cors).
///
/// ```
/// use aurora_http_core::writer::ResponseWriter;
/// use aurora_http_web::Call;
/// use aurora_http_web::json::{self, JsonError};
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Item {
///     name: String,
///     price: u32,
/// }
///
/// fn add(items: &mut Vec<Item>, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), JsonError> {
///     items.push(json::read(call)?);
///     Ok(json::write(response, 201, items)?)
/// }
/// ```
///
/// # Errors
/// [`JsonError`].
pub fn read<'a, T: Deserialize<'a>>(call: &Call<'a>) -> Result<T, JsonError> {
    if !is_json(call) {
        return Err(JsonError::MediaType);
    }
    Ok(serde_json::from_slice(call.content())?)
}

/// Answers with a value as JSON. Allocates nothing, unless the value does.
///
/// # Errors
/// What [`WriteError`] says about room and order; [`WriteError::Format`] when the value cannot be JSON, such as a map whose keys
/// are no text.
pub fn write<T: Serialize + ?Sized>(
    response: &mut ResponseWriter<'_>,
    status: u16,
    value: &T,
) -> Result<(), WriteError> {
    response.status(status)?;
    response.field("Content-Type", "application/json")?;
    response.body_with(|body| {
        serde_json::to_writer(body, value)
            .map_err(|error| if error.is_io() { WriteError::TooLarge } else { WriteError::Format })
    })
}

/// Why content is not what was asked for. Its response says what is wrong, as text.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// The content is not declared as JSON: 415.
    MediaType,
    /// It is no JSON: 400. It is JSON and does not fit: 422.
    Content(serde_json::Error),
    /// The response could not be written.
    Write(WriteError),
}

impl JsonError {
    /// What it is answered with.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::MediaType => 415,
            Self::Content(error) if error.is_data() => 422,
            Self::Content(_) => 400,
            Self::Write(WriteError::Failed(status)) => *status,
            Self::Write(_) => 500,
        }
    }
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self::Content(error)
    }
}

impl From<WriteError> for JsonError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<JsonError> for WriteError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Write(error) => error,
            error => Self::Failed(error.status()),
        }
    }
}

impl ErrorResponse for JsonError {
    fn respond(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        if let Self::Write(error) = self {
            return Err(*error);
        }
        response.status(self.status())?;
        response.field("Content-Type", "text/plain")?;
        response.body_fmt(format_args!("{self}\n"))
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType => f.write_str("JSON is expected: application/json"),
            Self::Content(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for JsonError {}
