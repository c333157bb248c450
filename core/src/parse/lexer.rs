//! The lexer of heads that arrive whole, which is nearly every head: request line and field lines in one pass, many bytes at
//! a time.
//!
//! It only accepts. Whatever it does not accept, the line scanner ([`super::scan`]) and httparse judge together, which also
//! read heads that arrive in pieces. It accepts nothing that those two refuse: `core/tests/parse_properties.rs` compares them.

use heapless::VecView;

use super::bytes::{TOKEN, VALUE, span};
use super::known::Known;
use super::request_line::{RequestLine, request_line};
use super::scan::count_scanned;
use crate::part::part;

/// A field line as it was lexed.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    /// A token.
    pub(crate) name: &'a [u8],
    /// Without white space around it.
    pub(crate) value: &'a [u8],
}

/// A complete head with well-formed lines, whose known fields have not been checked yet.
pub(super) struct Lexed {
    pub(super) line: RequestLine,
    pub(super) known: Known,
    pub(super) head_len: usize,
}

/// Why a head was not lexed.
pub(super) enum Declined {
    /// It has more fields than there is room for.
    MoreLines,
    /// It is incomplete, malformed, or unusual.
    Unusual,
}

/// Reads the head at the front of `window`, with at most `lines_max` field lines.
#[inline(always)]
pub(super) fn read<'a>(
    window: &'a [u8],
    lines: &mut VecView<Line<'a>>,
    lines_max: usize,
    target_bytes_max: u32,
) -> Result<Lexed, Declined> {
    count_scanned(window.len());
    let line = request_line(window, target_bytes_max).map_err(|_| Declined::Unusual)?;
    let (known, lines_len) = read_lines(part(window, line.len()..), lines, lines_max)?;
    Ok(Lexed { head_len: line.len() + lines_len, line, known })
}

/// Reads field lines and the empty line after them; returns their length. In a function of its own, so that its state fits
/// into registers.
#[inline(never)]
fn read_lines<'a>(
    bytes: &'a [u8],
    lines: &mut VecView<Line<'a>>,
    lines_max: usize,
) -> Result<(Known, usize), Declined> {
    let room = lines_max.min(lines.capacity());
    let mut known = Known::new();
    let mut rest = bytes;
    loop {
        let (name, after) = match rest.split_at_checked(name_len(rest)) {
            Some((name @ [_, ..], [b':', after @ ..])) => (name, after),
            _ => match rest {
                [b'\r', b'\n', following @ ..] => return Ok((known, bytes.len() - following.len())),
                _ => any_name(rest).ok_or(Declined::Unusual)?,
            },
        };
        let (value, following) = match after.split_at_checked(value_len(after)) {
            // Of the bytes up to a space, a value has only spaces and tabs.
            Some(([b' ', value @ ..], [b'\r', b'\n', following @ ..])) if matches!(value, [first, .., last] if *first > b' ' && *last > b' ') => {
                (value, following)
            }
            _ => any_value(after).ok_or(Declined::Unusual)?,
        };
        if lines.len() >= room || lines.push(Line { name, value }).is_err() {
            return Err(Declined::MoreLines);
        }
        known.add(lines.len() - 1, name, value);
        rest = following;
    }
}

/// The name at the front, and what follows its colon.
#[cold]
#[inline(never)]
fn any_name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, after) = bytes.split_at_checked(span(bytes, TOKEN))?;
    after.strip_prefix(b":").filter(|_| !name.is_empty()).map(|after| (name, after))
}

/// The value after a colon, without white space around it, and the lines after its own.
#[cold]
#[inline(never)]
fn any_value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (value, after) = bytes.split_at_checked(span(bytes, VALUE))?;
    after.strip_prefix(b"\r\n").map(|following| (value.trim_ascii(), following))
}

/// Bytes of a word.
const WORD: usize = size_of::<u64>();
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// The length of the letters and hyphens at the front, but for those that end with `bytes`.
#[inline(always)]
fn name_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((word, following)) = rest.split_first_chunk::<WORD>() {
        let others = others_than_letters(u64::from_le_bytes(*word));
        if others == 0 {
            rest = following;
            continue;
        }
        let at = (others.trailing_zeros() / 8) as usize;
        if word.get(at) != Some(&b'-') {
            return bytes.len() - rest.len() + at;
        }
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    0
}

/// The highest bit of each byte that is not a letter.
#[inline(always)]
const fn others_than_letters(word: u64) -> u64 {
    let lower = (word | (0x20 * ONES)) & !HIGH;
    let from_a = lower + (0x80 - b'a' as u64) * ONES;
    let beyond_z = lower + (0x7f - b'z' as u64) * ONES;
    (!from_a | beyond_z | word) & HIGH
}

/// The position of the first control character, HTAB included, or of a byte before it; 0 if there is none.
#[inline(always)]
fn value_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    // Most values are short.
    for _ in 0..2 {
        let Some((word, following)) = rest.split_first_chunk() else { break };
        if let Some(at) = control_at(u64::from_le_bytes(*word)) {
            return bytes.len() - rest.len() + at;
        }
        rest = following;
    }
    while let Some((block, following)) = rest.split_first_chunk()
        && !has_controls(block)
    {
        rest = following;
    }
    while let Some((word, following)) = rest.split_first_chunk() {
        if let Some(at) = control_at(u64::from_le_bytes(*word)) {
            return bytes.len() - rest.len() + at;
        }
        rest = following;
    }
    // The last word again, without what was seen of it.
    let Some(word) = bytes.last_chunk() else { return 0 };
    let left = u64::from_le_bytes(*word).checked_shr((WORD - rest.len()) as u32 * 8);
    left.and_then(control_at).map_or(0, |at| bytes.len() - rest.len() + at)
}

/// The position of the first byte that is a control character, HTAB included, or a `~` after 0xFF.
#[inline(always)]
const fn control_at(word: u64) -> Option<usize> {
    // The lower bits of a byte are carried into the next one only if it is found itself, or is 0xFF.
    let controls = (word.wrapping_sub(0x20 * ONES) | word.wrapping_add(ONES)) & !word & HIGH;
    if controls == 0 { None } else { Some(controls.trailing_zeros() as usize / 8) }
}

/// Bytes that are looked at together.
const BLOCK: usize = 16;

/// Whether one of the bytes is a control character, HTAB included. Written so that it becomes a few vector instructions.
#[inline(always)]
fn has_controls(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(false, |found, byte| found | (*byte < b' ') | (*byte == 0x7f))
}
