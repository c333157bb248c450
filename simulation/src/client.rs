//! A client: sends what the plan says, at its pace, and knows what it must get.

use std::collections::VecDeque;

use aurora_http_core::reactor::IoHandle;
use aurora_http_core::sim::{Client, ClientRecv, Dice, Network};
use aurora_http_core::time::Instant;

use crate::exchange::{Answer, GARBAGE, Id, Method};
use crate::model::{Body, Expected, Keeps, expected, may_be_instead};
use crate::plan::{Leave, NEVER, Nature, Pace, Plan, Visitor};
use crate::reader::{BodyEnd, Head, Piece, Reader};

/// Connections that a client tries in a row without any answer.
const ATTEMPTS_MAX: u32 = 30;
/// How long a client that keeps its connection, and does nothing, waits for the server to end it.
const PATIENCE_MS: u32 = 400_000;
/// The shortest timeout of a server: what ends sooner was not waited for.
const TIMEOUT_MIN_MS: u64 = 9_900;

/// What clients saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Connections made.
    pub connections: u64,
    /// Responses that were whole and as they should be.
    pub answered: u64,
    /// Errors of the server's own in place of one, where that is allowed.
    pub refused: u64,
    /// Bytes received.
    pub bytes: u64,
}

/// What a client acts in.
pub(crate) struct Surroundings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) network: &'a mut Network,
    /// `None` while the server does not listen.
    pub(crate) listener: Option<IoHandle>,
    pub(crate) seen: &'a mut Seen,
    /// What is received goes through it.
    pub(crate) received: &'a mut [u8],
    /// Milliseconds for which the server stood still so far.
    pub(crate) paused_ms: u64,
}

pub(crate) struct Actor {
    index: usize,
    dice: Dice,
    connection: Option<Connection>,
    /// Exchanges that are answered.
    answered: usize,
    attempts: u32,
    /// When it acts again, if nothing happens.
    pub(crate) wakes_at: Option<Instant>,
    pub(crate) is_done: bool,
    /// How often each exchange was sent.
    pub(crate) sent_times: Vec<u32>,
}

/// One connection of a client.
struct Connection {
    client: Client,
    reader: Reader,
    /// The next exchange to be sent.
    next: usize,
    /// Those that were sent, with their numbers on this connection.
    awaiting: VecDeque<(usize, u32)>,
    count: u32,
    out: Vec<u8>,
    out_at: usize,
    sent: usize,
    read: usize,
    /// The response that is being read.
    current: Option<Current>,
    /// A 100 (Continue) came for the exchange in front.
    continued: bool,
    /// Nothing may come behind the response at hand.
    is_last: bool,
    /// Nothing more is sent.
    is_mute: bool,
    /// FIN was sent.
    is_finished: bool,
    /// It is no HTTP any more.
    has_switched: bool,
    /// A response may end in its middle.
    may_break: bool,
    /// The last head, for the words of an error.
    head: String,
    /// When it sent the last byte.
    sent_at: Instant,
    sends_at: Instant,
    reads_at: Instant,
}

struct Current {
    serial: usize,
    /// `None` for what the server says in place of the response.
    expected: Option<Expected>,
    at: usize,
}

impl Actor {
    pub(crate) fn new(index: usize, visitor: &Visitor, dice: Dice, start: Instant) -> Self {
        Self {
            index,
            dice,
            connection: None,
            answered: visitor.exchanges.iter().position(|exchange| !exchange.is_left_out).unwrap_or(0),
            attempts: 0,
            wakes_at: Some(start.plus_ms(visitor.comes_ms)),
            is_done: visitor.comes_ms == NEVER,
            sent_times: vec![0; visitor.exchanges.len()],
        }
    }

    /// The connection that it has now.
    pub(crate) fn client(&self) -> Option<Client> {
        self.connection.as_ref().map(|connection| connection.client)
    }

