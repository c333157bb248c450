//! JSON with serde_json (feature `json`): for systems with an allocator.

use aurora_http_core::writer::{ResponseWriter, WriteError};
use serde::{Deserialize, Serialize};

use crate::Call;
use crate::json_error::{self, JsonFault, is_json};

/// Parses the content of a request, whose `Content-Type` must be `application/json` or another type that ends in `+json`. Pages of
/// other origins can only send those types if [`Cors`](crate::middleware::Cors) allows it.
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

/// Answers with a value as JSON. It does not allocate, unless the `Serialize` of the value does.
///
/// # Errors
/// [`WriteError::Format`] if the value has no representation in JSON, such as a map with keys that are not text, and the other
/// errors of [`ResponseWriter::body_with`].
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

/// Why content could not be parsed, or a response not written.
pub type JsonError = json_error::JsonError<serde_json::Error>;

impl JsonFault for serde_json::Error {
    fn status(&self) -> u16 {
        if self.is_data() { 422 } else { 400 }
    }
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self::Content(error)
    }
}
