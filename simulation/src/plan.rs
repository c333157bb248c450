//! Everything that happens in one simulation, as data: generated from a seed, and made smaller by the shrinker.

use aurora_http_core::limits::{Limits, Overload, RateMin, Timeouts};
use aurora_http_core::pool::{Class, ClassCounts, ClassSizes};
use aurora_http_core::sim::{Dice, Faults};

use crate::exchange::{Answer, Exchange, LONG_ONCE_IN, STEPS_MAX, some_exchange, some_exchange_of_any_kind};
use crate::siege::{Siege, some_siege};

/// A server, its clients, and the events that disturb it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of the plan, and of random choices while it runs.
    pub seed: u64,
    /// The server and the network.
    pub world: World,
    /// The clients, in no particular order.
    pub clients: Vec<Visitor>,
    /// The events that disturb the server, with their times in milliseconds, in order.
    pub troubles: Vec<(u32, Trouble)>,
    /// Whether this is a siege, in which well-behaved clients must be served soon.
    pub siege: Option<Siege>,
}

/// The server and the network.
#[derive(Clone, Debug)]
pub struct World {
    /// Which reactor.
    pub face: Face,
    /// Which event loop.
    pub looping: Looping,
    /// The most connections at a time.
    pub slots: usize,
    /// Buffers of each class.
    pub counts: ClassCounts,
    /// The engine's limits.
    pub limits: Limits,
    /// The most bytes in transit in one direction of a connection.
    pub window: usize,
    /// The clock at the beginning, in milliseconds.
    pub start_ms: u64,
    /// Probabilities of faults below the engine.
    pub faults: Faults,
    /// How long a part of a turn may take, in milliseconds; clients continue during that time.
    pub work_ms_max: u32,
    /// How often each slot has been used before.
    pub generation: u32,
    /// How often each slot has deferred before.
    pub serial: u64,
    /// Whether there are files, which the reactor can send.
    pub has_files: bool,
}

/// The reactor between the engine and the simulated network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Face {
    /// A simulated completion-based reactor.
    Completions,
    /// The real `Readiness` over simulated non-blocking calls.
    Calls,
}

/// The event loop that drives the engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Looping {
    /// The engine's own loop, which sleeps in the reactor's wait.
    Own,
    /// Another event loop, which sleeps on a level-triggered descriptor and a timeout.
    Level,
    /// The same, edge-triggered.
    Edge,
}

/// An event that disturbs the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// The process is suspended for so many milliseconds, while clients continue.
    Pause(u32),
    /// The same in the middle of a turn: input during that time arrives after the turn's wait.
    Late(u32),
    /// The process dies, and another engine starts on the same storage.
    Restart,
    /// A graceful stop; another engine starts when it is complete.
    Stop,
}

/// The arrival time of a client that does not come at all.
pub const NEVER: u32 = u32::MAX;

/// A client.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// When it connects, in milliseconds from the beginning.
    pub comes_ms: u32,
    /// How it behaves.
    pub nature: Nature,
    /// Its requests.
    pub exchanges: Vec<Exchange>,
    /// The most requests that it sends before it has their answers.
    pub depth: usize,
    /// How fast it sends.
    pub sends: Pace,
    /// How fast it reads.
    pub reads: Pace,
    /// Its unusual habits.
    pub manner: Manner,
}

/// Behaviour that is legal but unusual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Sends content announced by `Expect: 100-continue` only when asked for it.
    pub waits: bool,
    /// Reads nothing until it has written everything.
    pub writes_first: bool,
    /// Occasionally sends more bytes while it reads the last response.
    pub rambles: bool,
}

/// A speed: the most bytes per step, and the longest pause between steps.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes per step.
    pub bytes_max: usize,
    /// Milliseconds between two steps.
    pub gap_ms_max: u32,
}

