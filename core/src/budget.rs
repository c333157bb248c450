//! The sizes of a worker, as closed-form sums: operations in flight, handles, bytes.
//!
//! Everything is allocated before the first accept, so these sums are what a program uses from the start, not an upper
//! bound that it may grow to.

use crate::defer::DeferCell;
use crate::engine::{Listener, Record, Slot, SlotNode};
use crate::pool::{Buf, Class, ClassCounts, Entry};
use crate::readiness::{Held, Parked};
pub use crate::roles::BufferRoles;

/// The most operations, including controls, that one worker can have in flight at once: a kernel's completion queue of
/// this length cannot overflow. `usize::MAX` if it does not fit into a `usize`.
#[must_use]
pub const fn ops_max(connections: usize, listeners: usize) -> usize {
    connections
        .saturating_mul(2) // one receive and one send each; the close follows when both have completed
        .saturating_add(listeners) // one accept each; the close follows when it has completed
        .saturating_add(connections) // one shutdown each, while receive and send are still in flight
        .saturating_add(connections.saturating_mul(2)) // one cancel for each receive and each send
        .saturating_add(listeners) // one cancel for each accept
        .saturating_add(1) // the wake
    // Nothing for the lobby: a connection has no operations before it has a slot.
}

/// The most sockets that one worker has at once: the length of a backend's table. `usize::MAX` if it does not fit.
#[must_use]
pub const fn handles_max(connections: usize, listeners: usize) -> usize {
    connections.saturating_add(listeners).saturating_add(listeners) // the lobby: one connection per listener can wait for a slot
}

/// The most handles that can have operations with buffers at once: the length of a table of
/// [`Held`] that cannot become full. Such a handle belongs to a connection, and its operations own at
/// least one of the buffers.
#[must_use]
pub const fn held_max(connections: usize, buffers: ClassCounts) -> usize {
    let buffers = buffers.total();
    if buffers < connections { buffers } else { connections }
}

/// A sensible number of buffers of each class for this many connections.
///
/// An idle connection holds none, so the numbers depend on how many connections are expected to be busy at once: a
/// quarter of them with a small buffer to receive into and a tiny one for the answer, every sixteenth with a long head
/// or streamed content, and so on. This is 5.25 MiB for 1024 connections, never less than for 64 and never more than
/// for 8192.
#[must_use]
pub const fn buffers_for(connections: usize) -> ClassCounts {
    let busy = match connections {
        0..64 => 64,
        64..8192 => connections as u32,
        _ => 8192,
    };
    let large = if busy / 64 < 4 { 4 } else { busy / 64 };
    let huge = if busy / 128 < 2 { 2 } else { busy / 128 };
    ClassCounts::new([busy / 4, busy / 4, busy / 16, large, huge])
}

/// The fewest buffers with which a device serves this many connections at the same time: for each one to receive into
/// and one to answer from, and one more for content that is collected. All are of the smallest class, 1 KiB unless they are
/// [`sized`](ClassCounts::sized), so heads and collected content cannot be longer than that:
/// [`Limits::within`](crate::limits::Limits::within) makes that a limit.
///
/// A program can check at compile time that everything fits into its memory:
///
/// ```
/// use aurora_http_core::budget::{Budget, buffers_for_few};
///
/// const BUDGET: Budget =
///     Budget { connections: 4, listeners: 1, buffers: buffers_for_few(4), loans: 0, lent: 4, scratch_bytes: 0 };
/// const _: () = assert!(BUDGET.memory::<u32>(64).total() < 12 * 1024);
/// ```
#[must_use]
pub const fn buffers_for_few(connections: usize) -> ClassCounts {
    let count = connections.saturating_mul(2).saturating_add(1);
    ClassCounts::NONE.with(Class::Tiny, if count > u32::MAX as usize { u32::MAX } else { count as u32 })
}

/// The numbers that determine the memory of one worker.
///
/// ```
/// use aurora_http_core::budget::{Budget, buffers_for};
///
/// let budget =
///     Budget { connections: 1024, listeners: 1, buffers: buffers_for(1024), loans: 8, lent: 64, scratch_bytes: 4096 };
/// let memory = budget.memory::<()>(8);
/// assert_eq!(memory.buffers, 5_505_024);
/// assert!(memory.total() < 6 * 1024 * 1024);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    /// Connections, which is the number of slots.
    pub connections: usize,
    /// The number of listeners.
    pub listeners: usize,
    /// Buffers of each class.
    pub buffers: ClassCounts,
    /// Buffers that one call of the handler may borrow.
    pub loans: usize,
    /// Buffers that may be lent to the reactor.
    pub lent: usize,
    /// Scratch memory for one call of the handler, in bytes.
    pub scratch_bytes: usize,
}

