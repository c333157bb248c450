//! The memory of an engine: allocated before its first connection, and never afterwards.

use std::fmt;
use std::sync::Arc;

use aurora_http_core::engine::{Engine, Listener, Record, Slot, SlotNode, Storage};
use aurora_http_core::handler::Handler;
use aurora_http_core::pool::{Buf, BufferPool, Entry};
use aurora_http_core::reactor::Wake;
use aurora_http_system::zeroed_table;

use super::config::Config;
use super::error::ServerError;
use super::resumer::Resumer;
use super::shared::Shared;
use super::stash::{self, Unfilled};
use super::table::{TooLittle, table};
use super::tally::SharedCounters;

/// The memory of an [`Engine`] that a program drives itself, over a [`Reactor`](crate::core::reactor::Reactor) of its own or in
/// a loop of its own: slots, records, list nodes, room for eight listeners, buffers, cells for deferred answers, scratch.
///
/// ```
/// use aurora_http::core::reactor::{IoError, IoHandle, Reactor};
/// use aurora_http::core::run::run;
/// use aurora_http::{HeapStorage, ServerError, StopFlag, handler_fn};
///
/// /// Serves on a listener of this reactor until `stop` says otherwise.
/// fn serve(
///     reactor: &mut impl Reactor<'static>,
///     listener: IoHandle,
///     stop: &StopFlag,
/// ) -> Result<Result<(), IoError>, ServerError> {
///     let mut storage = HeapStorage::new(64)?;
///     let mut engine = storage.engine(handler_fn(|_request, response| response.body("hello")))?;
///     engine.listen(listener).expect("there is room for eight listeners");
///     Ok(run(&mut engine, reactor, stop))
/// }
/// # use aurora_http::core::sim::Sim;
/// # let mut sim = Sim::new(8, 1024);
/// # let (listener, stop) = (sim.listen().unwrap(), StopFlag::new());
/// # stop.abort();
/// # serve(&mut sim, listener, &stop).unwrap().unwrap();
/// ```
///
/// Dropping it gives the buffers to the next server of this process; see [`buffer_memory`](super::buffer_memory).
pub struct HeapStorage<E> {
    pub(super) config: Config,
    slots: Vec<Entry<Slot<'static, E>>>,
    /// The system provides the memory of each one when it is first used.
    records: Vec<Record<'static, E>>,
    nodes: Vec<SlotNode>,
    listeners: Vec<Listener>,
    loans: Vec<Option<Buf<'static>>>,
    /// The memory of the free buffers.
    free: Vec<Option<&'static mut [u8]>>,
    scratch: Vec<u8>,
    pub(super) seat: Seat,
}

/// How many listeners there is room for, unless the program says otherwise.
const LISTENERS: usize = 8;

/// A worker's place among the workers of its server.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) shared: Arc<Shared>,
    pub(super) worker: usize,
}

impl Seat {
    /// The seat of a server's only worker.
    pub(super) fn single(shared: Arc<Shared>) -> Self {
        shared.begin(1, Vec::new());
        Self { shared, worker: 0 }
    }

    pub(super) fn counters(&self) -> &Arc<SharedCounters> {
        &self.shared.counters()[self.worker]
    }
}

impl<E> HeapStorage<E> {
    /// For this many connections, with [`Limits::default`](crate::Limits::default) and as many buffers as
    /// [`buffers_for`](crate::core::budget::buffers_for) says. For other values, use
    /// [`Server::engine_storage`](crate::Server::engine_storage).
    ///
    /// # Errors
    /// [`ServerError::Setting`] for an invalid number of connections, [`ServerError::Memory`] when the system has too little
    /// memory.
    pub fn new(connections: usize) -> Result<Self, ServerError> {
        Self::configured(Config { connections, ..Config::new(Vec::new()) }, Seat::single(Shared::new()))
    }

    /// For a configuration that has not been validated yet.
    pub(super) fn configured(config: Config, seat: Seat) -> Result<Self, ServerError> {
        let config = Config { workers: 1, ..config };
        config.validate_engine()?;
        let refused = too_much::<E>(&config);
        let listeners = config.listeners.len().max(LISTENERS);
        Self::make(config, seat, listeners).map_err(|_| refused)
    }

