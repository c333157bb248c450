//! The conditions of a request (RFC 9110 §13).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::asked::{Asked, Field};

/// What identifies this state of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'a> {
    /// A strong tag, with its quotes.
    pub(crate) tag: &'a [u8],
    /// Seconds since 1970-01-01.
    pub(crate) modified_s: u64,
    pub(crate) now_s: u64,
}

/// What the conditions allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The answer is as without conditions.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates the conditions in the order of RFC 9110 §13.2.2, for GET and HEAD.
pub(crate) fn verdict<A: Asked + ?Sized>(asked: &A, validators: Validators<'_>) -> Verdict {
    let modified = UNIX_EPOCH + Duration::from_secs(validators.modified_s);
    if asked.has(Field::IfMatch) {
        if !asked.any(Field::IfMatch, &mut |list| lists(list, validators.tag, true)) {
            return Verdict::Failed;
        }
    } else if date(asked, Field::IfUnmodifiedSince).is_some_and(|since| modified > since) {
        return Verdict::Failed;
    }
    if asked.has(Field::IfNoneMatch) {
        if asked.any(Field::IfNoneMatch, &mut |list| lists(list, validators.tag, false)) {
            return Verdict::NotModified;
        }
    } else if date(asked, Field::IfModifiedSince).is_some_and(|since| modified <= since) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether `If-Range` allows the ranges: there is none, or it names exactly this state of the file (RFC 9110 §13.1.5).
pub(crate) fn allows_ranges<A: Asked + ?Sized>(asked: &A, validators: Validators<'_>) -> bool {
    if !asked.has(Field::IfRange) {
        return true;
    }
    let mut allows = false;
    asked.any(Field::IfRange, &mut |value| {
        let value = value.trim_ascii();
        allows = if value.starts_with(b"\"") || value.starts_with(b"W/") {
            value == validators.tag
        } else {
            // A date is a strong validator only if the file has not changed again within its second (§8.8.2.2).
            let is_strong = validators.modified_s < validators.now_s;
            is_strong && parse(value) == Some(UNIX_EPOCH + Duration::from_secs(validators.modified_s))
        };
        true
    });
    allows
}

/// Whether a list of tags, or `*`, names the tag. By strong comparison, weak tags match nothing (RFC 9110 §8.8.3.2).
fn lists(list: &[u8], tag: &[u8], by_strong: bool) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    while let Some(at) = rest.iter().position(|&byte| byte == b'"') {
        let is_weak = rest[..at].ends_with(b"W/");
        let Some(len) = rest[at + 1..].iter().position(|&byte| byte == b'"') else { return false };
        if &rest[at..at + len + 2] == tag && !(is_weak && by_strong) {
            return true;
        }
        rest = &rest[at + len + 2..];
    }
    false
}

/// A date that is to be taken into account: a valid one, in a field that occurs once.
fn date<A: Asked + ?Sized>(asked: &A, field: Field) -> Option<SystemTime> {
    let (mut found, mut count) = (None, 0);
    asked.any(field, &mut |value| {
        found = parse(value);
        count += 1;
        false
    });
    found.filter(|_| count == 1)
}

fn parse(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(str::from_utf8(value).ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asked::Kept;

    const TAG: &[u8] = b"\"a-1\"";
    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const MODIFIED_S: u64 = 784_111_777;
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

    const VALIDATORS: Validators<'static> = Validators { tag: TAG, modified_s: MODIFIED_S, now_s: MODIFIED_S + 10 };

    fn asked(fields: &[(Field, &str)]) -> Kept {
        Kept::of(fields.iter().map(|(field, value)| (*field, value.as_bytes())))
    }

    #[test]
    fn each_condition_alone() {
        use Field::{IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince};
        for (field, value, expected) in [
            (IfMatch, "*", Verdict::Proceed),
            (IfMatch, "\"a-1\"", Verdict::Proceed),
            (IfMatch, "\"x\", \"a-1\"", Verdict::Proceed),
            (IfMatch, "\"x\"", Verdict::Failed),
            (IfMatch, "W/\"a-1\"", Verdict::Failed),
            (IfMatch, "a-1", Verdict::Failed),
            (IfMatch, "", Verdict::Failed),
            (IfUnmodifiedSince, SAME, Verdict::Proceed),
            (IfUnmodifiedSince, LATER, Verdict::Proceed),
            (IfUnmodifiedSince, EARLIER, Verdict::Failed),
            (IfUnmodifiedSince, "yesterday", Verdict::Proceed),
            (IfNoneMatch, "*", Verdict::NotModified),
            (IfNoneMatch, "\"a-1\"", Verdict::NotModified),
            (IfNoneMatch, "W/\"a-1\"", Verdict::NotModified),
            (IfNoneMatch, "\"x, y\",W/\"a-1\"", Verdict::NotModified),
            (IfNoneMatch, "\"x\"", Verdict::Proceed),
            (IfNoneMatch, "\"a-1", Verdict::Proceed),
            (IfModifiedSince, SAME, Verdict::NotModified),
            (IfModifiedSince, LATER, Verdict::NotModified),
            (IfModifiedSince, EARLIER, Verdict::Proceed),
            (IfModifiedSince, "Sun, 99 Nov 1994 08:49:37 GMT", Verdict::Proceed),
        ] {
            assert_eq!(verdict(&asked(&[(field, value)]), VALIDATORS), expected, "{field:?}: {value}");
        }
    }

    #[test]
    fn tags_precede_dates_and_the_first_failure_decides() {
        use Field::{IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince};
        for (fields, expected) in [
            (&[(IfMatch, "\"a-1\""), (IfUnmodifiedSince, EARLIER)][..], Verdict::Proceed),
            (&[(IfMatch, "\"x\""), (IfNoneMatch, "\"a-1\"")], Verdict::Failed),
            (&[(IfMatch, "\"a-1\""), (IfNoneMatch, "\"a-1\"")], Verdict::NotModified),
            (&[(IfNoneMatch, "\"x\""), (IfModifiedSince, SAME)], Verdict::Proceed),
            (&[(IfUnmodifiedSince, EARLIER), (IfModifiedSince, LATER)], Verdict::Failed),
            (&[(IfNoneMatch, "\"x\""), (IfNoneMatch, "\"a-1\"")], Verdict::NotModified),
            (&[(IfModifiedSince, SAME), (IfModifiedSince, EARLIER)], Verdict::Proceed),
        ] {
            assert_eq!(verdict(&asked(fields), VALIDATORS), expected, "{fields:?}");
        }
    }

    #[test]
    fn if_range_compares_strongly() {
        for (value, expected) in [
            ("\"a-1\"", true),
            ("W/\"a-1\"", false),
            ("\"x\"", false),
            (SAME, true),
            (EARLIER, false),
            (LATER, false),
            ("", false),
        ] {
            assert_eq!(allows_ranges(&asked(&[(Field::IfRange, value)]), VALIDATORS), expected, "{value}");
        }
        assert!(allows_ranges(&asked(&[]), VALIDATORS));
        let just_now = Validators { now_s: MODIFIED_S, ..VALIDATORS };
        assert!(!allows_ranges(&asked(&[(Field::IfRange, SAME)]), just_now), "it may change within the same second");
    }
}
