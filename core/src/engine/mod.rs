//! Many connections: slots, buffers, deadlines, listeners. It requests operations and is told their outcome; no I/O.

mod drive;
mod due;
mod famine;
mod listener;
mod pressure;
mod seats;
mod stopping;

use core::fmt;

use crate::connection::Deadline;
use crate::counters::Counters;
use crate::deadlines::{DeadlineNode, DeadlineSlots, Deadlines};
use crate::defer::Deferrals;
use crate::fifo::{Fifo, Linked, Links};
use crate::handler::Handler;
use crate::limits::{Limits, Overload};
use crate::pool::{Arena, Buf, BufferPool, Class, Entry};
use crate::preamble::Preamble;
use crate::reactor::{IoHandle, OpToken, Shutdown, Submission};
use crate::roles::BufferRoles;
use crate::stop::Mode;
use crate::time::Instant;
pub use listener::Listener;
use listener::{Listening, Lobby};
use pressure::{Marks, Pressure};
use seats::Seats;
pub use seats::{Record, Records, Slot};

/// How often the wall clock is read.
const DATE_INTERVAL_MS: u32 = 250;

/// The most sends of a turn that get their deadlines at its end; further ones get them at once.
const UNARMED_MAX: usize = if cfg!(feature = "small") { 4 } else { 32 };

/// The most buffers lent to the reactor; fewer are lent while few are free.
pub const LENT_MAX: usize = 64;

/// The memory of an engine, provided by the program. The length of `slots` is the number of connections, that of `listeners`
/// how many listeners there can be. After an engine has been dropped, another one can use it.
///
/// ```
/// use aurora_http_core::defer::Deferrals;
/// use aurora_http_core::engine::{Listener, Records, SlotNode, Storage};
/// use aurora_http_core::pool::Slots;
///
/// // Sixteen connections from two listeners, for a handler that keeps a u32 per exchange and defers no answers:
/// let (mut slots, mut records) = (Slots::<_, 16>::new(), Records::<_, 16>::new());
/// let mut nodes = [SlotNode::new(); 16];
/// let mut listeners = [const { Listener::new() }; 2];
/// let mut loans = [const { None }; 4];
/// let mut scratch = [0; 512];
/// let storage: Storage<'_, '_, u32> = Storage {
///     slots: slots.entries(),
///     records: records.records(),
///     nodes: &mut nodes,
///     listeners: &mut listeners,
///     loans: &mut loans,
///     deferrals: Deferrals::NONE,
///     scratch: &mut scratch,
/// };
/// # let _ = storage;
/// ```
pub struct Storage<'s, 'p, E> {
    /// One entry per connection.
    pub slots: &'s mut [Entry<Slot<'p, E>>],
    /// One record per connection. As long as fewer connections are busy at the same time, the last ones stay untouched.
    /// With the feature `small` records are empty, and there may be fewer.
    pub records: &'s mut [Record<'p, E>],
    /// One node per connection.
    pub nodes: &'s mut [SlotNode],
    /// One place per listener, at most 65 535; none if the program accepts all connections itself.
    pub listeners: &'s mut [Listener],
    /// A table for the buffers that one call of the handler may borrow: a handful of entries, at most 128.
    pub loans: &'s mut [Option<Buf<'p>>],
    /// Cells for deferred answers, one per connection; [`Deferrals::NONE`] if the handler never defers.
    pub deferrals: Deferrals<'s>,
    /// Scratch memory for one call of the handler, of any size.
    pub scratch: &'s mut [u8],
}

impl<'p, E> Storage<'_, 'p, E> {
    /// Prepares it for a new engine: resets list nodes, listeners and tokens, and removes what a forgotten engine or a panicking
    /// handler left behind.
    fn refresh(&mut self, pool: &mut BufferPool<'_, 'p>) {
        if !planted!(NodesKept) {
            self.nodes.fill_with(SlotNode::unlisted);
        }
        self.listeners.fill_with(Listener::new);
        self.deferrals.reset();
        Seats::refresh(self.slots, self.records, pool);
        for loan in self.loans.iter_mut().filter_map(Option::take) {
            // Refused only if the pool already has all its buffers, so that this one is not the pool's.
            let _ = pool.release(loan);
        }
    }
}

