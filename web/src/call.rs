//! A request as a routed function sees it: with its parameters and its content.

use core::fmt;
use core::ops::Deref;
use core::str::{self, FromStr};

use aurora_http_core::handler::ErrorResponse;
use aurora_http_core::request::{QueryError, Request, decode_path_into};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::table::{Node, value};

/// Longest parameter with escapes that [`Call::param`] decodes, in bytes.
const PARAM_BYTES_MAX: usize = 512;

/// A request that was routed: everything that [`Request`] has, the parameters of its path, and its content.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    request: &'a Request<'a>,
    content: &'a [u8],
    nodes: &'a [Node],
    node: u16,
    /// The number of the route, below the endpoint that is asked.
    pub(crate) route: u16,
}

impl<'a> Call<'a> {
    pub(crate) const fn new(request: &'a Request<'a>, nodes: &'a [Node], node: u16, route: u16) -> Self {
        Self { request, content: &[], nodes, node, route }
    }

    pub(crate) const fn with_content(self, content: &'a [u8]) -> Self {
        Self { content, ..self }
    }

    /// For the endpoint whose routes begin behind as many others.
    pub(crate) const fn behind(self, routes: usize) -> Self {
        Self { route: self.route - routes as u16, ..self }
    }

    /// The whole content; empty when there is none, and for functions that take it in [pieces](crate::streaming).
    #[must_use]
    pub const fn content(&self) -> &'a [u8] {
        self.content
    }

    /// The request.
    #[must_use]
    pub const fn request(&self) -> &'a Request<'a> {
        self.request
    }

    /// The parameter `:name` of the path, decoded, as whatever it can be parsed to: a number, a `String`, a type of the
    /// program's with a `FromStr`. Of `*name` it is all that is left of the path.
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
    /// [`ParamError`]: by `?` it answers 404 for what cannot be parsed, because no such resource can be there.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T, ParamError> {
        let mut buffer = [0; PARAM_BYTES_MAX];
        self.param_text(name, &mut buffer)?.parse().map_err(|_| ParamError::Invalid)
    }

    /// The parameter `:name` or `*name` of the path as text, decoded into `scratch` where it has escapes: as many bytes as
    /// the path has are always enough.
    ///
    /// # Errors
    /// As [`param`](Self::param).
    pub fn param_text<'s>(&self, name: &str, scratch: &'s mut [u8]) -> Result<&'s str, ParamError>
    where
        'a: 's,
    {
        let raw = self.raw_param(name).ok_or(ParamError::Unknown)?;
        let decoded = if raw.contains(&b'%') { decode_path_into(raw, scratch)? } else { raw };
        str::from_utf8(decoded).map_err(|_| ParamError::NotText)
    }

    /// The parameter `:name` or `*name` of the path as it was sent, escapes and all; `None` when the route has none of that
    /// name.
    #[must_use]
    pub fn raw_param(&self, name: &str) -> Option<&'a [u8]> {
        value(self.nodes, self.node, name, self.request.path())
    }

    /// Several parameters at once: `let (user, post): (String, u32) = call.params(["user", "post"])?`.
    ///
    /// # Errors
    /// As [`param`](Self::param), for the first one that has one.
    pub fn params<P: Params<N>, const N: usize>(&self, names: [&str; N]) -> Result<P, ParamError> {
        P::of(self, names)
    }
}

/// Everything that a request has.
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

/// Tuples of what can be parsed: see [`Call::params`].
pub trait Params<const N: usize>: Sized {
    /// The parameters of these names.
    ///
    /// # Errors
    /// That of the first one that has one.
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

/// Why a parameter is not what was asked for. As a [`WriteError`], and returned from a function that is routed, it answers
/// with the status that is said here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ParamError {
    /// It cannot be parsed, so that there is no such resource: 404.
    Invalid,
    /// Its decoded bytes are not UTF-8: 400.
    NotText,
    /// It has escapes, and is longer than the room to decode it: 414.
    TooLong,
    /// The route has no parameter of that name; a mistake in the program: 500.
    Unknown,
}

impl ParamError {
    /// What it is answered with.
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
            Self::Invalid => "a parameter of the path cannot be parsed",
            Self::NotText => "a parameter of the path is not UTF-8",
            Self::TooLong => "a parameter of the path is too long",
            Self::Unknown => "the route has no parameter of that name",
        })
    }
}

impl core::error::Error for ParamError {}
