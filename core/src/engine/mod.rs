//! Many connections: slots, buffers, deadlines, listeners. It asks for operations and is told their outcome; no I/O.

mod drive;
mod listener;

use core::fmt;

use crate::connection::{Connection, Deadline, receive_class};
use crate::counters::Counters;
use crate::deadlines::{DeadlineNode, DeadlineSlots, Deadlines};
use crate::defer::Deferrals;
use crate::fifo::{Fifo, Linked, Links};
use crate::handler::{ConnectionId, Handler};
use crate::limits::{Limits, Overload};
use crate::pool::{Arena, Buf, BufferPool, Class, Entry, ObjectPool};
use crate::preamble::Preamble;
use crate::reactor::{IoHandle, OpToken, Shutdown, Submission};
use crate::stop::Mode;
use crate::time::Instant;
use listener::{Listener, Listening};

/// Most listeners of one engine.
pub const LISTENERS_MAX: usize = 8;

/// How often the wall clock is looked at.
const DATE_INTERVAL_MS: u32 = 250;

/// Most buffers lent to the reactor: it lends fewer while fewer are free.
pub const LENT_MAX: usize = 64;

/// Memory that an engine stands on, provided by the program. Its length sets the number of connections.
pub struct Storage<'s, 'p, E> {
    /// One per connection.
    pub slots: &'s mut [Entry<Slot<'p, E>>],
    /// One per connection.
    pub nodes: &'s mut [SlotNode],
    /// Buffers that one call of the handler may borrow; a handful, at most 128.
    pub loans: &'s mut [Option<Buf<'p>>],
    /// Cells for deferred answers, one per connection; [`Deferrals::NONE`] when no handler defers.
    pub deferrals: Deferrals<'s>,
    /// Scratch memory for one call of the handler; any size.
    pub scratch: &'s mut [u8],
}

/// What an engine keeps per connection.
#[derive(Debug)]
pub struct Slot<'p, E> {
    connection: Connection<'p, E>,
    io: IoHandle,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(
    size_of::<Entry<Slot<'static, [u64; 2]>>>() + size_of::<SlotNode>() <= 256,
    "what an idle connection costs, with sixteen bytes of the handler's"
);

/// A connection's places in the engine's lists; in a table of their own, so that a slot can be used again while a list
/// still names it.
#[derive(Clone, Copy, Debug)]
pub struct SlotNode {
    deadline: DeadlineNode,
    links: Links,
}

impl SlotNode {
    /// In no list.
    #[must_use]
    pub const fn new() -> Self {
        Self { deadline: DeadlineNode::new(), links: Links::new() }
    }
}

impl Default for SlotNode {
    fn default() -> Self {
        Self::new()
    }
}

impl DeadlineSlots for [SlotNode] {
    #[inline]
    fn node(&mut self, index: u32) -> &mut DeadlineNode {
        &mut self[index as usize].deadline
    }
}

impl Linked for [SlotNode] {
    #[inline]
    fn links(&mut self, index: u32) -> Option<&mut Links> {
        self.get_mut(index as usize).map(|node| &mut node.links)
    }
}

/// What the engine wants from the reactor besides lent buffers.
#[derive(Debug)]
pub enum Control<'p> {
    /// Start an operation.
    Submit(Submission<'p>),
    /// End one or both directions of a connection.
    Shutdown {
        /// The connection.
        io: IoHandle,
        /// Which directions.
        how: Shutdown,
    },
    /// Ask for the end of an operation in flight.
    Cancel {
        /// The operation.
        token: OpToken,
        /// Its handle.
        io: IoHandle,
    },
}

/// A connection that left the engine: [`Flow::Detach`](crate::handler::Flow::Detach).
#[derive(Debug)]
pub struct Detached<'p, E> {
    /// Its handle; nothing is in flight on it.
    pub io: IoHandle,
    /// What had arrived behind the request, if anything had; give it back by [`Engine::release`].
    pub leftover: Option<Buf<'p>>,
    /// The handler's state.
    pub state: E,
}

