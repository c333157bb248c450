//! `uri-host [ ":" port ]`: the value of Host (RFC 9110 §7.2) and the authority of a request target, without userinfo.

use super::bytes::{REG_NAME, all, is, span};
use crate::part::part;

/// The port of an authority.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Port {
    /// No colon.
    Absent,
    /// A colon without digits, which RFC 3986 §3.2.3 allows.
    Empty,
    /// A number.
    Number(u16),
}

/// Whether `value` is a well-formed authority with a non-empty host.
#[cfg_attr(not(feature = "small"), inline)]
pub(super) fn is_authority(value: &[u8]) -> bool {
    // Fast path, from the end: an optional port, then a registered name or an IPv4 address without escapes. Nearly
    // every host looks like that.
    let digits = trailing_digits(value);
    let before = part(value, ..value.len() - digits);
    let name = match before.split_last() {
        Some((b':', name)) if digits < 5 => name,
        _ => value,
    };
    (!name.is_empty() && all(name, REG_NAME)) || authority(value).is_some()
}

/// The number of digits at the end of `value`; 8 means 8 or more.
#[cfg_attr(not(feature = "small"), inline(always))]
fn trailing_digits(value: &[u8]) -> usize {
    const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let Some(last) = value.last_chunk() else {
        return value.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    };
    // Digits become 0 to 9; then the highest bit is set in all other bytes, and only in them.
    let word = u64::from_le_bytes(*last) ^ 0x3030_3030_3030_3030;
    let others = (((word & LOW_BITS) + 0x7676_7676_7676_7676) | word) & !LOW_BITS;
    others.leading_zeros() as usize / 8
}

/// The port of an authority; `None` if the authority is malformed or its host is empty.
#[cold]
pub(super) fn authority(value: &[u8]) -> Option<Port> {
    let host_len = if value.first() == Some(&b'[') { literal_len(value)? } else { name_len(value) };
    match part(value, host_len..) {
        _ if host_len == 0 => None,
        [] => Some(Port::Absent),
        [b':', digits @ ..] => port(digits),
        _ => None,
    }
}

/// At most five digits, at most 65535.
fn port(digits: &[u8]) -> Option<Port> {
    if digits.len() > 5 {
        return None;
    }
    let mut number = 0u32;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u32::from(digit);
    }
    if digits.is_empty() {
        return Some(Port::Empty);
    }
    u16::try_from(number).ok().map(Port::Number)
}

/// Length of the registered name at the front, including escapes: `%` and two hexadecimal digits.
fn name_len(value: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += span(part(value, at..), REG_NAME);
        match part(value, at..) {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => at += 3,
            _ => return at,
        }
    }
}

/// Length of `"[" ( IPv6address / IPvFuture ) "]"` at the front (RFC 3986 §3.2.2). Zone identifiers are not allowed.
fn literal_len(value: &[u8]) -> Option<usize> {
    let close = value.iter().position(|&byte| byte == b']')?;
    let inside = value.get(1..close)?;
    let valid = match inside {
        [b'v' | b'V', future @ ..] => is_future(future),
        _ => is_ipv6(inside),
    };
    valid.then_some(close + 1)
}

/// `1*HEXDIG "." 1*( unreserved / sub-delims / ":" )`: what follows the `v`.
fn is_future(bytes: &[u8]) -> bool {
    let version_len = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    match part(bytes, version_len..) {
        [b'.', address @ ..] if version_len > 0 && !address.is_empty() => {
            address.iter().all(|&byte| byte == b':' || is(byte, REG_NAME))
        }
        _ => false,
    }
}

/// `IPv6address` (RFC 3986 §3.2.2): eight groups, or fewer around one `::`; the last two may be an IPv4 address.
fn is_ipv6(text: &[u8]) -> bool {
    let Some(at) = text.windows(2).position(|pair| pair == b"::") else {
        return groups(text, true) == Some(8);
    };
    let (before, after) = (part(text, ..at), part(text, at + 2..));
    let count = |side: &[u8], is_last| if side.is_empty() { Some(0) } else { groups(side, is_last) };
    // `::` stands for one group at least.
    matches!((count(before, false), count(after, true)), (Some(before), Some(after)) if before + after <= 7)
}

/// The number of groups separated by colons; `None` if one is malformed.
fn groups(text: &[u8], may_end_with_ipv4: bool) -> Option<usize> {
    let mut count = 0;
    let mut rest = text;
    loop {
        let end = rest.iter().position(|&byte| byte == b':');
        let group = part(rest, ..end.unwrap_or(rest.len()));
        match group.len() {
            1..=4 if group.iter().all(u8::is_ascii_hexdigit) => count += 1,
            _ if end.is_none() && may_end_with_ipv4 && is_ipv4(group) => count += 2,
            _ => return None,
        }
        let Some(end) = end else { return Some(count) };
        rest = part(rest, end + 1..);
    }
}

