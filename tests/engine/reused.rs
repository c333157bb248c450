//! One engine after the other on the same storage.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use aurora_http_core::defer::{DeferCell, Deferrals};
use aurora_http_core::engine::{Engine, Listener, Record, Slot, SlotNode, Storage};
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Flow, Handler};
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{Buf, BufferPool, ClassCounts, Entry};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::reactor::{IoHandle, Reactor};
use aurora_http_core::request::Request;
use aurora_http_core::run::turn_within;
use aurora_http_core::sim::{Client, ClientRecv, Sim};
use aurora_http_core::stop::StopFlag;
use aurora_http_core::writer::ResponseWriter;

use crate::{GET, HELLO, limits};

const COUNTS: ClassCounts = ClassCounts::new([12, 12, 0, 0, 0]);

/// Collects content, panics on `/panic`, and otherwise says hello.
struct Paths;

impl Handler for Paths {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        assert!(request.path() != b"/panic", "requested");
        if request.body_length().has_content() {
            return Flow::Collect(());
        }
        response.body("hello").unwrap();
        Flow::Finish
    }
}

/// The storage that outlives an engine.
struct Memory {
    slots: Vec<Entry<Slot<'static, ()>>>,
    records: Vec<Record<'static, ()>>,
    nodes: Vec<SlotNode>,
    listeners: [Listener; 1],
    loans: Vec<Option<Buf<'static>>>,
    cells: Vec<DeferCell>,
    table: Vec<Option<&'static mut [u8]>>,
    scratch: Vec<u8>,
}

impl Memory {
    fn new(connections: usize) -> Self {
        let mut table: Vec<_> = std::iter::repeat_with(|| None).take(COUNTS.total()).collect();
        let mut pool = BufferPool::new(&mut table, COUNTS).unwrap();
        pool.carve(vec![0; COUNTS.slab_bytes() + 63].leak()).unwrap();
        Self {
            slots: std::iter::repeat_with(Entry::new).take(connections).collect(),
            records: std::iter::repeat_with(Record::new).take(connections).collect(),
            nodes: vec![SlotNode::new(); connections],
            listeners: [Listener::new()],
            loans: std::iter::repeat_with(|| None).take(4).collect(),
            cells: std::iter::repeat_with(DeferCell::new).take(connections).collect(),
            table,
            scratch: vec![0; 1024],
        }
    }

    /// The buffers that are in the table.
    fn buffers(&self) -> usize {
        self.table.iter().flatten().count()
    }

    /// An engine with the buffers in the table and additional ones.
    fn engine(&mut self, limits: Limits, listener: IoHandle) -> Engine<'_, 'static, Paths> {
        let free: Vec<_> = self.table.iter_mut().filter_map(Option::take).collect();
        let mut pool = BufferPool::new(&mut self.table, COUNTS).unwrap();
        free.into_iter().for_each(|memory| pool.add(memory).unwrap());
        static BELL: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
        let storage = Storage {
            slots: &mut self.slots,
            records: &mut self.records,
            nodes: &mut self.nodes,
            listeners: &mut self.listeners,
            loans: &mut self.loans,
            deferrals: Deferrals::new(0, &self.cells, &BELL),
            scratch: &mut self.scratch,
        };
        let mut engine = Engine::new(storage, pool, Paths, limits, Preamble::new("").unwrap()).unwrap();
        engine.listen(listener).unwrap();
        engine
    }
}

/// How many connections of [`interrupted`] are receiving more: the buffers for that are in the reactor, those that they
/// have collected are in the engine.
const RECEIVING: usize = 4;

/// Takes turns for so long, in virtual time.
fn pass(engine: &mut Engine<'_, 'static, Paths>, sim: &mut Sim<'static>, ms: u32) {
    for step in 0..=ms.div_ceil(50) {
        sim.advance_ms(if step == 0 { 0 } else { 50 });
        for _ in 0..40 {
            turn_within(engine, sim, &StopFlag::new(), Some(Duration::ZERO)).unwrap();
        }
    }
}

fn said(sim: &mut Sim<'static>, client: Client) -> String {
    let mut bytes = [0; 4096];
    match sim.client_recv(client, &mut bytes) {
        ClientRecv::Bytes(count) => String::from_utf8_lossy(&bytes[..count]).into_owned(),
        _ => String::new(),
    }
}

