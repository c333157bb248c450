//! Connections at rest in slots, busy ones on records.

use core::fmt;
use core::marker::PhantomData;

use super::Left;
use crate::connection::{Action, Connection, Deadline, Resting};
use crate::error::CloseReason;
use crate::pool::{BufferPool, Entry, Handle, ObjectPool};
use crate::reactor::IoHandle;
use crate::state::State;
use crate::time::Instant;

/// Means "no record"; a table never has this many.
const NONE: u32 = u32::MAX;

/// The state that an engine keeps per connection while it is idle.
#[derive(Debug)]
pub struct Slot<'p, E> {
    seat: Seat,
    pub(in super::super) io: IoHandle,
    /// The last turn in which something was received or sent; at first, the turn in which it was accepted.
    pub(in super::super) turn: u16,
    /// The number of turns that its deadline has been overdue while each turn received or sent something.
    pub(in super::super) grace: u8,
    pub(in super::super) marks: u8,
    connection: PhantomData<Connection<'p, E>>,
}

#[derive(Clone, Copy, Debug)]
enum Seat {
    Resting(Resting),
    /// The index of its record.
    Busy(u32),
}

/// The state that an engine keeps per busy connection. All zeros are a record that was never used, so a table of them can be
/// memory that the system provides on first use.
#[repr(transparent)]
pub struct Record<'p, E>(Place<'p, E>);

#[repr(u32)]
enum Place<'p, E> {
    /// All zeros: the discriminant is the first one, and this `repr` stores it as it is.
    Unused,
    Used {
        /// While no connection sits on it: the next such record.
        next: u32,
        connection: Connection<'p, E>,
    },
}

impl<E> Record<'_, E> {
    /// A record that was never used.
    #[must_use]
    pub const fn new() -> Self {
        Self(Place::Unused)
    }

    /// Whether it was never used.
    #[must_use]
    pub const fn is_unused(&self) -> bool {
        matches!(self.0, Place::Unused)
    }
}

impl<E> Default for Record<'_, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> fmt::Debug for Record<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Unused => f.write_str("Unused"),
            Place::Used { connection, .. } => connection.fmt(f),
        }
    }
}

/// A connection, wherever it is. The methods are those of [`Connection`].
pub(in super::super) enum View<'v, 'p, E> {
    Resting(Resting),
    Busy(&'v Connection<'p, E>),
}

impl<E> View<'_, '_, E> {
    pub(in super::super) fn state(&self) -> State {
        match self {
            Self::Resting(resting) => resting.state(),
            Self::Busy(connection) => connection.state(),
        }
    }

    pub(in super::super) fn is_starved(&self) -> bool {
        match self {
            Self::Resting(resting) => resting.is_starved(),
            Self::Busy(connection) => connection.is_starved(),
        }
    }

    pub(in super::super) fn is_starved_to_receive(&self) -> bool {
        match self {
            Self::Resting(resting) => resting.is_starved(),
            Self::Busy(connection) => connection.is_starved_to_receive(),
        }
    }

    pub(in super::super) fn holds_buffer(&self) -> bool {
        match self {
            Self::Resting(resting) => resting.holds_buffer(),
            Self::Busy(connection) => connection.holds_buffer(),
        }
    }

    pub(in super::super) fn close_reason(&self) -> Option<CloseReason> {
        match self {
            Self::Resting(_) => None,
            Self::Busy(connection) => connection.close_reason(),
        }
    }

    pub(in super::super) fn is_detached(&self) -> bool {
        matches!(self, Self::Busy(connection) if connection.is_detached())
    }

    pub(in super::super) fn wants_stop_notice(&self) -> bool {
        matches!(self, Self::Busy(connection) if connection.wants_stop_notice())
    }

    pub(in super::super) fn waits_for_token(&self) -> bool {
        matches!(self, Self::Busy(connection) if connection.waits_for_token())
    }
}

/// The records. Those that were ever used are the first ones.
struct Records<'s, 'p, E> {
    table: &'s mut [Record<'p, E>],
    /// The record that was given back last: the top of a stack through `next`.
    free: u32,
    /// Records from this index on were never used.
    unused: u32,
}

