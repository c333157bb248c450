//! The memory of a server in one declaration, for programs that know its size at compile time.
//!
//! Everything in it is zeros at first, so a `static` of it takes no flash, and is not moved over the stack.
//!
//! # In place
//! Such a `static` has to be given out as `&'static mut`, once: by a `StaticCell`, or by the `Once` of
//! `examples/bare-metal-device/src/board/once.rs`, which is short enough to be copied. The server itself,
//! an [`Engine`](crate::engine::Engine) or a [`Solo`](crate::adapter), is not zeros. The `Late` of the same file is a `static`
//! that is filled when the program starts, by a function that is not inlined: then neither the server nor what making it takes
//! is on the stack of the program's loop.

use crate::budget::handles_max;
use crate::defer::Deferrals;
use crate::engine::{Listener, Records, Slot, SlotNode, Storage};
use crate::pool::{Buf, BufferPool, Buffers, ClassCounts, ClassSizes, Slots};
use crate::readiness::{Held, Parked};

/// `COUNT` buffers of `LEN` bytes and the table of a pool of them: all that a [`Solo`](crate::adapter) needs.
///
/// ```
/// use aurora_http_core::pool::Class;
/// use aurora_http_core::tables::PoolTables;
///
/// let mut memory = PoolTables::<3, 1024>::new();
/// let pool = memory.pool();
/// assert_eq!(pool.available(Class::Tiny), 3);
/// ```
pub struct PoolTables<'p, const COUNT: usize, const LEN: usize> {
    bytes: Buffers<COUNT, LEN>,
    table: [Option<&'p mut [u8]>; COUNT],
}

impl<'p, const COUNT: usize, const LEN: usize> PoolTables<'p, COUNT, LEN> {
    /// Memory that nothing uses yet. `LEN` must be a length that [`Buffers`] can have, or it does not compile.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Buffers::new(), table: [const { None }; COUNT] }
    }

    /// The pool. It has all buffers.
    pub fn pool(&'p mut self) -> BufferPool<'p, 'p> {
        pool_of(&mut self.bytes, &mut self.table)
    }
}

fn pool_of<'p, const COUNT: usize, const LEN: usize>(
    bytes: &'p mut Buffers<COUNT, LEN>,
    table: &'p mut [Option<&'p mut [u8]>; COUNT],
) -> BufferPool<'p, 'p> {
    let counts = const {
        match ClassSizes::with(LEN) {
            Some(sizes) => match sizes.class_of(LEN) {
                Some(class) => ClassCounts::NONE.sized(sizes).with(class, COUNT as u32),
                None => ClassCounts::NONE,
            },
            None => ClassCounts::NONE,
        }
    };
    // Neither can fail: table and bytes have the length that the counts say.
    let mut pool = BufferPool::new(table, counts).unwrap_or_else(|_| BufferPool::empty());
    let added = pool.add_buffers(bytes);
    debug_assert!(added.is_ok(), "the pool must have room for its buffers");
    pool
}

impl<const COUNT: usize, const LEN: usize> Default for PoolTables<'_, COUNT, LEN> {
    fn default() -> Self {
        Self::new()
    }
}

