//! One request and what the handler does with it.

use aurora_http_core::sim::Dice;

use crate::plan::World;

/// A request and how it is answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its method.
    pub method: Method,
    /// HTTP/1.0 instead of 1.1.
    pub is_http10: bool,
    /// The `Connection` option, if there is one.
    pub option: Option<Wish>,
    /// The framing of its content.
    pub framing: Framing,
    /// The client expects 100 (Continue).
    pub expects: bool,
    /// Bytes of a field that pads the head.
    pub padding: usize,
    /// Whether an empty line precedes the request.
    pub blank_line: bool,
    /// What the handler does with it.
    pub answer: Answer,
    /// Omitted: the shrinker found that the plan fails without it.
    pub is_left_out: bool,
}

/// The methods for which the engine behaves differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// CONNECT.
    Connect,
}

/// What a client asks of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
    /// `close`.
    Close,
    /// `keep-alive`.
    KeepAlive,
}

/// The framing and length of content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// No content.
    None,
    /// `Content-Length`.
    Length(usize),
    /// Chunks of at most so many bytes, followed by so many trailer fields.
    Chunked {
        /// Bytes of content.
        length: usize,
        /// Bytes of a chunk.
        chunk: usize,
        /// Trailer fields.
        trailers: usize,
    },
}

/// What the handler does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Answers with so many bytes at once, without asking for content.
    Body {
        /// The status.
        status: u16,
        /// Bytes of body.
        length: usize,
        /// The body is sent in place, without a copy.
        in_place: bool,
    },
    /// Returns without writing anything.
    Nothing,
    /// Produces so many bytes piece by piece.
    Produce {
        /// Bytes of body.
        length: usize,
        /// Announces the length.
        is_known: bool,
        /// Bytes of a piece.
        piece: usize,
    },
    /// Answers with so many bytes of a file.
    File {
        /// Bytes of body.
        length: usize,
        /// Announces the length.
        is_known: bool,
        /// Bytes of a range.
        piece: usize,
        /// Bytes of it that the file has.
        there: usize,
        /// Finishes in the call that writes the last range, and not in the next one.
        at_once: bool,
        /// Defers before each range, as for a slow disk, for so many milliseconds.
        disk_ms: Option<u32>,
    },
    /// Collects the content and answers with so many bytes.
    Collect {
        /// Bytes of body.
        length: usize,
    },
    /// Receives all content, then answers with so many bytes.
    Receive {
        /// Bytes of body.
        length: usize,
        /// Takes nothing until all content has arrived.
        holds: bool,
        /// Takes at most so many bytes per call.
        piece: usize,
    },
    /// Writes back what it receives.
    Echo,
    /// Defers so many times, each for at most so long, then answers with so many bytes.
    Defer {
        /// How often.
        times: u8,
        /// When the answer is ready; `None`: never.
        after_ms: Option<u32>,
        /// Resolved by the handler itself, in the same call.
        by_itself: bool,
        /// Bytes of body.
        length: usize,
    },
    /// Takes a token at once, receives all content, defers only then, and answers with so many bytes.
    DeferLate {
        /// When the answer is ready, counted from the head; `None`: never.
        after_ms: Option<u32>,
        /// Resolved by the handler itself, in the call that takes the token.
        by_itself: bool,
        /// Bytes of body.
        length: usize,
    },
    /// Sets a time and waits for it, so many times, then answers with so many bytes.
    Timed {
        /// How often.
        times: u8,
        /// The time, in milliseconds.
        ms: u32,
        /// Takes a token as well, which is resolved after the last of these times.
        has_token: bool,
        /// Bytes of body.
        length: usize,
    },
    /// Waits for content and a token at once, and takes content only after the token; then answers with so many bytes.
    Paced {
        /// When each token is resolved.
        after_ms: u32,
        /// Bytes of body.
        length: usize,
    },
    /// Begins its response before it receives any content, and continues it after all content.
    Begin {
        /// Bytes of body, of which as many as possible are written at once.
        length: usize,
        /// Announces the length.
        is_known: bool,
        /// Bytes of a field that pads the head.
        padding: usize,
    },
    /// Fails with a status.
    Fail(u16),
    /// Switches to a protocol that echoes what it receives.
    Upgrade {
        /// Raw bytes that the client sends.
        length: usize,
        /// Takes them when it has a token resolved, after so many milliseconds, and waits for both at once.
        paced: Option<u32>,
    },
    /// Switches, and detaches the connection; the program closes it.
    Detach {
        /// Raw bytes that the client sends directly after its request.
        length: usize,
    },
    /// Neither consumes content nor writes anything.
    Stall,
    /// Panics.
    Panic,
    /// Does anything that the types allow, at random but reproducibly by this seed. Either all exchanges of a client are like
    /// this, or none is.
    Anything(u64),
}

