//! An engine with memory for its connections, and [`Clients`] below it.

use std::time::Duration;

use aurora_http_core::budget::{buffers_for, handles_max, held_max};
use aurora_http_core::defer::Deferrals;
use aurora_http_core::engine::{Engine, LENT_MAX, Listener, Record, SlotNode, Storage};
use aurora_http_core::handler::Handler;
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{BufferPool, Entry};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::reactor::Reactor;
use aurora_http_core::readiness::{Held, Parked, Readiness};
use aurora_http_core::run::turn_within;
use aurora_http_core::stop::StopFlag;

use crate::clients::{Clients, LISTENER, Script};

/// Memory for as long as the program runs.
pub(crate) fn leak<T>(count: usize, make: impl FnMut() -> T) -> &'static mut [T] {
    std::iter::repeat_with(make).take(count).collect::<Vec<_>>().leak()
}

/// An engine for this many connections, none of which is limited in its number of requests.
pub(crate) fn engine<H: Handler + 'static>(handler: H, connections: usize) -> Engine<'static, 'static, H> {
    let counts = buffers_for(connections);
    let mut pool = BufferPool::new(leak(counts.total(), || None), counts).expect("the table is long enough");
    pool.carve(vec![0; counts.slab_bytes() + 63].leak()).expect("the slab is long enough");
    let storage = Storage {
        slots: leak(connections, Entry::new),
        records: leak(connections, Record::new),
        nodes: leak(connections, SlotNode::new),
        listeners: leak(1, Listener::new),
        loans: leak(8, || None),
        deferrals: Deferrals::NONE,
        scratch: vec![0; 4096].leak(),
    };
    let limits = Limits { requests_per_connection_max: None, ..Limits::default() };
    let preamble = Preamble::new("aurora").expect("a short name");
    Engine::new(storage, pool, handler, limits, preamble).expect("the storage is complete")
}

/// A server and its clients.
pub(crate) struct World<H: Handler + 'static> {
    engine: Engine<'static, 'static, H>,
    reactor: Readiness<'static, 'static, Clients>,
    stop: StopFlag,
}

impl<H: Handler + 'static> World<H> {
    pub(crate) fn new(handler: H, connections: usize, script: Script) -> Self {
        let mut engine = engine(handler, connections);
        engine.listen(LISTENER).expect("the first listener");
        let clients = Clients::new(script, connections);
        let parked = leak(handles_max(connections, 1), Parked::new);
        let held = leak(held_max(connections, buffers_for(connections)), Held::new);
        let reactor = Readiness::new(clients, parked, held, leak(LENT_MAX, || None));
        Self { engine, reactor, stop: StopFlag::new() }
    }

    pub(crate) fn clients(&mut self) -> &mut Clients {
        self.reactor.get_mut()
    }

    /// One turn of the loop.
    pub(crate) fn turn(&mut self) {
        turn_within(&mut self.engine, &mut self.reactor, &self.stop, Some(Duration::ZERO)).expect("it never fails");
    }

    /// Turns until nothing is left to do, and returns the number of bytes that the clients received, and of connections that were
    /// closed.
    pub(crate) fn settle(&mut self) -> (usize, usize) {
        let before = (self.clients().received, self.clients().closed);
        loop {
            self.turn();
            if !self.reactor.has_work() && !self.reactor.get_ref().has_news() && !self.is_due() {
                return (self.clients().received - before.0, self.clients().closed - before.1);
            }
        }
    }

    /// Whether the engine wants the next turn at once.
    fn is_due(&self) -> bool {
        self.engine.poll_timeout().is_some_and(|at| at <= self.reactor.now())
    }
}
