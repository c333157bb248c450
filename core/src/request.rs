//! A parsed request: views into the receive buffer, nothing copied.

use core::fmt;
use core::str;

mod fields;
mod method;
mod percent;
mod query;
mod slots;
mod trailers;

pub use fields::{Field, Fields, GetAll, InvalidField, Iter, ListElements};
pub use method::Method;
pub(crate) use method::MethodKind;
pub use percent::{QueryError, decode_path_into};
pub use query::{Query, QueryPairs};
pub(crate) use slots::Slots;
pub use trailers::{TrailerIter, Trailers};

pub use crate::parse::BodyLength;
use crate::parse::flag;
use crate::part::part;
use crate::peer::{ConnectionId, ConnectionInfo};
use crate::reactor::{Peer, Security};

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
    /// All of the head, including a skipped CRLF before it.
    head: &'a [u8],
    fields: Fields<'a>,
    facts: Facts,
    connection: Option<&'a ConnectionInfo<'a>>,
}

const _: () = assert!(size_of::<Request<'static>>() <= 88);

/// The properties of a head apart from its fields. Lengths fit in 32 bits, because the head does.
#[derive(Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) body_length: BodyLength,
    pub(crate) target_len: u32,
    /// Where the path starts in the target.
    pub(crate) path_at: u32,
    pub(crate) path_len: u32,
    /// Where the request line starts in the head: 2 after a skipped CRLF.
    pub(crate) line_at: u8,
    pub(crate) method: MethodKind,
    pub(crate) method_len: u8,
    pub(crate) version: Version,
    pub(crate) form: TargetForm,
    /// Bits of [`flag`].
    pub(crate) flags: u8,
    /// The index of Host among the fields; out of range if there is none.
    pub(crate) host_index: u8,
}

impl<'a> Request<'a> {
    #[inline(always)]
    pub(crate) const fn new(head: &'a [u8], slots: Slots<'a>, facts: Facts) -> Self {
        Self { head, fields: Fields::of(slots), facts, connection: None }
    }

    /// The same request, on a connection.
    #[inline]
    pub(crate) fn on<'b>(&self, connection: &'b ConnectionInfo<'b>) -> Request<'b>
    where
        'a: 'b,
    {
        Request { connection: Some(connection), ..*self }
    }