/// The memory of one worker, in bytes by purpose.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Memory {
    /// Slots, records, list nodes and cells for deferred answers: all that a connection takes that holds no buffer, except
    /// for its handle. Records that are never used, because fewer connections are busy at the same time, may be memory that
    /// the system has yet to provide.
    pub slots: usize,
    /// The backend's table of handles, including operations parked on them, and the table of the buffers that these hold.
    pub handles: usize,
    /// Tables of listeners, and of free, borrowed and lent buffers.
    pub tables: usize,
    /// The buffers.
    pub buffers: usize,
    /// Scratch memory.
    pub scratch: usize,
}

impl Memory {
    /// The sum.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.slots
            .saturating_add(self.handles)
            .saturating_add(self.tables)
            .saturating_add(self.buffers)
            .saturating_add(self.scratch)
    }
}

impl Budget {
    /// The memory of one worker whose handler keeps an `E` per exchange, with a readiness-based backend that itself
    /// keeps `handle_bytes` bytes per handle.
    #[must_use]
    pub const fn memory<E>(&self, handle_bytes: usize) -> Memory {
        let slot = size_of::<Entry<Slot<'static, E>>>()
            + size_of::<Record<'static, E>>()
            + size_of::<SlotNode>()
            + size_of::<DeferCell>();
        let free = self.buffers.total().saturating_mul(size_of::<Option<&[u8]>>());
        let places = self.loans.saturating_add(self.lent).saturating_mul(size_of::<Option<Buf<'static>>>());
        let listeners = self.listeners.saturating_mul(size_of::<Listener>());
        let handles = handles_max(self.connections, self.listeners);
        let held = held_max(self.connections, self.buffers).saturating_mul(size_of::<Held<'static>>());
        Memory {
            slots: self.connections.saturating_mul(slot),
            handles: handles.saturating_mul(size_of::<Parked>() + handle_bytes).saturating_add(held),
            tables: listeners.saturating_add(free).saturating_add(places),
            buffers: self.buffers.slab_bytes(),
            scratch: self.scratch_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_max_adds_up_the_operations() {
        // The operations of one connection and one listener, by name.
        let connection = ["receive", "send", "shutdown", "cancel receive", "cancel send"].len();
        let listener = ["accept", "cancel accept"].len();
        assert_eq!(ops_max(1, 1), connection + listener + 1);
        assert_eq!(ops_max(1024, 2) - ops_max(1023, 2), connection);
        assert_eq!(ops_max(7, 5) - ops_max(7, 4), listener);
        assert_eq!(ops_max(usize::MAX, 1), usize::MAX);
    }

    #[test]
    fn buffers_grow_with_the_connections_between_two_bounds() {
        let mib = |connections| buffers_for(connections).slab_bytes() as f64 / 1024.0 / 1024.0;
        assert_eq!(mib(1024), 5.25);
        assert_eq!((buffers_for(1), buffers_for(1_000_000)), (buffers_for(64), buffers_for(8192)));
        for connections in [1, 64, 65, 100, 1000, 8192, usize::MAX] {
            for class in Class::ALL {
                assert!(buffers_for(connections).of(class) >= 2, "{connections} {class:?}");
            }
        }
    }

    #[test]
    fn memory_is_linear_in_connections_and_exchanges() {
        let budget = Budget {
            connections: 100,
            listeners: 1,
            buffers: ClassCounts::NONE.with(Class::Small, 3),
            loans: 4,
            lent: 5,
            scratch_bytes: 1000,
        };
        let memory = budget.memory::<()>(8);
        assert_eq!((memory.buffers, memory.scratch), (3 * 4096, 1000));
        let handles = (100 + 1 + 1) * (size_of::<Parked>() + 8);
        assert_eq!(
            memory.handles,
            handles + 3 * size_of::<Held<'static>>(),
            "three buffers can be in operations at once"
        );
        let buffers = 3 * size_of::<&[u8]>() + (4 + 5) * size_of::<Buf<'static>>();
        assert_eq!(memory.tables, size_of::<Listener>() + buffers);
        let twice = Budget { connections: 200, ..budget }.memory::<()>(8);
        assert_eq!((twice.slots, twice.handles - memory.handles), (2 * memory.slots, 100 * (size_of::<Parked>() + 8)));
        let few = Budget { connections: 2, ..budget }.memory::<()>(8);
        assert_eq!(few.handles, 4 * (size_of::<Parked>() + 8) + 2 * size_of::<Held<'static>>());
        assert!(budget.memory::<[u64; 16]>(8).slots >= memory.slots + 100 * 16 * 8);
        let parts = [memory.slots, memory.handles, memory.tables, memory.buffers, memory.scratch];
        assert_eq!(memory.total(), parts.iter().sum());
    }
}
