//! The lexer of field lines in programs that must be small, in place of httparse's.
//!
//! Like that one it only has to accept: which error a malformed head gets, the line scanner ([`super::scan`]) decides.

use core::str;

use super::FieldSlot;
use super::bytes::{TOKEN, VALUE, span};
use super::error::HeadError;
use super::field_line::FieldLineError;

/// Reads complete field lines at the front of `bytes`; returns their length, with the empty line, and the fields.
///
/// # Errors
/// Of any kind if a line is incomplete or malformed. [`HeadError::TooManyFields`] if there are too few slots.
pub(super) fn read<'s, 'a>(
    bytes: &'a [u8],
    slots: &'s mut [FieldSlot<'a>],
) -> Result<(usize, &'s [FieldSlot<'a>]), HeadError> {
    let (mut rest, mut count) = (bytes, 0);
    loop {
        if let [b'\r', b'\n', following @ ..] = rest {
            let fields = slots.get(..count).ok_or(HeadError::TooManyFields)?;
            return Ok((bytes.len() - following.len(), fields));
        }
        let (field, following) = read_line(rest).ok_or(HeadError::FieldLine(FieldLineError::Name))?;
        *slots.get_mut(count).ok_or(HeadError::TooManyFields)? = field;
        (rest, count) = (following, count + 1);
    }
}

/// The field in the first line, and the lines after it.
fn read_line(bytes: &[u8]) -> Option<(FieldSlot<'_>, &[u8])> {
    let (name, rest) = bytes.split_at_checked(span(bytes, TOKEN))?;
    let rest = rest.strip_prefix(b":").filter(|_| !name.is_empty())?;
    let (value, rest) = rest.split_at_checked(span(rest, VALUE))?;
    let rest = rest.strip_prefix(b"\r\n")?;
    // Always: a token is ASCII.
    let name = str::from_utf8(name).ok()?;
    // Of what it trims, a value has only spaces and tabs.
    Some((FieldSlot { name, value: value.trim_ascii() }, rest))
}
