//! Bodies that are written piece by piece into memory, and sent with their length once they are complete.

use core::fmt::{self, Write as _};

use super::{HEAD_END_MAX, Phase, ResponseWriter, WriteError};
use crate::part::shift;

/// A body that is being written, for [`ResponseWriter::body_with`]: `write!` and serializers append to it.
///
/// It implements [`core::fmt::Write`], with the feature `embedded-io` `embedded_io::Write`, and with the feature `std`
/// `std::io::Write`. After a piece that does not fit, all further ones fail.
pub struct BodyWriter<'r, 'a> {
    pub(super) response: &'r mut ResponseWriter<'a>,
}

impl<'a> ResponseWriter<'a> {
    /// Completes the response with the body that `write` writes. Its length need not be known in advance.
    ///
    /// ```
    /// use std::fmt::Write;
    ///
    /// use aurora_http_core::handler::handler_fn;
    /// use aurora_http_core::writer::WriteError;
    ///
    /// let handler = handler_fn(|request, response| {
    ///     response.field("Content-Type", "text/plain")?;
    ///     response.body_with(|body| {
    ///         for field in request.fields() {
    ///             writeln!(body, "{}", field.name)?;
    ///         }
    ///         Ok::<_, WriteError>(())
    ///     })
    /// });
    /// ```
    ///
    /// # Errors
    /// [`WriteError`]s about room and order, and those of `write`. If `write` fails, nothing of the body is written,
    /// and the response can be [reset](Self::reset).
    pub fn body_with<E: From<WriteError>>(
        &mut self,
        write: impl FnOnce(&mut BodyWriter<'_, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.check()?;
        match self.phase {
            Phase::Start => self.put_begin()?,
            Phase::Fields => {}
            Phase::Body | Phase::Done => return Ok(self.latch(WriteError::Order)?),
        }
        // The end of the head, with the length of the body, is written later, into a gap before the body.
        let gap = HEAD_END_MAX + self.added.len();
        self.ensure(gap)?;
        let head_len = self.len;
        let body_at = head_len + gap;
        self.len = body_at;
        let result = write(&mut BodyWriter { response: self });
        let length = self.len - body_at;
        self.len = head_len;
        self.check()?;
        result?;
        let follows = self.begin_body(length)?;
        if length > self.bytes_max.saturating_sub(self.len - self.begin) && (follows || self.is_omitted()) {
            return Ok(self.latch(WriteError::TooLarge)?);
        }
        if follows {
            shift(self.out, body_at..body_at + length, self.len);
            self.len += length;
        }
        Ok(())
    }

    /// Completes the response with formatted text: `response.body_fmt(format_args!("{count} items\n"))`.
    ///
    /// # Errors
    /// Same as [`body_with`](Self::body_with).
    pub fn body_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<(), WriteError> {
        self.body_with(|body| Ok(body.write_fmt(text)?))
    }
}

impl fmt::Write for BodyWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.response.put(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[cfg(feature = "embedded-io")]
impl embedded_io::ErrorType for BodyWriter<'_, '_> {
    type Error = embedded_io::ErrorKind;
}

#[cfg(feature = "embedded-io")]
impl embedded_io::Write for BodyWriter<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, embedded_io::ErrorKind> {
        match self.response.put(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(embedded_io::ErrorKind::OutOfMemory),
        }
    }

    fn flush(&mut self) -> Result<(), embedded_io::ErrorKind> {
        Ok(())
    }
}

impl fmt::Debug for BodyWriter<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").finish_non_exhaustive()
    }
}