/// Input that no server should accept as a request.
pub(crate) const GARBAGE: [&[u8]; 10] = [
    b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nc",
    b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"\0\0\0\0\r\n\r\n",
];

impl Framing {
    /// Bytes of content.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::None => 0,
            Self::Length(length) | Self::Chunked { length, .. } => length,
        }
    }
}

impl Exchange {
    /// How many bytes of its body the file has, if that is less than it announces.
    pub(crate) fn short_file(&self) -> Option<usize> {
        match self.answer {
            Answer::File { length, there, .. } if there < length => Some(there),
            _ => None,
        }
    }

    pub(crate) fn panics(&self) -> bool {
        self.answer == Answer::Panic
    }

    /// The head of the request, as the client sends it.
    pub(crate) fn write_head(&self, id: Id, out: &mut Vec<u8>) {
        if self.blank_line {
            out.extend(b"\r\n");
        }
        let version = if self.is_http10 { "1.0" } else { "1.1" };
        let Id { client, serial } = id;
        let head = match self.method {
            Method::Connect => format!("CONNECT c{client}-{serial}:1 HTTP/{version}\r\nHost: c{client}-{serial}:1\r\n"),
            method => format!("{} /{client}/{serial} HTTP/{version}\r\nHost: x\r\n", method.name()),
        };
        out.extend(head.bytes());
        let is_offered = match self.answer {
            Answer::Upgrade { .. } | Answer::Detach { .. } => true,
            Answer::Anything(seed) => seed.is_multiple_of(3),
            _ => false,
        };
        if is_offered && self.method != Method::Connect {
            out.extend(b"Connection: upgrade\r\nUpgrade: echo\r\n");
        }
        match self.option {
            Some(Wish::Close) => out.extend(b"Connection: close\r\n"),
            Some(Wish::KeepAlive) => out.extend(b"Connection: keep-alive\r\n"),
            None => {}
        }
        if self.expects {
            out.extend(b"Expect: 100-continue\r\n");
        }
        if self.padding > 0 {
            out.extend(b"Cookie: ");
            out.extend(std::iter::repeat_n(b'p', self.padding));
            out.extend(b"\r\n");
        }
        match self.framing {
            Framing::None => {}
            Framing::Length(length) => out.extend(format!("Content-Length: {length}\r\n").bytes()),
            Framing::Chunked { .. } => out.extend(b"Transfer-Encoding: chunked\r\n"),
        }
        out.extend(b"\r\n");
    }

    /// The content and trailers after the head.
    pub(crate) fn write_content(&self, id: Id, out: &mut Vec<u8>) {
        let Id { client, serial } = id;
        match self.framing {
            Framing::None => {}
            Framing::Length(length) => out.extend(id.content(0, length)),
            Framing::Chunked { length, chunk, trailers } => {
                let mut at = 0;
                while at < length {
                    let count = chunk.min(length - at);
                    out.extend(format!("{count:x}\r\n").bytes());
                    out.extend(id.content(at, count));
                    out.extend(b"\r\n");
                    at += count;
                }
                out.extend(b"0\r\n");
                for number in 0..trailers {
                    out.extend(format!("X-Trailer: {client}-{serial}-{number}\r\n").bytes());
                }
                out.extend(b"\r\n");
            }
        }
    }
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Connect => "CONNECT",
        }
    }
}

