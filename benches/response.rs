//! Writing responses: the plaintext response three ways, one with ten fields, and the integers and dates in them.

use std::hint::black_box;

use aurora_http::core::encode::{BodyKind, Encoder, FieldError, FieldLine, connection_field, response_body};
use aurora_http::core::format::{HttpDate, format_int, format_uint};
use aurora_http::core::response::Response;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const BODY: &[u8] = b"Hello, World!";

const TEXT_PLAIN: FieldLine<'_> = FieldLine::new("Content-Type: text/plain").unwrap();

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

/// Status line, `Date`, `Connection` by the table, `Content-Length`, `Content-Type`, content.
#[inline(never)]
fn plaintext(date: &HttpDate, http10: bool, body: &[u8], out: &mut [u8]) -> Result<usize, FieldError> {
    let framing = response_body(false, false, 200, http10, BodyKind::Known(body.len() as u64));
    let mut encoder = Encoder::new(out);
    encoder.status_line(200).map_err(|_| FieldError::Full)?;
    encoder.date_field(date)?;
    encoder.put(connection_field(http10, true, false))?;
    encoder.framing_field(framing)?;
    encoder.field_line(TEXT_PLAIN)?;
    encoder.end_of_head()?;
    encoder.put(body)?;
    Ok(encoder.len())
}

/// The same with `Content-Type` checked when it is written.
#[inline(never)]
fn plaintext_checked(date: &HttpDate, http10: bool, body: &[u8], out: &mut [u8]) -> Result<usize, FieldError> {
    let framing = response_body(false, false, 200, http10, BodyKind::Known(body.len() as u64));
    let mut encoder = Encoder::new(out);
    encoder.status_line(200).map_err(|_| FieldError::Full)?;
    encoder.date_field(date)?;
    encoder.put(connection_field(http10, true, false))?;
    encoder.framing_field(framing)?;
    encoder.field("Content-Type", b"text/plain")?;
    encoder.end_of_head()?;
    encoder.put(body)?;
    Ok(encoder.len())
}

fn responses(criterion: &mut Criterion) {
    let date = HttpDate::from_unix_seconds(784_111_777).unwrap();
    let mut out = [0; 1024];
    let mut group = criterion.benchmark_group("response");

    let length = plaintext(&date, false, BODY, &mut out).unwrap();
    group.throughput(Throughput::Bytes(length as u64));
    group.bench_function("plaintext", |b| {
        b.iter(|| plaintext(black_box(&date), black_box(false), black_box(BODY), black_box(&mut out)));
    });
    group.bench_function("plaintext, field checked", |b| {
        b.iter(|| plaintext_checked(black_box(&date), black_box(false), black_box(BODY), black_box(&mut out)));
    });
    let response = Response::new(200).date(&date).fields(&[("Content-Type", b"text/plain")]).body(BODY);
    group.bench_function("plaintext, as a value", |b| {
        b.iter(|| black_box(&response).build_into(black_box(&mut out)));
    });

    let response = Response::new(200).date(&date).fields(TEN_FIELDS).body(BODY);
    group.throughput(Throughput::Bytes(response.exact_size().unwrap() as u64));
    group.bench_function("ten fields", |b| b.iter(|| black_box(&response).build_into(black_box(&mut out))));
    group.bench_function("ten fields, exact size", |b| b.iter(|| black_box(&response).exact_size()));
    group.finish();
}

fn texts(criterion: &mut Criterion) {
    let mut out = [0; 32];
    let mut group = criterion.benchmark_group("format");
    for value in [0, 14, 65_536, i64::MIN] {
        group.bench_function(format!("format_int {value}"), |b| {
            b.iter(|| format_int(black_box(value), black_box(&mut out)));
        });
    }
    group.bench_function("format_uint maximum", |b| b.iter(|| format_uint(black_box(u64::MAX), black_box(&mut out))));
    group.bench_function("date", |b| b.iter(|| HttpDate::from_unix_seconds(black_box(784_111_777))));
    group.finish();
}

criterion_group!(benches, responses, texts);
criterion_main!(benches);
