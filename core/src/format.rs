//! Numbers and dates as text, without the machinery of `core::fmt`; and memory of a fixed size to write text to.

mod fixed_bytes;

use core::fmt;

use crate::error::BufferFull;
pub use fixed_bytes::FixedBytes;

/// Bytes of the longest `u64` in decimal.
pub const UINT_BYTES_MAX: usize = 20;

/// Bytes of the longest `i64` in decimal, including the sign.
pub const INT_BYTES_MAX: usize = 20;

/// Bytes of the longest `u64` in hexadecimal.
pub const HEX_BYTES_MAX: usize = 16;

/// Writes `value` in decimal at the front of `out`, with a `-` if it is negative, and returns the number of bytes
/// written.
///
/// # Errors
/// [`BufferFull`] if `out` is too short; it is then unchanged.
#[cfg_attr(not(feature = "small"), inline)]
pub fn format_int(value: i64, out: &mut [u8]) -> Result<usize, BufferFull> {
    if value >= 0 {
        return format_uint(value.unsigned_abs(), out);
    }
    let (sign, digits) = out.split_first_mut().ok_or(BufferFull)?;
    let length = format_uint(value.unsigned_abs(), digits)?;
    *sign = b'-';
    Ok(length + 1)
}

/// Writes `value` in decimal at the front of `out`, and returns the number of bytes written.
///
/// # Errors
/// [`BufferFull`] if `out` is too short; it is then unchanged.
#[inline]
pub fn format_uint(value: u64, out: &mut [u8]) -> Result<usize, BufferFull> {
    let length = uint_len(value);
    write_digits(value, out.get_mut(..length).ok_or(BufferFull)?);
    Ok(length)
}

/// Writes `value` in lower-case hexadecimal at the front of `out`, and returns the number of bytes written.
///
/// # Errors
/// [`BufferFull`] if `out` is too short; it is then unchanged.
#[inline]
pub fn format_hex(value: u64, out: &mut [u8]) -> Result<usize, BufferFull> {
    format_hex_padded(value, hex_len(value), out)
}

/// Writes `value` in lower-case hexadecimal with exactly `width` digits, padded with zeros, and returns `width`.
///
/// A chunk size may have leading zeros (RFC 9112 §7.1), so room for it can be reserved before the chunk's length is
/// known.
///
/// # Errors
/// [`BufferFull`] if `out` is shorter than `width` or `value` needs more digits; `out` is then unchanged.
#[cfg_attr(not(feature = "small"), inline)]
pub fn format_hex_padded(value: u64, width: usize, out: &mut [u8]) -> Result<usize, BufferFull> {
    if hex_len(value) > width {
        return Err(BufferFull);
    }
    let mut rest = value;
    for digit in out.get_mut(..width).ok_or(BufferFull)?.iter_mut().rev() {
        *digit = HEX_DIGITS[(rest & 0xf) as usize];
        rest >>= 4;
    }
    Ok(width)
}

/// Bytes of `value` in decimal: 1 to [`UINT_BYTES_MAX`].
#[cfg_attr(not(feature = "small"), inline)]
#[must_use]
pub const fn uint_len(value: u64) -> usize {
    // 1233 / 4096 is just above log10(2): the number of digits, or one less.
    let bits = u64::BITS - (value | 1).leading_zeros();
    let guess = (bits as usize * 1233) >> 12;
    guess + (value >= POWERS_OF_TEN[guess]) as usize
}

/// Bytes of `value` in decimal, including the sign: 1 to [`INT_BYTES_MAX`].
#[inline]
#[must_use]
pub const fn int_len(value: i64) -> usize {
    uint_len(value.unsigned_abs()) + (value < 0) as usize
}

/// Bytes of `value` in hexadecimal: 1 to [`HEX_BYTES_MAX`].
#[inline]
#[must_use]
pub const fn hex_len(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(4) as usize
}

/// Fills `digits`, whose length is that of `value` in decimal. Without a division, which for 64 bits is a function of its
/// own on small targets.
#[cfg(feature = "small")]
pub(crate) fn write_digits(mut value: u64, digits: &mut [u8]) {
    let powers = POWERS_OF_TEN.iter().take(digits.len()).rev();
    for (digit, power) in digits.iter_mut().zip(powers) {
        *digit = b'0';
        while value >= *power && *power > 0 {
            value -= power;
            *digit += 1;
        }
    }
    if let Some(ones) = digits.last_mut() {
        *ones = b'0' + value as u8;
    }
}

/// Fills `digits`, whose length is that of `value` in decimal.
#[cfg(not(feature = "small"))]
#[cfg_attr(not(feature = "small"), inline)]
pub(crate) fn write_digits(value: u64, digits: &mut [u8]) {
    // Most numbers in a head are short: lengths, seconds, status codes.
    match digits {
        [one] => *one = b'0' | value as u8,
        [tens, ones] => [*tens, *ones] = digit_pair(value as u32),
        [hundreds, tens, ones] => {
            let value = value as u32;
            *hundreds = b'0' | (value / 100) as u8;
            [*tens, *ones] = digit_pair(value % 100);
        }
        _ => write_many_digits(value, digits),
    }
}

