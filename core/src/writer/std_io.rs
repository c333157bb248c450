//! Bodies as `std::io::Write`, and `std::io::Error` as a response.

use std::io::{Error, ErrorKind, Result, Write};

use super::{BodyWriter, ResponseWriter, WriteError};
use crate::handler::ErrorResponse;

impl Write for BodyWriter<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.response.put(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(Error::from(ErrorKind::FileTooLarge)),
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A [`WriteError`] inside is answered like itself. Any other error is internal, and its details are not for the
/// client: 507 if the storage is full, otherwise 500.
impl ErrorResponse for Error {
    fn respond(&self, response: &mut ResponseWriter<'_>) -> core::result::Result<(), WriteError> {
        let inner = self.get_ref().and_then(|inner| inner.downcast_ref::<WriteError>());
        match inner {
            Some(error) => error.respond(response),
            None if self.kind() == ErrorKind::StorageFull => response.fail(507),
            None => response.fail(500),
        }
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        Self::other(error)
    }
}
