//! A whole server in memory, to test a handler.

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::AtomicBool;
use core::time::Duration;

use super::{Client, ClientRecv, Sim};
use crate::budget::buffers_for;
use crate::defer::{DeferCell, DeferToken, Deferrals};
use crate::engine::{Engine, Listener, Record, SlotNode, Storage};
use crate::handler::Handler;
use crate::limits::Limits;
use crate::pool::{BufferPool, Entry};
use crate::preamble::Preamble;
use crate::reactor::{IoHandle, Reactor};
use crate::run::turn_within;
use crate::stop::StopFlag;

/// The number of connections of a [`with_server`].
const CONNECTIONS: usize = 64;
/// The window of one direction of a connection, in bytes.
const WINDOW: usize = 64 * 1024;
/// The most turns of one [`SimServer::settle`].
const TURNS_MAX: usize = 100_000;

/// A server with a handler, and its clients, all in the memory of a test: see the [module](super).
pub struct SimServer<'s, 'p, H: Handler> {
    engine: Engine<'s, 'p, H>,
    sim: Sim<'p>,
    listener: IoHandle,
    stop: StopFlag,
    deferrals: Deferrals<'s>,
}

/// Runs `test` against a server with `handler`, with room for 64 connections at a time, and tears it down afterwards.
///
/// # Panics
/// If the server leaks a buffer or breaks the contract of the [reactor](crate::reactor), which is a bug of this crate.
pub fn with_server<H: Handler, R>(handler: H, limits: Limits, test: impl FnOnce(&mut SimServer<'_, '_, H>) -> R) -> R {
    let counts = buffers_for(CONNECTIONS);
    let mut memory = vec![0; counts.slab_bytes() + 63];
    let mut table: Vec<_> = (0..counts.total()).map(|_| None).collect();
    let mut slots: Vec<_> = (0..CONNECTIONS).map(|_| Entry::new()).collect();
    let mut records: Vec<_> = (0..CONNECTIONS).map(|_| Record::new()).collect();
    let mut nodes = vec![SlotNode::new(); CONNECTIONS];
    let mut listener = [Listener::new()];
    let mut loans: Vec<_> = (0..8).map(|_| None).collect();
    let cells: Vec<_> = (0..CONNECTIONS).map(|_| DeferCell::new()).collect();
    let mut scratch = vec![0; 4096];
    let bell = AtomicBool::new(false);
    let mut pool = BufferPool::new(&mut table, counts).expect("the table has an entry for each buffer");
    pool.carve(&mut memory).expect("the memory has room for all buffers");
    let deferrals = Deferrals::new(0, &cells, &bell);
    let storage = Storage {
        slots: &mut slots,
        records: &mut records,
        nodes: &mut nodes,
        listeners: &mut listener,
        loans: &mut loans,
        deferrals,
        scratch: &mut scratch,
    };
    let preamble = Preamble::new("").expect("an empty server name is valid");
    let engine = Engine::new(storage, pool, handler, limits, preamble).expect("the storage is large enough");
    // Clients may keep their end of a connection open longer than the server.
    let mut server = SimServer::over(engine, Sim::new(4 * CONNECTIONS, WINDOW), deferrals);
    let result = test(&mut server);
    server.finish();
    result
}

impl<'s, 'p, H: Handler> SimServer<'s, 'p, H> {
    /// A server over the test's own engine and network. Opens a listener on the network.
    ///
    /// # Panics
    /// If the network has no free socket for it.
    pub fn over(mut engine: Engine<'s, 'p, H>, mut sim: Sim<'p>, deferrals: Deferrals<'s>) -> Self {
        let listener = sim.listen().expect("a socket for the listener");
        engine.listen(listener).expect("the first listener");
        Self { engine, sim, listener, stop: StopFlag::new(), deferrals }
    }

    /// Connects a client.
    ///
    /// # Panics
    /// If all sockets are in use: clients use theirs until they [close](super::Network::client_close).
    pub fn connect(&mut self) -> Client {
        self.sim.connect(self.listener).expect("a socket for the client")
    }

    /// Sends all of `bytes`, and turns until the server has handled them, without time passing.
    ///
    /// # Panics
    /// If the server does not take all of them, because it no longer reads, or because time has to pass first.
    pub fn send(&mut self, client: Client, bytes: &[u8]) {
        let mut sent = 0;
        loop {
            let count = self.sim.client_send(client, &bytes[sent..]);
            sent += count;
            self.settle();
            if sent == bytes.len() {
                return;
            }
            assert!(count > 0, "the server took only {sent} of {} bytes", bytes.len());
        }
    }

    /// Everything that the client receives without time passing, except bytes that a reset has destroyed.
    pub fn receive(&mut self, client: Client) -> Vec<u8> {
        let mut received = Vec::new();
        let mut part = vec![0; WINDOW];
        loop {
            self.settle();
            let ClientRecv::Bytes(count) = self.sim.client_recv(client, &mut part) else { return received };
            received.extend_from_slice(&part[..count]);
        }
    }

    /// Whether the client has received everything, and then a FIN or a reset.
    pub fn has_ended(&mut self, client: Client) -> bool {
        self.settle();
        matches!(self.sim.client_recv(client, &mut []), ClientRecv::Fin | ClientRecv::Reset)
    }

    /// Resolves a deferred answer, as another thread would. `false` if the token is stale.
    pub fn resolve(&mut self, token: DeferToken) -> bool {
        let resolved = self.deferrals.resolve(token);
        self.settle();
        resolved
    }

    /// Lets time pass, in steps that end at each deadline.
    pub fn pass_ms(&mut self, milliseconds: u32) {
        let end = self.sim.now().plus_ms(milliseconds);
        loop {
            self.settle();
            let left = self.sim.now().until(end);
            if left.is_zero() {
                return;
            }
            // A turn moves the clock no further than to the next deadline.
            turn_within(&mut self.engine, &mut self.sim, &self.stop, Some(left)).expect("a simulated wait");
        }
    }

    /// Turns until nothing more can happen without time passing.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            turn_within(&mut self.engine, &mut self.sim, &self.stop, Some(Duration::ZERO)).expect("a simulated wait");
            let due = self.engine.poll_timeout().is_some_and(|at| at <= self.sim.now());
            if !due && !self.sim.is_readable() {
                return;
            }
        }
    }

    /// The handler.
    pub const fn handler(&mut self) -> &mut H {
        self.engine.handler_mut()
    }

    /// The engine.
    pub const fn engine(&mut self) -> &mut Engine<'s, 'p, H> {
        &mut self.engine
    }

    /// The network and its reactor.
    pub const fn sim(&mut self) -> &mut Sim<'p> {
        &mut self.sim
    }

    /// The flag that tells the server to stop.
    pub const fn stop(&self) -> &StopFlag {
        &self.stop
    }

    /// Stops the server, and checks that nothing has leaked.
    fn finish(&mut self) {
        // Without a stop, connections end with the engine, which returns what they hold.
        if !H::NEEDS.stop {
            return;
        }
        self.stop.abort();
        while !self.engine.is_drained() {
            turn_within(&mut self.engine, &mut self.sim, &self.stop, Some(Duration::ZERO)).expect("a simulated wait");
            self.engine.close_detached(self.sim.now());
        }
        while let Some(buf) = self.sim.reclaim() {
            self.engine.handle_reclaimed(buf);
        }
        assert_eq!(self.engine.pool().in_use(), 0, "every buffer must come back");
        assert_eq!(self.sim.open_handles(), 0, "every socket must be closed");
        assert_eq!(self.sim.refusals(), 0, "the contract must be kept");
    }
}