/// The state after an engine was dropped or forgotten in the middle of its work.
fn interrupted(memory: &mut Memory, is_forgotten: bool) {
    let mut sim = Sim::new(64, 4_096);
    let listener = sim.listen().unwrap();
    let mut engine = memory.engine(limits(), listener);
    // Silent, in a head, idle, and with partially collected content.
    let chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for said in [&b""[..], &GET[..9], GET, chunked, chunked, chunked] {
        let client = sim.connect(listener).unwrap();
        sim.client_send(client, said);
    }
    pass(&mut engine, &mut sim, 100);
    assert_eq!(engine.counters().active, 6);
    while let Some(buf) = sim.reclaim() {
        engine.handle_reclaimed(buf);
    }
    if is_forgotten { std::mem::forget(engine) } else { drop(engine) }
}

#[test]
fn an_engine_on_used_storage_is_independent_of_the_previous_one() {
    for is_forgotten in [false, true] {
        let mut memory = Memory::new(6);
        interrupted(&mut memory, is_forgotten);
        let mut sim = Sim::new(64, 4_096);
        let listener = sim.listen().unwrap();
        let mut engine = memory.engine(limits(), listener);
        // Every slot serves; eviction ends the longest idle connection; and a silent one ends at its deadline.
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let client = sim.connect(listener).unwrap();
                sim.client_send(client, GET);
                pass(&mut engine, &mut sim, 100);
                assert_eq!(said(&mut sim, client), HELLO);
                client
            })
            .collect();
        let newcomer = sim.connect(listener).unwrap();
        sim.client_send(newcomer, GET);
        pass(&mut engine, &mut sim, 100);
        assert_eq!(said(&mut sim, newcomer), HELLO);
        assert_eq!(sim.client_recv(clients[0], &mut [0; 9]), ClientRecv::Fin, "the longest idle one");
        assert!(clients[1..].iter().all(|client| sim.client_recv(*client, &mut [0; 9]) == ClientRecv::Nothing));
        sim.client_close(newcomer);
        let silent = sim.connect(listener).unwrap();
        pass(&mut engine, &mut sim, 9_900);
        assert_eq!(sim.client_recv(silent, &mut [0; 9]), ClientRecv::Nothing);
        pass(&mut engine, &mut sim, 200);
        assert_eq!(engine.counters().closed.of(CloseReason::FirstByteTimeout), 1);
        assert_eq!(sim.client_recv(silent, &mut [0; 9]), ClientRecv::Fin);
    }
}

#[test]
fn dropping_an_engine_returns_the_buffers_of_its_connections() {
    let mut memory = Memory::new(6);
    interrupted(&mut memory, false);
    assert_eq!(memory.buffers(), COUNTS.total() - RECEIVING);
}

#[test]
fn buffers_of_forgotten_connections_go_to_the_next_engine() {
    let mut memory = Memory::new(6);
    interrupted(&mut memory, true);
    let mut sim = Sim::new(64, 4_096);
    let listener = sim.listen().unwrap();
    drop(memory.engine(limits(), listener));
    assert_eq!(memory.buffers(), COUNTS.total() - RECEIVING);
}

#[test]
fn a_panic_in_a_handler_returns_all_buffers() {
    let mut memory = Memory::new(6);
    let mut sim = Sim::new(64, 4_096);
    let listener = sim.listen().unwrap();
    let mut engine = memory.engine(limits(), listener);
    let client = sim.connect(listener).unwrap();
    sim.client_send(client, b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\n");
    let panicked = catch_unwind(AssertUnwindSafe(|| pass(&mut engine, &mut sim, 100)));
    assert!(panicked.is_err());
    while let Some(buf) = sim.reclaim() {
        engine.handle_reclaimed(buf);
    }
    drop(engine);
    assert_eq!(memory.buffers(), COUNTS.total());
}

#[test]
fn an_engine_that_is_taken_apart_returns_its_buffers() {
    let mut memory = Memory::new(6);
    let mut sim = Sim::new(64, 4_096);
    let listener = sim.listen().unwrap();
    let mut engine = memory.engine(limits(), listener);
    let client = sim.connect(listener).unwrap();
    sim.client_send(client, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    pass(&mut engine, &mut sim, 100);
    assert!(engine.pool().in_use() > 0);
    while let Some(buf) = sim.reclaim() {
        engine.handle_reclaimed(buf);
    }
    let (_, mut pool, counters) = engine.into_parts();
    // Except for the one that is being received into.
    assert_eq!((pool.in_use(), pool.drain().count(), counters.requests), (1, COUNTS.total() - 1, 1));
}
