//! Content of a request, as a handler is offered it.

use crate::request::Trailers;

/// Content offered to [`Handler::receive`](super::Handler::receive).
#[derive(Debug)]
pub struct Content<'a> {
    bytes: &'a [u8],
    consumed: usize,
    /// The handler said what it leaves; until it does, it takes everything.
    is_partial: bool,
    /// The handler holds what is there, be it the end alone.
    is_held: bool,
    ended: bool,
    trailers: Option<Trailers<'a>>,
}

impl<'a> Content<'a> {
    pub(crate) const fn new(bytes: &'a [u8], ended: bool, trailers: Option<Trailers<'a>>) -> Self {
        Self { bytes, consumed: 0, is_partial: false, is_held: false, ended, trailers }
    }

    /// What is there, but for what was [consumed](Self::consume) in this call.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        &self.bytes[self.consumed..]
    }

    /// Takes the first `count` of [`bytes`](Self::bytes), and holds what is behind them for the next call; more than
    /// there are is all of them. A handler that never calls this or [`hold`](Self::hold) takes everything.
    pub fn consume(&mut self, count: usize) {
        self.consumed += count.min(self.bytes.len() - self.consumed);
        self.is_partial = true;
    }

    /// Holds [`bytes`](Self::bytes) for the next call, which has them in front of what arrives until then; the end and its
    /// trailers as well.
    pub const fn hold(&mut self) {
        self.is_partial = true;
        self.is_held = true;
    }

    /// Nothing follows behind [`bytes`](Self::bytes): they are the end of the content.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// The trailer fields behind chunked content, once it has [`ended`](Self::ended), for handlers that
    /// [asked](crate::writer::ResponseWriter::keep_trailers) for them. `None` when it did not, and for content that is
    /// not chunked.
    #[must_use]
    pub const fn trailers(&self) -> Option<Trailers<'a>> {
        self.trailers
    }

    /// Whether nothing of it is held.
    pub(super) const fn is_taken(&self) -> bool {
        self.consumed() == self.bytes.len()
    }

    /// Whether it is an end without content, and held.
    pub(crate) const fn is_held_end(&self) -> bool {
        self.is_held && self.bytes.is_empty()
    }

    pub(crate) const fn consumed(&self) -> usize {
        if self.is_partial { self.consumed } else { self.bytes.len() }
    }
}
