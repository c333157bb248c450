//! A siege: there are few slots or buffers, and more clients that try to hold them than there are. Well-behaved clients, the
//! guests, must be served soon nevertheless.

use aurora_http_core::limits::{Limits, Overload};
use aurora_http_core::pool::{Class, ClassCounts};
use aurora_http_core::sim::{Dice, Faults};

use crate::exchange::{Answer, Exchange, Framing, Method};
use crate::plan::{Face, Leave, Looping, Manner, Nature, PLENTY, Pace, Plan, Trouble, Visitor, World};

/// Which resource is held, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Siege {
    /// Slots, by heads that remain incomplete.
    Heads,
    /// Slots, by idle connections, while others are still receiving responses.
    Idle,
    /// Slots, by clients that always have a request in flight.
    Busy,
    /// Buffers, by content, answers and other protocols that make no progress.
    Buffers,
}

const PROMPT: Pace = Pace { bytes_max: usize::MAX, gap_ms_max: 0 };

/// The longest time for which a guest waits for a slot, whoever is ahead of it.
const SLOT_MS_MAX: u64 = 1_000;

/// The longest time for which a busy client keeps a slot that another client is waiting for.
const TALK_MS_MAX: u64 = 150;

/// The longest time for which the queue for a buffer makes no progress.
const LINE_MS_MAX: u64 = 2_200;

impl Siege {
    /// The longest time for which a guest waits for a response.
    pub(crate) fn served_within_ms(self, plan: &Plan) -> u64 {
        let besiegers = plan.clients.iter().filter(|client| !client.is_guest()).count();
        match self {
            Self::Heads | Self::Idle => SLOT_MS_MAX,
            Self::Busy => SLOT_MS_MAX + TALK_MS_MAX * besiegers.div_ceil(plan.world.slots) as u64,
            Self::Buffers => {
                // All clients compete for the class to receive into, of which one buffer is reserved for responses.
                let buffers = plan.world.counts.of(Class::Small) as usize - 1;
                SLOT_MS_MAX + LINE_MS_MAX * (1 + besiegers.div_ceil(buffers)) as u64
            }
        }
    }

    /// Whether a client that reads must get every response in full.
    pub(crate) fn cuts_nobody(self) -> bool {
        self == Self::Idle
    }
}

/// The plan of a seed.
pub(crate) fn some_siege(seed: u64, dice: &mut Dice) -> Plan {
    let siege = dice.pick(&[Siege::Heads, Siege::Idle, Siege::Busy, Siege::Buffers]);
    let world = some_world(dice, siege);
    let within_ms = dice.pick(&[10, 500, 10_000]);
    // At any time, or several together after a pause.
    let beat_ms = dice.pick(&[1, 1, 300]);
    // All clients hold a buffer in the same way, or each in a different one.
    let hoards = dice.below(2 * HOARDERS);
    let mut clients = Vec::new();
    let most = if world.counts.total() < 10 { 16 } else { 60 };
    for _ in 0..dice.between(world.slots.min(8), most) {
        let besieger = match siege {
            Siege::Heads => slow_head(dice),
            Siege::Idle => idler(dice),
            Siege::Busy => talker(dice),
            Siege::Buffers if hoards < HOARDERS => hoarder(dice, hoards),
            Siege::Buffers => {
                let kind = dice.below(HOARDERS);
                hoarder(dice, kind)
            }
        };
        clients.push(Visitor { comes_ms: (dice.below(within_ms) / beat_ms * beat_ms) as u32, ..besieger });
    }
    if siege == Siege::Idle {
        for _ in 0..world.slots / 2 {
            clients.push(Visitor { comes_ms: dice.below(within_ms) as u32, ..receiver(dice) });
        }
    }
    for _ in 0..dice.between(1, 12) {
        let comes_ms = dice.below(within_ms + 3_000) as u32;
        clients.push(Visitor { comes_ms, ..Visitor::prompt(Nature::Healthy, vec![short_exchange(dice)]) });
    }
    let stops = siege == Siege::Idle && dice.once_in(3);
    let troubles = if stops { vec![(dice.below(within_ms + 1_000) as u32, Trouble::Stop)] } else { Vec::new() };
    Plan { seed, world, clients, troubles, siege: Some(siege) }
}

fn some_world(dice: &mut Dice, siege: Siege) -> World {
    let (slots, counts) = match siege {
        Siege::Heads | Siege::Idle | Siege::Busy => {
            let some = dice.between(2, 16);
            (dice.pick(&[2, 3, some]), ClassCounts::new([2 * PLENTY as u32; 5]))
        }
        Siege::Buffers => (400, dice.pick(&[ClassCounts::new([3, 3, 1, 1, 1]), ClassCounts::new([8, 8, 4, 2, 2])])),
    };
    // Turns that do not see everything, in which nothing is decided.
    let blind = dice.pick(&[0, 100, 400]);
    let faults = match siege {
        Siege::Buffers => Faults { full_queue: blind, partial_wait: blind, ..Faults::default() },
        Siege::Heads | Siege::Idle | Siege::Busy => Faults::default(),
    };
    World {
        face: dice.pick(&[Face::Completions, Face::Calls]),
        looping: dice.pick(&[Looping::Own, Looping::Level, Looping::Edge]),
        slots,
        counts,
        limits: Limits { overload: Overload::Wait, ..Limits::default() },
        window: dice.pick(&[4_096, 65_536]),
        start_ms: 1,
        faults,
        work_ms_max: 0,
        generation: 0,
        serial: 0,
        has_files: true,
    }
}

