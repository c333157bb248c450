//! The query of a request target.

use core::str;

use super::percent::{self, QueryError};
use crate::part::part;

/// An iterator over the raw `(key, value)` pairs of a query: split at `&`, then at the first `=`.
///
/// A piece without `=` has an empty value; empty pieces are skipped. Nothing is decoded: see
/// [`decode_into`](Self::decode_into).
#[derive(Clone, Debug)]
pub struct Query<'a> {
    rest: &'a [u8],
}

impl<'a> Query<'a> {
    /// Over bytes that have the form of a query: those of a form in the content of a request, for one.
    #[must_use]
    pub const fn new(raw: &'a [u8]) -> Self {
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

/// The decoded pairs of a query: see [`Request::query_pairs`](super::Request::query_pairs).
///
/// A pair that cannot be decoded is an error, and the others follow. One that finds no room is one too, and what follows may fit.
#[derive(Debug)]
pub struct QueryPairs<'s> {
    query: Query<'s>,
    scratch: &'s mut [u8],
}

impl<'s> QueryPairs<'s> {
    /// As [`Request::query_pairs`](super::Request::query_pairs), of any query.
    pub const fn new(query: Query<'s>, scratch: &'s mut [u8]) -> Self {
        Self { query, scratch }
    }

    fn decode(&mut self, raw: &'s [u8]) -> Result<&'s str, QueryError> {
        if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
            return str::from_utf8(raw).map_err(|_| QueryError::NotText);
        }
        let len = percent::decode(raw, self.scratch, b' ')?.len();
        let decoded = self.scratch.split_off_mut(..len).ok_or(QueryError::BufferFull)?;
        str::from_utf8(decoded).map_err(|_| QueryError::NotText)
    }
}

impl<'s> Iterator for QueryPairs<'s> {
    type Item = Result<(&'s str, &'s str), QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.query.next()?;
        let key = self.decode(key);
        Some(key.and_then(|key| Ok((key, self.decode(value)?))))
    }
}

/// What is in front of and behind the first `separator`; all and nothing without one.
fn split_once(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|&byte| byte == separator) {
        Some(end) => (part(bytes, ..end), part(bytes, end + 1..)),
        None => (bytes, &[]),
    }
}
