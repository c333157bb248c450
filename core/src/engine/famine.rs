//! What happens when more connections need a buffer than there are: the queues in which they wait, and which
//! connections are ended for theirs.

use super::pressure::stale_at;
use super::seats::Seats;
use super::{Engine, SlotNode};
use crate::connection::Deadline;
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::reactor::Peers;
use crate::state::State;
use crate::stop::Mode;
use crate::time::Instant;

/// How long a queue may be stuck, and how long a connection may hold a buffer in one phase while it is, before the
/// connection is ended.
const STALE_MS: u32 = 2_000;

/// The time between two searches for connections to end: the buffer of an ended one comes back only with an operation.
const PAUSE_MS: u32 = 100;

/// The most connections that are ended for others at once.
const AT_ONCE: usize = 8;

/// The most heads that are ended for others in a turn.
const HEADS_AT_ONCE: usize = 64;

impl<H: Handler> Engine<'_, '_, H> {
    #[cold]
    pub(super) fn join_queue(&mut self, index: u32) {
        let Some(connection) = self.held.seats.look(index) else { return };
        let queue = if connection.is_starved_to_receive() { &mut self.starved_to_receive } else { &mut self.starved };
        self.counters.starved += u64::from(queue.push(self.nodes, index));
    }

    /// Offers free buffers to the connections that wait for one. Those that hold input come first, each of them once,
    /// because they wait for different classes; they cannot be more than the buffers. Those that wait to receive follow
    /// in order, as many as there are buffers to receive into.
    #[cold]
    pub(super) fn feed(&mut self, now: Instant, peers: &dyn Peers) {
        // Cleared first, because what is released below may serve connections that were tried before.
        self.held.pool.forget_released();
        if self.famine_due == Instant::NEVER {
            self.famine_due = now.plus_ms(PAUSE_MS);
        }
        let last = self.starved.last();
        while let Some(index) = self.starved.pop(self.nodes) {
            self.feed_one(now, index, peers);
            if Some(index) == last {
                break;
            }
        }
        let free = self.held.pool.available(self.receive_class).saturating_sub(self.send_reserve);
        let lendable = self.lent + free;
        let mut fed = 0;
        while fed < lendable
            && let Some(index) = self.starved_to_receive.pop(self.nodes)
        {
            if H::NEEDS.eviction {
                self.starved_marks.left(index);
            }
            self.feed_one(now, index, peers);
            fed += 1;
        }
        // A connection that receives nothing, or has ended meanwhile, leaves its buffer to the next one.
        self.feed_again = fed > 0 && !planted!(UnusedTurnKept);
        self.forget_gone();
        match self.starved_to_receive.last() {
            // Since when the first one waits matters for ending others only.
            _ if !H::NEEDS.eviction => {}
            Some(last) => self.starved_marks.mark(last, now),
            None => {
                self.starved_marks.clear();
                if !planted!(LineGoneSpins) {
                    self.heads_due = Instant::NEVER;
                }
            }
        }
        if self.starved.is_empty() && self.starved_to_receive.is_empty() {
            (self.famine_due, self.stuck_since, self.ended_for_buffers) = (Instant::NEVER, Instant::NEVER, 0);
        } else if self.stuck_since == Instant::NEVER {
            self.stuck_since = now;
        }
    }

    /// Removes connections from the front of the queue that have ended since they joined it, so that a queue without
    /// waiting connections is empty.
    fn forget_gone(&mut self) {
        while let Some(first) = self.starved_to_receive.first()
            && !waits_to_receive(&self.held.seats, first)
        {
            self.starved_to_receive.pop(self.nodes);
            if H::NEEDS.eviction {
                self.starved_marks.left(first);
            }
        }
    }

    /// How many connections wait to receive, up to `most`.
    fn waiting_to_receive(&mut self, most: usize) -> usize {
        self.starved_to_receive.count(self.nodes, most, |index| waits_to_receive(&self.held.seats, index))
    }