/// Bits of [`Slot::marks`].
mod mark {
    /// Its current response is the last one, so its slot will become free for a newcomer.
    pub(super) const PROMISED: u8 = 1;
    /// It is being closed: its slot becomes free when nothing is in flight on it any more.
    pub(super) const LEAVING: u8 = 1 << 1;
    /// A stop closed it because nothing was under way on it.
    pub(super) const STOPPED_IDLE: u8 = 1 << 2;
    /// It gets its deadline at the end of the turn.
    #[cfg(not(feature = "small"))]
    pub(super) const UNARMED: u8 = 1 << 3;
}

/// Everything that owns buffers. However the engine ends, those that connections hold go back to the pool, and so into
/// its table.
struct Holdings<'s, 'p, E> {
    seats: Seats<'s, 'p, E>,
    pool: BufferPool<'s, 'p>,
}

impl<E> Holdings<'_, '_, E> {
    fn release_all(&mut self) {
        self.seats.release_buffers(&mut self.pool);
    }
}

impl<E> Drop for Holdings<'_, '_, E> {
    fn drop(&mut self) {
        self.release_all();
    }
}

#[cfg(not(feature = "small"))]
const _: () = assert!(
    size_of::<Entry<Slot<'static, [u64; 2]>>>() + size_of::<SlotNode>() <= 72,
    "an idle connection must take at most 72 bytes, whatever the handler keeps"
);

#[cfg(target_pointer_width = "64")]
const _: () = assert!(
    size_of::<Record<'static, [u64; 2]>>() <= 192,
    "a busy connection must take at most 192 bytes more, including 16 bytes of the handler's"
);

/// A connection's links in the engine's lists. They are in a separate table, so that a slot can be reused while a list
/// still refers to it.
#[derive(Clone, Copy, Debug)]
pub struct SlotNode {
    deadline: DeadlineNode,
    links: Links,
}

impl SlotNode {
    /// A node for the table of a new engine, which initialises it. It is all zeros, so that a `static` of them takes no
    /// flash.
    #[must_use]
    pub const fn new() -> Self {
        // A planted fault skips the initialisation. It has to be found when a table is used again, not by the first use.
        if cfg!(planted) {
            return Self::unlisted();
        }
        Self { deadline: DeadlineNode::ZEROS, links: Links::ZEROS }
    }

    /// A node that is in no list.
    const fn unlisted() -> Self {
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
    fn node(&mut self, index: u32) -> Option<&mut DeadlineNode> {
        self.get_mut(index as usize).map(|node| &mut node.deadline)
    }
}

impl Linked for [SlotNode] {
    #[inline]
    fn links(&mut self, index: u32) -> Option<&mut Links> {
        self.get_mut(index as usize).map(|node| &mut node.links)
    }
}

/// What the engine asks of the reactor, apart from taking lent buffers.
#[derive(Debug)]
pub enum Control<'p> {
    /// Start an operation.
    Submit(Submission<'p>),
    /// Shut down one or both directions of a connection.
    Shutdown {
        /// The connection.
        io: IoHandle,
        /// The directions.
        how: Shutdown,
    },
    /// Cancel an operation in flight.
    Cancel {
        /// The operation.
        token: OpToken,
        /// Its handle.
        io: IoHandle,
    },
}

/// A connection that was handed to the program: [`Flow::Detach`](crate::handler::Flow::Detach).
#[derive(Debug)]
pub struct Detached<'p, E> {
    /// Its handle; no operation is in flight on it.
    pub io: IoHandle,
    /// Bytes that had arrived after the request, if any; return the buffer with [`Engine::release`].
    pub leftover: Option<Buf<'p>>,
    /// The handler's state.
    pub state: E,
}