/// The tables and buffers of an [`Engine`](crate::engine::Engine) over a [`Readiness`](crate::readiness::Readiness), for a handler
/// that keeps an `E` per exchange: so many connections, buffers of `LEN` bytes, handles of the network stack, and listeners: one,
/// unless the last parameter says otherwise.
/// [`budget`](crate::budget) says how many buffers and handles that takes.
///
/// ```
/// use aurora_http_core::budget::{buffers_for_few, handles_max};
/// use aurora_http_core::engine::Engine;
/// use aurora_http_core::handler::handler_fn;
/// use aurora_http_core::limits::Limits;
/// use aurora_http_core::preamble::Preamble;
/// use aurora_http_core::tables::Tables;
///
/// const CONNECTIONS: usize = 4;
/// const BUFFERS: usize = buffers_for_few(CONNECTIONS).total();
/// const HANDLES: usize = handles_max(CONNECTIONS, 1);
/// type Memory = Tables<'static, core::convert::Infallible, CONNECTIONS, BUFFERS, HANDLES, 1024>;
/// const _: () = assert!(size_of::<Memory>() < 11 * 1024 + 512);
///
/// // On a device: `static MEMORY: StaticCell<Memory> = …`, or whatever gives out a `static` once.
/// let memory: &'static mut Memory = Box::leak(Box::new(Memory::new()));
/// let parts = memory.split();
/// let handler = handler_fn(|_request, response| response.body("21.5 C\n"));
/// let engine = Engine::new(parts.storage, parts.pool, handler, Limits::small_device(), Preamble::new("")?)?;
/// // parts.parked, parts.held and parts.lent are for `Readiness::new`.
/// # let _ = engine;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tables<
    'p,
    E,
    const CONNECTIONS: usize,
    const BUFFERS: usize,
    const HANDLES: usize,
    const LEN: usize,
    const LISTENERS: usize = 1,
> {
    // Not a `PoolTables`, which would end at a multiple of 64 bytes on its own.
    bytes: Buffers<BUFFERS, LEN>,
    table: [Option<&'p mut [u8]>; BUFFERS],
    slots: Slots<Slot<'p, E>, CONNECTIONS>,
    records: Records<'p, E, CONNECTIONS>,
    nodes: [SlotNode; CONNECTIONS],
    listeners: [Listener; LISTENERS],
    parked: [Parked; HANDLES],
    held: [Held<'p>; CONNECTIONS],
    lent: [Option<Buf<'p>>; CONNECTIONS],
}

/// What an engine and its reactor are made of: see [`Tables::split`].
pub struct Parts<'p, E> {
    /// For [`Engine::new`](crate::engine::Engine::new). It has no loans, cells for deferred answers, and scratch memory, and
    /// as many listeners as the tables; a program that needs other ones puts its own here.
    pub storage: Storage<'p, 'p, E>,
    /// For [`Engine::new`](crate::engine::Engine::new).
    pub pool: BufferPool<'p, 'p>,
    /// For [`Readiness::new`](crate::readiness::Readiness::new).
    pub parked: &'p mut [Parked],
    /// For [`Readiness::new`](crate::readiness::Readiness::new).
    pub held: &'p mut [Held<'p>],
    /// For [`Readiness::new`](crate::readiness::Readiness::new).
    pub lent: &'p mut [Option<Buf<'p>>],
}

impl<
    'p,
    E,
    const CONNECTIONS: usize,
    const BUFFERS: usize,
    const HANDLES: usize,
    const LEN: usize,
    const LISTENERS: usize,
