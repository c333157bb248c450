//! Heads: read in one go when they are complete, by the line scanner otherwise.
//!
//! Reading in one go only ever accepts: the lexer ([`super::lexer`]), and in [`parse_head`] httparse, whose field lines are
//! checked by our rules in one pass over them. Any head that is not accepted goes to the line scanner ([`super::scan`]),
//! which decides whether the head is incomplete, malformed, or preceded by an empty line that has to be skipped. A head in
//! which it finds nothing wrong is then read by httparse.

use super::FIELDS_CAPACITY;
use super::error::HeadError;
use super::field_line::FieldLineError;
use super::known::Known;
#[cfg(not(feature = "small"))]
use super::lexer::{self, Declined, Lexed, Line};
use super::request_line::{RequestLine, request_line};
use super::scan::{HeadScan, count_scanned};
use crate::limits::Limits;
use crate::part::part;
use crate::request::{Facts, Request, Slots};

/// Storage for one parsed field.
pub type FieldSlot<'a> = httparse::Header<'a>;

/// An unused [`FieldSlot`], to initialise arrays.
pub const EMPTY_FIELD: FieldSlot<'static> = httparse::EMPTY_HEADER;

/// Slots for the first attempt: nearly every head has fewer fields, and 16 slots take 512 bytes of stack (64-bit).
const FEW: usize = 16;
/// Slots for the second attempt: the default limit.
const MANY: usize = 64;

/// Parses the head at the front of `bytes`; `None` while it is incomplete.
///
/// Only the first [`Limits::head_bytes_max`] bytes are examined. The number of fields is limited by `fields.len()`,
/// [`Limits::fields_max`] and [`FIELDS_CAPACITY`]. While the result is `None`, call again with the same bytes, followed
/// by more, and the same `scan`. The result does not depend on how the bytes were split, and each byte is scanned a
/// bounded number of times. The slots are borrowed as long as the request, so every call needs new ones; [`with_head`]
/// provides them itself.
///
/// # Errors
/// What is wrong with the head, with the [status](HeadError::status) of the answer.
#[cfg_attr(not(feature = "small"), inline)]
pub fn parse_head<'a>(
    bytes: &'a [u8],
    fields: &'a mut [FieldSlot<'a>],
    limits: &Limits,
    scan: &mut HeadScan,
) -> Result<Option<Request<'a>>, HeadError> {
    let fields_max = fields_max(limits).min(fields.len() as u16);
    match attempt(bytes, fields, fields_max, limits, scan) {
        Attempt::Settled(result) => result,
        // Cannot happen: the limit is at most the number of slots.
        Attempt::MoreSlots => Err(HeadError::TooManyFields),
    }
}

