//! Forms: `application/x-www-form-urlencoded`.

use core::fmt;
use core::str::FromStr;

use aurora_http_core::handler::ErrorResponse;
use aurora_http_core::request::{Query, QueryError, QueryPairs};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::{Call, message};

/// Longest value that [`Form::parse`] decodes, in bytes.
const VALUE_BYTES_MAX: usize = 512;

/// A form in the content of a request.
///
/// ```
/// use aurora_http_core::writer::{ResponseWriter, WriteError};
/// use aurora_http_web::{Call, form::Form};
///
/// fn order(_: &mut (), call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
///     let form = Form::of(call)?;
///     let (what, count): (String, u32) = (form.parse("what")?, form.parse_or("count", 1)?);
///     response.body_fmt(format_args!("{count} of {what}\n"))
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    content: &'a [u8],
}

impl<'a> Form<'a> {
    /// The form of a request.
    ///
    /// # Errors
    /// [`FormError::MediaType`] if the request has another `Content-Type`, or none.
    pub fn of(call: &Call<'a>) -> Result<Self, FormError> {
        if call.has_content_type("application/x-www-form-urlencoded") {
            return Ok(Self { content: call.content() });
        }
        Err(FormError::MediaType)
    }

    /// All decoded pairs. `scratch` is only used for those with escapes; the length of the content is always enough.
    pub fn pairs<'s>(&self, scratch: &'s mut [u8]) -> QueryPairs<'s>
    where
        'a: 's,
    {
        QueryPairs::new(Query::new(self.content), scratch)
    }

    /// The first value with this name, decoded into `scratch`.
    ///
    /// # Errors
    /// [`FormError::Malformed`] if the form cannot be decoded up to that value.
    pub fn text<'s>(&self, name: &str, scratch: &'s mut [u8]) -> Result<Option<&'s str>, FormError>
    where
        'a: 's,
    {
        let is_short = name.len() <= scratch.len();
        for (raw_key, raw_value) in Query::new(self.content) {
            let is_it = match Query::decode_into(raw_key, scratch) {
                Ok(key) => key == name.as_bytes(),
                // It is longer than the name that is looked for.
                Err(QueryError::BufferFull) if is_short => false,
                Err(error) => return Err(error.into()),
            };
            if is_it {
                let value = Query::decode_into(raw_value, scratch)?;
                return str::from_utf8(value).map(Some).map_err(|_| FormError::Malformed(QueryError::NotText));
            }
        }
        Ok(None)
    }

    /// The first value with this name, of at most 512 bytes, parsed.
    ///
    /// # Errors
    /// [`FormError::Missing`], [`FormError::Invalid`], and the errors of [`text`](Self::text).
    pub fn parse<T: FromStr>(&self, name: &'static str) -> Result<T, FormError> {
        let mut buffer = [0; VALUE_BYTES_MAX];
        let text = self.text(name, &mut buffer)?.ok_or(FormError::Missing { name })?;
        text.parse().map_err(|_| FormError::Invalid { name })
    }

    /// Same as [`parse`](Self::parse), or `default` if the value is missing or empty.
    ///
    /// # Errors
    /// [`FormError::Invalid`], and the errors of [`text`](Self::text).
    pub fn parse_or<T: FromStr>(&self, name: &'static str, default: T) -> Result<T, FormError> {
        let mut buffer = [0; VALUE_BYTES_MAX];
        match self.text(name, &mut buffer)? {
            None | Some("") => Ok(default),
            Some(text) => text.parse().map_err(|_| FormError::Invalid { name }),
        }
    }
}

/// Why a form could not be read. Also as a [`WriteError`], it answers with the given status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FormError {
    /// The content is not a form: 415.
    MediaType,
    /// It cannot be decoded: 400, or 413 if a value is too long.
    Malformed(QueryError),
    /// There is no value with this name: 422.
    Missing {
        /// The name.
        name: &'static str,
    },
    /// The value with this name cannot be parsed: 422.
    Invalid {
        /// The name.
        name: &'static str,
    },
}

impl FormError {
    /// The status that it answers with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::MediaType => 415,
            Self::Malformed(QueryError::BufferFull) => 413,
            Self::Malformed(_) => 400,
            Self::Missing { .. } | Self::Invalid { .. } => 422,
        }
    }
}

impl From<QueryError> for FormError {
    fn from(error: QueryError) -> Self {
        Self::Malformed(error)
    }
}

impl From<FormError> for WriteError {
    fn from(error: FormError) -> Self {
        Self::Failed(error.status())
    }
}

/// Answers with the message as text.
impl ErrorResponse for FormError {
    fn respond(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        message::respond(self.status(), self, response)
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType => f.write_str("a form is expected: application/x-www-form-urlencoded"),
            Self::Malformed(error) => write!(f, "the form cannot be read: {error}"),
            Self::Missing { name } => write!(f, "the form has no {name}"),
            Self::Invalid { name } => write!(f, "the value of {name} is invalid"),
        }
    }
}

impl core::error::Error for FormError {}
