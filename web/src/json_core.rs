//! JSON with serde-json-core (feature `json-core`): without an allocator.

use aurora_http_core::writer::{ResponseWriter, WriteError};
use serde::{Deserialize, Serialize};
use serde_json_core::de::Error;

use crate::Call;
use crate::json_error::{self, JsonFault, is_json};

/// Parses the content of a request, whose `Content-Type` must be `application/json` or another type that ends in `+json`.
/// `scratch` must have room for the longest string with escapes. Such strings cannot be borrowed, only copied, for example into a
/// `heapless::String`.
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

/// Answers with a value as JSON of at most `bytes_max` bytes, for which [scratch](ResponseWriter::scratch) memory is used.
///
/// # Panics
/// If the `Serialize` of the value returns a custom error, which serde-json-core does not support. Derived ones never do.
///
/// # Errors
/// [`WriteError::TooLarge`] if it is longer than `bytes_max`, and the errors of [`ResponseWriter::body`].
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

/// Why content could not be parsed, or a response not written.
pub type JsonError = json_error::JsonError<Error>;

impl JsonFault for Error {
    fn status(&self) -> u16 {
        match self {
            Error::CustomError | Error::InvalidType => 422,
            Error::EscapedStringIsTooLong => 413,
            _ => 400,
        }
    }
}

impl From<Error> for JsonError {
    fn from(error: Error) -> Self {
        Self::Content(error)
    }
}
