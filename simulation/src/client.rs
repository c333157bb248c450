//! A client: sends what the plan says, at its pace, and checks what it receives.

mod anything;
mod ending;
mod sending;

use std::collections::VecDeque;

use aurora_http_core::reactor::IoHandle;
use aurora_http_core::sim::{Client, ClientRecv, Dice, Network};
use aurora_http_core::time::Instant;

use crate::exchange::{Answer, GARBAGE, Id, Method};
use crate::model::{Body, Expected, Keeps, expected, may_be_instead};
use crate::plan::{Leave, NEVER, Nature, Pace, Plan, Visitor, World};
use crate::reader::{BodyEnd, Head, Piece, Reader};

/// How many connections in a row a client tries without getting an answer.
const ATTEMPTS_MAX: u32 = 30;
/// How many connections of a client there are for one on which it waits before its first byte, and the limit of that time:
/// shorter than the time that a new connection has during a stop.
const HESITATES_ONCE_IN: usize = 4;
const HESITATION_MS_MAX: usize = 800;
/// Shorter than any timeout: a request sent completely within this time must not be answered with 408.
const PROMPT_MS: u64 = 9_900;
/// What all clients saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Connections made.
    pub connections: u64,
    /// Complete responses that were as expected.
    pub answered: u64,
    /// Permitted errors from the server itself, in place of a response.
    pub refused: u64,
    /// Responses of handlers that act at random.
    pub anyhow: u64,
    /// Bytes received.
    pub bytes: u64,
}

/// The environment of a client.
pub(crate) struct Surroundings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) network: &'a mut Network,
    /// `None` while the server does not listen.
    pub(crate) listener: Option<IoHandle>,
    pub(crate) seen: &'a mut Seen,
    /// A buffer to receive into.
    pub(crate) received: &'a mut [u8],
    /// Milliseconds for which the server has been suspended so far.
    pub(crate) paused_ms: u64,
    /// When the first graceful stop began.
    pub(crate) stopped_at: Option<Instant>,
}

pub(crate) struct Actor {
    index: usize,
    dice: Dice,
    connection: Option<Connection>,
    /// The first exchange that is not answered yet.
    answered: usize,
    attempts: u32,
    /// Since when it has been waiting for its next response.
    wants_since: Instant,
    /// When it acts again if nothing happens before.
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
    /// Exchanges that were sent and not answered.
    awaiting: VecDeque<Sent>,
    count: u32,
    out: Vec<u8>,
    out_at: usize,
    sent: usize,
    read: usize,
    /// The response that is being read.
    current: Option<Current>,
    /// A 100 (Continue) has arrived for the first unanswered exchange.
    continued: bool,
    /// No response may follow the current one.
    is_last: bool,
    /// The client sends nothing more.
    is_mute: bool,
    /// The client has sent its FIN.
    is_finished: bool,
    /// The content of this exchange is held back until it is asked for.
    holds: Option<usize>,
    /// How many bytes were queued for sending, and how many of them precede raw bytes.
    queued: usize,
    raw_from: Option<usize>,
    /// Since when it has had every answer.
    idle_since: Option<Instant>,
    /// It has switched to another protocol.
    has_switched: bool,
    /// A response may be cut off.
    may_break: bool,
    /// The last head, for error messages.
    head: String,
    /// When it last sent a byte.
    sent_at: Instant,
    /// Since when it has been trickling single bytes.
    drips_since: Option<Instant>,
    /// When it got the last response, or connected.
    answered_at: Instant,
    sends_at: Instant,
    reads_at: Instant,
    rambles_at: Instant,
    rambled: usize,
}

/// A request that was queued for sending.
#[derive(Clone, Copy, Debug)]
struct Sent {
    serial: usize,
    /// Its number on the connection, counted from 1.
    nth: u32,
    /// Where its head begins and where it ends, in bytes of the connection.
    from: usize,
    to: usize,
    /// When its first and its last byte were sent.
    began_at: Option<Instant>,
    whole_at: Option<Instant>,
}