/// Connections in slots, with their buffers and deadlines.
///
/// [`run`](crate::run::run) is the loop that drives it. Errors of set-up are [`EngineError`]; later, everything that
/// goes wrong concerns one connection and is counted.
///
/// Dropping an engine drops the connections and the handler's states in them, and returns their buffers to the tables
/// of pool and storage. Buffers held by the reactor must be returned by the reactor: see
/// [`Reactor::reclaim`](crate::reactor::Reactor::reclaim).
pub struct Engine<'s, 'p, H: Handler> {
    held: Holdings<'s, 'p, H::Exchange>,
    nodes: &'s mut [SlotNode],
    loans: &'s mut [Option<Buf<'p>>],
    arena: Arena<'s>,
    handler: H,
    limits: Limits,
    /// In milliseconds; [`NEVER_MS`] for a disabled one.
    timeouts: [u32; Deadline::COUNT],
    preamble: Preamble,
    counters: Counters,
    deadlines: Deadlines<{ Deadline::COUNT }>,
    /// Slots whose sends were submitted in this turn, and have no deadline yet.
    sending: heapless::Vec<u32, UNARMED_MAX>,
    /// Slots whose next operation is not returned as the follow-up of a completion.
    ready: Fifo,
    /// Slots that hold input and wait for a buffer for the answer, or for a larger one.
    starved: Fifo,
    /// Slots that wait for a lent buffer to receive into, in order; they hold no buffer.
    starved_to_receive: Fifo,
    /// Since when the first of them has been waiting.
    starved_marks: Marks,
    /// Slots whose connection can be handed to the program.
    detached: Fifo,
    deferrals: Deferrals<'s>,
    /// The number of exchanges under way.
    in_flight: u32,
    listeners: &'s mut [Listener],
    /// Whether a listener may have something to do.
    listeners_due: bool,
    /// This and other times are [`Instant::NEVER`] when there is none.
    accept_paused_until: Instant,
    /// Accepts that failed since the last success.
    accept_resets: u16,
    /// Accepted connections that wait for a slot: at most one per listener.
    lobby: Lobby,
    /// Whether newcomers without a slot get a 503, for which the last slot is reserved.
    refuses: bool,
    /// When to check again whether a connection can be ended for the lobby.
    lobby_check_at: Instant,
    /// For how long newcomers have found no slot.
    slot_pressure: Pressure,
    /// The number of slots marked as [`mark::PROMISED`].
    promised: usize,
    /// The number of slots marked as [`mark::LEAVING`].
    leaving: usize,
    /// How many more slots than newcomers may be promised, because the promised ones take too long to become free.
    promised_more: usize,
    /// When newcomers will have waited long enough for a promised slot.
    promise_due: Instant,
    /// When to check which connection can be ended for its buffer; never while no connection waits for a buffer.
    famine_due: Instant,
    /// Whether connections were given their turn to receive; buffers that they do not use are for the next ones in the
    /// queue.
    feed_again: bool,
    /// When an incomplete head will be old enough to be ended for its buffer.
    heads_due: Instant,
    /// Since when the queues for buffers have been stuck: no waiting connection got a buffer except through the end of
    /// another one.
    stuck_since: Instant,
    /// The number of connections that were ended for their buffers, less the waiting connections that have got one
    /// since then.
    ended_for_buffers: usize,
    /// When their buffers should have come back.
    ended_due: Instant,
    /// When this turn began: when it ends, everything that arrived before has been handled.
    turn_began: Instant,
    /// Everything that arrived before this instant has been handled.
    seen_until: Instant,
    /// The number of the turn.
    turn: u16,
    /// The number of turns since the last one that saw all events.
    turns_blind: u16,
    /// Whether the reactor rejected an operation in this turn, so that its input may not have been seen.
    rejected: bool,
    lent: usize,
    lent_max: usize,
    receive_class: Class,
    /// The number of buffers of the receiving class that are never lent, if sends use the same class.
    send_reserve: usize,
    date_due: Instant,
    mode: Mode,
    stop_deadline: Instant,
    /// While stopping: whether connections have to be checked for being idle.
    sweep_due: bool,
    /// When the next new connection has had its time to send a first request during a stop.
    sweep_at: Instant,
}

