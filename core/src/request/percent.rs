//! Percent-decoding (RFC 3986 §2.1) into a caller's buffer.

use core::fmt;

use crate::part::part;

/// Why a query component or a path cannot be decoded. As a [`WriteError`](crate::writer::WriteError) it answers 400, or 500
/// where the program had too little room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum QueryError {
    /// A `%` without two hexadecimal digits behind it.
    MalformedEscape {
        /// Where the `%` is in the raw bytes.
        at: usize,
    },
    /// The buffer is shorter than what was decoded; as many bytes as the raw ones are always enough.
    BufferFull,
    /// What was decoded is not UTF-8, where text was asked for.
    NotText,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedEscape { at } => write!(f, "a malformed escape at byte {at}"),
            Self::BufferFull => f.write_str("the buffer is full"),
            Self::NotText => f.write_str("the decoded bytes are not UTF-8"),
        }
    }
}

impl core::error::Error for QueryError {}

/// Decodes a path, or a segment of one, into `out`: `%` with two hexadecimal digits is a byte, `+` is itself.
///
/// The result may hold any byte, `/` and NUL too: split a path into segments *before* decoding them.
///
/// # Errors
/// [`QueryError::MalformedEscape`] for a `%` without two hexadecimal digits behind it, [`QueryError::BufferFull`] when
/// `out` is too short.
pub fn decode_path_into<'o>(raw: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], QueryError> {
    decode(raw, out, b'+')
}

/// Decodes escapes, and `+` as `plus`.
pub(super) fn decode<'o>(raw: &[u8], out: &'o mut [u8], plus: u8) -> Result<&'o [u8], QueryError> {
    let (mut at, mut len) = (0, 0);
    while let Some(&byte) = raw.get(at) {
        let decoded = match byte {
            b'%' => {
                let escape = raw.get(at + 1..at + 3).and_then(escaped_byte);
                let byte = escape.ok_or(QueryError::MalformedEscape { at })?;
                at += 2;
                byte
            }
            b'+' => plus,
            _ => byte,
        };
        *out.get_mut(len).ok_or(QueryError::BufferFull)? = decoded;
        len += 1;
        at += 1;
    }
    Ok(part(out, ..len))
}

/// The byte that two hexadecimal digits stand for.
fn escaped_byte(digits: &[u8]) -> Option<u8> {
    let [high, low] = *digits else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}
