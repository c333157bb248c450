//! What the standard library expects of something to write to.

use std::io::{Error, ErrorKind, Result, Write};

use super::BodyWriter;

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