/// N connections in slots, with their buffers and deadlines.
pub struct Engine<'s, 'p, H: Handler> {
    slots: ObjectPool<'s, Slot<'p, H::Exchange>>,
    nodes: &'s mut [SlotNode],
    pool: BufferPool<'s, 'p>,
    loans: &'s mut [Option<Buf<'p>>],
    arena: Arena<'s>,
    handler: H,
    limits: Limits,
    timeouts: [Option<u64>; Deadline::COUNT],
    preamble: Preamble,
    counters: Counters,
    deadlines: Deadlines<{ Deadline::COUNT }>,
    /// Slots that want something which no completion brings along.
    ready: Fifo,
    /// Slots that hold input and wait for a buffer to answer in, or for a larger one.
    starved: Fifo,
    /// Slots that wait for a lent buffer, in order; they hold none.
    starved_to_receive: Fifo,
    /// Slots whose connection the program can have.
    detached: Fifo,
    deferrals: Deferrals<'s>,
    /// Exchanges under way.
    in_flight: u32,
    listeners: heapless::Vec<Listener, LISTENERS_MAX>,
    /// A listener may have something to do.
    listeners_due: bool,
    accept_paused_until: Option<Instant>,
    /// Accepts that failed since one succeeded.
    accept_resets: u16,
    /// Accepted, and waiting for a slot: at most one per listener.
    lobby: heapless::Deque<IoHandle, LISTENERS_MAX>,
    /// Newcomers without a slot are told so in the last one, which serves nobody.
    refuses: bool,
    /// When the oldest partial head becomes old enough to make room for the lobby.
    lobby_due: Option<Instant>,
    /// Connections that were ended for newcomers and still hold their slots.
    evicting: usize,
    /// When the oldest partial head, or content, becomes old enough to give its buffer to those who wait for one.
    famine_due: Option<Instant>,
    /// The one that was shed last to get its buffer, and when to wait for that no longer.
    shed_in_famine: Option<(ConnectionId, Instant)>,
    lent: usize,
    lent_max: usize,
    receive_class: Class,
    /// Buffers of the receiving class that are never lent, where sends use the same class.
    send_reserve: usize,
    date_due: Instant,
    mode: Mode,
    stop_deadline: Option<Instant>,
    /// Connections that a stop ended because they were idle, and that still hold their slots.
    stopping_idle: usize,
}

/// In place of a deadline that is switched off: connections stay in line, so that the longest idle one and the oldest
/// one in the middle of a request are known to whoever needs room.
const NEVER_MS: u64 = 1 << 62;

/// The timeout of a class of deadlines; `None` when it is switched off and nobody looks for the oldest of its class.
fn timeout_ms(deadline: Deadline, limits: &Limits) -> Option<u64> {
    match (deadline.timeout_ms(limits), deadline) {
        (Some(timeout_ms), _) => Some(u64::from(timeout_ms)),
        (None, Deadline::FirstByte | Deadline::Head | Deadline::Famine | Deadline::Idle) => Some(NEVER_MS),
        (None, _) => None,
    }
}

/// The list numbers of [`Links`].
const READY: usize = 0;
const STARVED: usize = 1;
const STARVED_TO_RECEIVE: usize = 2;
const DETACHED: usize = 3;