    /// The peer of the connection, looked up by this call; `None` if it is unknown, or if the request was parsed without a
    /// connection.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        self.connection?.peer()
    }

    /// How the connection is encrypted, and which certificate the client has shown; `None` if it is not encrypted.
    #[must_use]
    pub fn security(&self) -> Option<Security<'a>> {
        self.connection?.security()
    }

    /// The connection's id, as in [`Handler::accepted`](crate::handler::Handler::accepted).
    #[must_use]
    pub fn connection_id(&self) -> Option<ConnectionId> {
        Some(self.connection?.id())
    }

    /// The method. Methods are case-sensitive: `get` is an extension method.
    #[cfg_attr(not(feature = "small"), inline)]
    #[must_use]
    pub fn method(&self) -> Method<'a> {
        match self.facts.method {
            MethodKind::Get => Method::Get,
            MethodKind::Head => Method::Head,
            MethodKind::Post => Method::Post,
            MethodKind::Put => Method::Put,
            MethodKind::Delete => Method::Delete,
            MethodKind::Connect => Method::Connect,
            MethodKind::Options => Method::Options,
            MethodKind::Trace => Method::Trace,
            MethodKind::Patch => Method::Patch,
            MethodKind::Extension => Method::Extension(self.extension_method()),
        }
    }

    #[cold]
    fn extension_method(&self) -> &'a str {
        let method_at = self.facts.line_at as usize;
        let token = part(self.head, method_at..method_at + self.facts.method_len as usize);
        // Never empty: a token is ASCII.
        str::from_utf8(token).unwrap_or_default()
    }

    /// The request target as it was sent; all its bytes are visible ASCII.
    #[inline]
    #[must_use]
    pub fn target(&self) -> &'a [u8] {
        let target_at = self.facts.line_at as usize + self.facts.method_len as usize + 1;
        part(self.head, target_at..target_at + self.facts.target_len as usize)
    }

    /// The request target as it was sent, as text. Takes one pass over it.
    #[inline]
    #[must_use]
    pub fn target_str(&self) -> &'a str {
        // Never empty: the target was checked to be ASCII.
        str::from_utf8(self.target()).unwrap_or_default()
    }

    /// The form of the request target.
    #[inline]
    #[must_use]
    pub const fn target_form(&self) -> TargetForm {
        self.facts.form
    }

    /// The path as it was sent, before any `?`. Escapes are not decoded: see [`decode_path_into`].
    ///
    /// Starts with `/` in origin- and absolute-form. It is `*` in asterisk-form (and for OPTIONS in absolute-form
    /// without path and query, which means the same: RFC 9112 §3.2.4), and empty in authority-form.
    #[cfg_attr(not(feature = "small"), inline)]
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        if self.facts.path_len == 0 {
            return self.empty_path();
        }
        let path_at = self.facts.path_at as usize;
        part(self.target(), path_at..path_at + self.facts.path_len as usize)
    }

    /// The path as text: see [`path`](Self::path). Takes one pass over it.
    #[inline]
    #[must_use]
    pub fn path_str(&self) -> &'a str {
        // Never empty for this reason: the target was checked to be ASCII.
        str::from_utf8(self.path()).unwrap_or_default()
    }

    #[cold]
    fn empty_path(&self) -> &'a [u8] {
        match (self.facts.form, self.facts.method, self.query()) {
            (TargetForm::Absolute, MethodKind::Options, None) => b"*",
            // RFC 9110 §4.2.3: an empty path is the path "/".
            (TargetForm::Absolute, ..) => b"/",
            _ => b"",
        }
    }

    /// The query after the first `?`; `None` without one. It may be empty.
    #[inline]
    #[must_use]
    pub fn query(&self) -> Option<Query<'a>> {
        let question_mark = self.facts.path_at as usize + self.facts.path_len as usize;
        self.target().get(question_mark + 1..).map(Query::new)
    }

    /// The decoded pairs of the query, as text. Only pairs with escapes use `scratch`; as many bytes as the query has are always
    /// enough.
    ///
    /// ```
    /// use aurora_http_core::handler::handler_fn;
    ///
    /// let handler = handler_fn(|request, response| {
    ///     let mut scratch = [0; 256];
    ///     for pair in request.query_pairs(&mut scratch) {
    ///         if let Ok(("name", name)) = pair {
    ///             return response.body(name);
    ///         }
    ///     }
    ///     response.fail(400)
    /// });
    /// ```
    pub fn query_pairs<'s>(&self, scratch: &'s mut [u8]) -> QueryPairs<'s>
    where
        'a: 's,
    {
        QueryPairs::new(self.query().unwrap_or(Query::new(&[])), scratch)
    }

    /// The decoded value of the first pair of the query whose decoded key is `key`; `None` without one.
    ///
    /// # Errors
    /// [`QueryError`] if a pair up to that one cannot be decoded.
    pub fn query_value<'s>(&self, key: &str, scratch: &'s mut [u8]) -> Result<Option<&'s str>, QueryError>
    where
        'a: 's,
    {
        for pair in self.query_pairs(scratch) {
            let (name, value) = pair?;
            if name == key {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The version that it is served as.
    #[inline]
    #[must_use]
    pub const fn version(&self) -> Version {
        self.facts.version
    }

    /// The fields, in the order they were sent.
    #[inline]
    #[must_use]
    pub const fn fields(&self) -> Fields<'a> {
        self.fields
    }

    /// Whether the content has this media type, such as `application/json`. Case and parameters are ignored (RFC 9110
    /// §8.3.1).
    #[must_use]
    pub fn has_content_type(&self, media_type: &str) -> bool {
        self.fields.get("Content-Type").is_some_and(|value| {
            let essence = value.split(|&byte| byte == b';').next().unwrap_or_default();
            essence.trim_ascii_end().eq_ignore_ascii_case(media_type.as_bytes())
        })
    }

    /// The host that the request is for, `uri-host [ ":" port ]`: the authority of a target in absolute- or authority-form
    /// (RFC 9112 §3.3), otherwise the Host field. `None` is possible only on HTTP/1.0.
    #[cfg_attr(not(feature = "small"), inline)]
    #[must_use]
    pub fn host(&self) -> Option<&'a [u8]> {
        match self.facts.form {
            TargetForm::Origin | TargetForm::Asterisk => self.fields.value_at(self.facts.host_index),
            TargetForm::Absolute | TargetForm::Authority => Some(self.authority()),
        }
    }

    /// The authority of a target in absolute- or authority-form.
    #[cold]
    fn authority(&self) -> &'a [u8] {
        let before_path = part(self.target(), ..self.facts.path_at as usize);
        let scheme = before_path.windows(3).position(|bytes| bytes == b"://");
        part(before_path, scheme.map_or(0, |scheme_len| scheme_len + 3)..)
    }

    /// How the content is delimited (RFC 9112 §6.3).
    #[inline]
    #[must_use]
    pub const fn body_length(&self) -> BodyLength {
        self.facts.body_length
    }

    /// The value of Content-Length; `None` without one.
    #[cfg_attr(not(feature = "small"), inline)]
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        match self.facts.body_length {
            BodyLength::Length(length) => Some(length),
            BodyLength::None | BodyLength::Chunked => None,
        }
    }

    /// Whether the content has the chunked transfer coding, the only one supported.
    #[inline]
    #[must_use]
    pub const fn is_chunked(&self) -> bool {
        matches!(self.facts.body_length, BodyLength::Chunked)
    }

    /// Whether the client waits for 100 (Continue) before it sends the content: on HTTP/1.1, with `Expect: 100-continue` and
    /// announced content (RFC 9110 §10.1.1).
    #[inline]
    #[must_use]
    pub const fn expects_continue(&self) -> bool {
        self.has(flag::EXPECT_CONTINUE) && self.is_http11() && self.facts.body_length.has_content()
    }

    /// Whether the client offers another protocol on this connection: on HTTP/1.1, with an Upgrade field and a Connection
    /// field that lists `upgrade` (RFC 9110 §7.8).
    #[inline]
    #[must_use]
    pub const fn wants_upgrade(&self) -> bool {
        self.has(flag::UPGRADE | flag::UPGRADE_LISTED) && self.is_http11()
    }

    /// The protocols that the client offers, in order of its preference (`websocket`, `h2c`, …); `None` unless
    /// [`wants_upgrade`](Self::wants_upgrade). Compare them case-insensitively, or use
    /// [`upgrades_to`](Self::upgrades_to).
    #[inline]
    #[must_use]
    pub fn upgrade(&self) -> Option<ListElements<'a>> {
        self.wants_upgrade().then(|| self.fields.list("upgrade"))
    }

    /// Whether the client offers to switch to `protocol`, a name with or without a version (`websocket`, `TLS/1.0`), in
    /// any case: names are not case-sensitive (RFC 9110 §7.8), nor is any registered version.
    ///
    /// Only such a protocol can be given to
    /// [`ResponseWriter::switch_protocols`](crate::writer::ResponseWriter::switch_protocols).
    #[must_use]
    pub fn upgrades_to(&self, protocol: &str) -> bool {
        self.upgrade().is_some_and(|mut offers| offers.any(|offer| offer.eq_ignore_ascii_case(protocol.as_bytes())))
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

    /// The length of the head in bytes, including a skipped CRLF before it and the empty line: the content starts after
    /// it.
    #[inline]
    #[must_use]
    pub const fn head_len(&self) -> usize {
        self.head.len()
    }

    /// Whether it is HTTP/1.1, has no content, and says nothing about the connection but that it persists. Not for HEAD and
    /// CONNECT.
    #[cfg(not(feature = "small"))]
    #[inline(always)]
    pub(crate) const fn is_plain(&self) -> bool {
        self.is_http11()
            && self.facts.flags & !flag::KEEP_ALIVE == 0
            && matches!(self.facts.body_length, BodyLength::None)
            && !matches!(self.facts.method, MethodKind::Head | MethodKind::Connect)
    }

    const fn is_http11(&self) -> bool {
        matches!(self.facts.version, Version::Http11)
    }

    /// Whether all of `bits` are set.
    const fn has(&self, bits: u8) -> bool {
        self.facts.flags & bits == bits
    }
}

/// Method, target and version. Field values are left out, because they may be secrets.
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

/// A request can be used where one with a shorter lifetime is expected.
const _: for<'long, 'short> fn(&'short Request<'long>) -> Request<'short> = |request| *request;