/// Parses the head at the front of `bytes` as [`parse_head`] does, and passes the result to `f`.
///
/// The slots for the fields are on the stack: 16 at first, then 64, then [`FIELDS_CAPACITY`]. The larger numbers are
/// used only if a head needs them and [`Limits::fields_max`] allows it, and in separate functions: a device that keeps
/// the limit at 16 never pays for more stack.
#[cfg_attr(not(feature = "small"), inline)]
pub fn with_head<R>(
    bytes: &[u8],
    limits: &Limits,
    scan: &mut HeadScan,
    f: impl FnOnce(Result<Option<Request<'_>>, HeadError>) -> R,
) -> R {
    #[cfg(not(feature = "small"))]
    if scan.is_fresh() {
        return with_lexed::<FEW, R, _>(bytes, limits, scan, f, with_many_lexed);
    }
    with_few(bytes, limits, scan, f)
}

/// Tries the lexer with `ROOM` lines; if that is too few, `with_more` is next.
#[cfg(not(feature = "small"))]
#[inline(always)]
fn with_lexed<const ROOM: usize, R, F: FnOnce(Result<Option<Request<'_>>, HeadError>) -> R>(
    bytes: &[u8],
    limits: &Limits,
    scan: &mut HeadScan,
    f: F,
    with_more: impl FnOnce(&[u8], &Limits, &mut HeadScan, F) -> R,
) -> R {
    let window = bytes.get(..limits.head_bytes_max as usize).unwrap_or(bytes);
    let fields_max = fields_max(limits) as usize;
    let mut lines = heapless::Vec::<Line<'_>, ROOM>::new();
    match lexer::read(window, &mut lines, fields_max, limits.target_bytes_max) {
        Ok(Lexed { line, known, head_len }) => {
            let lines = Slots::Lexed(&lines);
            if let Ok(facts) = facts(0, &line, &known, lines) {
                return f(Ok(Some(Request::new(part(window, ..head_len), lines, facts))));
            }
        }
        Err(Declined::MoreLines) if fields_max > ROOM => return with_more(bytes, limits, scan, f),
        Err(_) => {}
    }
    with_few(bytes, limits, scan, f)
}

#[cfg(not(feature = "small"))]
#[inline(never)]
fn with_many_lexed<R>(
    bytes: &[u8],
    limits: &Limits,
    scan: &mut HeadScan,
    f: impl FnOnce(Result<Option<Request<'_>>, HeadError>) -> R,
) -> R {
    with_lexed::<MANY, R, _>(bytes, limits, scan, f, with_most_lexed)
}

#[cfg(not(feature = "small"))]
#[inline(never)]
fn with_most_lexed<R>(
    bytes: &[u8],
    limits: &Limits,
    scan: &mut HeadScan,
    f: impl FnOnce(Result<Option<Request<'_>>, HeadError>) -> R,
) -> R {
    with_lexed::<FIELDS_CAPACITY, R, _>(bytes, limits, scan, f, with_few)
}

/// Reads a head that the lexer has not accepted, or that arrives in pieces.
#[cfg_attr(feature = "small", inline(always))]
#[cfg_attr(not(feature = "small"), cold, inline(never))]
fn with_few<R>(
    bytes: &[u8],
    limits: &Limits,
    scan: &mut HeadScan,
    f: impl FnOnce(Result<Option<Request<'_>>, HeadError>) -> R,
) -> R {
    let mut slots = [EMPTY_FIELD; FEW];
    let usable = FEW.min(fields_max(limits) as usize);
    let attempted = if cfg!(feature = "small") {
        attempt(bytes, &mut slots, fields_max(limits), limits, scan)
    } else {
        let window = bytes.get(..limits.head_bytes_max as usize).unwrap_or(bytes);
        by_lines(window, &mut slots[..usable], limits, fields_max(limits), scan)
    };
    match attempted {
        Attempt::Settled(result) => f(result),
        Attempt::MoreSlots => with_many(bytes, limits, scan, f),
    }
}

#[inline(never)]
fn with_many<R>(
    bytes: &[u8],
    limits: &Limits,
    scan: &mut HeadScan,
    f: impl FnOnce(Result<Option<Request<'_>>, HeadError>) -> R,
) -> R {
    let mut slots = [EMPTY_FIELD; MANY];
    match attempt(bytes, &mut slots, fields_max(limits), limits, scan) {
        Attempt::Settled(result) => f(result),
        Attempt::MoreSlots => with_most(bytes, limits, scan, f),
    }
}

#[inline(never)]
fn with_most<R>(
    bytes: &[u8],
    limits: &Limits,
    scan: &mut HeadScan,
    f: impl FnOnce(Result<Option<Request<'_>>, HeadError>) -> R,
) -> R {
    let mut slots = [EMPTY_FIELD; FIELDS_CAPACITY];
    f(parse_head(bytes, &mut slots, limits, scan))
}

fn fields_max(limits: &Limits) -> u16 {
    limits.fields_max.min(FIELDS_CAPACITY as u16)
}

/// The result of parsing with a certain number of slots.
enum Attempt<'a> {
    Settled(Result<Option<Request<'a>>, HeadError>),
    /// There are more fields than slots, but not more than the limit.
    MoreSlots,
}

#[cfg_attr(not(feature = "small"), inline(always))]
fn attempt<'a>(
    bytes: &'a [u8],
    slots: &'a mut [FieldSlot<'a>],
    fields_max: u16,
    limits: &Limits,
    scan: &mut HeadScan,
) -> Attempt<'a> {
    let window = bytes.get(..limits.head_bytes_max as usize).unwrap_or(bytes);
    let usable = slots.len().min(fields_max as usize);
    let slots = &mut slots[..usable];
    if scan.is_fresh() {
        match OneShot::read(window, 0, slots, limits.target_bytes_max) {
            Ok(shot) => {
                if let Ok(facts) = shot.check(Slots::Text(first(slots, shot.fields))) {
                    let fields = Slots::Text(first(slots, shot.fields));
                    let request = Request::new(part(window, ..shot.head_len), fields, facts);
                    return Attempt::Settled(Ok(Some(request)));
                }
            }
            Err(HeadError::TooManyFields) if usable < fields_max as usize => return Attempt::MoreSlots,
            Err(_) => {}
        }
    }
    by_lines(window, slots, limits, fields_max, scan)
}

/// Lets the line scanner decide; a head that is complete by now is then parsed in one shot.
#[cold]
#[inline(never)]
fn by_lines<'a>(
    window: &'a [u8],
    slots: &'a mut [FieldSlot<'a>],
    limits: &Limits,
    fields_max: u16,
    scan: &mut HeadScan,
) -> Attempt<'a> {
    let head_len = match scan.advance(window, limits, fields_max) {
        Ok(Some(head_len)) => head_len,
        Ok(None) => return Attempt::Settled(Ok(None)),
        Err(error) => return Attempt::Settled(Err(error)),
    };
    if scan.fields() > slots.len() {
        return Attempt::MoreSlots;
    }
    let head = part(window, ..head_len);
    let checked = OneShot::read(head, scan.line_at(), slots, limits.target_bytes_max).and_then(|shot| {
        let fields = Slots::Text(first(slots, shot.fields));
        Ok(Some(Request::new(head, fields, shot.check(fields)?)))
    });
    Attempt::Settled(checked)
}

