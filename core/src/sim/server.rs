//! A whole server in memory, to test a handler.

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::AtomicBool;
use core::time::Duration;

use super::{Client, ClientRecv, Sim};
use crate::budget::buffers_for;
use crate::defer::{DeferCell, DeferToken, Deferrals};
use crate::engine::{Engine, SlotNode, Storage};
use crate::handler::Handler;
use crate::limits::Limits;
use crate::pool::{BufferPool, Entry};
use crate::preamble::Preamble;
use crate::reactor::{IoHandle, Reactor};
use crate::run::turn_within;
use crate::stop::StopFlag;

/// Connections of a [`with_server`].
const CONNECTIONS: usize = 64;
/// Bytes under way in one direction of a connection.
const WINDOW: usize = 64 * 1024;
/// Turns without time passing until everything has happened that can; a turn moves each connection on.
const TURNS_MAX: usize = 100_000;

/// A server with a handler and clients, all in the memory of a test: see the [module](super).
pub struct SimServer<'s, 'p, H: Handler> {
    engine: Engine<'s, 'p, H>,
    sim: Sim<'p>,
    listener: IoHandle,
    stop: StopFlag,
    deferrals: Deferrals<'s>,
}

/// Runs `test` against a server with `handler`, with room for 64 connections at a time. Everything is gone afterwards.
///
/// # Panics
/// When the server leaks a buffer or breaks the contract of the [reactor](crate::reactor): that is a fault of this crate.
pub fn with_server<H: Handler, R>(handler: H, limits: Limits, test: impl FnOnce(&mut SimServer<'_, '_, H>) -> R) -> R {
    let counts = buffers_for(CONNECTIONS);
    let mut memory = vec![0; counts.slab_bytes() + 63];
    let mut table: Vec<_> = (0..counts.total()).map(|_| None).collect();
    let mut slots: Vec<_> = (0..CONNECTIONS).map(|_| Entry::new()).collect();
    let mut nodes = vec![SlotNode::new(); CONNECTIONS];
    let mut loans: Vec<_> = (0..8).map(|_| None).collect();
    let cells: Vec<_> = (0..CONNECTIONS).map(|_| DeferCell::new()).collect();
    let mut scratch = vec![0; 4096];
    let bell = AtomicBool::new(false);
    let mut pool = BufferPool::new(&mut table, counts).expect("the table has room for all");
    pool.carve(&mut memory).expect("the memory is as long as the buffers");
    let deferrals = Deferrals::new(0, &cells, &bell);
    let storage = Storage { slots: &mut slots, nodes: &mut nodes, loans: &mut loans, deferrals, scratch: &mut scratch };
    let preamble = Preamble::new("").expect("a server without a name");
    let engine = Engine::new(storage, pool, handler, limits, preamble).expect("enough of everything");
    // Clients may keep their end of a connection open longer than the server.
    let mut server = SimServer::over(engine, Sim::new(4 * CONNECTIONS, WINDOW), deferrals);
    let result = test(&mut server);
    server.finish();
    result
}

impl<'s, 'p, H: Handler> SimServer<'s, 'p, H> {
    /// Over an engine and a network of the test's own, which gets a listener.
    ///
    /// # Panics
    /// When the network has no socket left for it.
    pub fn over(mut engine: Engine<'s, 'p, H>, mut sim: Sim<'p>, deferrals: Deferrals<'s>) -> Self {
        let listener = sim.listen().expect("a socket is left");
        engine.listen(listener).expect("it is the first");
        Self { engine, sim, listener, stop: StopFlag::new(), deferrals }
    }

    /// Connects a client.
    ///
    /// # Panics
    /// When all sockets are in use: clients use theirs until they [close](super::Network::client_close).
    pub fn connect(&mut self) -> Client {
        self.sim.connect(self.listener).expect("sockets are left")
    }

    /// Sends all of `bytes`, and lets happen what they give rise to without time passing.
    ///
    /// # Panics
    /// When the server does not take them all: it does not read any more, or time has to pass first.
    pub fn send(&mut self, client: Client, bytes: &[u8]) {
        let mut sent = 0;
        loop {
            let count = self.sim.client_send(client, &bytes[sent..]);
            sent += count;
            self.settle();
            if sent == bytes.len() {
                return;
            }
            assert!(count > 0, "{sent} of {} bytes were taken", bytes.len());
        }
    }

    /// All that the client receives without time passing. What was lost by a reset is not there.
    pub fn receive(&mut self, client: Client) -> Vec<u8> {
        let mut received = Vec::new();
        let mut part = vec![0; WINDOW];
        loop {
            self.settle();
            let ClientRecv::Bytes(count) = self.sim.client_recv(client, &mut part) else { return received };
            received.extend_from_slice(&part[..count]);
        }
    }

    /// Whether the server has ended the connection, or it was reset, and everything that came before was received.
    pub fn has_ended(&mut self, client: Client) -> bool {
        self.settle();
        matches!(self.sim.client_recv(client, &mut []), ClientRecv::Fin | ClientRecv::Reset)
    }

    /// Resolves a deferred answer, as another thread would. `false` when the token is stale.
    pub fn resolve(&mut self, token: DeferToken) -> bool {
        let resolved = self.deferrals.resolve(token);
        self.settle();
        resolved
    }

    /// Lets so much time pass, in steps that no deadline is missed by.
    pub fn pass_ms(&mut self, milliseconds: u32) {
        let end = self.sim.now().plus_ms(milliseconds);
        loop {
            self.settle();
            let left = self.sim.now().until(end);
            if left.is_zero() {
                return;
            }
            // No further than to the next deadline.
            turn_within(&mut self.engine, &mut self.sim, &self.stop, Some(left)).expect("a simulated wait");
        }
    }

    /// Turns until everything has happened that can happen without time passing.
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

    /// The network with its reactor.
    pub const fn sim(&mut self) -> &mut Sim<'p> {
        &mut self.sim
    }

    /// What tells the server to stop.
    pub const fn stop(&self) -> &StopFlag {
        &self.stop
    }

    /// Ends everything, and checks that nothing is left of it.
    fn finish(&mut self) {
        self.stop.abort();
        while !self.engine.is_drained() {
            turn_within(&mut self.engine, &mut self.sim, &self.stop, Some(Duration::ZERO)).expect("a simulated wait");
            self.engine.close_detached(self.sim.now());
        }
        while let Some(buf) = self.sim.reclaim() {
            self.engine.handle_reclaimed(buf);
        }
        assert_eq!(self.engine.pool().in_use(), 0, "every buffer comes back");
        assert_eq!(self.sim.open_handles(), 0, "every socket is closed");
        assert_eq!(self.sim.refusals(), 0, "the contract is kept");
    }
}
