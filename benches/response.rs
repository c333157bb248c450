//! Time to build whole responses and to format numbers, beside what the standard library takes.

use std::hint::black_box;
use std::io::Write;

use aurora_http_core::format::{UINT_BYTES_MAX, format_uint};
use aurora_http_core::response::Response;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[path = "support/responses.rs"]
mod responses;

fn response(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("response");
    let date = responses::date();
    let mut out = [0; 1024];
    group.bench_function("shortest", |bencher| {
        bencher.iter(|| Response::new(200).body(black_box(b"Hello, World!")).build_into(black_box(&mut out)));
    });
    group.bench_function("with ten fields", |bencher| {
        bencher.iter(|| responses::build_ten_fields(&date, &mut out));
    });
    group.finish();
}

fn numbers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("number");
    for value in [7, 1_234, u64::MAX] {
        let mut out = [0; UINT_BYTES_MAX];
        group.throughput(Throughput::Elements(1));
        group.bench_with_input(BenchmarkId::new("format_uint", value), &value, |bencher, value| {
            bencher.iter(|| format_uint(black_box(*value), black_box(&mut out)));
        });
        group.bench_with_input(BenchmarkId::new("write!", value), &value, |bencher, value| {
            bencher.iter(|| write!(black_box(&mut out[..]), "{}", black_box(*value)));
        });
    }
    group.finish();
}

criterion_group!(benches, response, numbers);
criterion_main!(benches);
