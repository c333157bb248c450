//! Errors that are answered with their message.

use core::fmt;

use aurora_http_core::writer::{ResponseWriter, WriteError};

/// Answers with a message as text.
pub(crate) fn respond(
    status: u16,
    message: &dyn fmt::Display,
    response: &mut ResponseWriter<'_>,
) -> Result<(), WriteError> {
    response.status(status)?;
    response.field("Content-Type", "text/plain")?;
    response.body_fmt(format_args!("{message}\n"))
}