/// The two digits of `number`, which is below 100.
#[inline]
const fn digit_pair(number: u32) -> [u8; 2] {
    // The table has an entry for every masked value, so no look-up can panic.
    DIGIT_PAIRS[(number & 0x7f) as usize]
}

/// Starts at the end, two digits at a time.
#[cfg(not(feature = "small"))]
#[inline(never)]
fn write_many_digits(mut value: u64, digits: &mut [u8]) {
    let mut pairs = digits.rchunks_exact_mut(2);
    for pair in &mut pairs {
        pair.copy_from_slice(&digit_pair((value % 100) as u32));
        value /= 100;
    }
    if let [digit] = pairs.into_remainder() {
        *digit = b'0' + (value % 10) as u8;
    }
}

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// `00` to `99`; the rest is never looked up.
static DIGIT_PAIRS: [[u8; 2]; 128] = {
    let mut pairs = [[b'0'; 2]; 128];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// `POWERS_OF_TEN[n]` is the smallest value with `n + 1` digits; zero has one digit too.
static POWERS_OF_TEN: [u64; UINT_BYTES_MAX] = {
    let mut powers = [0; UINT_BYTES_MAX];
    let mut exponent = 1;
    let mut power = 1;
    while exponent < UINT_BYTES_MAX {
        power *= 10;
        powers[exponent] = power;
        exponent += 1;
    }
    powers
};

/// A time in the format of the `Date` field: IMF-fixdate (RFC 9110 §5.6.7), `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// Its resolution is one second, so a worker formats one per second and uses it for every response.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct HttpDate([u8; HttpDate::BYTES]);

impl HttpDate {
    /// The length in bytes, which is the same for every date.
    pub const BYTES: usize = 29;

    /// 9999-12-31 23:59:59 as seconds since 1970: the last second whose year has four digits.
    pub const UNIX_SECONDS_MAX: u64 = 253_402_300_799;

    /// The date `seconds` after 1970-01-01 00:00:00 UTC, not counting leap seconds. `None` beyond the year 9999.
    #[must_use]
    pub const fn from_unix_seconds(seconds: u64) -> Option<Self> {
        if seconds > Self::UNIX_SECONDS_MAX {
            return None;
        }
        let days = (seconds / 86_400) as u32;
        let second = (seconds % 86_400) as u32;
        let (year, month, day) = civil_date(days);
        // 1970-01-01 was a Thursday.
        let weekday = WEEKDAYS[((days + 4) % 7) as usize];
        let month = MONTHS[((month - 1) & 15) as usize];

        let mut text = *b"Sun, 06 Nov 1994 08:49:37 GMT";
        put_three(&mut text, 0, weekday);
        put_pair(&mut text, 5, day);
        put_three(&mut text, 8, month);
        put_pair(&mut text, 12, year / 100);
        put_pair(&mut text, 14, year % 100);
        put_pair(&mut text, 17, second / 3600);
        put_pair(&mut text, 20, second / 60 % 60);
        put_pair(&mut text, 23, second % 60);
        Some(Self(text))
    }

    /// The date with this text, which must be what [`as_bytes`](Self::as_bytes) returned.
    pub(crate) const fn from_text(text: [u8; Self::BYTES]) -> Self {
        Self(text)
    }

    /// Its text.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Its text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        match core::str::from_utf8(&self.0) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpDate({})", self.as_str())
    }
}

const WEEKDAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];

/// The last four are never looked up: with them no masked index can be out of bounds.
const MONTHS: [&[u8; 3]; 16] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec", b"   ", b"   ",
    b"   ", b"   ",
];

/// Year, month (1 to 12) and day (1 to 31) of the Gregorian calendar, `days` after 1970-01-01.
const fn civil_date(days: u32) -> (u32, u32, u32) {
    // If years begin on 1 March, the leap day is the last one, so a cycle's number is a plain division. Day 0 is
    // 0000-03-01.
    let quarter_days = 4 * (days + 719_468) + 3;
    let century = quarter_days / 146_097;
    let quarter_days = (quarter_days % 146_097) | 3;
    let year_of_century = quarter_days / 1461;
    let day_of_year = quarter_days % 1461 / 4;
    // From March on, every five months have 153 days: 31, 30, 31, 30, 31.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = 100 * century + year_of_century;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

const fn put_pair(text: &mut [u8; HttpDate::BYTES], at: usize, number: u32) {
    let [tens, ones] = digit_pair(number);
    text[at] = tens;
    text[at + 1] = ones;
}

const fn put_three(text: &mut [u8; HttpDate::BYTES], at: usize, letters: &[u8; 3]) {
    text[at] = letters[0];
    text[at + 1] = letters[1];
    text[at + 2] = letters[2];
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
