//! Error responses in JSON: problem details (RFC 9457).

use core::fmt::{self, Write};

use aurora_http_core::handler::{ErrorResponse, Refusal};
use aurora_http_core::status;
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::call::ParamError;
use crate::form::FormError;
use crate::multipart::MultipartError;

/// An error response in `application/problem+json`: `{"status":404,"title":"Not Found","detail":"there is no such item"}`.
///
/// With `?`, all errors of this crate become a `Problem` with their own status, so most functions need no other error type. With
/// [`Site::on_refusal`](crate::Site::on_refusal), the server's own answers have the same form:
///
/// ```
/// use aurora_http_core::writer::ResponseWriter;
/// use aurora_http_web::{Call, Problem, Routes};
///
/// fn show(names: &mut Vec<&str>, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
///     let number: usize = call.param("number")?;
///     let name = names.get(number).ok_or(Problem::new(404, "there is no such name"))?;
///     Ok(response.body(name)?)
/// }
///
/// let handler = Routes::new().get("/names/:number", show).with_state(vec!["tea"]).on_refusal(Problem::refused);
/// ```
///
/// For an error type of your own, implement [`ErrorResponse`].
#[derive(Debug)]
pub struct Problem {
    status: u16,
    cause: Cause,
}

/// What went wrong.
#[derive(Debug)]
enum Cause {
    Text(&'static str),
    Param(ParamError),
    Form(FormError),
    Multipart(MultipartError),
    #[cfg(feature = "json")]
    Json(crate::json::JsonError),
    #[cfg(feature = "json-core")]
    JsonCore(crate::json_core::JsonError),
    Write(WriteError),
}

impl Problem {
    /// A problem with this status, 400 to 599.
    #[must_use]
    pub const fn new(status: u16, detail: &'static str) -> Self {
        Self { status, cause: Cause::Text(detail) }
    }

    /// The status that it answers with.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Writes one of the server's own answers in this form: for [`Site::on_refusal`](crate::Site::on_refusal).
    ///
    /// # Errors
    /// The errors of [`ResponseWriter::body_with`].
    pub fn refused(refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        write(response, refusal.status(), None)
    }
}

impl ErrorResponse for Problem {
    fn respond(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        match self.cause {
            Cause::Write(error) => Err(error),
            _ => write(response, self.status, Some(self)),
        }
    }
}

fn write(response: &mut ResponseWriter<'_>, status: u16, detail: Option<&Problem>) -> Result<(), WriteError> {
    response.status(status)?;
    response.field("Content-Type", "application/problem+json")?;
    response.body_with(|body| {
        write!(body, "{{\"status\":{status},\"title\":\"{}\"", status::reason(status))?;
        if let Some(detail) = detail {
            body.write_str(",\"detail\":\"")?;
            write!(Escaping(body), "{detail}")?;
            body.write_char('"')?;
        }
        Ok::<_, WriteError>(body.write_char('}')?)
    })
}

/// Escapes text for a JSON string (RFC 8259 §7).
struct Escaping<'w, W>(&'w mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|char: char| matches!(char, '"' | '\\') || char < ' ') {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            match special.as_bytes()[0] {
                byte @ (b'"' | b'\\') => write!(self.0, "\\{}", char::from(byte))?,
                byte => write!(self.0, "\\u{byte:04x}")?,
            }
            rest = &special[1..];
        }
        self.0.write_str(rest)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Text(text) => f.write_str(text),
            Cause::Param(error) => error.fmt(f),
            Cause::Form(error) => error.fmt(f),
            Cause::Multipart(error) => error.fmt(f),
            #[cfg(feature = "json")]
            Cause::Json(error) => error.fmt(f),
            #[cfg(feature = "json-core")]
            Cause::JsonCore(error) => error.fmt(f),
            Cause::Write(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Problem {}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        Self { status: 500, cause: Cause::Write(error) }
    }
}

impl From<ParamError> for Problem {
    fn from(error: ParamError) -> Self {
        Self { status: error.status(), cause: Cause::Param(error) }
    }
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        Self { status: error.status(), cause: Cause::Form(error) }
    }
}

impl From<MultipartError> for Problem {
    fn from(error: MultipartError) -> Self {
        match error {
            MultipartError::Write(error) => error.into(),
            error => Self { status: error.status(), cause: Cause::Multipart(error) },
        }
    }
}

#[cfg(feature = "json")]
impl From<crate::json::JsonError> for Problem {
    fn from(error: crate::json::JsonError) -> Self {
        match error {
            crate::json::JsonError::Write(error) => error.into(),
            error => Self { status: error.status(), cause: Cause::Json(error) },
        }
    }
}

#[cfg(feature = "json-core")]
impl From<crate::json_core::JsonError> for Problem {
    fn from(error: crate::json_core::JsonError) -> Self {
        match error {
            crate::json_core::JsonError::Write(error) => error.into(),
            error => Self { status: error.status(), cause: Cause::JsonCore(error) },
        }
    }
}
