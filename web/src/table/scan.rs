//! Scanning the segments of a path.

use super::NoRoute;

/// What one pass over a segment finds out.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    /// The position of the next slash, or the end of the path.
    pub(super) end: usize,
    pub(super) hash: u32,
    /// It contains `%`, or starts with a dot.
    pub(super) is_special: bool,
}

/// Eight times the same byte.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Sets the highest bit of zero bytes. Only the lowest one found is exact; bits above it may be wrong.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(eight(1)) & !word & eight(0x80)
}

/// Scans the segment that begins at `from`, eight bytes at a time.
#[inline]
pub(super) const fn segment(path: &[u8], from: usize) -> Segment {
    let (mut at, mut hash, mut escapes) = (from, 0, 0);
    let mut is_special = from < path.len() && path[from] == b'.';
    while at < path.len() {
        let mut word = eight_at(path, at);
        let slashes = zeros(word ^ eight(b'/'));
        // All bits below that of the first slash.
        let before = slashes.wrapping_sub(1) & !slashes;
        escapes |= zeros(word ^ eight(b'%')) & before;
        let mut end = at + 8;
        if slashes != 0 {
            let len = slashes.trailing_zeros() as usize / 8;
            word &= (1_u64 << (8 * len)) - 1;
            end = at + len;
        }
        // A slash right after eight bytes adds nothing, like the end of the path.
        hash = if end == at { hash } else { mixed(hash, word) };
        at = if end < path.len() { end } else { path.len() };
        if slashes != 0 {
            break;
        }
    }
    is_special |= escapes != 0;
    Segment { end: at, hash: (hash >> 32) as u32, is_special }
}

const fn mixed(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

/// The next eight bytes in little-endian order, padded with zeros.
#[inline]
const fn eight_at(path: &[u8], at: usize) -> u64 {
    let (before, rest) = path.split_at(at);
    if let Some(bytes) = rest.first_chunk() {
        return u64::from_le_bytes(*bytes);
    }
    let missing = 8 - rest.len();
    if missing <= before.len()
        && let Some(bytes) = path.last_chunk()
    {
        return u64::from_le_bytes(*bytes) >> (8 * missing);
    }
    let (mut word, mut index) = (0, 0);
    while index < rest.len() {
        word |= (rest[index] as u64) << (8 * index);
        index += 1;
    }
    word
}

/// Rejects malformed escapes and dot segments. Clients remove dot segments (RFC 3986 §5.2.4), so whoever sends one probably tries
/// to reach another directory.
pub(super) fn check_segments(segments: &[u8]) -> Result<(), NoRoute> {
    for segment in segments.split(|&byte| byte == b'/') {
        let (mut at, mut len, mut is_dots) = (0, 0, true);
        while at < segment.len() {
            let is_dot = match &segment[at..] {
                [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    at += 2;
                    (*high, low | 0x20) == (b'2', b'e')
                }
                [b'%', ..] => return Err(NoRoute::Malformed),
                [byte, ..] => *byte == b'.',
                [] => false,
            };
            at += 1;
            len += 1;
            is_dots &= is_dot;
        }
        if is_dots && matches!(len, 1 | 2) {
            return Err(NoRoute::Malformed);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use super::*;

    #[test]
    fn a_segment_ends_at_its_slash_wherever_it_lies() {
        for before in 0..20 {
            for len in 0..20 {
                for (special, is_special) in [("x", false), ("%", true), (".", false)] {
                    for behind in ["", "/", "/%", "/...", "/%%%%%%%%%%"] {
                        let text: String = "abcdefghijklmnopqrst".chars().take(len).collect();
                        let text = if len > 1 { format!("{}{special}", &text[1..]) } else { text };
                        let path = format!("{}{text}{behind}", "/".repeat(before));
                        let found = segment(path.as_bytes(), before);
                        assert_eq!(
                            (found.end, found.is_special),
                            (before + len, is_special && len > 1),
                            "{path} {before}"
                        );
                        assert_eq!(found.hash, segment(text.as_bytes(), 0).hash, "{path} {before}");
                    }
                }
            }
        }
        assert!(segment(b"/.a", 1).is_special && !segment(b"/a.b", 1).is_special);
    }

    #[test]
    fn hashes_of_names_differ() {
        let mut hashes: std::vec::Vec<_> =
            (0..20_000).map(|at| segment(format!("item{at}").as_bytes(), 0).hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert!(hashes.len() > 19_990, "{}", hashes.len());
    }
}
