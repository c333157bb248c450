//! Bodies and raw connections as `std::io::Write` and `Read`, and `std::io::Error` as a response.

use std::io::{Error, ErrorKind, Read, Result, Write};

use super::{BodyWriter, ResponseWriter, WriteError};
use crate::handler::{ErrorResponse, Wire};

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

impl Read for Wire<'_, '_> {
    /// 0 at the client's end; an error of [`ErrorKind::WouldBlock`] when nothing is there.
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.received().is_empty() && !self.ended() {
            return Err(Error::from(ErrorKind::WouldBlock));
        }
        let count = self.received().read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl Write for Wire<'_, '_> {
    /// An error of [`ErrorKind::WouldBlock`] when there is no room.
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match Wire::write(self, bytes)? {
            0 if !bytes.is_empty() => Err(Error::from(ErrorKind::WouldBlock)),
            count => Ok(count),
        }
    }

    /// Everything leaves by itself when the step is over.
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