    /// What it waits for, in words.
    pub(crate) fn describe(&self) -> String {
        let Some(connection) = &self.connection else {
            return format!("client {} without a connection, {} answered", self.index, self.answered);
        };
        let Connection { awaiting, out, out_at, sent, read, is_last, .. } = connection;
        format!(
            "client {} with {awaiting:?} unanswered, {} bytes to send, {sent} sent, {read} read, is_last {is_last}, {:?}",
            self.index,
            out.len() - out_at,
            connection.reader
        )
    }

    /// Does what there is to do.
    pub(crate) fn act(&mut self, around: &mut Surroundings<'_>) -> Result<(), String> {
        if self.is_done {
            return Ok(());
        }
        self.wakes_at = None;
        let result = self.act_now(around);
        result.map_err(|what| format!("client {}, {} answered: {what}", self.index, self.answered))
    }

    fn act_now(&mut self, around: &mut Surroundings<'_>) -> Result<(), String> {
        if self.connection.is_none() && !self.connect(around)? {
            return Ok(());
        }
        let ended = self.read(around)?;
        if let Some(ended) = ended {
            self.take_end(around, ended)?;
        } else {
            self.send(around);
            self.leave_when_done(around)?;
        }
        let now = around.network.now();
        if let Some(connection) = &self.connection {
            let times = [connection.sends_at, connection.reads_at].into_iter().filter(|at| *at > now);
            self.wakes_at = self.wakes_at.into_iter().chain(times).min();
        }
        Ok(())
    }

