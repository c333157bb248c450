//! A whole connection in each slot.

use super::Left;
use crate::connection::{Action, Connection, Deadline};
use crate::pool::{BufferPool, Entry, Handle, ObjectPool};
use crate::reactor::IoHandle;
use crate::time::Instant;
use core::marker::PhantomData;

/// The state that an engine keeps per connection.
#[derive(Debug)]
pub struct Slot<'p, E> {
    connection: Connection<'p, E>,
    pub(in super::super) io: IoHandle,
    /// The last turn in which something was received or sent; at first, the turn in which it was accepted.
    pub(in super::super) turn: u16,
    /// The number of turns that its deadline has been overdue while each turn received or sent something.
    pub(in super::super) grace: u8,
    pub(in super::super) marks: u8,
}

/// The state that an engine keeps per busy connection: nothing, since it is in the slot.
#[derive(Debug)]
pub struct Record<'p, E>(PhantomData<Connection<'p, E>>);

impl<E> Record<'_, E> {
    /// A record that was never used.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// Whether it was never used.
    #[must_use]
    pub const fn is_unused(&self) -> bool {
        true
    }
}

impl<E> Default for Record<'_, E> {
    fn default() -> Self {
        Self::new()
    }
}

/// A connection, to look at.
pub(in super::super) type View<'v, 'p, E> = &'v Connection<'p, E>;

/// The connections of an engine.
pub(in super::super) struct Seats<'s, 'p, E> {
    slots: ObjectPool<'s, Slot<'p, E>>,
}

impl<'s, 'p, E> Seats<'s, 'p, E> {
    /// No connections, on tables that were [refreshed](Self::refresh).
    pub(in super::super) fn new(slots: &'s mut [Entry<Slot<'p, E>>], _records: &'s mut [Record<'p, E>]) -> Self {
        Self { slots: ObjectPool::new(slots) }
    }

    /// Whether the tables are long enough.
    pub(in super::super) const fn fit(_slots: &[Entry<Slot<'p, E>>], _records: &[Record<'p, E>]) -> bool {
        true
    }

    /// Removes what a forgotten engine or a panicking handler left behind.
    pub(in super::super) fn refresh(
        slots: &mut [Entry<Slot<'p, E>>],
        _records: &mut [Record<'p, E>],
        pool: &mut BufferPool<'_, 'p>,
    ) {
        for mut slot in slots.iter_mut().filter_map(Entry::vacate) {
            slot.connection.release_buffers(pool);
        }
    }

    /// Returns the buffers of all connections to the pool. Afterwards they must only be dropped.
    pub(in super::super) fn release_buffers(&mut self, pool: &mut BufferPool<'_, 'p>) {
        let mut at = None;
        while let Some(index) = self.slots.next_occupied_after(at) {
            at = Some(index);
            if let Some(slot) = self.slots.by_index_mut(index).filter(|_| !planted!(SlotBuffersLost)) {
                slot.connection.release_buffers(pool);
            }
        }
    }

    pub(in super::super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(in super::super) fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    pub(in super::super) fn generation_of(&self, index: u32) -> Option<u32> {
        self.slots.generation_of(index)
    }

    pub(in super::super) fn next_occupied_after(&self, index: Option<u32>) -> Option<u32> {
        self.slots.next_occupied_after(index)
    }

    /// A new connection; or its handle if there is no free slot.
    pub(in super::super) fn insert(&mut self, io: IoHandle, turn: u16) -> Result<Handle, IoHandle> {
        let slot = Slot { connection: Connection::new(), io, turn, grace: 0, marks: 0 };
        self.slots.insert(slot).map_err(|slot| slot.io)
    }

    /// Frees the slot of a connection.
    pub(in super::super) fn remove(&mut self, handle: Handle) -> Option<Left> {
        let Slot { connection, io, marks, .. } = self.slots.remove(handle)?;
        Some(Left { io, marks, reason: connection.close_reason(), served: connection.requests_served() })
    }

    pub(in super::super) fn slot(&self, index: u32) -> Option<&Slot<'p, E>> {
        self.slots.by_index(index)
    }

    pub(in super::super) fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<'p, E>> {
        self.slots.by_index_mut(index)
    }

    /// The connection, to look at.
    pub(in super::super) fn look(&self, index: u32) -> Option<View<'_, 'p, E>> {
        self.slots.by_index(index).map(|slot| &slot.connection)
    }

    /// All connections, with their indices.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = (u32, View<'_, 'p, E>)> {
        self.slots.iter().map(|(handle, slot)| (handle.index, &slot.connection))
    }

    /// The connection, and its handle.
    pub(in super::super) fn sit(&mut self, index: u32) -> Option<(&mut Connection<'p, E>, IoHandle)> {
        self.slots.by_index_mut(index).map(|slot| (&mut slot.connection, slot.io))
    }

    /// As [`sit`](Self::sit), for a connection on which an operation has completed in this turn.
    pub(in super::super) fn begin(&mut self, handle: Handle, turn: u16) -> Option<(&mut Connection<'p, E>, IoHandle)> {
        let slot = self.slots.get_mut(handle)?;
        slot.turn = turn;
        Some((&mut slot.connection, slot.io))
    }

    /// Nothing: the connection stays where it is.
    pub(in super::super) const fn rest(&mut self, _index: u32) {}

    /// The next action of a connection, and its handle.
    pub(in super::super) fn next_action(
        &mut self,
        index: u32,
        pool: &mut BufferPool<'_, 'p>,
    ) -> Option<(Action<'p>, IoHandle)> {
        let slot = self.slots.by_index_mut(index)?;
        Some((slot.connection.next_action(pool)?, slot.io))
    }

    /// Whether [`next_action`](Self::next_action) would return one.
    pub(in super::super) fn has_action(&self, index: u32) -> bool {
        self.look(index).is_some_and(Connection::has_action)
    }

    /// As [`Connection::deadline_change`]. A new deadline has no grace.
    pub(in super::super) fn deadline_change(&mut self, index: u32, now: Instant) -> Option<Option<Deadline>> {
        let slot = self.slots.by_index_mut(index)?;
        let change = slot.connection.deadline_change(now)?;
        slot.grace = 0;
        Some(change)
    }

    /// The time that the handler set.
    pub(in super::super) fn wake_at(&self, index: u32, now: Instant) -> Instant {
        self.look(index).map_or(now, |connection| connection.wake_at(now))
    }
}