impl<'p, E> Records<'_, 'p, E> {
    #[inline]
    fn get(&self, index: u32) -> Option<&Connection<'p, E>> {
        match self.table.get(index as usize) {
            Some(Record(Place::Used { connection, .. })) => Some(connection),
            _ => None,
        }
    }

    #[inline]
    fn get_mut(&mut self, index: u32) -> Option<&mut Connection<'p, E>> {
        match self.table.get_mut(index as usize) {
            Some(Record(Place::Used { connection, .. })) => Some(connection),
            _ => None,
        }
    }

    /// A record, and its index.
    #[inline]
    fn take(&mut self) -> Option<(u32, &mut Connection<'p, E>)> {
        if self.free == NONE {
            self.free = self.first_use()?;
        }
        let index = self.free;
        let Some(Record(Place::Used { next, connection })) = self.table.get_mut(index as usize) else { return None };
        self.free = *next;
        Some((index, connection))
    }

    /// Prepares a record that was never used.
    #[cold]
    fn first_use(&mut self) -> Option<u32> {
        let index = self.unused;
        let record = self.table.get_mut(index as usize);
        debug_assert!(record.is_some(), "there is a record for each connection");
        *record? = Record(Place::Used { next: NONE, connection: Connection::new() });
        self.unused += 1;
        Some(index)
    }

    /// Takes back a record on which there is nothing.
    #[inline]
    fn give_back(&mut self, index: u32) {
        if planted!(RecordKept) {
            return;
        }
        if let Some(Record(Place::Used { next, .. })) = self.table.get_mut(index as usize) {
            *next = self.free;
            self.free = index;
        }
    }
}

/// The connections of an engine.
pub(in super::super) struct Seats<'s, 'p, E> {
    slots: ObjectPool<'s, Slot<'p, E>>,
    records: Records<'s, 'p, E>,
}