struct Current {
    serial: usize,
    /// `None` for an error of the server in place of the response.
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
            wants_since: start.plus_ms(visitor.comes_ms),
            wakes_at: Some(start.plus_ms(visitor.comes_ms)),
            is_done: visitor.comes_ms == NEVER,
            sent_times: vec![0; visitor.exchanges.len()],
        }
    }

    /// Its current connection.
    pub(crate) fn client(&self) -> Option<Client> {
        self.connection.as_ref().map(|connection| connection.client)
    }

    /// As [`Connection::raw_sent`], for its current connection.
    pub(crate) fn raw_sent(&self) -> Option<usize> {
        self.connection.as_ref()?.raw_sent()
    }

    /// What it is waiting for, for error messages.
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

    /// Reads, writes and disconnects as far as it can now.
    pub(crate) fn act(&mut self, around: &mut Surroundings<'_>) -> Result<(), String> {
        if self.is_done {
            return Ok(());
        }
        self.wakes_at = None;
        let result = self.act_now(around).map(|()| self.ramble(around));
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
            let writes = |this: &Self| {
                this.connection
                    .as_ref()
                    .is_some_and(|one| one.has_to_write(this.visitor(around.plan), &around.plan.world))
            };
            let wrote_first = writes(self);
            self.send(around);
            if wrote_first && !writes(self) {
                // It has written everything; now it may read.
                self.wakes_at = Some(around.network.now());
            }
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
            if !around.plan.is_pressed() && !around.plan.is_violent() || around.plan.siege.is_some() {
                return Err(format!("{ATTEMPTS_MAX} connections without an answer"));
            }
            around.network.client_close(client);
            self.is_done = true;
            return Ok(false);
        }
        around.seen.connections += 1;
        let nature = self.visitor(around.plan).nature;
        // How long the guests of a siege wait is measured.
        let hesitates = around.plan.siege.is_none()
            && matches!(nature, Nature::Healthy | Nature::HalfCloses)
            && self.dice.once_in(HESITATES_ONCE_IN);
        let sends_at = now.plus_ms(if hesitates { self.dice.below(HESITATION_MS_MAX) as u32 } else { 0 });
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
            holds: None,
            queued: 0,
            raw_from: None,
            idle_since: None,
            has_switched: false,
            may_break: false,
            head: String::new(),
            sent_at: now,
            drips_since: None,
            answered_at: now,
            sends_at,
            reads_at: now,
            rambles_at: now,
            rambled: 0,
        });
        Ok(true)
    }

    /// Reads as much as it may now; returns how the connection ended, if it did.
    fn read(&mut self, around: &mut Surroundings<'_>) -> Result<Option<ClientRecv>, String> {
        let visitor = self.visitor(around.plan);
        let pace = visitor.reads;
        loop {
            let Some(connection) = &mut self.connection else { return Ok(None) };
            let now = around.network.now();
            if connection.reads_at > now {
                return Ok(None);
            }
            if connection.has_to_write(visitor, &around.plan.world) {
                // A client that only writes notices a reset, but not a FIN.
                let is_broken = around.network.client_recv(connection.client, &mut []) == ClientRecv::Reset;
                return Ok(is_broken.then_some(ClientRecv::Reset));
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
            let piece = connection.reader.next().map_err(|what| format!("{what} after {}", connection.head))?;
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
            return Err(format!("after the last response: {head:?}"));
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
                // Refused before the server could know that the method is HEAD.
                true if head.status == 503 => BodyEnd::Never,
                true => BodyEnd::NoBody,
                false => BodyEnd::AsTheHeadSays,
            };
            return connection.reader.expect_body(&head, end);
        }
        connection.head = format!("{head:?}");
        let front = connection.awaiting.front().copied();
        let Some(sent) = front else {
            return Err(format!("a response without a request: {head:?}"));
        };
        let Sent { serial, nth, .. } = sent;
        let exchange = &visitor.exchanges[serial];
        if head.status == 100 {
            if !exchange.expects || exchange.is_http10 || connection.continued {
                return Err(format!("an unsolicited 100 for exchange {serial}"));
            }
            connection.continued = true;
            if connection.holds == Some(serial) {
                connection.holds = None;
                let id = Id { client: self.index, serial };
                connection.put(|out| exchange.write_content(id, out));
                connection.awaiting.front_mut().into_iter().for_each(|sent| sent.to = connection.queued);
            }
            return connection.reader.expect_body(&head, BodyEnd::NoBody);
        }
        if visitor.is_answered_anyhow() {
            return self.take_any_head(exchange, serial, &head);
        }
        let expected = expected(plan, exchange, nth);
        let is_head = exchange.method == Method::Head;
        // A client that is refused before the server knows the method may get a body that it does not expect; the connection
        // ends with that.
        let is_refused = is_head && head.closes && head.exchange.is_none();
        let is_unheard = is_refused
            && match head.status {
                503 => plan.is_pressed(),
                // The first bytes of a head do not tell the method either.
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
                return Err(format!("exchange {serial} {exchange:?}: expected {:?}: {head:?}", expected.keeps));
            }
            connection.is_last = head.closes;
            connection.has_switched |= expected.end == BodyEnd::Never;
            connection.may_break |= expected.may_break;
            connection.reader.expect_body(&head, expected.end)?;
            connection.current = Some(Current { serial, expected: Some(expected), at: 0 });
            return Ok(());
        }
        let is_too_much = expected.may_break && head.status == 413;
        // Nothing of the file was sent yet.
        let is_unreadable = expected.lacks_its_end && head.status == 500;
        if head.status == 408 && sent.was_prompt() && plan.is_in_time() {
            return Err(format!("exchange {serial} was sent in time: {head:?}"));
        }
        if head.exchange.is_some()
            || !(is_too_much || is_unreadable || may_be_instead(plan, visitor.nature, head.status))
        {
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

    /// A response is complete.
    fn take_end_of_body(&mut self, around: &mut Surroundings<'_>) -> Result<(), String> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        // An interim response has no body, and is not the response.
        let Some(current) = connection.current.take() else { return Ok(()) };
        let visitor = self.visitor(around.plan);
        if matches!(visitor.nature, Nature::Garbage(_)) {
            return Ok(());
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        match &current.expected {
            Some(expected) => {
                let length = expected.body.length().unwrap_or(current.at);
                if current.at != length || expected.lacks_its_end {
                    return Err(format!("exchange {}: {} of {length} bytes", current.serial, current.at));
                }
                around.seen.answered += 1;
            }
            None if visitor.is_answered_anyhow() => around.seen.anyhow += 1,
            None => around.seen.refused += 1,
        }
        connection.awaiting.pop_front();
        let now = around.network.now();
        connection.answered_at = now;
        let waited = now.ms_since(std::mem::replace(&mut self.wants_since, now));
        if let Some(siege) = around.plan.siege.filter(|_| visitor.is_guest() && around.stopped_at.is_none())
            && waited > siege.served_within_ms(around.plan)
        {
            return Err(format!("a guest waited {waited} ms for exchange {}", current.serial));
        }
        connection.continued = false;
        if connection.holds == Some(current.serial) {
            // The content was not asked for, and nothing else can be sent in its place.
            (connection.is_mute, connection.holds) = (true, None);
        }
        self.answered = visitor_next(around.plan, self.index, current.serial);
        self.attempts = 0;
        if current.expected.is_none() && connection.raw_from.is_some() {
            // The protocol was not switched, and raw bytes are on their way.
            let connection = connection.client;
            self.connection = None;
            around.network.client_close(connection);
            self.is_done = self.answered == around.plan.clients[self.index].exchanges.len();
            self.wakes_at = Some(around.network.now());
        }
        Ok(())
    }
}

impl Sent {
    /// Whether all of it was sent in less time than the shortest timeout.
    fn was_prompt(&self) -> bool {
        let times = self.began_at.zip(self.whole_at);
        times.is_some_and(|(began_at, whole_at)| whole_at.ms_since(began_at) < PROMPT_MS)
    }
}

impl Connection {
    /// Records which requests have begun or are complete.
    fn note_sent(&mut self, now: Instant) {
        let sent = self.sent;
        for one in self.awaiting.iter_mut().filter(|one| one.whole_at.is_none() && sent > one.from) {
            one.began_at.get_or_insert(now);
            one.whole_at = (sent >= one.to).then_some(now);
        }
    }

    /// Queues bytes for sending.
    fn put(&mut self, what: impl FnOnce(&mut Vec<u8>)) {
        let before = self.out.len();
        what(&mut self.out);
        self.queued += self.out.len() - before;
    }

    /// Whether it reads nothing until it has written everything that it has begun.
    fn has_to_write(&self, visitor: &Visitor, world: &World) -> bool {
        let front = self.awaiting.front().map(|sent| &visitor.exchanges[sent.serial]);
        visitor.manner.writes_first
            && visitor.nature == Nature::Healthy
            && visitor.depth == 1
            // The server ends a connection that reads nothing for long.
            && visitor.sends.gap_ms_max == 0
            && self.holds.is_none()
            && self.out_at < self.out.len()
            && front.is_some_and(|exchange| exchange.can_be_written_first(world))
    }

    /// How many raw bytes it has sent directly after a request to switch.
    pub(crate) fn raw_sent(&self) -> Option<usize> {
        self.raw_from.map(|from| self.sent.saturating_sub(from))
    }

    /// Whether it has stopped in the middle of what it has to send.
    fn is_stalled(&self, visitor: &Visitor) -> bool {
        match visitor.nature {
            Nature::StallsSending(most) => self.sent >= most,
            _ => self.drips_since.is_some(),
        }
    }
}

/// The next exchange that is not left out.
fn visitor_next(plan: &Plan, client: usize, serial: usize) -> usize {
    let exchanges = &plan.clients[client].exchanges;
    (serial + 1..exchanges.len()).find(|at| !exchanges[*at].is_left_out).unwrap_or(exchanges.len())
}

fn is_switch(answer: Answer) -> bool {
    matches!(answer, Answer::Upgrade { .. } | Answer::Detach { .. })
}

fn next_time(dice: &mut Dice, now: Instant, pace: Pace) -> Instant {
    now.plus_ms(dice.below(pace.gap_ms_max as usize + 1) as u32)
}