    fn visitor<'p>(&self, plan: &'p Plan) -> &'p Visitor {
        &plan.clients[self.index]
    }

    fn connect(&mut self, around: &mut Surroundings<'_>) -> Result<bool, String> {
        let now = around.network.now();
        let client = around.listener.and_then(|listener| around.network.connect(listener));
        let Some(client) = client else {
            self.wakes_at = Some(now.plus_ms(20));
            return Ok(false);
        };
        self.attempts += 1;
        if self.attempts > ATTEMPTS_MAX {
            if !around.plan.is_pressed() && !around.plan.is_violent() {
                return Err(format!("{ATTEMPTS_MAX} connections without an answer"));
            }
            around.network.client_close(client);
            self.is_done = true;
            return Ok(false);
        }
        around.seen.connections += 1;
        self.connection = Some(Connection {
            client,
            reader: Reader::default(),
            next: self.answered,
            awaiting: VecDeque::new(),
            count: 0,
            out: Vec::new(),
            out_at: 0,
            sent: 0,
            read: 0,
            current: None,
            continued: false,
            is_last: false,
            is_mute: false,
            is_finished: false,
            has_switched: false,
            may_break: false,
            head: String::new(),
            sent_at: now,
            sends_at: now,
            reads_at: now,
        });
        Ok(true)
    }

    /// Reads what it may read now; tells how the connection ended, if it did.
    fn read(&mut self, around: &mut Surroundings<'_>) -> Result<Option<ClientRecv>, String> {
        let visitor = self.visitor(around.plan);
        let pace = visitor.reads;
        loop {
            let Some(connection) = &mut self.connection else { return Ok(None) };
            let now = around.network.now();
            if connection.reads_at > now {
                return Ok(None);
            }
            let limit = match visitor.nature {
                Nature::StallsReading(most) => most.saturating_sub(connection.read),
                Nature::Leaves(_, Leave::Finish) => 0,
                _ => usize::MAX,
            };
            let most = limit.min(pace.bytes_max).min(around.received.len());
            let received = around.network.client_recv(connection.client, &mut around.received[..most]);
            let ClientRecv::Bytes(count) = received else {
                return Ok(matches!(received, ClientRecv::Fin | ClientRecv::Reset).then_some(received));
            };
            if count == 0 {
                return Ok(None);
            }
            connection.read += count;
            around.seen.bytes += count as u64;
            connection.reader.feed(&around.received[..count]);
            connection.reads_at = next_time(&mut self.dice, now, pace);
            self.take_pieces(around)?;
        }
    }

    fn take_pieces(&mut self, around: &mut Surroundings<'_>) -> Result<(), String> {
        while let Some(connection) = &mut self.connection {
            let piece = connection.reader.next().map_err(|what| format!("{what} behind {}", connection.head))?;
            let Some(piece) = piece else { return Ok(()) };
            match piece {
                Piece::Head(head) => self.take_head(around, head)?,
                Piece::Body(bytes) => self.take_body(&bytes)?,
                Piece::End => self.take_end_of_body(around)?,
            }
        }
        Ok(())
    }

    fn take_head(&mut self, around: &Surroundings<'_>, head: Head) -> Result<(), String> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let plan = around.plan;
        let visitor = &plan.clients[self.index];
        if connection.is_last {
            return Err(format!("behind the last response: {head:?}"));
        }
        if let Nature::Garbage(_) = visitor.nature {
            let is_right = matches!(head.status, 400 | 501 | 505) || may_be_instead(plan, visitor.nature, head.status);
            let is_last = head.closes && head.exchange.is_none();
            if !is_right || !is_last {
                return Err(format!("in answer to garbage: {head:?}"));
            }
            connection.is_last = true;
            connection.current = Some(Current { serial: 0, expected: None, at: 0 });
            let is_head =
                matches!(visitor.nature, Nature::Garbage(kind) if GARBAGE[kind as usize].starts_with(b"HEAD"));
            let end = match is_head {
                // Refused before he has said anything.
                true if head.status == 503 => BodyEnd::Never,
                true => BodyEnd::NoBody,
                false => BodyEnd::AsTheHeadSays,
            };
            return connection.reader.expect_body(&head, end);
        }
        connection.head = format!("{head:?}");
        let front = connection.awaiting.front().copied();
        let Some((serial, nth)) = front else {
            return Err(format!("without a request: {head:?}"));
        };
        let exchange = &visitor.exchanges[serial];
        if head.status == 100 {
            if !exchange.expects || exchange.is_http10 || connection.continued {
                return Err(format!("an unasked 100 for exchange {serial}"));
            }
            connection.continued = true;
            return connection.reader.expect_body(&head, BodyEnd::NoBody);
        }
        let expected = expected(plan, exchange, nth);
        let is_head = exchange.method == Method::Head;
        // Who is refused before he has said anything may be sent a body that he does not expect; it is the last.
        let is_refused = is_head && head.closes && head.exchange.is_none();
        let is_unheard = is_refused
            && match head.status {
                503 => plan.is_pressed(),
                // Neither is it known what the first bytes of a head are going to be.
                408 => connection.out_at <= "\r\nHEAD ".len(),
                _ => false,
            };
        let is_it = head.status == expected.status && !is_unheard;
        let name = expected.is_the_handlers.then(|| format!("{}-{serial}", self.index));
        if is_it && head.exchange == name {
            let is_kept = match expected.keeps {
                Keeps::Kept => !head.closes,
                Keeps::Closed => head.closes || expected.end == BodyEnd::Never,
                Keeps::Either => true,
            };
            if !is_kept {
                return Err(format!("exchange {serial} {exchange:?}: {:?} is expected: {head:?}", expected.keeps));
            }
            connection.is_last = head.closes;
            connection.has_switched |= expected.end == BodyEnd::Never;
            connection.may_break |= expected.may_break;
            connection.reader.expect_body(&head, expected.end)?;
            connection.current = Some(Current { serial, expected: Some(expected), at: 0 });
            return Ok(());
        }
        let is_too_much = expected.may_break && head.status == 413;
        if head.exchange.is_some() || !(is_too_much || may_be_instead(plan, visitor.nature, head.status)) {
            return Err(format!("exchange {serial} {exchange:?}: expected {expected:?}, not {head:?}"));
        }
        connection.is_last = head.closes;
        let end = match is_head {
            true if is_unheard => BodyEnd::Never,
            true => BodyEnd::NoBody,
            false => BodyEnd::AsTheHeadSays,
        };
        connection.reader.expect_body(&head, end)?;
        connection.current = Some(Current { serial, expected: None, at: 0 });
        Ok(())
    }

    fn take_body(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(current) = self.connection.as_mut().and_then(|connection| connection.current.as_mut()) else {
            return Err("a body without a head".to_owned());
        };
        let at = current.at;
        current.at += bytes.len();
        let Some(expected) = &current.expected else { return Ok(()) };
        if matches!(expected.body, Body::Any) {
            return Ok(());
        }
        let id = Id { client: self.index, serial: current.serial };
        if expected.body.bytes(id, at, bytes.len()) != Some(bytes) {
            let length = expected.body.length();
            return Err(format!("exchange {}: {} bytes at {at} of {length:?} are not its own", id.serial, bytes.len()));
        }
        Ok(())
    }

    /// A response is whole.
    fn take_end_of_body(&mut self, around: &mut Surroundings<'_>) -> Result<(), String> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        // An interim one has no body, and is none.
        let Some(current) = connection.current.take() else { return Ok(()) };
        if matches!(self.visitor(around.plan).nature, Nature::Garbage(_)) {
            return Ok(());
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        match &current.expected {
            Some(expected) => {
                let length = expected.body.length().unwrap_or(current.at);
                if current.at != length {
                    return Err(format!("exchange {}: {} of {length} bytes", current.serial, current.at));
                }
                around.seen.answered += 1;
            }
            None => around.seen.refused += 1,
        }
        connection.awaiting.pop_front();
        connection.continued = false;
        self.answered = visitor_next(around.plan, self.index, current.serial);
        self.attempts = 0;
        Ok(())
    }

    /// The server has ended the connection, or it was reset.
    fn take_end(&mut self, around: &mut Surroundings<'_>, how: ClientRecv) -> Result<(), String> {
        let Some(mut connection) = self.connection.take() else { return Ok(()) };
        let plan = around.plan;
        let visitor = &plan.clients[self.index];
        let now = around.network.now();
        around.network.client_close(connection.client);
        self.wakes_at = Some(now);
        let is_lazy = matches!(visitor.nature, Nature::Leaves(..) | Nature::StallsReading(_));
        let breaks = connection
            .awaiting
            .front()
            .is_some_and(|(at, nth)| expected(plan, &visitor.exchanges[*at], *nth).may_break);
        connection.may_break |= breaks;
        if let Some((at, _)) = connection.awaiting.front().filter(|_| breaks) {
            self.answered = visitor_next(plan, self.index, *at);
        }
        let is_excused = plan.is_violent() || plan.is_pressed() || plan.may_be_late() || is_lazy || breaks;
        if let Some(current) = connection.current.take() {
            self.take_cut(around, &connection, &current, how)?;
        } else if how == ClientRecv::Reset && !is_excused && !connection.is_last {
            return Err(format!("a reset with {:?} unanswered", connection.awaiting));
        }
        let is_whole = connection.reader.is_between() || connection.reader.ends_with_connection();
        let may_break = connection.may_break || matches!(visitor.nature, Nature::StallsSending(_));
        if !is_whole && how == ClientRecv::Fin && !is_excused && !may_break {
            return Err("a response ends in its middle".to_owned());
        }
        match visitor.nature {
            Nature::Healthy | Nature::HalfCloses => {
                let all = self.answered == visitor.exchanges.len();
                let said = connection.is_last || all || connection.may_break;
                let switched = connection.has_switched;
                if !said && !switched && !is_excused {
                    return Err(format!("the connection ends unasked with {:?} unanswered", connection.awaiting));
                }
                self.is_done = all;
            }
            Nature::StallsSending(_) => {
                // Whoever waits for more has to wait as long as it says.
                let waited = now.ms_since(connection.sent_at);
                let is_early = waited < TIMEOUT_MIN_MS && connection.is_stalled(visitor) && !connection.is_last;
                if is_early && !is_excused && around.paused_ms == 0 && self.answered < visitor.exchanges.len() {
                    return Err(format!("not waited for: ended after {waited} ms"));
                }
                self.is_done = true;
            }
            Nature::Garbage(_) => {
                if !connection.is_last && !is_excused {
                    return Err("garbage is not answered".to_owned());
                }
                self.is_done = true;
            }
            Nature::StallsReading(_) | Nature::Leaves(..) => self.is_done = true,
        }
        Ok(())
    }

    /// A response was under way when the connection ended.
    fn take_cut(
        &mut self,
        around: &mut Surroundings<'_>,
        connection: &Connection,
        current: &Current,
        how: ClientRecv,
    ) -> Result<(), String> {
        let plan = around.plan;
        let Some(expected) = &current.expected else { return Ok(()) };
        let by_its_end = how == ClientRecv::Fin && connection.reader.ends_with_connection();
        let is_whole = expected.body.length().is_none_or(|length| length == current.at);
        let detached = plan.clients[self.index].exchanges[current.serial].answer == Answer::Detach;
        if by_its_end && is_whole || detached {
            around.seen.answered += 1;
            self.answered = visitor_next(around.plan, self.index, current.serial);
            self.attempts = 0;
            return Ok(());
        }
        if expected.may_break {
            self.answered = visitor_next(around.plan, self.index, current.serial);
            return Ok(());
        }
        let is_lazy = matches!(
            plan.clients[self.index].nature,
            Nature::StallsReading(_) | Nature::StallsSending(_) | Nature::Leaves(..)
        );
        if plan.is_violent() || plan.is_pressed() || plan.pauses() || is_lazy {
            return Ok(());
        }
        Err(format!("exchange {}: cut ({how:?}) after {} bytes of {:?}", current.serial, current.at, expected.body))
    }

    fn send(&mut self, around: &mut Surroundings<'_>) {
        let visitor = self.visitor(around.plan);
        let limit = match visitor.nature {
            Nature::StallsSending(most) | Nature::Leaves(most, _) => most,
            _ => usize::MAX,
        };
        loop {
            self.fill(around.plan);
            let Some(connection) = &mut self.connection else { return };
            let now = around.network.now();
            if connection.sends_at > now || connection.is_finished {
                return;
            }
            let left = (connection.out.len() - connection.out_at).min(limit - connection.sent.min(limit));
            let most = left.min(visitor.sends.bytes_max);
            if most == 0 {
                return;
            }
            let bytes = &connection.out[connection.out_at..connection.out_at + most];
            let count = around.network.client_send(connection.client, bytes);
            connection.out_at += count;
            connection.sent += count;
            if count == 0 {
                return;
            }
            connection.sent_at = now;
            connection.sends_at = next_time(&mut self.dice, now, visitor.sends);
        }
    }

    /// Puts the next requests into its hands, as far as it does not wait for answers.
    fn fill(&mut self, plan: &Plan) {
        let visitor = &plan.clients[self.index];
        let Some(connection) = &mut self.connection else { return };
        if connection.out_at == connection.out.len() {
            connection.out.clear();
            connection.out_at = 0;
        }
        if let Nature::Garbage(kind) = visitor.nature {
            if !connection.is_mute {
                connection.is_mute = true;
                connection.out.extend(GARBAGE[kind as usize]);
            }
            return;
        }
        let switched = connection
            .current
            .as_ref()
            .is_some_and(|current| current.expected.as_ref().is_some_and(|expected| expected.end == BodyEnd::Never));
        if switched && !connection.is_mute {
            connection.is_mute = true;
            if let Some(Current { serial, expected: Some(expected), .. }) = &connection.current
                && let Body::Raw(length) = expected.body
            {
                let id = Id { client: self.index, serial: *serial };
                connection.out.extend(id.raw(0, length));
            }
            return;
        }
        while !connection.is_mute
            && connection.out.is_empty()
            && !connection.is_last
            && connection.awaiting.len() < visitor.depth
            && let Some(exchange) = visitor.exchanges.get(connection.next)
        {
            if exchange.is_left_out {
                connection.next += 1;
                continue;
            }
            // Nothing is sent behind what may turn into another protocol, or end the connection by what it asks.
            let waits_alone = is_switch(exchange.answer);
            if waits_alone && !connection.awaiting.is_empty() {
                return;
            }
            if connection.awaiting.back().is_some_and(|(serial, _)| is_switch(visitor.exchanges[*serial].answer)) {
                return;
            }
            connection.count += 1;
            let id = Id { client: self.index, serial: connection.next };
            exchange.write(id, &mut connection.out);
            self.sent_times[connection.next] += 1;
            connection.awaiting.push_back((connection.next, connection.count));
            connection.next += 1;
        }
    }

    /// Goes when it has what it came for, or when it is its nature.
    fn leave_when_done(&mut self, around: &mut Surroundings<'_>) -> Result<(), String> {
        let visitor = self.visitor(around.plan);
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let now = around.network.now();
        let all_sent = connection.out_at == connection.out.len()
            && (connection.next == visitor.exchanges.len() || connection.is_mute);
        match visitor.nature {
            Nature::Healthy if self.answered == visitor.exchanges.len() && connection.current.is_none() => {
                around.network.client_close(connection.client);
                self.connection = None;
                self.is_done = true;
            }
            // The other protocol ends with the client's FIN, behind its last byte.
            Nature::Healthy | Nature::HalfCloses if connection.is_mute && all_sent && !connection.is_finished => {
                connection.is_finished = true;
                around.network.client_finish(connection.client);
            }
            Nature::HalfCloses if all_sent && !connection.is_finished && !around.plan.is_pressed() => {
                let switches =
                    connection.awaiting.back().is_some_and(|(at, _)| is_switch(visitor.exchanges[*at].answer));
                if !switches {
                    connection.is_finished = true;
                    around.network.client_finish(connection.client);
                }
            }
            Nature::HalfCloses if self.answered == visitor.exchanges.len() && !connection.is_finished => {
                connection.is_finished = true;
                around.network.client_finish(connection.client);
            }
            Nature::Leaves(most, how) if connection.sent >= most || all_sent => self.leave(around, how),
            Nature::Leaves(..) | Nature::StallsSending(_) | Nature::StallsReading(_) | Nature::Garbage(_) => {
                self.lose_patience(around, now)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn leave(&mut self, around: &mut Surroundings<'_>, how: Leave) {
        let Some(connection) = &mut self.connection else { return };
        let now = around.network.now();
        match how {
            Leave::Reset => around.network.client_reset(connection.client),
            Leave::Finish if !connection.is_finished => {
                connection.is_finished = true;
                around.network.client_finish(connection.client);
                connection.sent_at = now;
                self.wakes_at = Some(now.plus_ms(40_000));
                return;
            }
            Leave::Finish if now.ms_since(connection.sent_at) < 40_000 => {
                self.wakes_at = Some(connection.sent_at.plus_ms(40_000));
                return;
            }
            Leave::Close | Leave::Finish => around.network.client_close(connection.client),
        }
        self.connection = None;
        self.is_done = true;
    }

    /// The server has to end a connection on which nothing moves.
    fn lose_patience(&mut self, around: &mut Surroundings<'_>, now: Instant) -> Result<(), String> {
        let visitor = self.visitor(around.plan);
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let end = connection.sent_at.plus_ms(PATIENCE_MS);
        if now < end {
            self.wakes_at = Some(end);
            return Ok(());
        }
        // Who does not read does not see the end.
        let is_blind = matches!(visitor.nature, Nature::StallsReading(_) | Nature::Leaves(_, Leave::Finish));
        if !is_blind && around.paused_ms == 0 {
            return Err(format!("not ended in {PATIENCE_MS} ms"));
        }
        around.network.client_close(connection.client);
        self.connection = None;
        self.is_done = true;
        Ok(())
    }
}

impl Connection {
    /// It stopped in the middle of what it has to say.
    fn is_stalled(&self, visitor: &Visitor) -> bool {
        matches!(visitor.nature, Nature::StallsSending(most) if self.sent >= most)
    }
}

/// The exchange behind this one that is not left out.
fn visitor_next(plan: &Plan, client: usize, serial: usize) -> usize {
    let exchanges = &plan.clients[client].exchanges;
    (serial + 1..exchanges.len()).find(|at| !exchanges[*at].is_left_out).unwrap_or(exchanges.len())
}

fn is_switch(answer: Answer) -> bool {
    matches!(answer, Answer::Upgrade { .. } | Answer::Detach)
}

fn next_time(dice: &mut Dice, now: Instant, pace: Pace) -> Instant {
    now.plus_ms(dice.below(pace.gap_ms_max as usize + 1) as u32)
}