    /// The number of free buffers although a connection waits to receive: must be 0 when a program sleeps.
    #[cfg(feature = "sim")]
    pub fn buffers_withheld(&mut self) -> usize {
        if self.waiting_to_receive(1) == 0 {
            return 0;
        }
        self.lent + self.held.pool.available(self.receive_class).saturating_sub(self.send_reserve)
    }

    /// Whether the queues have to be served in another turn: a connection joined one in this turn, and `begin_turn` has
    /// yet to set the time of the next check; or a buffer may have been released since they were served.
    pub(super) fn must_serve_queues(&self) -> bool {
        let is_new = self.famine_due == Instant::NEVER;
        let is_released = self.held.pool.has_released() && !planted!(LinesForgotten);
        (is_new || self.feed_again || is_released) && !(self.starved.is_empty() && self.starved_to_receive.is_empty())
    }

    fn feed_one(&mut self, now: Instant, index: u32, peers: &dyn Peers) {
        let starved = self.counters.starved;
        let is_starved =
            |engine: &Self| engine.held.seats.look(index).is_some_and(|connection| connection.is_starved());
        if !is_starved(self) {
            return;
        }
        self.act_on(now, index, peers, |connection, cx| connection.handle_buffers(cx));
        if is_starved(self) {
            if !planted!(StarvedCountedTwice) {
                self.counters.starved = starved; // the same wait as before
            }
            return;
        }
        // It has yet to receive what it waited for.
        if let Some(slot) = self.held.seats.slot_mut(index) {
            slot.turn = self.turn;
        }
        // The queue makes progress, unless the buffer came from an ended connection.
        match self.ended_for_buffers.checked_sub(1) {
            Some(left) => self.ended_for_buffers = left,
            None => self.stuck_since = now,
        }
        self.sweep_due |= self.mode() == Mode::Drain;
    }

    /// For each connection that waits to receive, ends the oldest incomplete head, by the same rule as for a newcomer
    /// without a slot: thousands of incomplete heads must not make others wait.
    pub(super) fn end_stale_heads(&mut self, now: Instant, peers: &dyn Peers) {
        let under_way = if now < self.ended_due { self.ended_for_buffers } else { 0 };
        let waiting = self.waiting_to_receive(HEADS_AT_ONCE + under_way);
        // Buffers that are under way may be late.
        self.heads_due = if waiting.min(under_way) > 0 { self.ended_due } else { Instant::NEVER };
        let mut missing = waiting.saturating_sub(under_way);
        let mut passed_over = None;
        for _ in 0..HEADS_AT_ONCE {
            if missing == 0 {
                return;
            }
            let nodes: &mut [SlotNode] = self.nodes;
            let end = Instant::NEVER;
            let Some(index) = self.deadlines.next_due(nodes, Deadline::Head as usize, passed_over, end) else { return };
            let Some((connection, began)) = self.held.seats.look(index).zip(self.began(index)) else { return };
            if connection.is_starved() || !connection.holds_buffer() {
                // It is complete and waits for a buffer for its answer, or it waits for a larger buffer.
                passed_over = Some(index);
                continue;
            }
            let stale_at = stale_at(began, self.starved_marks.since(self.seen_until));
            if stale_at > self.seen_until {
                self.heads_due = self.heads_due.min(stale_at);
                return;
            }
            self.refuse_overloaded(now, index, peers);
            missing -= 1;
            self.ended_for_buffers += 1;
            self.ended_due = now.plus_ms(PAUSE_MS);
        }
    }