    /// For a configuration that has been validated.
    pub(super) fn make(config: Config, seat: Seat, listeners: usize) -> Result<Self, TooLittle> {
        let budget = config.budget();
        let connections = budget.connections;
        seat.shared.board.set_up(seat.worker, connections)?;
        Ok(Self {
            slots: table(connections, Entry::new)?,
            records: zeroed_table(connections).ok_or(TooLittle)?,
            nodes: table(connections, SlotNode::new)?,
            listeners: table(listeners, Listener::new)?,
            loans: table(budget.loans, || None)?,
            free: table(budget.buffers.total(), || None)?,
            scratch: table(budget.scratch_bytes, || 0)?,
            config,
            seat,
        })
    }

    /// Makes room for this many listeners of an engine, in place of eight.
    ///
    /// # Errors
    /// [`ServerError::Memory`] when the system has too little memory.
    pub fn listeners(mut self, listeners: usize) -> Result<Self, ServerError> {
        self.listeners = table(listeners, Listener::new).map_err(|_| too_much::<E>(&self.config))?;
        Ok(self)
    }

    /// Makes an engine on this memory. Tokens from an earlier engine become stale.
    ///
    /// # Errors
    /// [`ServerError::Memory`] when the system has too little memory for the buffers.
    pub fn engine<H: Handler<Exchange = E>>(&mut self, handler: H) -> Result<Engine<'_, 'static, H>, ServerError> {
        self.engine_or(handler, |config| too_much::<E>(config))
    }

    /// As [`engine`](Self::engine), with the caller's error for too little memory.
    pub(super) fn engine_or<H: Handler<Exchange = E>>(
        &mut self,
        handler: H,
        too_much: impl Fn(&Config) -> ServerError,
    ) -> Result<Engine<'_, 'static, H>, ServerError> {
        self.reclaim();
        let deferrals = self.seat.shared.board.deferrals(self.seat.worker);
        deferrals.reset();
        let config = &self.config;
        let counts = config.class_counts();
        let misfit =
            |error: &dyn fmt::Display| ServerError::setting("buffers", format!("{counts:?}"), error.to_string());
        let mut pool = BufferPool::new(&mut self.free, counts).map_err(|error| misfit(&error))?;
        stash::fill(&mut pool, counts).map_err(|error| match error {
            Unfilled::Memory => too_much(config),
            Unfilled::Misfit(error) => misfit(&error),
        })?;
        let storage = Storage {
            slots: &mut self.slots,
            records: &mut self.records,
            nodes: &mut self.nodes,
            listeners: &mut self.listeners,
            loans: &mut self.loans,
            deferrals,
            scratch: &mut self.scratch,
        };
        Engine::new(storage, pool, handler, config.limits, config.preamble()?).map_err(|error| misfit(&error))
    }

    /// Resolves tokens of deferred answers, including those of later engines on this storage.
    #[must_use]
    pub fn resumer(&self) -> Resumer {
        self.seat.shared.board.resumer()
    }

    /// Sets what a resolved token wakes from now on: the reactor that drives the engine.
    pub fn wake_by(&self, waker: impl Wake + 'static) {
        self.seat.shared.board.set_waker(self.seat.worker, Some(Box::new(waker)));
    }

    /// Keeps buffers that no connection holds any more for the next server of this process.
    pub(super) fn reclaim(&mut self) {
        let free = self.free.iter_mut().filter_map(Option::take).map(Buf::new);
        stash::put(free.chain(self.loans.iter_mut().filter_map(Option::take)));
    }
}

impl<E> Drop for HeapStorage<E> {
    fn drop(&mut self) {
        self.reclaim();
        // Resolvers outlive this; their tokens become stale.
        self.seat.shared.board.deferrals(self.seat.worker).reset();
        self.seat.shared.board.set_waker(self.seat.worker, None);
    }
}

impl<E> fmt::Debug for HeapStorage<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapStorage").field("connections", &self.slots.len()).finish_non_exhaustive()
    }
}

fn too_much<E>(config: &Config) -> ServerError {
    let Config { connections, workers, .. } = *config;
    ServerError::Memory { connections, workers, needed: config.budget().memory::<E>(0).total() }
}