/// Takes the place of a disabled timeout: the connection is still in its class's list, so that its time in the phase is
/// known when room is needed.
const NEVER_MS: u32 = u32::MAX;

/// That many milliseconds from now on: later than any deadline.
const LATER_THAN_ANY_MS: u64 = 1 << 62;

/// The list numbers of [`Links`].
const READY: usize = 0;
const STARVED: usize = 1;
const STARVED_TO_RECEIVE: usize = 2;
const DETACHED: usize = 3;

/// Set-up and queries.
impl<'s, 'p, H: Handler> Engine<'s, 'p, H> {
    /// An engine over `storage` and `pool`.
    ///
    /// # Errors
    /// [`EngineError`] if the storage or the pool is too small.
    pub fn new(
        mut storage: Storage<'s, 'p, H::Exchange>,
        mut pool: BufferPool<'s, 'p>,
        handler: H,
        limits: Limits,
        preamble: Preamble,
    ) -> Result<Self, EngineError> {
        let fit = Seats::fit(storage.slots, storage.records) && storage.nodes.len() >= storage.slots.len();
        if storage.slots.is_empty() || !fit {
            return Err(EngineError::NoSlots);
        }
        let BufferRoles { receive: receive_class, reserve: send_reserve } =
            BufferRoles::of(pool.counts(), &limits).ok_or(EngineError::NoBuffers)?;
        storage.refresh(&mut pool);
        let lent_max = LENT_MAX.min(pool.capacity(receive_class) - send_reserve);
        // With a single slot, no connection would ever be served.
        let refuses = limits.overload == Overload::Refuse && storage.slots.len() > 1;
        Ok(Self {
            held: Holdings { seats: Seats::new(storage.slots, storage.records), pool },
            nodes: storage.nodes,
            loans: storage.loans,
            arena: Arena::new(storage.scratch),
            handler,
            timeouts: Deadline::ALL.map(|deadline| deadline.timeout_ms(&limits).unwrap_or(NEVER_MS)),
            limits,
            preamble,
            counters: Counters::default(),
            deadlines: Deadlines::new(),
            sending: heapless::Vec::new(),
            ready: Fifo::new(READY),
            starved: Fifo::new(STARVED),
            starved_to_receive: Fifo::new(STARVED_TO_RECEIVE),
            starved_marks: Marks::new(),
            detached: Fifo::new(DETACHED),
            deferrals: storage.deferrals,
            in_flight: 0,
            listeners: storage.listeners,
            listeners_due: false,
            accept_paused_until: Instant::NEVER,
            accept_resets: 0,
            lobby: Lobby::new(),
            refuses,
            lobby_check_at: Instant::NEVER,
            slot_pressure: Pressure::new(),
            promised: 0,
            leaving: 0,
            promised_more: 0,
            promise_due: Instant(0),
            famine_due: Instant::NEVER,
            feed_again: false,
            heads_due: Instant::NEVER,
            stuck_since: Instant::NEVER,
            ended_for_buffers: 0,
            ended_due: Instant(0),
            turn_began: Instant(0),
            seen_until: Instant(0),
            turn: 0,
            turns_blind: 0,
            rejected: false,
            lent: 0,
            lent_max,
            receive_class,
            send_reserve,
            date_due: Instant(0),
            mode: Mode::Run,
            stop_deadline: Instant::NEVER,
            sweep_due: false,
            sweep_at: Instant::NEVER,
        })
    }

