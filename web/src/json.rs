//! JSON on systems with an allocator (feature `json`), by serde_json.

use aurora_http_core::writer::{ResponseWriter, WriteError};
use serde::{Deserialize, Serialize};

use crate::Call;
use crate::json_error::{self, JsonFault, is_json};

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

/// Why content is not what was asked for.
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