> Tables<'p, E, CONNECTIONS, BUFFERS, HANDLES, LEN, LISTENERS>
{
    const HANDLES_SUFFICE: () =
        assert!(HANDLES >= handles_max(CONNECTIONS, LISTENERS), "listeners and a newcomer need a handle each");

    /// Memory that nothing uses yet. `LEN` must be a length that [`Buffers`] can have, and there must be a handle for each connection,
    /// each listener and a newcomer, or it does not compile.
    #[must_use]
    pub const fn new() -> Self {
        let () = Self::HANDLES_SUFFICE;
        Self {
            bytes: Buffers::new(),
            table: [const { None }; BUFFERS],
            slots: Slots::new(),
            records: Records::new(),
            nodes: [const { SlotNode::new() }; CONNECTIONS],
            listeners: [const { Listener::new() }; LISTENERS],
            parked: [const { Parked::new() }; HANDLES],
            held: [const { Held::new() }; CONNECTIONS],
            lent: [const { None }; CONNECTIONS],
        }
    }

    /// Gives out everything.
    pub fn split(&'p mut self) -> Parts<'p, E> {
        let Self { bytes, table, slots, records, nodes, listeners, parked, held, lent } = self;
        let storage = Storage {
            slots: slots.entries(),
            records: records.records(),
            nodes,
            listeners,
            loans: &mut [],
            deferrals: Deferrals::NONE,
            scratch: &mut [],
        };
        Parts { storage, pool: pool_of(bytes, table), parked, held, lent }
    }
}

impl<E, const CONNECTIONS: usize, const BUFFERS: usize, const HANDLES: usize, const LEN: usize, const LISTENERS: usize>
    Default for Tables<'_, E, CONNECTIONS, BUFFERS, HANDLES, LEN, LISTENERS>
{
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Tables;
    use crate::budget::{Budget, buffers_for_few, handles_max};

    /// The tables for so many connections, and the memory that the budget says they take.
    macro_rules! sizes {
        ($($connections:literal)*) => {
            [$({
                const BUFFERS: usize = buffers_for_few($connections).total();
                const HANDLES: usize = handles_max($connections, 1);
                const BUDGET: Budget = Budget {
                    connections: $connections,
                    listeners: 1,
                    buffers: buffers_for_few($connections),
                    loans: 0,
                    lent: $connections,
                    scratch_bytes: 0,
                };
                const MEMORY: usize = BUDGET.memory::<u32>(0).total();
                ($connections, size_of::<Tables<'static, u32, $connections, BUFFERS, HANDLES, 1024>>(), MEMORY)
            },)*]
        };
    }

    #[test]
    fn a_budget_says_how_long_the_tables_are() {
        for (connections, size, budget) in sizes!(1 2 3 4 5 8 16 31 32 48 63 64) {
            // The budget has cells for deferred answers, which these tables do not; and they end at a multiple of 64 bytes.
            let cells = connections * size_of::<crate::defer::DeferCell>();
            assert!((budget - cells..budget - cells + 64).contains(&size), "{connections}: {size} {budget}");
        }
    }

    #[test]
    fn there_may_be_several_listeners() {
        let mut memory = Tables::<u32, 4, 9, { handles_max(4, 3) }, 1024, 3>::new();
        assert_eq!(memory.split().storage.listeners.len(), 3);
    }

    #[cfg(feature = "sim")]
    #[test]
    fn an_engine_on_tables_serves_all_its_connections_at_once() {
        use std::boxed::Box;
        use std::string::String;

        use super::Parts;
        use crate::defer::Deferrals;
        use crate::engine::Engine;
        use crate::handler::handler_fn;
        use crate::limits::Limits;
        use crate::pool::Class;
        use crate::preamble::Preamble;
        use crate::request::Request;
        use crate::sim::{Sim, SimServer};
        use crate::writer::ResponseWriter;

        const CONNECTIONS: usize = 4;
        type Memory = Tables<'static, core::convert::Infallible, CONNECTIONS, 9, 6, 1024>;
        let memory: &'static mut Memory = Box::leak(Box::new(Tables::new()));
        let Parts { storage, pool, parked, held, lent } = memory.split();
        assert_eq!((storage.slots.len(), storage.nodes.len(), parked.len(), held.len(), lent.len()), (4, 4, 6, 4, 4));
        assert_eq!((pool.available(Class::Tiny), pool.capacity(Class::Small)), (9, 0));
        let hello = |_: &Request<'_>, response: &mut ResponseWriter<'_>| response.body("hello");
        let preamble = Preamble::new("").unwrap();
        let engine = Engine::new(storage, pool, handler_fn(hello), Limits::small_device(), preamble).unwrap();
        let mut server = SimServer::over(engine, Sim::new(32, 4_096), Deferrals::NONE);
        let clients = [(); CONNECTIONS].map(|()| server.connect());
        for half in ["GET / HTTP/1.1\r\nHo", "st: a\r\n\r\n"] {
            for client in clients {
                server.send(client, half.as_bytes());
            }
        }
        for client in clients {
            let output = String::from_utf8(server.receive(client)).unwrap();
            assert_eq!(output, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
        assert_eq!(server.engine().counters().requests, 4);
    }
}
