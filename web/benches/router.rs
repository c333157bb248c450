//! Finding a route among 1, 100 and 1 000, beside matchit: `cargo bench -p aurora-http-web`.

use std::hint::black_box;

use aurora_http_core::request::Method;
use aurora_http_web::Table;
use criterion::{Criterion, criterion_group, criterion_main};

/// Room for all of them.
const ROOM: usize = 4096;

/// Paths as interfaces have them: a few groups, many names in them, and every other one with parameters.
fn paths(count: usize) -> Vec<String> {
    let path = |at: usize| match at % 2 {
        0 => format!("/api/group{}/resource{at}/:id", at % 25),
        _ => format!("/api/group{}/resource{at}/:id/parts/:part", at % 25),
    };
    (0..count).map(path).collect()
}

fn router(criterion: &mut Criterion) {
    for count in [1, 100, 1_000] {
        let paths = paths(count);
        let routes: Vec<_> = paths.iter().map(|path| (Method::Get, &*path.clone().leak())).collect();
        let table = Box::new(Table::<ROOM>::new(&routes));
        let mut tree = matchit::Router::new();
        for (at, path) in paths.iter().enumerate() {
            let path = path.replace(":id", "{id}").replace(":part", "{part}");
            tree.insert(path, at).expect("no conflict");
        }
        let asked: Vec<String> =
            paths.iter().map(|path| path.replace(":id", "12345").replace(":part", "wheel")).collect();
        // In an order that the branch predictor does not know by heart.
        let order: Vec<usize> = (0..1_024).map(|at: usize| at.wrapping_mul(2_654_435_761) % count).collect();
        let mut group = criterion.benchmark_group(format!("{count} routes"));
        group.throughput(criterion::Throughput::Elements(order.len() as u64));
        group.bench_function("aurora", |bencher| {
            bencher.iter(|| {
                for &at in &order {
                    assert_eq!(black_box(&table).find(Method::Get, black_box(asked[at].as_bytes())), Ok(at));
                }
            });
        });
        group.bench_function("matchit", |bencher| {
            bencher.iter(|| {
                for &at in &order {
                    assert_eq!(black_box(&tree).at(black_box(&asked[at])).map(|found| *found.value), Ok(at));
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, router);
criterion_main!(benches);
