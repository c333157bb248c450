//! Content of a request, as it is offered to a handler.

use crate::part::part;
use crate::request::Trailers;

/// Content that is offered to [`Handler::receive`](super::Handler::receive).
///
/// ```
/// use aurora_http_core::handler::{handler_fn, receiving};
/// use aurora_http_core::writer::WriteError;
///
/// // Counts lines. A line that is not complete is held, and offered again together with what follows it.
/// let handler = handler_fn(|_request, _response| {
///     let mut lines = 0;
///     receiving(move |content, response| {
///         while let Some(at) = content.bytes().iter().position(|&byte| byte == b'\n') {
///             content.consume(at + 1);
///             lines += 1;
///         }
///         if !content.ended() {
///             content.hold();
///             return Ok(());
///         }
///         content.consume(content.bytes().len());
///         response.body_fmt(format_args!("{lines} lines\n"))
///     })
/// });
/// # fn check<H: aurora_http_core::handler::Handler>(_: H) {}
/// # check(handler);
/// # let _ = WriteError::Order;
/// ```
#[derive(Debug)]
pub struct Content<'a> {
    bytes: &'a [u8],
    consumed: usize,
    /// The handler consumed a part or held it; unless it does, everything counts as consumed.
    is_partial: bool,
    /// The handler holds the content, which may be only its end.
    is_held: bool,
    ended: bool,
    trailers: Option<Trailers<'a>>,
}

impl<'a> Content<'a> {
    pub(crate) const fn new(bytes: &'a [u8], ended: bool, trailers: Option<Trailers<'a>>) -> Self {
        Self { bytes, consumed: 0, is_partial: false, is_held: false, ended, trailers }
    }

    /// The content that is offered, without what was [consumed](Self::consume) in this call.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        part(self.bytes, self.consumed..)
    }

    /// Consumes the first `count` of [`bytes`](Self::bytes), or all if there are fewer, and holds the rest for the next
    /// call. If neither this nor [`hold`](Self::hold) is called, everything counts as consumed.
    pub fn consume(&mut self, count: usize) {
        self.consumed += count.min(self.bytes.len() - self.consumed);
        self.is_partial = true;
    }

    /// Holds [`bytes`](Self::bytes) for the next call, which offers them before what arrives until then. The end of the
    /// content and its trailers are held, too.
    pub const fn hold(&mut self) {
        self.is_partial = true;
        self.is_held = true;
    }

    /// Whether [`bytes`](Self::bytes) are the end of the content.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// The trailer fields of chunked content, once it has [`ended`](Self::ended). `None` unless the handler
    /// [asked](crate::writer::ResponseWriter::keep_trailers) for them, and for content that is not chunked.
    #[must_use]
    pub const fn trailers(&self) -> Option<Trailers<'a>> {
        self.trailers
    }

    /// Whether all of it was consumed.
    pub(super) const fn is_taken(&self) -> bool {
        self.consumed() == self.bytes.len()
    }

    /// Whether it is an end without content that was held.
    pub(crate) const fn is_held_end(&self) -> bool {
        self.is_held && self.bytes.is_empty()
    }

    pub(crate) const fn consumed(&self) -> usize {
        if self.is_partial { self.consumed } else { self.bytes.len() }
    }
}
