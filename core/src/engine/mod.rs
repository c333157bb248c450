//! Many connections: slots, buffers, deadlines, listeners. It asks for operations and is told their outcome; no I/O.

mod drive;
mod due;
mod famine;
mod listener;
mod pressure;
mod stopping;

use core::fmt;

use crate::connection::{Connection, Deadline, receive_class};
use crate::counters::Counters;
use crate::deadlines::{DeadlineNode, DeadlineSlots, Deadlines};
use crate::defer::Deferrals;
use crate::fifo::{Fifo, Linked, Links};
use crate::handler::Handler;
use crate::limits::{Limits, Overload};
use crate::pool::{Arena, Buf, BufferPool, Class, Entry, ObjectPool};
use crate::preamble::Preamble;
use crate::reactor::{IoHandle, OpToken, Shutdown, Submission};
use crate::stop::Mode;
use crate::time::Instant;
use listener::{Listener, Listening};
use pressure::{Marks, Pressure};

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

impl<'p, E> Storage<'_, 'p, E> {
    /// Makes it as good as new: list nodes, tokens, and what an engine left that was forgotten, or a handler that panicked.
    fn refresh(&mut self, pool: &mut BufferPool<'_, 'p>) {
        if !planted!(NodesKept) {
            self.nodes.fill_with(SlotNode::new);
        }
        self.deferrals.reset();
        for mut slot in self.slots.iter_mut().filter_map(Entry::vacate) {
            slot.connection.release_buffers(pool);
        }
        for loan in self.loans.iter_mut().filter_map(Option::take) {
            // Refused where the pool has all of its buffers, and then it is none of them.
            let _ = pool.release(loan);
        }
    }
}

/// What an engine keeps per connection.
#[derive(Debug)]
pub struct Slot<'p, E> {
    connection: Connection<'p, E>,
    io: IoHandle,
    /// The turn in which it came, or in which something was received or sent last.
    turn: u16,
    /// For how many turns its deadline has passed while more of what had arrived came in.
    grace: u8,
    marks: u8,
}

/// Bits of [`Slot::marks`].
mod mark {
    /// Its response is its last one, so that its slot becomes free for a newcomer.
    pub(super) const PROMISED: u8 = 1;
    /// It is being closed: its slot is free as soon as nothing is in flight.
    pub(super) const LEAVING: u8 = 1 << 1;
    /// A stop ended it because nothing was under way on it.
    pub(super) const STOPPED_IDLE: u8 = 1 << 2;
}

/// What owns buffers: those that are in the hands of connections go back to the pool, and so to its table, however the
/// engine ends.
struct Holdings<'s, 'p, E> {
    slots: ObjectPool<'s, Slot<'p, E>>,
    pool: BufferPool<'s, 'p>,
}

impl<E> Holdings<'_, '_, E> {
    fn release_all(&mut self) {
        let mut at = None;
        while let Some(index) = self.slots.next_occupied_after(at) {
            at = Some(index);
            if let Some(slot) = self.slots.by_index_mut(index).filter(|_| !planted!(SlotBuffersLost)) {
                slot.connection.release_buffers(&mut self.pool);
            }
        }
    }
}

impl<E> Drop for Holdings<'_, '_, E> {
    fn drop(&mut self) {
        self.release_all();
    }
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
///
/// Dropping it drops the connections and the handlers' states in them; their buffers are back in the tables of pool and
/// storage. What is in the reactor's hands is the reactor's to give back: see
/// [`Reactor::reclaim`](crate::reactor::Reactor::reclaim).
pub struct Engine<'s, 'p, H: Handler> {
    held: Holdings<'s, 'p, H::Exchange>,
    nodes: &'s mut [SlotNode],
    loans: &'s mut [Option<Buf<'p>>],
    arena: Arena<'s>,
    handler: H,
    limits: Limits,
    timeouts: [u64; Deadline::COUNT],
    preamble: Preamble,
    counters: Counters,
    deadlines: Deadlines<{ Deadline::COUNT }>,
    /// Slots that want something which no completion brings along.
    ready: Fifo,
    /// Slots that hold input and wait for a buffer to answer in, or for a larger one.
    starved: Fifo,
    /// Slots that wait for a lent buffer, in order; they hold none.
    starved_to_receive: Fifo,
    /// Since when the first of them does.
    starved_marks: Marks,
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
    lobby_check_at: Option<Instant>,
    /// Of newcomers who find no slot.
    slot_pressure: Pressure,
    /// Slots marked as [`mark::PROMISED`].
    promised: usize,
    /// Slots marked as [`mark::LEAVING`].
    leaving: usize,
    /// Slots that may be promised beyond one for each newcomer, because the promised ones let them wait.
    promised_more: usize,
    /// When newcomers have waited long enough for a promised slot.
    promise_due: Instant,
    /// When to look who can give up a buffer, while somebody waits for one.
    famine_due: Option<Instant>,
    /// Connections that were given a turn to receive may leave their buffers unused: the next ones come after them.
    feed_again: bool,
    /// When a head that is incomplete becomes old enough to be ended for its buffer.
    heads_due: Option<Instant>,
    /// Since when nobody who waits for a buffer has got one but by somebody else's end.
    standing_since: Option<Instant>,
    /// Who was ended for a buffer that nobody has got yet.
    shed_for_buffers: usize,
    /// When their buffers should have come back.
    shed_due: Instant,
    /// When this turn began: what arrived before has been looked at when the turn ends.
    turn_began: Instant,
    /// Everything that arrived before has been looked at.
    looked_at: Instant,
    /// Numbers the turns.
    turn: u16,
    /// Turns since the last one that looked at everything.
    turns_blind: u16,
    /// An operation was refused in this turn, so that what it asked for was not looked at.
    rejected: bool,
    lent: usize,
    lent_max: usize,
    receive_class: Class,
    /// Buffers of the receiving class that are never lent, where sends use the same class.
    send_reserve: usize,
    date_due: Instant,
    mode: Mode,
    stop_deadline: Option<Instant>,
    /// While stopping: connections on which nothing may be under way have to be looked at.
    sweep_due: bool,
}