/// The behaviour of a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nature {
    /// Sends complete requests, and reads the responses.
    Healthy,
    /// As [`Healthy`](Self::Healthy), and closes its sending half after the last request.
    HalfCloses,
    /// Sends so many bytes and nothing after that, but keeps the connection open.
    StallsSending(usize),
    /// Sends so many bytes, and after that single bytes, one every so many milliseconds.
    Drips(usize, u32),
    /// Reads so many bytes and nothing after that, but keeps the connection open.
    StallsReading(usize),
    /// Disconnects after it has sent so many bytes.
    Leaves(usize, Leave),
    /// Keeps its connection open when it has every answer, and only sends so many bytes of an empty line.
    Idles(usize),
    /// Sends something that is not HTTP.
    Garbage(u8),
}

/// How a client disconnects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leave {
    /// Closes its socket.
    Close,
    /// Resets the connection.
    Reset,
    /// Sends FIN, never reads, and closes later.
    Finish,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        if dice.once_in(SIEGE_ONCE_IN) {
            return some_siege(seed, &mut dice);
        }
        let world = some_world(&mut dice);
        let most = dice.pick(&[1, 4, 16, 60]);
        let within_ms = dice.pick(&[10, 1_000, 20_000]);
        let clients: Vec<_> = (0..dice.between(1, most)).map(|_| some_visitor(&mut dice, &world, within_ms)).collect();
        let mut troubles = Vec::new();
        if dice.once_in(4) {
            for _ in 0..dice.between(1, 4) {
                // Often just when a client comes.
                let coming = clients[dice.below(clients.len())].comes_ms + dice.below(3) as u32;
                let at = if dice.once_in(2) { coming } else { dice.below(within_ms) as u32 };
                troubles.push((at, some_trouble(&mut dice)));
            }
            troubles.sort_by_key(|(at, _)| *at);
        }
        Self { seed, world, clients, troubles, siege: None }
    }

    /// Whether an event occurs that may cost any client its connection or an answer at any time.
    #[must_use]
    pub fn is_violent(&self) -> bool {
        self.loses_the_server() || self.world.faults.no_buffers > 0
    }

    /// Whether the server ends without ending its connections, which the system does then.
    #[must_use]
    pub fn loses_the_server(&self) -> bool {
        let restarts = self.troubles.iter().any(|(_, trouble)| matches!(trouble, Trouble::Restart));
        restarts || self.clients.iter().any(Visitor::panics)
    }

    /// Whether connections may be ended early to make room for others, or because the server stops.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        let stops = self.troubles.iter().any(|(_, trouble)| matches!(trouble, Trouble::Stop));
        stops || self.is_short()
    }

    /// Whether connections may be ended early to make room for others.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.is_short_of_buffers() || self.is_short_of_slots()
    }

    /// Whether a client trickles single bytes.
    #[must_use]
    pub fn drips(&self) -> bool {
        let mut clients = self.clients.iter().filter(|client| client.comes_ms != NEVER);
        clients.any(|client| matches!(client.nature, Nature::Drips(..)))
    }

    /// Whether newcomers may find no slot.
    #[must_use]
    pub fn is_short_of_slots(&self) -> bool {
        // Each client may have one connection, and more that linger after it has moved on to another one.
        self.world.slots < 3 * self.clients.len() + 10
    }

    /// Whether more exchanges may be attempted at once than `in_flight_max` allows.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        let clients = self.clients.iter().filter(|client| client.comes_ms != NEVER);
        self.world.limits.in_flight_max.is_some_and(|max| clients.count() > max as usize)
    }

    /// Whether the server is suspended for a considerable part of a timeout.
    #[must_use]
    pub fn pauses(&self) -> bool {
        let pauses = self.troubles.iter().map(|(_, trouble)| match trouble {
            Trouble::Pause(ms) | Trouble::Late(ms) => *ms,
            Trouble::Restart | Trouble::Stop => 0,
        });
        pauses.sum::<u32>() >= 5_000
    }

    /// Whether input that arrived during a suspension may not be visible as soon as the server continues.
    #[must_use]
    pub fn may_be_late(&self) -> bool {
        self.pauses() && self.world.faults != Faults::default()
    }

    /// Whether everything that arrives in time is visible when the server looks, and there is a buffer for it.
    #[must_use]
    pub fn is_in_time(&self) -> bool {
        self.world.faults == Faults::default() && !self.is_short_of_buffers()
    }

    /// Whether a client may have to wait for a moment even though it could be served: for a slot, until the engine checks again
    /// whether another client has received its response; for a buffer, when the system is short of memory although the
    /// engine is not.
    #[must_use]
    pub fn lines_may_stand(&self) -> bool {
        self.is_short_of_slots() || self.is_short_of_buffers() && self.world.faults.no_buffers > 0
    }

    /// Whether the pool may be empty when a connection needs a buffer.
    #[must_use]
    pub fn is_short_of_buffers(&self) -> bool {
        let counts = self.world.counts;
        Class::ALL.iter().any(|class| (counts.of(*class) as usize) < PLENTY)
    }
}

