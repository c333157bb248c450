//! Time to parse whole heads: with all rules, and with only the lexer on the same bytes.

use std::hint::black_box;

use aurora_http::core::limits::Limits;
use aurora_http::core::parse::{HeadScan, with_head};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[path = "support/heads.rs"]
mod heads;

fn parse(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("parse");
    for (name, head) in heads::HEADS {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_with_input(BenchmarkId::new("aurora", name), head, |bencher, head| {
            bencher.iter(|| {
                with_head(black_box(head), &limits, &mut HeadScan::default(), |parsed| {
                    matches!(black_box(&parsed), Ok(Some(_)))
                })
            });
        });
        group.bench_with_input(BenchmarkId::new("httparse", name), head, |bencher, head| {
            bencher.iter(|| {
                let mut fields = [httparse::EMPTY_HEADER; 16];
                let mut request = httparse::Request::new(&mut fields);
                let complete = request.parse(black_box(head)).is_ok_and(|status| status.is_complete());
                black_box(&request);
                complete
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