/// Identifies an exchange.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Id {
    /// Index into [`Plan::clients`](crate::plan::Plan::clients).
    pub(crate) client: usize,
    /// Index into [`Visitor::exchanges`](crate::plan::Visitor::exchanges).
    pub(crate) serial: usize,
}

impl Exchange {
    /// Limits the bytes in either direction, and the number of pieces.
    fn shorten(&mut self, most: usize) {
        match &mut self.framing {
            Framing::None => {}
            Framing::Length(length) => *length = (*length).min(most),
            Framing::Chunked { length, chunk, .. } => {
                *length = (*length).min(most);
                *chunk = (*chunk).max(*length / STEPS_MAX);
            }
        }
        let received = self.framing.length();
        match &mut self.answer {
            Answer::Body { length, .. }
            | Answer::Collect { length }
            | Answer::Defer { length, .. }
            | Answer::DeferLate { length, .. }
            | Answer::Timed { length, .. }
            | Answer::Paced { length, .. }
            | Answer::Begin { length, .. } => *length = (*length).min(most),
            Answer::Produce { length, piece, .. } | Answer::File { length, piece, .. } => {
                *length = (*length).min(most);
                *piece = (*piece).max(*length / STEPS_MAX);
            }
            Answer::Receive { length, piece, .. } => {
                *length = (*length).min(most);
                *piece = (*piece).max(received / STEPS_MAX);
            }
            _ => {}
        }
    }

    /// The most bytes that either side has to send.
    pub(crate) fn bytes_max(&self) -> usize {
        let answered = match self.answer {
            Answer::Body { length, .. }
            | Answer::Produce { length, .. }
            | Answer::File { length, .. }
            | Answer::Collect { length }
            | Answer::Receive { length, .. }
            | Answer::Defer { length, .. }
            | Answer::DeferLate { length, .. }
            | Answer::Timed { length, .. }
            | Answer::Paced { length, .. }
            | Answer::Begin { length, .. }
            | Answer::Upgrade { length, .. }
            | Answer::Detach { length } => length,
            Answer::Echo => self.framing.length(),
            Answer::Anything(_) => 10_000,
            Answer::Nothing | Answer::Fail(_) | Answer::Stall | Answer::Panic => 0,
        };
        answered.max(self.framing.length()).max(self.padding)
    }

    /// Whether the server reads everything that the client sends although the client reads nothing in the meantime.
    pub(crate) fn can_be_written_first(&self, world: &World) -> bool {
        let length = self.framing.length();
        let is_long =
            length > world.limits.discard_bytes_max as usize || matches!(self.framing, Framing::Chunked { .. });
        // Content that is answered unread is dropped on arrival if it is long, and read after the response otherwise.
        let is_dropped = is_long || length == 0;
        match self.answer {
            Answer::Collect { .. } | Answer::Receive { .. } | Answer::DeferLate { .. } => {
                world.limits.in_flight_max.is_none() || is_dropped
            }
            Answer::Begin { .. }
            | Answer::Echo
            | Answer::Upgrade { .. }
            | Answer::Detach { .. }
            | Answer::Anything(_) => false,
            Answer::Body { .. } | Answer::Nothing | Answer::Fail(_) => is_dropped,
            _ => length == 0,
        }
    }
}

/// A pattern in which every position is recognizable; every body is a slice of it.
pub(crate) static PATTERN: [u8; PATTERN_LEN] = {
    let mut bytes = [0; PATTERN_LEN];
    let mut state = 1_u32;
    let mut at = 0;
    while at < PATTERN_LEN {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes[at] = (state >> 24) as u8;
        at += 1;
    }
    bytes
};

const PATTERN_LEN: usize = 1 << 18;
/// The longest body or content.
pub(crate) const LENGTH_MAX: usize = 1 << 17;