impl Visitor {
    /// Whether the handler acts at random: nothing is known about the responses except that they are valid HTTP.
    pub(crate) fn is_answered_anyhow(&self) -> bool {
        self.exchanges.iter().any(|exchange| matches!(exchange.answer, Answer::Anything(_)))
    }

    fn panics(&self) -> bool {
        self.exchanges.iter().any(|exchange| exchange.panics())
    }
}

/// How many times longer the pause between two steps may become, when each step moves more bytes.
const STEP_TIMES_MAX: usize = 200;

/// One of so many plans is a siege.
const SIEGE_ONCE_IN: usize = 8;

/// How many buffers of a class are enough for any number of clients here.
pub(crate) const PLENTY: usize = 70;

fn some_world(dice: &mut Dice) -> World {
    let face = dice.pick(&[Face::Completions, Face::Calls]);
    let looping = dice.pick(&[Looping::Own, Looping::Own, Looping::Level, Looping::Edge]);
    let counts = match dice.below(6) {
        0 => ClassCounts::new([3, 3, 1, 1, 1]),
        1 => ClassCounts::new([0, 4, 0, 0, 0]),
        2 => ClassCounts::new([8, 8, 4, 2, 2]),
        _ => ClassCounts::new([PLENTY as u32; 5]),
    };
    let sizes = [ClassSizes::FROM_1024, ClassSizes::FROM_1024, ClassSizes::FROM_512, ClassSizes::FROM_256];
    // Without large buffers, shorter ones do not hold what is kept of some exchanges' content and trailers.
    let counts = if counts.of(Class::Huge) > 0 { counts.sized(dice.pick(&sizes)) } else { counts };
    let slots = if dice.once_in(3) { dice.pick(&[1, 1, 2, 2, 3, 4, 6, 8]) } else { 200 };
    World {
        face,
        looping,
        slots,
        counts,
        limits: some_limits(dice),
        window: dice.pick(&[200, 4_096, 65_536]),
        start_ms: dice.pick(&[0, 1, u32::MAX as u64 - 20_000, 1 << 40]),
        faults: some_faults(dice),
        work_ms_max: dice.pick(&[0, 0, 0, 3]),
        generation: dice.pick(&[0, (1 << 24) - 3]),
        serial: dice.pick(&[0, (1 << 29) - 3, (1 << 30) - 2, (1 << 61) - 4]),
        has_files: !dice.once_in(8),
    }
}

fn some_limits(dice: &mut Dice) -> Limits {
    let rate_min = dice.once_in(2).then_some(RateMin { bytes: 200, window_ms: 10_000 });
    Limits {
        requests_per_connection_max: dice.pick(&[None, None, Some(1), Some(3)]),
        response_bytes_max: dice.pick(&[16_384, 65_536]),
        content_collected_max: dice.pick(&[2_000, 65_536]),
        content_bytes_max: dice.pick(&[5_000, 1 << 20]),
        discard_bytes_max: dice.pick(&[10, 65_536]),
        in_flight_max: dice.pick(&[None, None, None, Some(2)]),
        overload: dice.pick(&[Overload::Wait, Overload::Wait, Overload::Refuse]),
        timeouts: Timeouts { rate_min, ..Timeouts::default() },
        ..Limits::default()
    }
}

