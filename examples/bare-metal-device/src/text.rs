//! JSON by hand: `core::fmt` would cost more flash than the pages themselves.

use core::fmt::Write;

use aurora_http_core::format::{UINT_BYTES_MAX, format_hex_padded, format_uint};
use aurora_http_core::writer::{BodyWriter, WriteError};

pub(crate) type Body<'r, 'a> = BodyWriter<'r, 'a>;

pub(crate) fn put(body: &mut Body<'_, '_>, text: &str) -> Result<(), WriteError> {
    Ok(body.write_str(text)?)
}

pub(crate) fn put_uint(body: &mut Body<'_, '_>, value: u32) -> Result<(), WriteError> {
    let mut digits = [0; UINT_BYTES_MAX];
    let count = format_uint(u64::from(value), &mut digits).unwrap_or(0);
    put(body, text(&digits, count))
}

/// Eight hexadecimal digits, in quotes.
pub(crate) fn put_hex(body: &mut Body<'_, '_>, value: u32) -> Result<(), WriteError> {
    let mut digits = [0; 8];
    let count = format_hex_padded(u64::from(value), 8, &mut digits).unwrap_or(0);
    put(body, "\"")?;
    put(body, text(&digits, count))?;
    put(body, "\"")
}

/// Tenths of a degree, as a number with one decimal place.
pub(crate) fn put_tenths(body: &mut Body<'_, '_>, tenths: u16) -> Result<(), WriteError> {
    let mut digits = [0; TENTHS_BYTES_MAX];
    put(body, text_of_tenths(tenths, &mut digits))
}

/// Enough for 6553.5.
pub(crate) const TENTHS_BYTES_MAX: usize = 8;

pub(crate) fn text_of_tenths(tenths: u16, out: &mut [u8; TENTHS_BYTES_MAX]) -> &str {
    let whole = format_uint(u64::from(tenths / 10), out).unwrap_or(0);
    for (to, byte) in out.iter_mut().skip(whole).zip([b'.', b'0' + (tenths % 10) as u8]) {
        *to = byte;
    }
    text(out, whole + 2)
}

/// The first `count` bytes, which are digits.
fn text(bytes: &[u8], count: usize) -> &str {
    bytes.get(..count).and_then(|digits| str::from_utf8(digits).ok()).unwrap_or_default()
}