impl<'s, 'p, E> Seats<'s, 'p, E> {
    /// No connections, on tables that were [refreshed](Self::refresh).
    pub(in super::super) fn new(slots: &'s mut [Entry<Slot<'p, E>>], records: &'s mut [Record<'p, E>]) -> Self {
        Self { slots: ObjectPool::new(slots), records: Records { table: records, free: NONE, unused: 0 } }
    }

    /// Whether the tables are long enough.
    pub(in super::super) const fn fit(slots: &[Entry<Slot<'p, E>>], records: &[Record<'p, E>]) -> bool {
        records.len() >= slots.len()
    }

    /// Removes what a forgotten engine or a panicking handler left behind.
    pub(in super::super) fn refresh(
        slots: &mut [Entry<Slot<'p, E>>],
        records: &mut [Record<'p, E>],
        pool: &mut BufferPool<'_, 'p>,
    ) {
        slots.iter_mut().filter_map(Entry::vacate).for_each(drop);
        for record in records {
            let Place::Used { connection, .. } = &mut record.0 else { break };
            connection.release_buffers(pool);
            *record = Record::new();
        }
    }

    /// Returns the buffers of all connections to the pool. Afterwards they must only be dropped.
    pub(in super::super) fn release_buffers(&mut self, pool: &mut BufferPool<'_, 'p>) {
        for index in 0..self.records.unused {
            if let Some(connection) = self.records.get_mut(index).filter(|_| !planted!(SlotBuffersLost)) {
                connection.release_buffers(pool);
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

    #[inline]
    pub(in super::super) fn generation_of(&self, index: u32) -> Option<u32> {
        self.slots.generation_of(index)
    }

    pub(in super::super) fn next_occupied_after(&self, index: Option<u32>) -> Option<u32> {
        self.slots.next_occupied_after(index)
    }

    /// A new connection, which is at rest; or its handle if there is no free slot.
    #[inline]
    pub(in super::super) fn insert(&mut self, io: IoHandle, turn: u16) -> Result<Handle, IoHandle> {
        let seat = Seat::Resting(Resting::new());
        let slot = Slot { seat, io, turn, grace: 0, marks: 0, connection: PhantomData };
        self.slots.insert(slot).map_err(|slot| slot.io)
    }

    /// Frees the slot of a connection, and its record.
    pub(in super::super) fn remove(&mut self, handle: Handle) -> Option<Left> {
        let slot = self.slots.remove(handle)?;
        let mut left = Left { io: slot.io, marks: slot.marks, reason: None, served: 0 };
        match slot.seat {
            Seat::Resting(resting) => left.served = resting.requests_served(),
            Seat::Busy(index) => {
                if let Some(connection) = self.records.get_mut(index) {
                    (left.reason, left.served) = (connection.close_reason(), connection.requests_served());
                    *connection = Connection::new();
                }
                self.records.give_back(index);
            }
        }
        Some(left)
    }

    #[inline]
    pub(in super::super) fn slot(&self, index: u32) -> Option<&Slot<'p, E>> {
        self.slots.by_index(index)
    }

    #[inline]
    pub(in super::super) fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<'p, E>> {
        self.slots.by_index_mut(index)
    }

    /// The connection, to look at.
    #[inline]
    pub(in super::super) fn look(&self, index: u32) -> Option<View<'_, 'p, E>> {
        self.view(self.slots.by_index(index)?)
    }

    #[inline]
    fn view(&self, slot: &Slot<'p, E>) -> Option<View<'_, 'p, E>> {
        Some(match slot.seat {
            Seat::Resting(resting) => View::Resting(resting),
            Seat::Busy(index) => View::Busy(self.records.get(index)?),
        })
    }

    /// All connections, with their indices.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = (u32, View<'_, 'p, E>)> {
        self.slots.iter().filter_map(|(handle, slot)| Some((handle.index, self.view(slot)?)))
    }

    /// The connection, on a record, and its handle.
    #[inline]
    pub(in super::super) fn sit(&mut self, index: u32) -> Option<(&mut Connection<'p, E>, IoHandle)> {
        let slot = self.slots.by_index_mut(index)?;
        let io = slot.io;
        Some((sit(slot, &mut self.records)?, io))
    }

    /// As [`sit`](Self::sit), for a connection on which an operation has completed in this turn.
    #[inline(always)]
    pub(in super::super) fn begin(&mut self, handle: Handle, turn: u16) -> Option<(&mut Connection<'p, E>, IoHandle)> {
        let slot = self.slots.get_mut(handle)?;
        slot.turn = turn;
        let io = slot.io;
        Some((sit(slot, &mut self.records)?, io))
    }

    /// The connection, if it sits on a record; and its slot.
    #[inline]
    pub(in super::super) fn busy(&mut self, index: u32) -> Option<(&mut Connection<'p, E>, &mut Slot<'p, E>)> {
        let slot = self.slots.by_index_mut(index)?;
        match slot.seat {
            Seat::Resting(_) => None,
            Seat::Busy(record) => Some((self.records.get_mut(record)?, slot)),
        }
    }

    /// Takes the record from a connection that is at rest.
    #[inline]
    pub(in super::super) fn rest(&mut self, index: u32) {
        if let Some((connection, slot)) = self.busy(index)
            && matches!(connection.state(), State::New | State::KeepAlive)
            && let Some(resting) = connection.rest()
            && let Seat::Busy(record) = slot.seat
        {
            slot.seat = Seat::Resting(resting);
            self.records.give_back(record);
        }
    }

    /// Takes the record from a connection of which `resting` is left; returns its slot.
    #[inline(always)]
    pub(in super::super) fn rest_as(&mut self, index: u32, resting: Resting) -> Option<&mut Slot<'p, E>> {
        let slot = self.slots.by_index_mut(index)?;
        if let Seat::Busy(record) = slot.seat {
            slot.seat = Seat::Resting(resting);
            self.records.give_back(record);
        }
        Some(slot)
    }

    /// The next action of a connection, and its handle.
    pub(in super::super) fn next_action(
        &mut self,
        index: u32,
        pool: &mut BufferPool<'_, 'p>,
    ) -> Option<(Action<'p>, IoHandle)> {
        let slot = self.slots.by_index_mut(index)?;
        let action = match &mut slot.seat {
            Seat::Resting(resting) => resting.next_action(),
            Seat::Busy(index) => self.records.get_mut(*index)?.next_action(pool),
        };
        Some((action?, slot.io))
    }

    /// Whether [`next_action`](Self::next_action) would return one.
    pub(in super::super) fn has_action(&self, index: u32) -> bool {
        match self.look(index) {
            Some(View::Resting(mut resting)) => resting.next_action().is_some(),
            Some(View::Busy(connection)) => connection.has_action(),
            None => false,
        }
    }

    /// As [`Connection::deadline_change`]. A new deadline has no grace.
    #[inline]
    pub(in super::super) fn deadline_change(&mut self, index: u32, now: Instant) -> Option<Option<Deadline>> {
        let slot = self.slots.by_index_mut(index)?;
        let change = match &mut slot.seat {
            Seat::Resting(resting) => resting.deadline_change(),
            Seat::Busy(index) => self.records.get_mut(*index)?.deadline_change(now),
        }?;
        slot.grace = 0;
        Some(change)
    }

    /// The time that the handler set.
    pub(in super::super) fn wake_at(&self, index: u32, now: Instant) -> Instant {
        match self.look(index) {
            Some(View::Busy(connection)) => connection.wake_at(now),
            _ => now,
        }
    }
}

#[inline(always)]
fn sit<'r, 'p, E>(slot: &mut Slot<'p, E>, records: &'r mut Records<'_, 'p, E>) -> Option<&'r mut Connection<'p, E>> {
    match slot.seat {
        Seat::Busy(index) => records.get_mut(index),
        Seat::Resting(resting) => {
            let (index, connection) = records.take()?;
            slot.seat = Seat::Busy(index);
            connection.wake(resting);
            Some(connection)
        }
    }
}

impl<E> Drop for Seats<'_, '_, E> {
    fn drop(&mut self) {
        for record in self.records.table.iter_mut().take(self.records.unused as usize) {
            *record = Record::new();
        }
    }
}
