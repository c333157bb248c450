//! The storage of an engine, and what outlives it.

use std::sync::atomic::AtomicBool;

use aurora_http_core::budget::held_max;
use aurora_http_core::defer::{DeferCell, Deferrals};
use aurora_http_core::engine::{Listener, Record, Slot, SlotNode, Storage};
use aurora_http_core::pool::{Buf, BufferPool, ClassCounts, Entry};
use aurora_http_core::readiness::{Held, Parked};

use crate::handler::Owned;
use crate::plan::Plan;

/// The memory that outlives an engine.
pub(super) struct Memory<'p> {
    counts: ClassCounts,
    slots: Vec<Entry<Slot<'p, Owned>>>,
    records: Vec<Record<'p, Owned>>,
    nodes: Vec<SlotNode>,
    listeners: [Listener; 1],
    loans: Vec<Option<Buf<'p>>>,
    cells: Vec<DeferCell>,
    groups: Vec<AtomicBool>,
    bell: AtomicBool,
    table: Vec<Option<&'p mut [u8]>>,
    scratch: Vec<u8>,
    parked: Vec<Parked>,
    pub(super) held: Vec<Held<'p>>,
    pub(super) lent: Vec<Option<Buf<'p>>>,
    /// Buffers that a reactor held when it ended.
    pub(super) salvaged: Vec<Buf<'p>>,
}

/// The storage that an engine borrows.
pub(super) struct Parts<'s, 'p> {
    pub(super) counts: ClassCounts,
    pub(super) storage: Storage<'s, 'p, Owned>,
    pub(super) pool: BufferPool<'s, 'p>,
    pub(super) deferrals: Deferrals<'s>,
}

impl<'p> Memory<'p> {
    pub(super) fn new(plan: &Plan, slab: &'p mut [u8]) -> Self {
        let world = &plan.world;
        let mut table: Vec<_> = std::iter::repeat_with(|| None).take(world.counts.total()).collect();
        let mut pool = BufferPool::new(&mut table, world.counts).expect("a table as long as the counts");
        pool.carve(slab).expect("a slab as long as the counts");
        let sockets = 4 * plan.clients.len() + 16;
        Self {
            counts: world.counts,
            slots: (0..world.slots).map(|_| Entry::with_generation(world.generation)).collect(),
            records: (0..world.slots).map(|_| Record::new()).collect(),
            nodes: vec![SlotNode::new(); world.slots],
            listeners: [Listener::new()],
            loans: (0..8).map(|_| None).collect(),
            cells: (0..world.slots).map(|_| DeferCell::with_serial(world.serial)).collect(),
            groups: (0..world.slots.div_ceil(Deferrals::GROUP)).map(|_| AtomicBool::new(false)).collect(),
            bell: AtomicBool::new(false),
            table,
            scratch: vec![0; 1024],
            parked: (0..sockets).map(|_| Parked::new()).collect(),
            held: (0..held_max(world.slots, world.counts)).map(|_| Held::new()).collect(),
            lent: (0..16).map(|_| None).collect(),
            salvaged: Vec::new(),
        }
    }

    /// The parts for an engine, with all buffers in the pool, and for a reactor.
    pub(super) fn split(&mut self) -> (Parts<'_, 'p>, &mut [Parked], &mut [Held<'p>], &mut [Option<Buf<'p>>]) {
        let held = self.loans.iter_mut().filter_map(Option::take).chain(self.salvaged.drain(..));
        let free = self.table.iter_mut().filter_map(Option::take);
        let blocks: Vec<_> = free.chain(held.map(Buf::into_memory)).collect();
        let mut pool = BufferPool::new(&mut self.table, self.counts).expect("a table as long as the counts");
        for block in blocks {
            pool.add(block).expect("no more buffers than there were");
        }
        let deferrals = Deferrals::new(0, &self.cells, &self.bell).with_group_bells(&self.groups);
        let storage = Storage {
            slots: &mut self.slots,
            records: &mut self.records,
            nodes: &mut self.nodes,
            listeners: &mut self.listeners,
            loans: &mut self.loans,
            deferrals,
            scratch: &mut self.scratch,
        };
        let parts = Parts { counts: self.counts, storage, pool, deferrals };
        (parts, &mut self.parked, &mut self.held, &mut self.lent)
    }

    /// Checks that no buffer was lost between two engines.
    pub(super) fn check(&self) -> Result<(), String> {
        let found = self.table.iter().flatten().count() + self.loans.iter().flatten().count() + self.salvaged.len();
        if found == self.counts.total() {
            Ok(())
        } else {
            Err(format!("{found} of {} buffers are left after an engine", self.counts.total()))
        }
    }
}