impl Id {
    /// The content of its request, from `at` on.
    pub(crate) fn content(self, at: usize, length: usize) -> &'static [u8] {
        self.part(0x51_7c, at, length)
    }

    /// The body of its response.
    pub(crate) fn body(self, at: usize, length: usize) -> &'static [u8] {
        self.part(0x2f_0b, at, length)
    }

    /// The raw bytes after its upgrade.
    pub(crate) fn raw(self, at: usize, length: usize) -> &'static [u8] {
        self.part(0x77_21, at, length)
    }

    /// Where the body of its response begins in the pattern.
    pub(crate) const fn body_at(self) -> usize {
        self.start(0x2f_0b)
    }

    fn part(self, salt: usize, at: usize, length: usize) -> &'static [u8] {
        &PATTERN[self.start(salt) + at..self.start(salt) + at + length]
    }

    const fn start(self, salt: usize) -> usize {
        (self.client * 0x9e_37 + self.serial * 0x3c_6f + salt) % (PATTERN_LEN - LENGTH_MAX)
    }
}

/// An exchange whose handler acts at random, so that its outcome is unknown.
pub(crate) fn some_exchange_of_any_kind(dice: &mut Dice, world: &World) -> Exchange {
    let exchange = some_exchange(dice, world, false);
    let is_bare = exchange.framing == Framing::None && !exchange.is_http10;
    let method = if is_bare && dice.once_in(8) { Method::Connect } else { exchange.method };
    Exchange { answer: Answer::Anything(dice.below(1 << 31) as u64), method, ..exchange }
}

/// An exchange that a healthy client may have with this server.
pub(crate) fn some_exchange(dice: &mut Dice, world: &World, may_panic: bool) -> Exchange {
    let is_http10 = dice.once_in(8);
    let method = dice.pick(&[Method::Get, Method::Get, Method::Head, Method::Post, Method::Post, Method::Post]);
    let lengths = [0, 1, 10, 90, 1_000, 5_000, 20_000, 70_000];
    let length = dice.pick(&lengths);
    let framing = match (method, dice.below(3)) {
        (Method::Post, 0) if !is_http10 => {
            Framing::Chunked { length, chunk: dice.pick(&[3, 100, 9_000]), trailers: dice.below(4) }
        }
        (Method::Post, _) => Framing::Length(length),
        _ => Framing::None,
    };
    let framing = match framing {
        Framing::Chunked { length, chunk: 3, trailers } => {
            Framing::Chunked { length: length.min(1_000), chunk: 3, trailers }
        }
        framing => framing,
    };
    let mut exchange = Exchange {
        method,
        is_http10,
        option: dice.pick(&[None, None, None, Some(Wish::KeepAlive), Some(Wish::Close)]),
        framing,
        expects: !is_http10 && framing != Framing::None && dice.once_in(3),
        padding: if dice.once_in(6) { dice.below(5_000) } else { 0 },
        blank_line: dice.once_in(10),
        answer: some_answer(dice, world, framing, may_panic),
        is_left_out: false,
    };
    fit(dice, world, &mut exchange);
    exchange
}

