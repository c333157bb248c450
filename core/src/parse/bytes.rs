//! Which bytes are allowed where, as one table of bit sets.

use crate::part::part;

/// A byte of a token (RFC 9110 §5.6.2): methods, field names, chunk extensions.
pub(super) const TOKEN: u8 = 1;
/// A byte of a path: RFC 3986 `pchar`, `/` and `%`, and also `[` `]` `|`, which browsers send unescaped.
pub(super) const PATH: u8 = 1 << 1;
/// A byte allowed anywhere in a request target, queries included: visible ASCII without `"` `#` `<` `>`.
pub(super) const TARGET: u8 = 1 << 2;
/// A byte of a registered name without escapes (RFC 3986 §3.2.2).
pub(super) const REG_NAME: u8 = 1 << 3;
/// A byte of a field value (RFC 9110 §5.5) or of the white space around it.
pub(super) const VALUE: u8 = 1 << 4;
/// A byte of a quoted string other than `"` and `\` (RFC 9110 §5.6.4).
pub(super) const QUOTED: u8 = 1 << 5;

static CLASSES: [u8; 256] = classes();

/// Whether `byte` is in `class`.
#[inline(always)]
pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// The number of leading bytes of `bytes` that are in `class`.
#[cfg_attr(not(feature = "small"), inline(always))]
pub(super) fn span(bytes: &[u8], class: u8) -> usize {
    let mut at = 0;
    // Four look-ups and one branch per iteration.
    for &[a, b, c, d] in bytes.as_chunks::<4>().0 {
        let all = CLASSES[a as usize] & CLASSES[b as usize] & CLASSES[c as usize] & CLASSES[d as usize];
        if all & class == 0 {
            break;
        }
        at += 4;
    }
    for &byte in part(bytes, at..) {
        if !is(byte, class) {
            break;
        }
        at += 1;
    }
    at
}

/// Whether every byte of `bytes` is in `class`.
#[cfg_attr(not(feature = "small"), inline(always))]
pub(super) fn all(bytes: &[u8], class: u8) -> bool {
    let four =
        |&[a, b, c, d]: &[u8; 4]| CLASSES[a as usize] & CLASSES[b as usize] & CLASSES[c as usize] & CLASSES[d as usize];
    // The last four may overlap those before them, which saves a loop over the remainder.
    let Some(last) = bytes.last_chunk() else {
        return bytes.iter().all(|&byte| is(byte, class));
    };
    bytes.as_chunks().0.iter().all(|chunk| four(chunk) & class != 0) && four(last) & class != 0
}

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = classes_of(index as u8);
        index += 1;
    }
    table
}

const fn classes_of(byte: u8) -> u8 {
    let visible = matches!(byte, b'!'..=b'~');
    let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let sub_delim = matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
    let token = byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
        || matches!(byte, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
    let path = unreserved || sub_delim || matches!(byte, b':' | b'@' | b'/' | b'%' | b'[' | b']' | b'|');
    let target = visible && !matches!(byte, b'"' | b'#' | b'<' | b'>');
    let value = visible || matches!(byte, b'\t' | b' ' | 0x80..=0xff);

    let mut classes = 0;
    if token {
        classes |= TOKEN;
    }
    if path {
        classes |= PATH;
    }
    if target {
        classes |= TARGET;
    }
    if unreserved || sub_delim {
        classes |= REG_NAME;
    }
    if value {
        classes |= VALUE;
    }
    if value && !matches!(byte, b'"' | b'\\') {
        classes |= QUOTED;
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every class, spelled out as in the RFCs.
    #[test]
    fn classes_match_the_grammar() {
        let alphanumeric = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let rows: [(u8, &[u8]); 4] = [
            (TOKEN, b"!#$%&'*+-.^_`|~"),
            (PATH, b"-._~!$&'()*+,;=:@/%[]|"),
            (TARGET, b"-._~!$&'()*+,;=:@/%[]|?{}^\\`"),
            (REG_NAME, b"-._~!$&'()*+,;="),
        ];
        for (class, others) in rows {
            for byte in 0..=255 {
                let listed = alphanumeric.contains(&byte) || others.contains(&byte);
                assert_eq!(is(byte, class), listed, "byte {byte:#04x} of class {class}");
            }
        }
        for byte in 0..=255u8 {
            let value = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            assert_eq!(is(byte, VALUE), value, "{byte:#04x}");
            assert_eq!(is(byte, QUOTED), value && byte != b'"' && byte != b'\\', "{byte:#04x}");
        }
    }

    #[test]
    fn a_span_ends_at_the_first_other_byte() {
        for length in 0..20 {
            for at in 0..length {
                let mut bytes = [b'a'; 20];
                bytes[at] = b' ';
                assert_eq!(span(&bytes[..length], TOKEN), at);
                assert!(!all(&bytes[..length], TOKEN));
            }
            assert_eq!(span(&[b'a'; 20][..length], TOKEN), length);
            assert!(all(&[b'a'; 20][..length], TOKEN));
        }
    }
}