/// In place of a deadline that is switched off: connections stay in line, so that whoever needs room knows how long each
/// has been where it is.
const NEVER_MS: u64 = 1 << 62;

/// The list numbers of [`Links`].
const READY: usize = 0;
const STARVED: usize = 1;
const STARVED_TO_RECEIVE: usize = 2;
const DETACHED: usize = 3;

/// Buffers of the receiving class that are never lent, where sends use the same class. One must be left to receive into
/// and one to answer in, or nothing ever moves.
fn send_reserve(pool: &BufferPool<'_, '_>, receive_class: Class) -> Result<usize, EngineError> {
    let receive_buffers = pool.capacity(receive_class);
    let shared = pool.capacity(Class::Tiny) == 0 || receive_class == Class::Tiny;
    let reserve = if shared { receive_buffers.div_ceil(4) } else { 0 };
    if receive_buffers > reserve { Ok(reserve) } else { Err(EngineError::NoBuffers) }
}

/// Setting up, and looking in.
impl<'s, 'p, H: Handler> Engine<'s, 'p, H> {
    /// An engine over `storage` and `pool`.
    ///
    /// # Errors
    /// [`EngineError`] says what the storage lacks.
    pub fn new(
        mut storage: Storage<'s, 'p, H::Exchange>,
        mut pool: BufferPool<'s, 'p>,
        handler: H,
        limits: Limits,
        preamble: Preamble,
    ) -> Result<Self, EngineError> {
        if storage.slots.is_empty() || storage.nodes.len() < storage.slots.len() {
            return Err(EngineError::NoSlots);
        }
        let receive_class = receive_class(&limits);
        let send_reserve = send_reserve(&pool, receive_class)?;
        storage.refresh(&mut pool);
        let lent_max = LENT_MAX.min(pool.capacity(receive_class) - send_reserve);
        // With a single slot nobody would be served.
        let refuses = limits.overload == Overload::Refuse && storage.slots.len() > 1;
        Ok(Self {
            held: Holdings { slots: ObjectPool::new(storage.slots), pool },
            nodes: storage.nodes,
            loans: storage.loans,
            arena: Arena::new(storage.scratch),
            handler,
            timeouts: Deadline::ALL.map(|deadline| deadline.timeout_ms(&limits).map_or(NEVER_MS, u64::from)),
            limits,
            preamble,
            counters: Counters::default(),
            deadlines: Deadlines::new(),
            ready: Fifo::new(READY),
            starved: Fifo::new(STARVED),
            starved_to_receive: Fifo::new(STARVED_TO_RECEIVE),
            starved_marks: Marks::new(),
            detached: Fifo::new(DETACHED),
            deferrals: storage.deferrals,
            in_flight: 0,
            listeners: heapless::Vec::new(),
            listeners_due: false,
            accept_paused_until: None,
            accept_resets: 0,
            lobby: heapless::Deque::new(),
            refuses,
            lobby_check_at: None,
            slot_pressure: Pressure::new(),
            promised: 0,
            leaving: 0,
            promised_more: 0,
            promise_due: Instant(0),
            famine_due: None,
            feed_again: false,
            heads_due: None,
            standing_since: None,
            shed_for_buffers: 0,
            shed_due: Instant(0),
            turn_began: Instant(0),
            looked_at: Instant(0),
            turn: 0,
            turns_blind: 0,
            rejected: false,
            lent: 0,
            lent_max,
            receive_class,
            send_reserve,
            date_due: Instant(0),
            mode: Mode::Run,
            stop_deadline: None,
            sweep_due: false,
        })
    }

    /// Accepts connections from `io` from now on.
    ///
    /// # Errors
    /// [`EngineError::TooManyListeners`] beyond [`LISTENERS_MAX`].
    pub fn listen(&mut self, io: IoHandle) -> Result<(), EngineError> {
        self.listeners.push(Listener::new(io)).map_err(|_| EngineError::TooManyListeners)?;
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
        &self.held.pool
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

    /// Gives the handler and the buffers back, those too that connections hold which are still open.
    #[must_use]
    pub fn into_parts(self) -> (H, BufferPool<'s, 'p>, Counters) {
        let Self { mut held, handler, counters, .. } = self;
        held.release_all();
        (handler, core::mem::replace(&mut held.pool, BufferPool::empty()), counters)
    }

    /// Whether a stop has run its course: no connection, no listener, nothing in flight.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.mode != Mode::Run
            && self.held.slots.is_empty()
            && self.lobby.is_empty()
            && self.listeners.iter().all(|listener| listener.state == Listening::Closed)
    }

    /// When the loop must turn again though nothing happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        // A handler may have resolved a token of its own worker, and then nobody wakes the loop.
        let is_due = !self.ready.is_empty() || self.listeners_due || self.deferrals.is_rung();
        if is_due || self.looks_around() || self.looks_at_lines() {
            return Some(Instant(0));
        }
        let deadline = self.deadlines.poll_timeout().filter(|at| at.0 < NEVER_MS);
        let due = [
            deadline,
            self.accept_paused_until,
            self.lobby_check_at,
            self.famine_due,
            self.heads_due,
            self.stop_deadline,
        ];
        due.into_iter().flatten().min()
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
            .field("connections", &self.held.slots.len())
            .field("capacity", &self.held.slots.capacity())
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
