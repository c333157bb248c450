//! The query of a request target.

use super::percent::{self, QueryError};

/// An iterator over the raw `(key, value)` pairs of a query: split at `&`, then at the first `=`.
///
/// A piece without `=` has an empty value; empty pieces are skipped. Nothing is decoded: see
/// [`decode_into`](Self::decode_into).
#[derive(Clone, Debug)]
pub struct Query<'a> {
    rest: &'a [u8],
}

impl<'a> Query<'a> {
    pub(super) const fn new(raw: &'a [u8]) -> Self {
        Self { rest: raw }
    }

    /// The query as it was sent, as far as it has not been iterated over.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.rest
    }

    /// The raw value of the first pair whose raw key is `key`, among those not iterated over.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a [u8]> {
        self.clone().find(|(raw, _)| *raw == key.as_bytes()).map(|(_, value)| value)
    }

    /// Decodes a raw key or value into `out`: `%` with two hexadecimal digits is a byte, `+` is a space. The result is
    /// never longer than `raw`, and may hold any byte.
    ///
    /// # Errors
    /// [`QueryError::MalformedEscape`] for a `%` without two hexadecimal digits behind it,
    /// [`QueryError::BufferFull`] when `out` is too short.
    pub fn decode_into<'o>(raw: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], QueryError> {
        percent::decode(raw, out, b' ')
    }
}

impl<'a> Iterator for Query<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        while !self.rest.is_empty() {
            let (piece, rest) = split_once(self.rest, b'&');
            self.rest = rest;
            if !piece.is_empty() {
                return Some(split_once(piece, b'='));
            }
        }
        None
    }
}

/// What is in front of and behind the first `separator`; all and nothing without one.
fn split_once(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|&byte| byte == separator) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => bytes.split_at(bytes.len()),
    }
}
