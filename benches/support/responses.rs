//! A response to build, for benchmarks.

use std::hint::black_box;

use aurora_http_core::format::HttpDate;
use aurora_http_core::response::Response;

/// A response as a site sends it.
const TEN_FIELDS: &[(&str, &[u8])] = &[
    ("Content-Type", b"text/html; charset=utf-8"),
    ("Content-Language", b"en"),
    ("Cache-Control", b"public, max-age=31536000, immutable"),
    ("ETag", b"\"33a64df551425fcc55e4d42a148795d9f25f89d4\""),
    ("Last-Modified", b"Sun, 06 Nov 1994 08:49:37 GMT"),
    ("Vary", b"Accept-Encoding, Accept-Language"),
    ("Strict-Transport-Security", b"max-age=63072000; includeSubDomains"),
    ("X-Content-Type-Options", b"nosniff"),
    ("Set-Cookie", b"session=8f14e45fceea167a5a36dedd4bea2543; Path=/; HttpOnly; Secure"),
    ("Server", b"aurora"),
];

/// Builds one with ten fields.
pub(crate) fn build_ten_fields(date: &HttpDate, out: &mut [u8]) {
    let response = Response::new(200).date(date).fields(TEN_FIELDS).body(b"Hello, World!");
    assert!(black_box(&response).build_into(black_box(out)).is_ok());
}

pub(crate) fn date() -> HttpDate {
    HttpDate::from_unix_seconds(784_111_777).expect("a date")
}