/// Setting up, and looking in.
impl<'s, 'p, H: Handler> Engine<'s, 'p, H> {
    /// An engine over `storage` and `pool`.
    ///
    /// # Errors
    /// [`EngineError`] says what the storage lacks.
    pub fn new(
        storage: Storage<'s, 'p, H::Exchange>,
        pool: BufferPool<'s, 'p>,
        handler: H,
        limits: Limits,
        preamble: Preamble,
    ) -> Result<Self, EngineError> {
        let receive_class = receive_class(&limits);
        let receive_buffers = pool.capacity(receive_class);
        if storage.slots.is_empty() || storage.nodes.len() < storage.slots.len() {
            return Err(EngineError::NoSlots);
        }
        // One to receive into and one to answer in, or nothing ever moves.
        let shared = pool.capacity(Class::Tiny) == 0 || receive_class == Class::Tiny;
        let send_reserve = if shared { receive_buffers.div_ceil(4) } else { 0 };
        if receive_buffers <= send_reserve {
            return Err(EngineError::NoBuffers);
        }
        // With a single slot nobody would be served.
        let refuses = limits.overload == Overload::Refuse && storage.slots.len() > 1;
        Ok(Self {
            slots: ObjectPool::new(storage.slots),
            nodes: storage.nodes,
            pool,
            loans: storage.loans,
            arena: Arena::new(storage.scratch),
            handler,
            timeouts: Deadline::ALL.map(|deadline| timeout_ms(deadline, &limits)),
            limits,
            preamble,
            counters: Counters::default(),
            deadlines: Deadlines::new(),
            ready: Fifo::new(READY),
            starved: Fifo::new(STARVED),
            starved_to_receive: Fifo::new(STARVED_TO_RECEIVE),
            detached: Fifo::new(DETACHED),
            deferrals: storage.deferrals,
            in_flight: 0,
            listeners: heapless::Vec::new(),
            listeners_due: false,
            accept_paused_until: None,
            accept_resets: 0,
            lobby: heapless::Deque::new(),
            refuses,
            lobby_due: None,
            evicting: 0,
            famine_due: None,
            shed_in_famine: None,
            lent: 0,
            lent_max: LENT_MAX.min(receive_buffers - send_reserve),
            receive_class,
            send_reserve,
            date_due: Instant(0),
            mode: Mode::Run,
            stop_deadline: None,
            stopping_idle: 0,
        })
    }

    /// Accepts connections from `io` from now on.
    ///
    /// # Errors
    /// [`EngineError::TooManyListeners`] beyond [`LISTENERS_MAX`].
    pub fn listen(&mut self, io: IoHandle) -> Result<(), EngineError> {
        self.listeners.push(Listener { io, state: Listening::Paused }).map_err(|_| EngineError::TooManyListeners)?;
        self.listeners_due = true;
        Ok(())
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The buffer pool.
    #[must_use]
    pub const fn pool(&self) -> &BufferPool<'s, 'p> {
        &self.pool
    }

    /// The program's handler.
    #[must_use]
    pub const fn handler(&self) -> &H {
        &self.handler
    }

    /// The program's handler.
    pub const fn handler_mut(&mut self) -> &mut H {
        &mut self.handler
    }

    /// Gives the handler and the buffers back.
    #[must_use]
    pub fn into_parts(self) -> (H, BufferPool<'s, 'p>, Counters) {
        (self.handler, self.pool, self.counters)
    }

    /// Whether a stop has run its course: no connection, no listener, nothing in flight.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.mode != Mode::Run
            && self.slots.is_empty()
            && self.lobby.is_empty()
            && self.listeners.iter().all(|listener| listener.state == Listening::Closed)
    }

    /// When the loop must turn again though nothing happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        // A handler may have resolved a token of its own worker, and then nobody wakes the loop.
        if !self.ready.is_empty() || self.listeners_due || self.deferrals.is_rung() {
            return Some(Instant(0));
        }
        let deadline = self.deadlines.poll_timeout().filter(|at| at.0 < NEVER_MS);
        [deadline, self.accept_paused_until, self.lobby_due, self.famine_due, self.stop_deadline]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether the wall clock should be told again.
    #[inline]
    #[must_use]
    pub fn needs_date(&self, now: Instant) -> bool {
        now >= self.date_due
    }

    /// Tells the wall clock, in seconds since 1970, for `Date`; `None` where there is none.
    pub fn set_unix_time(&mut self, now: Instant, unix_time: Option<u64>) {
        self.date_due = now.plus_ms(DATE_INTERVAL_MS);
        self.preamble.set_unix_time(unix_time);
    }
}

impl<H: Handler> fmt::Debug for Engine<'_, '_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("connections", &self.slots.len())
            .field("capacity", &self.slots.capacity())
            .field("mode", &self.mode)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// Why an engine cannot be set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EngineError {
    /// No slot, or fewer nodes than slots.
    NoSlots,
    /// The pool has too few buffers to receive into and to answer in.
    NoBuffers,
    /// More listeners than [`LISTENERS_MAX`].
    TooManyListeners,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlots => f.write_str("an engine needs at least one slot, and a node for each"),
            Self::NoBuffers => f.write_str("the pool needs at least one buffer to receive into and one to answer in"),
            Self::TooManyListeners => write!(f, "an engine serves at most {LISTENERS_MAX} listeners"),
        }
    }
}

impl core::error::Error for EngineError {}
