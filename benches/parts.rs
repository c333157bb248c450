//! Pools, deadlines and timers, with few and with many entries: their operations must cost the same.

use std::hint::black_box;

use aurora_http_core::deadlines::{DeadlineNode, Deadlines};
use aurora_http_core::pool::{BufferPool, Class, ClassCounts, Entry, ObjectPool};
use aurora_http_core::sim::Dice;
use aurora_http_core::time::Instant;
use aurora_http_core::timers::{TimerEntry, Timers};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [usize; 3] = [64, 10_000, 1_000_000];

fn pools(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool");
    for size in [64, 8_192] {
        let counts = ClassCounts::NONE.with(Class::Tiny, size);
        let mut table: Vec<_> = (0..size).map(|_| None).collect();
        let mut slab = vec![0; counts.slab_bytes() + 63];
        let mut pool = BufferPool::new(&mut table, counts).expect("the table is long enough");
        pool.carve(&mut slab).expect("the slab is long enough");
        group.bench_function(BenchmarkId::new("buffer", size), |bencher| {
            bencher.iter(|| {
                let buf = pool.acquire(Class::Tiny).expect("all are free");
                pool.release(black_box(buf)).expect("it is the pool's");
            });
        });
    }
    for size in SIZES {
        let mut entries: Vec<Entry<[u64; 8]>> = (0..size).map(|_| Entry::new()).collect();
        let mut pool = ObjectPool::new(&mut entries);
        let mut handles: Vec<_> = (0..size).map(|_| pool.insert([0; 8]).expect("one is free")).collect();
        let mut dice = Dice::new(1);
        group.bench_function(BenchmarkId::new("object, replaced in a full pool", size), |bencher| {
            bencher.iter(|| {
                let handle = &mut handles[dice.below(size)];
                let object = pool.remove(*handle).expect("it was inserted");
                *handle = pool.insert(object).expect("one is free");
            });
        });
    }
    group.finish();
}

fn deadlines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deadlines");
    for size in SIZES {
        let mut nodes = vec![DeadlineNode::new(); size];
        let mut deadlines = Deadlines::<4>::new();
        let mut now = Instant(0);
        for index in 0..size as u32 {
            deadlines.arm(&mut nodes[..], index, index as usize % 4, now.plus_ms(60_000));
        }
        let mut dice = Dice::new(1);
        // What a request does: from idle to writing, and back.
        group.bench_function(BenchmarkId::new("moved twice", size), |bencher| {
            bencher.iter(|| {
                let index = dice.below(size) as u32;
                now = now.plus_ms(1);
                deadlines.arm(&mut nodes[..], index, 0, now.plus_ms(30_000));
                deadlines.arm(&mut nodes[..], index, 1, now.plus_ms(60_000));
                black_box(deadlines.poll_timeout())
            });
        });
        group.bench_function(BenchmarkId::new("expired and armed again", size), |bencher| {
            bencher.iter(|| {
                now = deadlines.poll_timeout().expect("some are armed");
                let (index, class) = deadlines.pop_expired(&mut nodes[..], now).expect("it is due");
                deadlines.arm(&mut nodes[..], index, class, now.plus_ms(60_000));
            });
        });
    }
    group.finish();
}

fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers");
    for size in SIZES {
        let mut table = vec![TimerEntry::new(); size + 1];
        let mut timers = Timers::new(&mut table);
        let mut dice = Dice::new(1);
        let mut now = Instant(0);
        for _ in 0..size {
            timers.create(now, dice.below(60_000) as u32).expect("one is free");
        }
        group.bench_function(BenchmarkId::new("armed and cancelled", size), |bencher| {
            bencher.iter(|| {
                let timer = timers.create(now, dice.below(60_000) as u32).expect("one is free");
                timers.cancel(black_box(timer))
            });
        });
        group.bench_function(BenchmarkId::new("fired and armed again", size), |bencher| {
            bencher.iter(|| {
                now = timers.poll_timeout().expect("some are armed");
                black_box(timers.pop_expired(now)).expect("it is due");
                timers.create(now, dice.below(60_000) as u32).expect("one is free")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pools, deadlines, timers);
criterion_main!(benches);