    /// A queue has been stuck for a while: ends the connections that have held a buffer in one phase the longest, at
    /// most one for each waiting connection that holds none.
    #[cold]
    pub(super) fn relieve(&mut self, now: Instant, peers: &dyn Peers) {
        // Buffers that came back in this turn are used first.
        self.feed(now, peers);
        let stuck_since = self.stuck_since;
        if stuck_since == Instant::NEVER {
            return;
        }
        // A connection that waits with input may itself be one of those that are ended; its buffer then serves the
        // others.
        let waiting = self.waiting_to_receive(AT_ONCE).max(1);
        let oldest = self.oldest_holders(stuck_since);
        let long_stuck_at = stuck_since.plus_ms(STALE_MS);
        let due_at = |began: Instant| began.plus_ms(STALE_MS).min(long_stuck_at);
        let is_due = |began: &Instant| due_at(*began) <= self.seen_until;
        let count = oldest.iter().take(waiting).take_while(|(began, _)| is_due(began)).count();
        for (_, index) in oldest.iter().take(count) {
            self.give_up_buffer(now, *index, peers);
        }
        self.ended_for_buffers += count;
        let next = match oldest.first() {
            // The queue gives their buffers to others, who may keep them just as long.
            Some(_) if count > 0 => now,
            Some((began, _)) => due_at(*began),
            // The reactor or the program has all of them.
            None => now.plus_ms(STALE_MS),
        };
        self.famine_due = next.max(now.plus_ms(PAUSE_MS));
        if count > 0 {
            // The queues come before the reactor, which would be lent the free buffers.
            self.feed(now, peers);
        }
    }

    /// The connections that hold a buffer of the pool, ordered by when their deadlines began. One without a deadline
    /// counts from when the queue got stuck.
    fn oldest_holders(&self, stuck_since: Instant) -> heapless::Vec<(Instant, u32), AT_ONCE> {
        let mut oldest: heapless::Vec<(Instant, u32), AT_ONCE> = heapless::Vec::new();
        for (index, connection) in self.held.seats.iter() {
            let is_spared = match connection.state() {
                State::Processing | State::Switched => planted!(AnswersSpared),
                State::ReadingContent => planted!(ContentSpared),
                _ => false,
            };
            let is_ending = is_spared || connection.state().is_ending();
            if is_ending || !connection.holds_buffer() {
                continue;
            }
            let began = self.began(index).unwrap_or(stuck_since);
            let mut last = (began, index);
            for entry in &mut oldest {
                if last.0 < entry.0 {
                    core::mem::swap(entry, &mut last);
                }
            }
            // Where there is no room, the latest one is left out.
            let _ = oldest.push(last);
        }
        oldest
    }

    /// When the deadline of a connection was armed.
    pub(super) fn began(&self, index: u32) -> Option<Instant> {
        let node = &self.nodes.get(index as usize)?.deadline;
        Some(Instant(node.deadline()?.0.saturating_sub(self.timeout_ms(node.class()?))))
    }

    /// Ends a connection that holds a buffer: with 503 if a request is to be answered and nothing of the response has
    /// been sent.
    fn give_up_buffer(&mut self, now: Instant, index: u32, peers: &dyn Peers) {
        let Some(connection) = self.held.seats.look(index) else { return };
        match connection.state() {
            State::ReadingHead | State::ReadingContent | State::Processing => {
                self.refuse_overloaded(now, index, peers);
            }
            // A part of the response may have been sent, or there is no request.
            State::New
            | State::KeepAlive
            | State::Writing
            | State::Switched
            | State::Lingering
            | State::Closing
            | State::Closed => self.end(now, index, CloseReason::Shed),
        }
    }

    /// Answers 503 and ends the connection.
    pub(super) fn refuse_overloaded(&mut self, now: Instant, index: u32, peers: &dyn Peers) {
        self.act_on(now, index, peers, |connection, cx| connection.refuse_overloaded(cx));
    }
}

/// Whether the slot is occupied, and its connection has no buffer to receive into.
fn waits_to_receive<E>(seats: &Seats<'_, '_, E>, index: u32) -> bool {
    seats.look(index).is_some_and(|connection| connection.is_starved_to_receive())
}
