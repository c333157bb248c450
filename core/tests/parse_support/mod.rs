//! Shared by the tests of the parser: verdicts that can be compared, and the ways in which bytes can arrive.
#![allow(dead_code)] // each test binary uses only a part of it

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{HeadError, HeadScan, with_head};
use aurora_http_core::request::Request;

/// The parser's result, comparable and without borrows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Partial,
    Refused(HeadError),
    Complete(String),
}

/// All properties of a request.
pub(crate) fn describe(request: &Request<'_>) -> String {
    let query: Option<Vec<_>> = request.query().map(|query| {
        query.map(|(key, value)| format!("{}={}", key.escape_ascii(), value.escape_ascii())).collect::<Vec<_>>()
    });
    let upgrade: Option<Vec<_>> =
        request.upgrade().map(|list| list.map(|element| element.escape_ascii().to_string()).collect::<Vec<_>>());
    format!(
        "{} {:?} {} path={} query={query:?} {:?} host={:?} {:?} \
         continue={} upgrade={upgrade:?} persistent={} len={} {:?}",
        request.method(),
        request.target_form(),
        request.target_str(),
        request.path().escape_ascii(),
        request.version(),
        request.host().map(|host| host.escape_ascii().to_string()),
        request.body_length(),
        request.expects_continue(),
        request.persistent(),
        request.head_len(),
        request.fields(),
    )
}

/// The verdict on `bytes`, continuing from `scan`.
pub(crate) fn step(bytes: &[u8], limits: &Limits, scan: &mut HeadScan) -> Verdict {
    with_head(bytes, limits, scan, |parsed| match parsed {
        Ok(Some(request)) => Verdict::Complete(describe(&request)),
        Ok(None) => Verdict::Partial,
        Err(error) => Verdict::Refused(error),
    })
}

/// The verdict on all of `bytes` at once.
pub(crate) fn whole(bytes: &[u8], limits: &Limits) -> Verdict {
    step(bytes, limits, &mut HeadScan::default())
}

/// The verdict when `bytes` arrive up to each of `ends` in turn, and then whole. Stops at the first final verdict.
pub(crate) fn pieces(bytes: &[u8], ends: impl IntoIterator<Item = usize>, limits: &Limits) -> Verdict {
    let mut scan = HeadScan::default();
    for end in ends {
        let verdict = step(&bytes[..end], limits, &mut scan);
        if verdict != Verdict::Partial {
            return verdict;
        }
    }
    step(bytes, limits, &mut scan)
}

/// Asserts that `bytes` give the same verdict whole, split in two anywhere, and byte by byte; returns it.
pub(crate) fn every_split(bytes: &[u8], limits: &Limits) -> Verdict {
    let expected = whole(bytes, limits);
    for at in 0..bytes.len() {
        assert_eq!(pieces(bytes, [at], limits), expected, "split at {at}: {:?}", bytes.escape_ascii().to_string());
    }
    assert_eq!(pieces(bytes, 0..bytes.len(), limits), expected, "byte by byte: {:?}", bytes.escape_ascii().to_string());
    expected
}