fn slow_head(dice: &mut Dice) -> Visitor {
    let length = dice.below(30);
    let nature = match dice.below(3) {
        0 => Nature::Drips(length, dice.pick(&[100, 1_000, 3_000])),
        _ => Nature::StallsSending(length),
    };
    Visitor::prompt(nature, vec![short_exchange(dice)])
}

fn idler(dice: &mut Dice) -> Visitor {
    match dice.below(4) {
        0 => Visitor::prompt(Nature::Garbage(dice.below(crate::exchange::GARBAGE.len()) as u8), Vec::new()),
        _ => Visitor::prompt(Nature::Idles(dice.below(3)), vec![short_exchange(dice)]),
    }
}

/// Reads slowly, and sends its next requests in the meantime.
fn receiver(dice: &mut Dice) -> Visitor {
    let mut exchanges = Vec::new();
    for _ in 0..dice.between(2, 8) {
        let length = dice.pick(&[2_000, 20_000, 60_000]);
        let answer = Answer::Produce { length, is_known: true, piece: usize::MAX };
        exchanges.push(Exchange { answer, ..Exchange::short() });
    }
    Visitor {
        sends: Pace { bytes_max: usize::MAX, gap_ms_max: dice.pick(&[50, 400]) },
        reads: Pace { bytes_max: dice.pick(&[1_000, 5_000]), gap_ms_max: 20 },
        depth: dice.between(2, 4),
        ..Visitor::prompt(Nature::Healthy, exchanges)
    }
}

/// Sends its next request before it has the response to the last one.
fn talker(dice: &mut Dice) -> Visitor {
    let mut exchanges = Vec::new();
    for _ in 0..dice.between(10, 60) {
        let answer = Answer::Defer { times: 1, after_ms: Some(dice.pick(&[5, 50])), by_itself: false, length: 10 };
        exchanges.push(Exchange { answer, ..Exchange::short() });
    }
    Visitor { depth: 2, ..Visitor::prompt(Nature::Idles(0), exchanges) }
}

/// How many ways there are to hold a buffer.
const HOARDERS: usize = 7;

/// Holds a buffer, in the way `kind`, counted from 0.
fn hoarder(dice: &mut Dice, kind: usize) -> Visitor {
    let asks = |answer, framing| Exchange { method: Method::Post, framing, answer, ..Exchange::short() };
    let length = dice.pick(&[300, 900]);
    let framing = match dice.below(2) {
        0 => Framing::Length(length),
        _ => Framing::Chunked { length, chunk: 100, trailers: 0 },
    };
    let deferred = Answer::Defer { times: 1, after_ms: Some(200_000), by_itself: false, length: 10 };
    match kind {
        0 => slow_head(dice),
        // Disconnects, possibly while it waits for a buffer.
        5 => {
            let nature = Nature::Leaves(dice.between(4, 30), dice.pick(&[Leave::Close, Leave::Reset]));
            let sends = Pace { bytes_max: 8, gap_ms_max: 400 };
            Visitor { sends, ..Visitor::prompt(nature, vec![short_exchange(dice)]) }
        }
        // Returns its buffer of its own accord.
        6 => talker(dice),
        // Bytes after its request take a buffer and cannot be processed yet.
        1 => {
            let exchanges = vec![Exchange { answer: deferred, ..Exchange::short() }, Exchange::short()];
            Visitor { depth: 2, ..Visitor::prompt(Nature::StallsSending(dice.between(40, 55)), exchanges) }
        }
        2 => {
            let upgraded = Exchange { answer: Answer::Upgrade { length: 4_000, paced: None }, ..Exchange::short() };
            let nature = match dice.below(2) {
                0 => Nature::StallsReading(dice.between(100, 400)),
                _ => Nature::StallsSending(dice.between(80, 2_000)),
            };
            Visitor::prompt(nature, vec![upgraded])
        }
        3 => Visitor::prompt(
            Nature::StallsSending(dice.between(100, 250)),
            vec![asks(Answer::Collect { length: 10 }, framing)],
        ),
        _ => {
            let receive = Answer::Receive { length: 10, holds: dice.once_in(2) && length <= 500, piece: usize::MAX };
            Visitor::prompt(Nature::StallsSending(dice.between(100, 250)), vec![asks(receive, framing)])
        }
    }
}

fn short_exchange(dice: &mut Dice) -> Exchange {
    let length = dice.below(100);
    Exchange { answer: Answer::Body { status: 200, length, in_place: dice.once_in(2) }, ..Exchange::short() }
}

impl Visitor {
    /// Sends and reads without pauses.
    fn prompt(nature: Nature, exchanges: Vec<Exchange>) -> Self {
        Self { comes_ms: 0, nature, exchanges, depth: 1, sends: PROMPT, reads: PROMPT, manner: Manner::default() }
    }

    /// Whether its requests can be answered at once, and it reads the responses.
    pub(crate) fn is_guest(&self) -> bool {
        self.nature == Nature::Healthy && self.reads.gap_ms_max == 0
    }
}

impl Exchange {
    /// A request that can be answered at once.
    fn short() -> Self {
        Self {
            method: Method::Get,
            is_http10: false,
            option: None,
            framing: Framing::None,
            expects: false,
            padding: 0,
            blank_line: false,
            answer: Answer::Body { status: 200, length: 10, in_place: false },
            is_left_out: false,
        }
    }
}
