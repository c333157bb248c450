//! A parsed request: views into the receive buffer, nothing copied.

use core::fmt;
use core::str;

mod fields;
mod method;
mod percent;
mod query;

pub use fields::{Field, Fields, GetAll, Iter, ListElements};
pub use method::Method;
pub use percent::{QueryError, decode_path_into};
pub use query::Query;

pub use crate::parse::BodyLength;
use crate::parse::{FieldSlot, flag};

/// The version that a request is served as.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, no interim responses, persistent only when asked.
    Http10,
    /// HTTP/1.1, and any later minor of HTTP/1 (RFC 9110 §2.5).
    Http11,
}

/// The form of a request target (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TargetForm {
    /// A path and perhaps a query: nearly every request.
    Origin,
    /// A whole URI, as sent to a proxy.
    Absolute,
    /// Host and port, of CONNECT alone.
    Authority,
    /// `*`, of OPTIONS alone.
    Asterisk,
}

/// A complete, well-formed request head.
///
/// It borrows from the receive buffer and is valid during the handler's call; copying it copies the references.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    parts: RequestParts<'a>,
    fields: Fields<'a>,
}

/// What the parser found out, apart from the fields themselves.
#[derive(Clone, Copy)]
pub(crate) struct RequestParts<'a> {
    pub(crate) method: Method<'a>,
    pub(crate) target: &'a [u8],
    pub(crate) form: TargetForm,
    pub(crate) path: &'a [u8],
    pub(crate) query: Option<&'a [u8]>,
    pub(crate) version: Version,
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) body_length: BodyLength,
    /// Bits of [`flag`].
    pub(crate) flags: u8,
    pub(crate) head_len: u32,
}

impl<'a> Request<'a> {
    #[inline(always)]
    pub(crate) fn new(parts: RequestParts<'a>, slots: &'a [FieldSlot<'a>]) -> Self {
        Self { parts, fields: Fields::new(slots) }
    }

    /// The method. Methods are case-sensitive: `get` is an extension method.
    #[inline]
    #[must_use]
    pub const fn method(&self) -> Method<'a> {
        self.parts.method
    }

    /// The request target as it was sent; its bytes are visible ASCII.
    #[inline]
    #[must_use]
    pub const fn target(&self) -> &'a [u8] {
        self.parts.target
    }

    /// The request target as it was sent, as text. Costs a pass over it.
    #[inline]
    #[must_use]
    pub fn target_str(&self) -> &'a str {
        // Never empty: the target was checked to be ASCII.
        str::from_utf8(self.parts.target).unwrap_or_default()
    }

    /// The form of the request target.
    #[inline]
    #[must_use]
    pub const fn target_form(&self) -> TargetForm {
        self.parts.form
    }

    /// The path as it was sent, before any `?`. Escapes are not decoded: see [`decode_path_into`].
    ///
    /// Starts with `/` in origin- and absolute-form. It is `*` in asterisk-form (and for OPTIONS in absolute-form
    /// without path and query, which means the same: RFC 9112 §3.2.4), and empty in authority-form.
    #[inline]
    #[must_use]
    pub const fn path(&self) -> &'a [u8] {
        self.parts.path
    }

    /// The query behind the first `?`; `None` without one. It may be empty.
    #[inline]
    #[must_use]
    pub fn query(&self) -> Option<Query<'a>> {
        self.parts.query.map(Query::new)
    }

    /// The version it is served as.
    #[inline]
    #[must_use]
    pub const fn version(&self) -> Version {
        self.parts.version
    }

    /// The fields, in the order they were sent.
    #[inline]
    #[must_use]
    pub const fn fields(&self) -> Fields<'a> {
        self.fields
    }

    /// Whom the request is for, `uri-host [ ":" port ]`: the authority of the target in absolute- and authority-form
    /// (RFC 9112 §3.3), else the Host field. `None` is possible on HTTP/1.0 only.
    #[inline]
    #[must_use]
    pub const fn host(&self) -> Option<&'a [u8]> {
        self.parts.host
    }

    /// How the content is delimited (RFC 9112 §6.3).
    #[inline]
    #[must_use]
    pub const fn body_length(&self) -> BodyLength {
        self.parts.body_length
    }

    /// The value of Content-Length; `None` without one.
    #[inline]
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        match self.parts.body_length {
            BodyLength::Length(length) => Some(length),
            BodyLength::None | BodyLength::Chunked => None,
        }
    }

    /// Whether the content has the chunked transfer coding, the only one that is served.
    #[inline]
    #[must_use]
    pub const fn is_chunked(&self) -> bool {
        matches!(self.parts.body_length, BodyLength::Chunked)
    }

    /// Whether the client waits for 100 (Continue) before it sends the content: HTTP/1.1, `Expect: 100-continue`, and
    /// content announced (RFC 9110 §10.1.1).
    #[inline]
    #[must_use]
    pub const fn expects_continue(&self) -> bool {
        self.has(flag::EXPECT_CONTINUE) && self.is_http11() && self.parts.body_length.has_content()
    }

    /// Whether the client offers another protocol on this connection: HTTP/1.1, an Upgrade field, and Connection lists
    /// `upgrade` (RFC 9110 §7.8).
    #[inline]
    #[must_use]
    pub const fn wants_upgrade(&self) -> bool {
        self.has(flag::UPGRADE | flag::UPGRADE_LISTED) && self.is_http11()
    }

    /// The protocols that the client offers, its preference first (`websocket`, `h2c`, …); `None` unless
    /// [`wants_upgrade`](Self::wants_upgrade).
    #[inline]
    #[must_use]
    pub fn upgrade(&self) -> Option<ListElements<'a>> {
        self.wants_upgrade().then(|| self.fields.list("upgrade"))
    }

    /// The connection options, over all Connection fields (RFC 9110 §7.6.1). They are case-insensitive.
    #[inline]
    #[must_use]
    pub fn connection_options(&self) -> ListElements<'a> {
        self.fields.list("connection")
    }

    /// Whether the client wants the connection to persist (RFC 9112 §9.3): on HTTP/1.1 unless Connection lists `close`,
    /// on HTTP/1.0 only when it lists `keep-alive` and not `close`.
    #[inline]
    #[must_use]
    pub const fn persistent(&self) -> bool {
        !self.has(flag::CLOSE) && (self.is_http11() || self.has(flag::KEEP_ALIVE))
    }

    /// Bytes of the head, a skipped CRLF before it and the empty line included: the content starts behind them.
    #[inline]
    #[must_use]
    pub const fn head_len(&self) -> usize {
        self.parts.head_len as usize
    }

    const fn is_http11(&self) -> bool {
        matches!(self.parts.version, Version::Http11)
    }

    /// Whether all of `bits` are set.
    const fn has(&self, bits: u8) -> bool {
        self.parts.flags & bits == bits
    }
}

/// Method, target and version; field values stay out of it, they may be secrets.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method().as_str())
            .field("target", &self.target_str())
            .field("version", &self.version())
            .field("fields", &self.fields().len())
            .field("body_length", &self.body_length())
            .finish_non_exhaustive()
    }
}

/// A request can be used where one of a shorter life is asked for.
const _: for<'long, 'short> fn(&'short Request<'long>) -> Request<'short> = |request| *request;
