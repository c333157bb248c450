use std::string::{String, ToString};
use std::{format, vec};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

/// Deterministic: the same cases in every run.
fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(9112), failure_persistence: None, ..ProptestConfig::default() }
}

/// Checks `write` against `expected` in a buffer of exactly its length, in a longer one, and in every shorter one.
fn assert_formats(expected: &str, write: impl Fn(&mut [u8]) -> Result<usize, BufferFull>) {
    let length = expected.len();
    for spare in [0, 1, 9] {
        let mut out = vec![0xaa; length + spare];
        assert_eq!(write(&mut out), Ok(length), "{expected}");
        assert_eq!(&out[..length], expected.as_bytes());
        assert!(out[length..].iter().all(|&byte| byte == 0xaa), "{expected}: wrote past its end");
    }
    for short in 0..length {
        let mut out = vec![0xaa; short];
        assert_eq!(write(&mut out), Err(BufferFull), "{expected} in {short} bytes");
        assert!(out.iter().all(|&byte| byte == 0xaa), "{expected}: wrote into {short} bytes");
    }
}

#[test]
fn integers_at_every_boundary() {
    for value in [0, -1, 1, -9, 9, -10, 10, 99, 100, -100, i64::MIN, i64::MIN + 1, i64::MAX] {
        assert_formats(&value.to_string(), |out| format_int(value, out));
        assert_eq!(int_len(value), value.to_string().len());
    }
    let mut power = 1_u64;
    for _ in 0..UINT_BYTES_MAX - 1 {
        for value in [power - 1, power, power + 1] {
            assert_formats(&value.to_string(), |out| format_uint(value, out));
            assert_eq!(uint_len(value), value.to_string().len(), "{value}");
        }
        power *= 10;
    }
    for exponent in 0..u64::BITS {
        let value = 1_u64 << exponent;
        assert_eq!(uint_len(value), value.to_string().len(), "{value}");
        assert_eq!(uint_len(value - 1), (value - 1).to_string().len(), "{value} - 1");
        assert_eq!(hex_len(value), format!("{value:x}").len(), "{value}");
        assert_eq!(hex_len(value - 1), format!("{:x}", value - 1).len(), "{value} - 1");
    }
    assert_formats("18446744073709551615", |out| format_uint(u64::MAX, out));
    assert_eq!(uint_len(u64::MAX), UINT_BYTES_MAX);
    assert_eq!(int_len(i64::MIN), INT_BYTES_MAX);
    assert_eq!(hex_len(u64::MAX), HEX_BYTES_MAX);
}

#[test]
fn padded_hex_has_exactly_its_width() {
    assert_formats("00ff", |out| format_hex_padded(0xff, 4, out));
    assert_formats("0000000000000000ffffffffffffffff", |out| format_hex_padded(u64::MAX, 32, out));
    assert_formats("0", |out| format_hex_padded(0, 1, out));
    assert_eq!(format_hex_padded(0x100, 2, &mut [0; 8]), Err(BufferFull));
    assert_eq!(format_hex_padded(0, 0, &mut [0; 8]), Err(BufferFull));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn integers_as_std_formats_them(signed: i64, unsigned: u64, shift in 0..64_u32) {
        // The shift makes every length equally likely.
        let (signed, unsigned) = (signed >> shift, unsigned >> shift);
        assert_formats(&signed.to_string(), |out| format_int(signed, out));
        assert_formats(&unsigned.to_string(), |out| format_uint(unsigned, out));
        assert_formats(&format!("{unsigned:x}"), |out| format_hex(unsigned, out));
        prop_assert_eq!(int_len(signed), signed.to_string().len());
        prop_assert_eq!(uint_len(unsigned), unsigned.to_string().len());
        prop_assert_eq!(hex_len(unsigned), format!("{unsigned:x}").len());
    }

    #[test]
    fn padded_hex_as_std_formats_it(value: u64, shift in 0..64_u32, width in 0..20_usize) {
        let value = value >> shift;
        let expected = format!("{value:0width$x}");
        if expected.len() == width {
            assert_formats(&expected, |out| format_hex_padded(value, width, out));
        } else {
            prop_assert_eq!(format_hex_padded(value, width, &mut [0; 32]), Err(BufferFull));
        }
    }

    #[test]
    fn dates_as_a_calendar_counts_them(seconds in 0..=HttpDate::UNIX_SECONDS_MAX) {
        let date = HttpDate::from_unix_seconds(seconds).unwrap();
        prop_assert_eq!(date.as_str(), calendar_date(seconds));
    }
}

#[test]
fn known_dates() {
    for (seconds, expected) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (59, "Thu, 01 Jan 1970 00:00:59 GMT"),
        (86_399, "Thu, 01 Jan 1970 23:59:59 GMT"),
        (86_400, "Fri, 02 Jan 1970 00:00:00 GMT"),
        (68_169_600, "Tue, 29 Feb 1972 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
        (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        let date = HttpDate::from_unix_seconds(seconds).unwrap();
        assert_eq!(date.as_str(), expected);
        assert_eq!(date.to_string(), expected);
        assert_eq!(calendar_date(seconds), expected, "the model itself");
    }
    assert_eq!(HttpDate::from_unix_seconds(HttpDate::UNIX_SECONDS_MAX + 1), None);
    assert_eq!(HttpDate::from_unix_seconds(u64::MAX), None);
}

#[test]
fn the_first_second_of_every_day_of_four_centuries() {
    // The calendar repeats after 400 years; 1970 to 2370 contain each kind of year and century.
    for day in 0..146_097 {
        let seconds = day * 86_400;
        assert_eq!(HttpDate::from_unix_seconds(seconds).unwrap().as_str(), calendar_date(seconds));
    }
}

/// The model: subtracts whole years, then whole months, one by one.
fn calendar_date(seconds: u64) -> String {
    const NAMES: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const DAYS: &str = "ThuFriSatSunMonTueWed";
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut days = seconds / 86_400;
    let weekday = (days % 7) as usize;
    let mut year = 1970;
    while days >= if leap(year) { 366 } else { 365 } {
        days -= if leap(year) { 366 } else { 365 };
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 0;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!(
        "{}, {:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        &DAYS[weekday * 3..weekday * 3 + 3],
        days + 1,
        &NAMES[month * 3..month * 3 + 3],
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[test]
fn bytes_are_appended_as_a_whole_or_not_at_all() {
    use core::fmt::Write;

    let mut memory = [0xaa; 8];
    let mut bytes = FixedBytes::new(&mut memory[..7]);
    assert_eq!(bytes.as_bytes(), b"");
    assert_eq!((bytes.push(b"abc"), bytes.push(b"")), (Ok(()), Ok(())));
    assert_eq!((bytes.push(b"defgh"), bytes.as_bytes()), (Err(BufferFull), &b"abc"[..]));
    let (short, long) = (12, 345);
    assert!(write!(bytes, "{short}{long}").is_err(), "the first piece fits");
    assert_eq!(bytes.as_bytes(), b"abc12");
    assert_eq!((write!(bytes, "de"), bytes.as_bytes()), (Ok(()), &b"abc12de"[..]));
    assert_eq!((bytes.push(b"f"), memory[7]), (Err(BufferFull), 0xaa));
}