/// Four numbers up to 255, without leading zeros.
fn is_ipv4(text: &[u8]) -> bool {
    let is_octet = |octet: &[u8]| {
        let is_number = octet.len() <= 3 && octet.iter().all(u8::is_ascii_digit);
        is_number
            && matches!(octet, [_] | [b'1'..=b'9', _] | [b'1', ..] | [b'2', b'0'..=b'4', _] | [b'2', b'5', b'0'..=b'5'])
    };
    let mut octets = text.split(|&byte| byte == b'.');
    (0..4).all(|_| octets.next().is_some_and(is_octet)) && octets.next().is_none()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::string::{String, ToString};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The standard library's parser accepts the same addresses.
        #[test]
        fn addresses_are_those_of_the_standard_library(
            pieces in prop::collection::vec(prop_oneof![
                "[0-9a-fA-F]{1,4}", "[0-9a-f]{0,5}", Just(String::new()), "(0|1|9|25|255|256|00|01)(\\.(0|10|199|255|256|01)){3}",
                "[0-9.:g]{1,6}",
            ], 0..10),
        ) {
            let text = pieces.join(":");
            prop_assert_eq!(is_ipv6(text.as_bytes()), text.parse::<Ipv6Addr>().is_ok(), "{:?}", text);
        }

        #[test]
        fn any_address_is_recognised(address: [u8; 16]) {
            prop_assert!(is_ipv6(Ipv6Addr::from(address).to_string().as_bytes()));
        }
    }

    #[test]
    fn well_formed_authorities() {
        let rows: [(&[u8], Port); 21] = [
            (b"x", Port::Absent),
            (b"example.com", Port::Absent),
            (b"example.com.", Port::Absent),
            (b"example.com:", Port::Empty),
            (b"example.com:0", Port::Number(0)),
            (b"example.com:80", Port::Number(80)),
            (b"example.com:9099", Port::Number(9099)),
            (b"example.com:00080", Port::Number(80)),
            (b"example.com:65535", Port::Number(65535)),
            (b"127.0.0.1", Port::Absent),
            (b"127.0.0.1:8080", Port::Number(8080)),
            (b"999.999.999.999", Port::Absent), // not an IPv4 address, but a registered name
            (b"sub_domain.example:80", Port::Number(80)),
            (b"caf%C3%A9.example:1", Port::Number(1)),
            (b"%41", Port::Absent),
            (b"a!$&'()*+,;=~b", Port::Absent),
            (b"[::1]", Port::Absent),
            (b"[::1]:80", Port::Number(80)),
            (b"[2001:DB8::192.0.2.1]:", Port::Empty),
            (b"[v1.fe80::a+en1]:443", Port::Number(443)),
            (b"[VF.a]", Port::Absent),
        ];
        for (value, port) in rows {
            assert_eq!(authority(value), Some(port), "{:?}", value.escape_ascii());
            assert!(is_authority(value), "{:?}", value.escape_ascii());
        }
    }

    #[test]
    fn digits_at_the_end() {
        for byte in 0..=255u8 {
            for len in 1..=12 {
                for at in 0..len {
                    let mut value = *b"012345678901";
                    value[at] = byte;
                    let expected = if byte.is_ascii_digit() { len } else { len - 1 - at };
                    let counted = trailing_digits(&value[..len]);
                    assert!(counted == expected || (counted == 8 && expected > 8), "{byte:#04x} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn malformed_authorities() {
        let rows: [&[u8]; 35] = [
            b"",
            b":",
            b":80",
            b"a:65536",
            b"a:99999",
            b"a:100000",
            b"a:000080",
            b"a:+1",
            b"a:-1",
            b"a:8 0",
            b"a:80:80",
            b"a:b",
            b"a b",
            b"a,b:c",
            b"a\tb",
            b"user@a",
            b"user:pass@a",
            b"a/",
            b"a?b",
            b"a#b",
            b"a%",
            b"a%4",
            b"a%4g",
            b"a%zz:80",
            b"caf\xc3\xa9",
            b"[",
            b"[]",
            b"[::1",
            b"::1",
            b"[::1]80",
            b"[::1]a",
            b"[1:2:3:4:5:6:7:8:9]",
            b"[fe80::1%25eth0]",
            b"[v.a]",
            b"[v1.]",
        ];
        for value in rows {
            assert_eq!(authority(value), None, "{:?}", value.escape_ascii());
            assert!(!is_authority(value), "{:?}", value.escape_ascii());
        }
    }
}
