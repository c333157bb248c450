//! Ranges of bytes (RFC 9110 §14).

/// The most ranges of one request; more are answered with the whole file.
pub(crate) const RANGES_MAX: usize = 16;

/// Bytes `from..to` of a file; not empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Span {
    pub(crate) const fn len(self) -> u64 {
        self.to - self.from
    }
}

/// What a `Range` field asks for of a file. It lives for one call, on the stack.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// All of it: there is no such field, or it is malformed, has another unit, or asks for too much.
    Whole,
    One(Span),
    /// Two or more, in the order of the request.
    Several {
        spans: [Span; RANGES_MAX],
        count: usize,
    },
    /// Nothing that the file has (416).
    Unsatisfiable,
}

/// One element of the field's list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Spec {
    From(u64, Option<u64>),
    Last(u64),
}

impl Spec {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
        let (first, last) = text.split_once('-')?;
        if first.is_empty() {
            return number(last).map(Self::Last);
        }
        let first = number(first)?;
        if last.is_empty() {
            return Some(Self::From(first, None));
        }
        let last = number(last)?;
        (first <= last).then_some(Self::From(first, Some(last)))
    }

    /// What a file of `len` bytes has of it.
    fn of(self, len: u64) -> Option<Span> {
        let span = match self {
            Self::From(first, last) => {
                Span { from: first, to: last.map_or(len, |last| last.saturating_add(1).min(len)) }
            }
            Self::Last(count) => Span { from: len - count.min(len), to: len },
        };
        (span.from < span.to).then_some(span)
    }
}

/// Digits alone; a number that is too large for 64 bits is larger than any file.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The value of a `Range` field for a file of `len` bytes.
pub(crate) fn wanted(value: &[u8], len: u64) -> Wanted {
    let Some((unit, list)) = value.iter().position(|&byte| byte == b'=').map(|at| (&value[..at], &value[at + 1..]))
    else {
        return Wanted::Whole;
    };
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return Wanted::Whole;
    }
    let mut spans = [Span { from: 0, to: 0 }; RANGES_MAX];
    let (mut count, mut specs, mut bytes) = (0, 0, 0_u64);
    for element in list.split(|&byte| byte == b',') {
        if element.trim_ascii().is_empty() {
            continue; // an empty element of a list (RFC 9110 §5.6.1)
        }
        let Some(spec) = Spec::parse(element) else { return Wanted::Whole };
        specs += 1;
        if specs > RANGES_MAX {
            return Wanted::Whole;
        }
        if let Some(span) = spec.of(len) {
            spans[count] = span;
            count += 1;
            bytes = bytes.saturating_add(span.len());
        }
    }
    match count {
        0 if specs == 0 || len == 0 => Wanted::Whole,
        0 => Wanted::Unsatisfiable,
        1 => Wanted::One(spans[0]),
        // Ranges that overlap, for which a client has no use.
        _ if bytes > len => Wanted::Whole,
        _ => Wanted::Several { spans, count },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(from: u64, to: u64) -> Wanted {
        Wanted::One(Span { from, to })
    }

    #[test]
    fn single_ranges() {
        for (value, expected) in [
            ("bytes=0-0", one(0, 1)),
            ("bytes=0-99", one(0, 100)),
            ("bytes=0-1000", one(0, 100)),
            ("bytes=0-99999999999999999999999", one(0, 100)),
            ("bytes=90-", one(90, 100)),
            ("bytes=-10", one(90, 100)),
            ("bytes=-1000", one(0, 100)),
            ("BYTES= 5-6 ", one(5, 7)),
            ("bytes=5-6,", one(5, 7)),
            ("bytes=200-, 5-6", one(5, 7)),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=6-5", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=1", Wanted::Whole),
            ("bytes=--1", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes=0-0,x", Wanted::Whole),
        ] {
            assert_eq!(wanted(value.as_bytes(), 100), expected, "{value}");
        }
        assert_eq!(wanted(b"bytes=0-0", 0), Wanted::Whole, "an empty file has no ranges");
    }

    #[test]
    fn several_ranges() {
        let Wanted::Several { spans, count } = wanted(b"bytes=0-1, 50-59 ,-3", 100) else { panic!() };
        assert_eq!(spans[..count], [(0, 2), (50, 60), (97, 100)].map(|(from, to)| Span { from, to }));
        assert_eq!(wanted(b"bytes=0-99,0-99", 100), Wanted::Whole, "more than the file has");
        let many = format!("bytes={}", "0-0,".repeat(RANGES_MAX + 1));
        assert_eq!(wanted(many.as_bytes(), 100), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn spans_are_within_the_file(value in "(bytes=)?[0-9,\\- ]{0,20}", len in 0..200_u64) {
            let is_within = |span: &Span| span.from < span.to && span.to <= len;
            match wanted(value.as_bytes(), len) {
                Wanted::One(span) => prop_assert!(is_within(&span)),
                Wanted::Several { spans, count } => {
                    prop_assert!(count >= 2 && spans[..count].iter().all(is_within));
                    prop_assert!(spans[..count].iter().map(|span| span.len()).sum::<u64>() <= len);
                }
                Wanted::Whole | Wanted::Unsatisfiable => {}
            }
        }

        #[test]
        fn any_bytes_are_a_value(value: Vec<u8>, len: u64) {
            let _ = wanted(&value, len);
        }
    }
}
