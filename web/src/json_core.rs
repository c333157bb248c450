//! JSON without an allocator (feature `json-core`), by serde-json-core.

use core::fmt;

use aurora_http_core::handler::ErrorResponse;
use aurora_http_core::writer::{ResponseWriter, WriteError};
use serde::{Deserialize, Serialize};
use serde_json_core::de::Error;

use crate::Call;
use crate::media::is_json;

/// The content of a request, which must be declared as JSON: `Content-Type: application/json`, or a type that ends in `+json`.
/// `scratch` is for strings with escapes: as long as the longest of them. Text with escapes cannot be borrowed, only copied: into
/// a `heapless::String`, for one.
///
/// ```
/// use aurora_http_core::writer::ResponseWriter;
/// use aurora_http_web::Call;
/// use aurora_http_web::json_core::{self, JsonError};
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Lamp {
///     is_on: bool,
///     brightness: u8,
/// }
///
/// fn set(lamp: &mut Lamp, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), JsonError> {
///     *lamp = json_core::read(call, &mut [0; 32])?;
///     Ok(json_core::write(response, 200, lamp, 64)?)
/// }
/// ```
///
/// # Errors
/// [`JsonError`].
pub fn read<'a, T: Deserialize<'a>>(call: &Call<'a>, scratch: &mut [u8]) -> Result<T, JsonError> {
    if !is_json(call) {
        return Err(JsonError::MediaType);
    }
    let (value, _) = serde_json_core::from_slice_escaped(call.content(), scratch)?;
    Ok(value)
}

/// Answers with a value as JSON of at most `bytes_max` bytes, which are [scratch](ResponseWriter::scratch) memory meanwhile.
///
/// # Panics
/// When the value's `Serialize` makes an error of its own, which serde-json-core has no room for. Derived ones make none.
///
/// # Errors
/// [`WriteError::TooLarge`] when it is longer, and what [`WriteError`] says about room and order.
pub fn write<T: Serialize + ?Sized>(
    response: &mut ResponseWriter<'_>,
    status: u16,
    value: &T,
    bytes_max: usize,
) -> Result<(), WriteError> {
    let scratch = response.scratch(bytes_max)?;
    let len = serde_json_core::to_slice(value, scratch).map_err(|_| WriteError::TooLarge)?;
    response.status(status)?;
    response.field("Content-Type", "application/json")?;
    response.body(&scratch[..len])
}

/// Why content is not what was asked for. Its response says what is wrong, as text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JsonError {
    /// The content is not declared as JSON: 415.
    MediaType,
    /// It is no JSON: 400. It is JSON and does not fit: 422.
    Content(Error),
    /// The response could not be written.
    Write(WriteError),
}

impl JsonError {
    /// What it is answered with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::MediaType => 415,
            Self::Content(Error::CustomError | Error::InvalidType) => 422,
            Self::Content(Error::EscapedStringIsTooLong) => 413,
            Self::Content(_) => 400,
            Self::Write(WriteError::Failed(status)) => status,
            Self::Write(_) => 500,
        }
    }
}

impl From<Error> for JsonError {
    fn from(error: Error) -> Self {
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
