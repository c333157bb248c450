//! An engine on the simulator: clients controlled by the test, virtual time, and checks that nothing leaks.

use aurora_http_core::defer::{DeferCell, DeferToken, Deferrals};
use aurora_http_core::engine::{Engine, Listener, Record, SlotNode, Storage};
use aurora_http_core::handler::Handler;
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{BufferPool, ClassCounts, Entry};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::reactor::{IoHandle, Reactor};
use aurora_http_core::run::turn_within;
use aurora_http_core::sim::{Client, ClientRecv, Sim};
use aurora_http_core::stop::StopFlag;
use std::time::Duration;

/// How many listeners the engine has room for.
pub(crate) const LISTENERS: usize = 3;

pub(crate) struct World<H: Handler + 'static> {
    pub(crate) engine: Engine<'static, 'static, H>,
    pub(crate) sim: Sim<'static>,
    pub(crate) listener: IoHandle,
    pub(crate) stop: StopFlag,
    pub(crate) deferrals: Deferrals<'static>,
}

fn leak<T>(count: usize, make: impl FnMut() -> T) -> &'static mut [T] {
    std::iter::repeat_with(make).take(count).collect::<Vec<_>>().leak()
}

impl<H: Handler + 'static> World<H> {
    pub(crate) fn new(connections: usize, counts: ClassCounts, limits: Limits, handler: H) -> Self {
        Self::over(Sim::new(64, 4_096), connections, counts, limits, handler)
    }

    pub(crate) fn over(
        mut sim: Sim<'static>,
        connections: usize,
        counts: ClassCounts,
        limits: Limits,
        handler: H,
    ) -> Self {
        let mut pool = BufferPool::new(leak(counts.total(), || None), counts).unwrap();
        pool.carve(vec![0; counts.slab_bytes() + 63].leak()).unwrap();
        let deferrals = Deferrals::new(0, leak(connections, DeferCell::new), Box::leak(Box::default()));
        let storage = Storage {
            slots: leak(connections, Entry::new),
            records: leak(connections, Record::new),
            nodes: leak(connections, SlotNode::new),
            listeners: leak(LISTENERS, Listener::new),
            loans: leak(8, || None),
            deferrals,
            scratch: vec![0; 1024].leak(),
        };
        let mut engine = Engine::new(storage, pool, handler, limits, Preamble::new("").unwrap()).unwrap();
        let listener = sim.listen().unwrap();
        engine.listen(listener).unwrap();
        Self { engine, sim, listener, stop: StopFlag::new(), deferrals }
    }

    /// One turn in which no time passes.
    pub(crate) fn turn(&mut self) {
        turn_within(&mut self.engine, &mut self.sim, &self.stop, Some(Duration::ZERO)).unwrap();
    }

    /// Takes turns until a loop would sleep: until no event is there, and the engine asks for no turn without one.
    pub(crate) fn settle(&mut self) {
        for _ in 0..2_000 {
            self.turn();
            let is_due = self.engine.poll_timeout().is_some_and(|at| at <= self.sim.now());
            if !is_due && !self.sim.is_readable() {
                return;
            }
        }
        panic!("the loop does not come to rest: {:?}", self.engine.poll_timeout());
    }

    /// Lets time pass in small steps.
    pub(crate) fn pass(&mut self, ms: u32) {
        let mut left = ms;
        while left > 0 {
            let step = left.min(50);
            self.sim.advance_ms(step);
            self.settle();
            left -= step;
        }
    }

    /// Adds another listener.
    pub(crate) fn listen(&mut self) -> IoHandle {
        let listener = self.sim.listen().expect("sockets are left");
        self.engine.listen(listener).expect("listeners are left");
        listener
    }

    pub(crate) fn connect(&mut self) -> Client {
        self.sim.connect(self.listener).expect("sockets are left")
    }

    /// A new connection that has sent `bytes`.
    pub(crate) fn connect_and_send(&mut self, bytes: &[u8]) -> Client {
        let client = self.connect();
        self.send(client, bytes);
        client
    }

    pub(crate) fn send(&mut self, client: Client, bytes: &[u8]) {
        assert_eq!(self.sim.client_send(client, bytes), bytes.len());
        self.settle();
    }

    /// What has arrived at a client, and whether the connection has ended.
    pub(crate) fn recv(&mut self, client: Client) -> (String, bool) {
        self.settle();
        let mut all = Vec::new();
        loop {
            let mut bytes = [0; 4096];
            match self.sim.client_recv(client, &mut bytes) {
                ClientRecv::Bytes(count) => all.extend_from_slice(&bytes[..count]),
                ClientRecv::Nothing => {
                    let before = all.len();
                    self.settle();
                    match self.sim.client_recv(client, &mut bytes) {
                        ClientRecv::Bytes(count) => all.extend_from_slice(&bytes[..count]),
                        ClientRecv::Nothing if all.len() == before => break (String::from_utf8(all).unwrap(), false),
                        ClientRecv::Nothing => {}
                        ClientRecv::Fin => break (String::from_utf8(all).unwrap(), true),
                        ClientRecv::Reset => panic!("reset after {:?}", String::from_utf8_lossy(&all)),
                    }
                }
                ClientRecv::Fin => break (String::from_utf8(all).unwrap(), true),
                ClientRecv::Reset => panic!("reset after {:?}", String::from_utf8_lossy(&all)),
            }
        }
    }

    /// Resolves a token, as another thread would.
    pub(crate) fn resolve(&mut self, token: DeferToken) -> bool {
        self.deferrals.resolve(token)
    }

    /// Stops, and checks that nothing has leaked.
    pub(crate) fn finish(mut self) {
        self.stop.abort();
        for _ in 0..100 {
            self.turn();
        }
        assert!(self.engine.is_drained());
        while let Some(buf) = self.sim.reclaim() {
            self.engine.handle_reclaimed(buf);
        }
        assert_eq!(self.engine.pool().in_use(), 0, "{:?}", self.engine.pool());
        assert_eq!(self.sim.open_handles(), 0);
        assert_eq!(self.sim.refusals(), 0, "the contract was kept");
        assert_eq!(self.engine.counters().active, 0);
    }
}
