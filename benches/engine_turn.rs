//! The engine without system calls: requests of several kinds, over non-blocking calls as epoll has them, and over completions as
//! io_uring has them.

use std::hint::black_box;
use std::time::Duration;

use aurora_http_core::handler::{Handler, handler_fn};
use aurora_http_core::run::turn_within;
use aurora_http_core::sim::{ClientRecv, Sim};
use aurora_http_core::stop::StopFlag;
use aurora_http_core::writer::ResponseWriter;
use clients::Script;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use world::{World, engine};

#[path = "support/clients.rs"]
mod clients;
#[path = "support/heads.rs"]
mod heads;
#[path = "support/world.rs"]
mod world;

const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: server:8080\r\n\
    Accept: text/plain,text/html;q=0.9,application/xhtml+xml;q=0.9,application/xml;q=0.8,*/*;q=0.7\r\n\
    Connection: keep-alive\r\n\r\n";

fn plaintext() -> impl Handler {
    handler_fn(|_, response: &mut ResponseWriter<'_>| {
        response.field("Content-Type", "text/plain")?;
        response.body(b"Hello, World!")
    })
}

fn over_calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine_turn");
    let kinds: [(&str, usize, Vec<u8>); 4] = [
        ("plaintext", 1, REQUEST.to_vec()),
        ("plaintext, 64 connections", 64, REQUEST.to_vec()),
        ("plaintext, 64 connections x16", 64 * 16, REQUEST.repeat(16)),
        ("head of a browser", 1, heads::BROWSER.to_vec()),
    ];
    for (name, requests, bytes) in kinds {
        let connections = requests.min(64);
        let mut world = World::new(plaintext(), connections, Script { bytes, then_fin: false });
        world.clients().connect(connections);
        world.settle();
        group.throughput(Throughput::Elements(requests as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                world.clients().send();
                assert!(black_box(world.settle()).0 > 0);
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    let bytes = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec();
    let mut world = World::new(plaintext(), 1, Script { bytes, then_fin: true });
    group.bench_function("connection of one request", |bencher| {
        bencher.iter(|| {
            world.clients().connect(1);
            assert_eq!(black_box(world.settle()).1, 1);
        });
    });
    group.finish();
}

/// The work of the simulated network is part of these.
fn over_completions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine_turn, completions");
    let mut out = [0; 16_384];
    for pipelined in [1, 16] {
        let requests = REQUEST.repeat(pipelined);
        let mut engine = engine(plaintext(), 1);
        let mut sim = Sim::new(4, 16_384);
        let stop = StopFlag::new();
        let listener = sim.listen().expect("a socket is left");
        engine.listen(listener).expect("the first listener");
        let client = sim.connect(listener).expect("a socket is left");
        // Returns the length of the responses.
        let mut exchange = |expected: usize| {
            assert_eq!(sim.client_send(client, black_box(&requests)), requests.len());
            let (mut received, mut silent) = (0, 0);
            while received == 0 || received < expected || (expected == 0 && silent < 3) {
                turn_within(&mut engine, &mut sim, &stop, Some(Duration::ZERO)).expect("it never fails");
                silent += 1;
                if let ClientRecv::Bytes(count) = sim.client_recv(client, &mut out) {
                    (received, silent) = (received + count, 0);
                }
            }
            received
        };
        let expected = exchange(0);
        group.throughput(Throughput::Elements(pipelined as u64));
        group.bench_function(format!("plaintext x{pipelined}"), |bencher| bencher.iter(|| exchange(expected)));
    }
    group.finish();
}

criterion_group!(benches, over_calls, over_completions);
criterion_main!(benches);
