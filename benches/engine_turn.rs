//! The engine without system calls: requests over the simulator, one and sixteen at a time.

use std::hint::black_box;
use std::time::Duration;

use aurora_http_core::defer::Deferrals;
use aurora_http_core::engine::{Engine, SlotNode, Storage};
use aurora_http_core::handler::{Handler, handler_fn};
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{BufferPool, ClassCounts, Entry};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::run::turn_within;
use aurora_http_core::sim::{Client, ClientRecv, Sim};
use aurora_http_core::stop::StopFlag;
use aurora_http_core::writer::ResponseWriter;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: server:8080\r\n\
    Accept: text/plain,text/html;q=0.9,application/xhtml+xml;q=0.9,application/xml;q=0.8,*/*;q=0.7\r\n\
    Connection: keep-alive\r\n\r\n";

const CONNECTIONS: usize = 4;

struct World<H: Handler + 'static> {
    engine: Engine<'static, 'static, H>,
    sim: Sim<'static>,
    stop: StopFlag,
    client: Client,
}

fn leak<T>(count: usize, make: impl FnMut() -> T) -> &'static mut [T] {
    std::iter::repeat_with(make).take(count).collect::<Vec<_>>().leak()
}

impl<H: Handler + 'static> World<H> {
    fn new(handler: H) -> Self {
        let counts = ClassCounts::new([4, 4, 2, 0, 0]);
        let mut pool = BufferPool::new(leak(counts.total(), || None), counts).expect("the table is long enough");
        pool.carve(vec![0; counts.slab_bytes() + 63].leak()).expect("the slab is long enough");
        let storage = Storage {
            slots: leak(CONNECTIONS, Entry::new),
            nodes: leak(CONNECTIONS, SlotNode::new),
            loans: leak(4, || None),
            deferrals: Deferrals::NONE,
            scratch: vec![0; 1024].leak(),
        };
        let limits = Limits { requests_per_connection_max: None, ..Limits::default() };
        let preamble = Preamble::new("aurora").expect("a short name");
        let mut engine = Engine::new(storage, pool, handler, limits, preamble).expect("the storage is complete");
        let mut sim = Sim::new(4, 16_384);
        let listener = sim.listen().expect("a socket is left");
        engine.listen(listener).expect("the first listener");
        let client = sim.connect(listener).expect("a socket is left");
        Self { engine, sim, stop: StopFlag::new(), client }
    }

    /// Sends `requests` and receives the responses; returns their length in bytes.
    fn exchange(&mut self, requests: &[u8], out: &mut [u8]) -> usize {
        assert_eq!(self.sim.client_send(self.client, requests), requests.len());
        loop {
            turn_within(&mut self.engine, &mut self.sim, &self.stop, Some(Duration::ZERO)).expect("it never fails");
            if let ClientRecv::Bytes(count) = self.sim.client_recv(self.client, out) {
                return count;
            }
        }
    }
}

fn engine_turn(criterion: &mut Criterion) {
    let mut world = World::new(handler_fn(|_, response: &mut ResponseWriter<'_>| {
        response.field("Content-Type", "text/plain")?;
        response.body(b"Hello, World!")
    }));
    let mut out = [0; 16_384];
    let mut group = criterion.benchmark_group("engine_turn");
    for pipelined in [1, 16] {
        let requests = REQUEST.repeat(pipelined);
        group.throughput(Throughput::Elements(pipelined as u64));
        group.bench_function(format!("plaintext x{pipelined}"), |bencher| {
            bencher.iter(|| black_box(world.exchange(black_box(&requests), &mut out)));
        });
    }
    group.finish();
}

criterion_group!(benches, engine_turn);
criterion_main!(benches);