    /// Accepts connections from `io` from now on.
    ///
    /// # Errors
    /// [`EngineError::TooManyListeners`] if [`Storage::listeners`] has no place for it.
    pub fn listen(&mut self, io: IoHandle) -> Result<(), EngineError> {
        let free = |place: &&mut Listener| place.state == Listening::Closed;
        let place = self.listeners.iter_mut().find(free).ok_or(EngineError::TooManyListeners)?;
        *place = Listener::paused(io, place.newcomer);
        self.listeners_due = true;
        Ok(())
    }

    /// The counters.
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

    /// The program's handler, mutably.
    pub const fn handler_mut(&mut self) -> &mut H {
        &mut self.handler
    }

    /// Returns the handler, the pool with all buffers, including those of open connections, and the counters.
    #[must_use]
    pub fn into_parts(self) -> (H, BufferPool<'s, 'p>, Counters) {
        let Self { mut held, handler, counters, .. } = self;
        held.release_all();
        (handler, core::mem::replace(&mut held.pool, BufferPool::empty()), counters)
    }

    /// Whether a stop is complete: no connection, no listener, nothing in flight.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.mode() != Mode::Run
            && self.held.seats.is_empty()
            && self.lobby.is_empty()
            && self.listeners.iter().all(|listener| listener.state == Listening::Closed)
    }

    /// When the loop must turn again even if no event occurs; `None` if it need not.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        // A handler may have resolved a token of its own worker, which does not wake the loop.
        let is_due = !self.ready.is_empty() || self.listeners_due || H::NEEDS.deferral && self.deferrals.is_rung();
        if is_due || self.must_turn_to_stop() || self.must_serve_queues() || self.must_decide() {
            return Some(Instant(0));
        }
        let deadline = self.deadlines.poll_timeout().filter(|at| at.0 < LATER_THAN_ANY_MS);
        let others = self.accept_paused_until.min(self.sweep_at).min(self.stop_deadline);
        // The rules that end connections for others, which a program may not need.
        let others = if H::NEEDS.eviction {
            others.min(self.lobby_check_at).min(self.famine_due).min(self.heads_due)
        } else {
            others
        };
        match deadline {
            Some(at) => Some(at.min(others)),
            None if others == Instant::NEVER => None,
            None => Some(others),
        }
    }

    /// The timeout of a class of deadlines.
    #[inline]
    fn timeout_ms(&self, class: usize) -> u64 {
        match self.timeouts.get(class) {
            Some(&ms) if ms != NEVER_MS => u64::from(ms),
            _ => LATER_THAN_ANY_MS,
        }
    }

    /// Whether [`set_unix_time`](Self::set_unix_time) should be called.
    #[inline]
    #[must_use]
    pub fn needs_date(&self, now: Instant) -> bool {
        now >= self.date_due
    }

    /// Sets the time of the wall clock for `Date`, in seconds since 1970; `None` if there is none.
    pub fn set_unix_time(&mut self, now: Instant, unix_time: Option<u64>) {
        self.date_due = now.plus_ms(DATE_INTERVAL_MS);
        self.preamble.set_unix_time(unix_time);
    }
}

impl<H: Handler> fmt::Debug for Engine<'_, '_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("connections", &self.held.seats.len())
            .field("capacity", &self.held.seats.capacity())
            .field("mode", &self.mode)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// Why an engine could not be set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EngineError {
    /// There are no slots, or fewer records or nodes than slots.
    NoSlots,
    /// The pool has too few buffers to receive into and to send from.
    NoBuffers,
    /// More listeners than [`Storage::listeners`] has places for.
    TooManyListeners,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlots => f.write_str("an engine needs at least one slot, and a record and a node for each"),
            Self::NoBuffers => f.write_str("the pool needs at least one buffer to receive into and one to send from"),
            Self::TooManyListeners => f.write_str("the engine's storage has no place for another listener"),
        }
    }
}

impl core::error::Error for EngineError {}