fn some_answer(dice: &mut Dice, world: &World, framing: Framing, may_panic: bool) -> Answer {
    let length = dice.pick(&[0, 1, 90, 600, 1_000, 5_000, 20_000, 100_000]);
    match dice.below(24) {
        0 => Answer::Nothing,
        1 | 2 => Answer::Produce { length, is_known: dice.once_in(2), piece: dice.pick(&[10, 1_000, 100_000]) },
        3 | 4 => Answer::Collect { length },
        5..=7 => Answer::Receive { length, holds: dice.once_in(3), piece: dice.pick(&[1, 50, usize::MAX, usize::MAX]) },
        8 | 9 if framing != Framing::None => Answer::Echo,
        10 | 11 => Answer::Defer {
            times: dice.between(1, 3) as u8,
            after_ms: if dice.once_in(8) { None } else { Some(dice.pick(&[0, 5, 2_000])) },
            by_itself: dice.once_in(4),
            length,
        },
        19 | 20 => Answer::File {
            length,
            is_known: !dice.once_in(4),
            piece: dice.pick(&[10, 1_000, 40_000, 100_000]),
            there: if dice.once_in(4) { dice.below(length + 1) } else { length },
            at_once: dice.once_in(2),
            // While it waits it may still ask for the content, so the head does not say that the connection will end.
            disk_ms: if framing == Framing::None && dice.once_in(2) { Some(dice.pick(&[0, 5])) } else { None },
        },
        12 => Answer::Fail(dice.pick(&[400, 404, 500, 503])),
        13 if dice.once_in(2) => Answer::Upgrade {
            length: dice.below(3_000),
            paced: if dice.once_in(2) { Some(dice.pick(&[0, 5, 300])) } else { None },
        },
        // Where there are few slots, the one that it frees is what others wait for.
        14 if world.slots <= 8 || dice.once_in(3) => Answer::Detach { length: dice.pick(&[0, 5, 500]) },
        15 if dice.once_in(3) => Answer::Stall,
        16 if may_panic => Answer::Panic,
        17 => Answer::DeferLate {
            after_ms: if dice.once_in(8) { None } else { Some(dice.pick(&[0, 5, 2_000])) },
            by_itself: dice.once_in(2),
            length,
        },
        22 => {
            // One is longer than any deferral may last, but not so long that others wait for its slot in vain.
            let (times, ms) = dice.pick(&[(1, 0), (2, 1), (3, 5), (3, 100), (1, 70_000)]);
            Answer::Timed { times, ms, has_token: dice.once_in(2), length }
        }
        23 if framing != Framing::None => Answer::Paced { after_ms: dice.pick(&[0, 5, 100]), length },
        18 => Answer::Begin { length, is_known: dice.once_in(2), padding: dice.pick(&[0, 700, 900, 3_000]) },
        _ => Answer::Body {
            status: dice.pick(&[200, 200, 201, 204, 304, 404, 426, 500]),
            length,
            in_place: dice.once_in(2),
        },
    }
}

/// The usual limit of steps in which bytes are moved: more take long, and show hardly anything new.
pub(crate) const STEPS_MAX: usize = 50;
/// One exchange of so many is not limited to these steps.
pub(crate) const LONG_ONCE_IN: usize = 20;

/// Removes anything that this server would refuse, or whose outcome is unpredictable.
fn fit(dice: &mut Dice, world: &World, exchange: &mut Exchange) {
    let largest = world.counts.largest();
    // Leaves room for the head, and for pipelined responses before it.
    let copied_max = largest.min(world.limits.response_bytes_max as usize) / 4;
    let received = exchange.framing.length();
    exchange.padding = exchange.padding.min(largest / 2);
    if !dice.once_in(LONG_ONCE_IN) {
        exchange.shorten(STEPS_MAX * world.window);
    }
    match &mut exchange.answer {
        Answer::Body { length, in_place: false, .. } | Answer::Collect { length } | Answer::Receive { length, .. } => {
            *length = (*length).min(copied_max);
        }
        Answer::Defer { length, .. }
        | Answer::DeferLate { length, .. }
        | Answer::Timed { length, .. }
        | Answer::Paced { length, .. } => *length = (*length).min(copied_max),
        Answer::Begin { padding, .. } => *padding = (*padding).min(copied_max),
        Answer::Upgrade { .. } | Answer::Detach { .. } => {
            // Content would have to be received before the switch.
            exchange.framing = Framing::None;
            exchange.expects = false;
            exchange.is_http10 = false;
            exchange.option = None;
            exchange.method = dice.pick(&[Method::Get, Method::Connect]);
        }
        _ => {}
    }
    if exchange.framing == Framing::None && !exchange.is_http10 && dice.once_in(20) {
        // A refused tunnel.
        if let Answer::Body { status, .. } = &mut exchange.answer {
            (*status, exchange.method) = (403, Method::Connect);
        }
    }
    if let Answer::Receive { holds, .. } = &mut exchange.answer {
        // Held content has to fit into the smallest buffer used for receiving.
        *holds &= received <= 500;
    }
}
