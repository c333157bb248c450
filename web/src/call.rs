//! A request with its path parameters and its content.

use core::fmt;
use core::ops::Deref;
use core::str::{self, FromStr};

use aurora_http_core::handler::ErrorResponse;
use aurora_http_core::request::{QueryError, Request, decode_path_into};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::table::{Node, value};

/// Longest parameter with escapes that [`Call::param`] decodes, in bytes.
const PARAM_BYTES_MAX: usize = 512;

/// A routed request: dereferences to [`Request`], and adds the parameters of its path and its content.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    request: &'a Request<'a>,
    content: &'a [u8],
    nodes: &'a [Node],
    node: u16,
    /// The number of the route within the endpoint that is called.
    pub(crate) route: u16,
}

impl<'a> Call<'a> {
    pub(crate) const fn new(request: &'a Request<'a>, nodes: &'a [Node], node: u16, route: u16) -> Self {
        Self { request, content: &[], nodes, node, route }
    }

    pub(crate) const fn with_content(self, content: &'a [u8]) -> Self {
        Self { content, ..self }
    }

    /// The same call for an endpoint whose routes come after `routes` others.
    pub(crate) const fn behind(self, routes: usize) -> Self {
        Self { route: self.route - routes as u16, ..self }
    }

    /// The whole content. Empty if there is none, and for [`streaming`](crate::streaming) functions.
    #[must_use]
    pub const fn content(&self) -> &'a [u8] {
        self.content
    }

    /// The request.
    #[must_use]
    pub const fn request(&self) -> &'a Request<'a> {
        self.request
    }

    /// The decoded value of the parameter `:name` or `*name`, parsed: as a number, a `String`, or any other type with
    /// `FromStr`.
    ///
    /// ```
    /// use aurora_http_core::writer::{ResponseWriter, WriteError};
    /// use aurora_http_web::Call;
    ///
    /// fn show(_: &mut (), call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    ///     let id: u64 = call.param("id")?;
    ///     response.body_fmt(format_args!("item {id}\n"))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ParamError`]. With `?`, a value that cannot be parsed answers 404: no such resource can exist.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T, ParamError> {
        let mut buffer = [0; PARAM_BYTES_MAX];
        self.param_text(name, &mut buffer)?.parse().map_err(|_| ParamError::Invalid)
    }

    /// The value of the parameter `:name` or `*name` as text. `scratch` is only used for values with escapes; the length of
    /// the path is always enough.
    ///
    /// # Errors
    /// Same as [`param`](Self::param).
    pub fn param_text<'s>(&self, name: &str, scratch: &'s mut [u8]) -> Result<&'s str, ParamError>
    where
        'a: 's,
    {
        let raw = self.raw_param(name).ok_or(ParamError::Unknown)?;
        let decoded = if raw.contains(&b'%') { decode_path_into(raw, scratch)? } else { raw };
        str::from_utf8(decoded).map_err(|_| ParamError::NotText)
    }

    /// The value of the parameter `:name` or `*name` as it was sent, with its escapes. `None` if the route has no such
    /// parameter.
    #[must_use]
    pub fn raw_param(&self, name: &str) -> Option<&'a [u8]> {
        value(self.nodes, self.node, name, self.request.path())
    }

    /// Several parameters at once: `let (user, post): (String, u32) = call.params(["user", "post"])?`.
    ///
    /// # Errors
    /// Same as [`param`](Self::param), for the first parameter that fails.
    pub fn params<P: Params<N>, const N: usize>(&self, names: [&str; N]) -> Result<P, ParamError> {
        P::of(self, names)
    }
}

/// All methods of the request.
impl<'a> Deref for Call<'a> {
    type Target = Request<'a>;

    fn deref(&self) -> &Request<'a> {
        self.request
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("request", self.request).field("content", &self.content.len()).finish()
    }
}

/// Tuples of types with `FromStr`: see [`Call::params`].
pub trait Params<const N: usize>: Sized {
    /// Parses the parameters with these names.
    ///
    /// # Errors
    /// [`ParamError`] of the first one that fails.
    fn of(call: &Call<'_>, names: [&str; N]) -> Result<Self, ParamError>;
}

macro_rules! params {
    ($count:literal: $($type:ident $name:ident),*) => {
        impl<$($type: FromStr),*> Params<$count> for ($($type,)*) {
            fn of(call: &Call<'_>, [$($name),*]: [&str; $count]) -> Result<Self, ParamError> {
                Ok(($(call.param($name)?,)*))
            }
        }
    };
}

params!(1: A a);
params!(2: A a, B b);
params!(3: A a, B b, C c);
params!(4: A a, B b, C c, D d);

/// Why a parameter could not be read. Returned from a routed function, also as a [`WriteError`], it answers with the given
/// status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ParamError {
    /// It cannot be parsed, so there is no such resource: 404.
    Invalid,
    /// The decoded bytes are not UTF-8: 400.
    NotText,
    /// It has escapes, and its decoded value does not fit the buffer: 414.
    TooLong,
    /// The route has no parameter with that name, which is a mistake in the program: 500.
    Unknown,
}

impl ParamError {
    /// The status that it answers with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 404,
            Self::NotText => 400,
            Self::TooLong => 414,
            Self::Unknown => 500,
        }
    }
}

impl From<QueryError> for ParamError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::BufferFull => Self::TooLong,
            _ => Self::NotText,
        }
    }
}

impl From<ParamError> for WriteError {
    fn from(error: ParamError) -> Self {
        Self::Failed(error.status())
    }
}

impl ErrorResponse for ParamError {
    fn respond(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        response.fail(self.status())
    }
}

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "a path parameter is invalid",
            Self::NotText => "a path parameter is not UTF-8",
            Self::TooLong => "a path parameter is too long",
            Self::Unknown => "the route has no such parameter",
        })
    }
}

impl core::error::Error for ParamError {}
