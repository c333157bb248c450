//! Forms in the content of a request: `application/x-www-form-urlencoded`.

use core::fmt;
use core::str::FromStr;

use aurora_http_core::handler::ErrorResponse;
use aurora_http_core::request::{Query, QueryError, QueryPairs};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::Call;

/// Longest value that [`Form::parse`] decodes, in bytes.
const VALUE_BYTES_MAX: usize = 512;

/// A form that was sent.
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
    /// The form in the content of a request.
    ///
    /// # Errors
    /// [`FormError::MediaType`] when the request says that its content is something else, or nothing.
    pub fn of(call: &Call<'a>) -> Result<Self, FormError> {
        if call.has_content_type("application/x-www-form-urlencoded") {
            return Ok(Self { content: call.content() });
        }
        Err(FormError::MediaType)
    }

    /// All pairs of it, decoded into `scratch` where they have escapes: as many bytes as the content has are always enough.
    pub fn pairs<'s>(&self, scratch: &'s mut [u8]) -> QueryPairs<'s>
    where
        'a: 's,
    {
        QueryPairs::new(Query::new(self.content), scratch)
    }

    /// The first value of this name, decoded into `scratch`; `None` without one.
    ///
    /// # Errors
    /// [`FormError::Malformed`] where the form cannot be decoded up to that value.
    pub fn text<'s>(&self, name: &str, scratch: &'s mut [u8]) -> Result<Option<&'s str>, FormError>
    where
        'a: 's,
    {
        let is_short = name.len() <= scratch.len();
        for (raw_key, raw_value) in Query::new(self.content) {
            let is_it = match Query::decode_into(raw_key, scratch) {
                Ok(key) => key == name.as_bytes(),
                // Longer than what is looked for.
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

    /// The first value of this name, of at most 512 bytes, as whatever it can be parsed to.
    ///
    /// # Errors
    /// [`FormError::Missing`] and [`FormError::Invalid`], besides what [`text`](Self::text) says.
    pub fn parse<T: FromStr>(&self, name: &'static str) -> Result<T, FormError> {
        let mut buffer = [0; VALUE_BYTES_MAX];
        let text = self.text(name, &mut buffer)?.ok_or(FormError::Missing { name })?;
        text.parse().map_err(|_| FormError::Invalid { name })
    }

    /// As [`parse`](Self::parse); `default` when it is not there, or empty.
    ///
    /// # Errors
    /// [`FormError::Invalid`], besides what [`text`](Self::text) says.
    pub fn parse_or<T: FromStr>(&self, name: &'static str, default: T) -> Result<T, FormError> {
        let mut buffer = [0; VALUE_BYTES_MAX];
        match self.text(name, &mut buffer)? {
            None | Some("") => Ok(default),
            Some(text) => text.parse().map_err(|_| FormError::Invalid { name }),
        }
    }
}

/// Why a form is not what was asked for. As a [`WriteError`] it answers with the status that is said here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FormError {
    /// The content is no form: 415.
    MediaType,
    /// It cannot be decoded: 400, or 413 for a value that is too long.
    Malformed(QueryError),
    /// It has no value of this name: 422.
    Missing {
        /// The name.
        name: &'static str,
    },
    /// The value of this name cannot be parsed: 422.
    Invalid {
        /// The name.
        name: &'static str,
    },
}

impl FormError {
    /// What it is answered with.
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

/// Says what is wrong.
impl ErrorResponse for FormError {
    fn respond(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        response.status(self.status())?;
        response.field("Content-Type", "text/plain")?;
        response.body_fmt(format_args!("{self}\n"))
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