#[cfg(feature = "small")]
use super::lines::read as read_lines;

/// Reads complete field lines at the front of `bytes`; returns their length, with the empty line, and the fields.
#[cfg(not(feature = "small"))]
#[cfg_attr(not(feature = "small"), inline(always))]
fn read_lines<'s, 'a>(
    bytes: &'a [u8],
    slots: &'s mut [FieldSlot<'a>],
) -> Result<(usize, &'s [FieldSlot<'a>]), HeadError> {
    match httparse::parse_headers(bytes, slots) {
        Ok(httparse::Status::Complete(parsed)) => Ok(parsed),
        Err(httparse::Error::TooManyHeaders) => Err(HeadError::TooManyFields),
        Ok(httparse::Status::Partial) | Err(_) => Err(HeadError::HeadTooLong),
    }
}

/// The first `count` slots, which are those that were filled.
#[cfg_attr(not(feature = "small"), inline(always))]
fn first<'s, 'a>(slots: &'s [FieldSlot<'a>], count: usize) -> &'s [FieldSlot<'a>] {
    let first = slots.get(..count);
    debug_assert!(first.is_some(), "no more fields than slots");
    first.unwrap_or_default()
}

/// A complete head with well-formed lines, whose known fields have not been checked yet.
#[derive(Clone, Copy)]
struct OneShot {
    /// Where the request line starts: 2 if an empty line was skipped, otherwise 0.
    line_at: usize,
    line: RequestLine,
    known: Known,
    /// The number of fields in the slots.
    fields: usize,
    head_len: usize,
}

impl OneShot {
    /// Reads a complete head at the front of `window`, whose request line is at `line_at`.
    ///
    /// # Errors
    /// Of any kind if the head is incomplete or malformed. [`HeadError::TooManyFields`] if there are too few slots,
    /// which may also be reported for an incomplete head.
    #[cfg_attr(not(feature = "small"), inline(always))]
    fn read<'a>(
        window: &'a [u8],
        line_at: usize,
        slots: &mut [FieldSlot<'a>],
        target_bytes_max: u32,
    ) -> Result<Self, HeadError> {
        count_scanned(window.len());
        let line = request_line(part(window, line_at..), target_bytes_max)?;
        let lines_at = line_at + line.len();
        let (lines_len, fields) = read_lines(part(window, lines_at..), slots)?;
        let head_len = lines_at + lines_len;
        // httparse accepts a bare LF as a line end. The last two line ends are checked here, the others before each
        // name.
        if !part(window, ..head_len).ends_with(b"\r\n\r\n") {
            return Err(HeadError::FieldLine(FieldLineError::BareLf));
        }
        let mut known = Known::new();
        let mut bare_lf = false;
        let base = window.as_ptr().addr();
        for (index, field) in fields.iter().enumerate() {
            let name_at = field.name.as_ptr().addr().wrapping_sub(base);
            bare_lf |= window.get(name_at.wrapping_sub(2)) != Some(&b'\r');
            known.add(index, field.name.as_bytes(), field.value);
        }
        if bare_lf {
            return Err(HeadError::FieldLine(FieldLineError::BareLf));
        }
        Ok(Self { line_at, line, known, fields: fields.len(), head_len })
    }

    /// Checks the known fields.
    #[cfg_attr(not(feature = "small"), inline(always))]
    fn check(&self, fields: Slots<'_>) -> Result<Facts, HeadError> {
        facts(self.line_at, &self.line, &self.known, fields)
    }
}

/// Checks the known fields in a fixed order: Host, framing, Expect. The request line starts at `line_at`.
#[cfg_attr(not(feature = "small"), inline(always))]
fn facts(line_at: usize, line: &RequestLine, known: &Known, fields: Slots<'_>) -> Result<Facts, HeadError> {
    known.check_host(fields, line.version)?;
    let body_length = known.body_length(fields, line.version)?;
    known.check_expectation(line.version)?;
    Ok(Facts {
        body_length,
        target_len: line.target_len as u32,
        path_at: line.target.path_at as u32,
        path_len: line.target.path_len as u32,
        line_at: line_at as u8,
        method: line.method,
        method_len: line.method_len as u8,
        version: line.version,
        form: line.target.form,
        flags: known.flags,
        host_index: known.host_index(),
    })
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