fn some_faults(dice: &mut Dice) -> Faults {
    if dice.once_in(3) {
        return Faults::default();
    }
    let full_queue_max = dice.pick(&[100, 100, 600]);
    let mut chance = |most: u16| if dice.once_in(2) { 0 } else { dice.below(most as usize + 1) as u16 };
    Faults {
        short_recv: chance(300),
        short_send: chance(300),
        would_block: chance(300),
        delay: chance(100),
        delay_ms_max: 20,
        reorder: chance(300),
        spurious_event: chance(100),
        file_limit: chance(100),
        accept_reset: chance(100),
        no_buffers: if chance(10) == 10 { 5 } else { 0 },
        full_queue: chance(full_queue_max),
        partial_wait: chance(200),
        lost_cancel: chance(500),
    }
}

fn some_trouble(dice: &mut Dice) -> Trouble {
    match dice.below(4) {
        0 => Trouble::Pause(dice.pick(&[50, 5_000, 100_000])),
        3 => Trouble::Late(dice.pick(&[50, 5_000, 100_000])),
        1 => Trouble::Restart,
        _ => Trouble::Stop,
    }
}

fn some_visitor(dice: &mut Dice, world: &World, within_ms: usize) -> Visitor {
    let nature = match dice.below(23) {
        21 | 22 => Nature::Drips(dice.below(800), dice.pick(&[100, 1_000, 3_000])),
        20 => Nature::Idles(dice.below(3)),
        0..=10 => Nature::Healthy,
        11..=13 => Nature::HalfCloses,
        14 => Nature::StallsSending(dice.below(400)),
        15 => Nature::StallsReading(dice.below(3_000)),
        16..=18 => Nature::Leaves(dice.below(600), dice.pick(&[Leave::Close, Leave::Reset, Leave::Finish])),
        _ => Nature::Garbage(dice.below(crate::exchange::GARBAGE.len()) as u8),
    };
    let most = dice.pick(&[1, 3, 12, 40]);
    let may_panic = dice.once_in(40);
    let is_wild = !matches!(nature, Nature::Garbage(_)) && dice.once_in(8);
    let exchanges: Vec<_> = (0..dice.between(1, most))
        .map(|_| match is_wild {
            true => some_exchange_of_any_kind(dice, world),
            false => some_exchange(dice, world, may_panic),
        })
        .collect();
    let longest = exchanges.iter().map(Exchange::bytes_max).max().unwrap_or(0);
    let paces = [(usize::MAX, 0), (usize::MAX, 0), (1_000, 20), (100, 10), (7, 5)];
    let mut pace = || {
        let (bytes_max, gap_ms_max) = dice.pick(&paces);
        // Fewer steps, but at the same speed.
        let bytes_min = if dice.once_in(LONG_ONCE_IN) { 0 } else { longest / STEPS_MAX };
        let times_max = if longest > STEPS_MAX * world.window { 1 } else { STEP_TIMES_MAX };
        let times = (bytes_min / bytes_max).clamp(1, times_max) as u32;
        Pace { bytes_max: bytes_max.max(bytes_min), gap_ms_max: gap_ms_max * times }
    };
    let (sends, reads) = (pace(), pace());
    let depth = dice.pick(&[1, 1, 2, 16]);
    let manner = Manner { waits: dice.once_in(2), writes_first: dice.once_in(4), rambles: dice.once_in(4) };
    Visitor { comes_ms: dice.below(within_ms) as u32, nature, exchanges, depth, sends, reads, manner }
}
