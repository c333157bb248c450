//! What an engine needs to be set up.

use aurora_http_core::defer::Deferrals;
use aurora_http_core::engine::{Engine, EngineError, Record, SlotNode, Storage};
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{BufferPool, ClassCounts, ClassSizes, Entry};
use aurora_http_core::preamble::Preamble;

use crate::world::{LISTENERS, World};
use crate::{COUNTS, hello, limits};

/// The error of an engine with so many slots, records, nodes and buffers.
fn error_of(
    slots: usize,
    records: usize,
    nodes: usize,
    counts: ClassCounts,
    head_bytes_max: u32,
) -> Option<EngineError> {
    let mut table: Vec<_> = (0..counts.total()).map(|_| None).collect();
    let mut memory = vec![0; counts.slab_bytes() + 63];
    let mut slots: Vec<_> = (0..slots).map(|_| Entry::new()).collect();
    let mut records: Vec<_> = (0..records).map(|_| Record::new()).collect();
    let mut nodes = vec![SlotNode::new(); nodes];
    let mut pool = BufferPool::new(&mut table, counts).unwrap();
    pool.carve(&mut memory).unwrap();
    let storage = Storage {
        slots: &mut slots,
        records: &mut records,
        nodes: &mut nodes,
        listeners: &mut [],
        loans: &mut [],
        deferrals: Deferrals::NONE,
        scratch: &mut [],
    };
    let limits = Limits { head_bytes_max, ..limits() };
    Engine::new(storage, pool, hello(), limits, Preamble::new("").unwrap()).err()
}

#[test]
fn an_engine_needs_a_slot_a_record_and_a_node_for_each_and_buffers_to_receive_and_to_send() {
    let two = ClassCounts::new([2, 2, 0, 0, 0]);
    // The core's feature `small` keeps connections in their slots.
    let needs_records = size_of::<Record<'_, ()>>() > 0;
    for (slots, records, nodes, error) in [
        (0, 0, 0, Some(EngineError::NoSlots)),
        (0, 1, 1, Some(EngineError::NoSlots)),
        (2, 2, 1, Some(EngineError::NoSlots)),
        (2, 1, 2, needs_records.then_some(EngineError::NoSlots)),
        (1, 1, 1, None),
        (1, 2, 2, None),
    ] {
        assert_eq!(error_of(slots, records, nodes, two, 65_536), error, "{slots} {records} {nodes}");
    }
    // Short heads are received into the buffers that answers use, and a class without buffers is skipped.
    let none = Some(EngineError::NoBuffers);
    for (counts, head_bytes_max, error) in [
        ([1, 1, 0, 0, 0], 65_536, None),
        ([1, 0, 0, 0, 0], 65_536, none),
        ([0, 1, 0, 0, 0], 65_536, none),
        ([0, 2, 0, 0, 0], 65_536, None),
        ([9, 0, 0, 0, 0], 65_536, none),
        ([9, 0, 1, 9, 9], 65_536, None),
        ([0, 0, 1, 9, 9], 65_536, none),
        ([1, 0, 0, 0, 0], 1_024, none),
        ([2, 0, 0, 0, 0], 1_024, None),
        ([0, 2, 0, 0, 0], 1_024, None),
        ([1, 2, 0, 0, 0], 1_024, none),
        ([2, 0, 0, 0, 0], 1_025, none),
    ] {
        assert_eq!(error_of(1, 1, 1, ClassCounts::new(counts), head_bytes_max), error, "{counts:?} {head_bytes_max}");
    }
    // No answer fits into a buffer of 256 bytes.
    for (sizes, counts, head_bytes_max, error) in [
        (ClassSizes::FROM_512, [2, 0, 0, 0, 0], 512, None),
        (ClassSizes::FROM_512, [2, 0, 0, 0, 0], 513, none),
        (ClassSizes::FROM_256, [9, 0, 0, 0, 0], 256, none),
        (ClassSizes::FROM_256, [1, 1, 0, 0, 0], 256, None),
        (ClassSizes::FROM_256, [1, 1, 0, 0, 0], 257, none),
        (ClassSizes::FROM_256, [0, 2, 0, 0, 0], 1_024, None),
    ] {
        let counts = ClassCounts::new(counts).sized(sizes);
        assert_eq!(error_of(1, 1, 1, counts, head_bytes_max), error, "{counts:?} {head_bytes_max}");
    }
}

#[test]
fn errors_of_the_set_up_say_what_is_missing() {
    let mut world = World::new(2, COUNTS, limits(), hello());
    for _ in 1..LISTENERS {
        world.listen();
    }
    let listener = world.sim.listen().expect("sockets are left");
    let error = world.engine.listen(listener).expect_err("one more than there is room for");
    assert_eq!(error.to_string(), "the engine's storage has no place for another listener");
    assert!(EngineError::NoSlots.to_string().contains("slot") && EngineError::NoBuffers.to_string().contains("buffer"));
}
