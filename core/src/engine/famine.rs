//! More who want a buffer than there are: the lines in which they wait, and who has to give one up.

use super::drive::context;
use super::pressure::stale_at;
use super::{Engine, Slot, SlotNode};
use crate::connection::{Context, Deadline, Place};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::pool::ObjectPool;
use crate::reactor::{NoPeers, Peers};
use crate::state::State;
use crate::stop::Mode;
use crate::time::Instant;

/// How long a line may stand still, and how long a connection may be where it is with a buffer in its hands while a line
/// stands, before it has to give it up.
const STALE_MS: u32 = 2_000;

/// Pause between two looks for those who can give up a buffer: the buffer of who was ended comes back with an operation.
const PAUSE_MS: u32 = 100;

/// Most connections that are ended for others at once.
const AT_ONCE: usize = 8;

/// Most heads that are ended for others in a turn.
const HEADS_AT_ONCE: usize = 64;

impl<H: Handler> Engine<'_, '_, H> {
    #[cold]
    pub(super) fn wait_in_line(&mut self, index: u32) {
        let Some(slot) = self.held.slots.by_index(index) else { return };
        let line =
            if slot.connection.is_starved_to_receive() { &mut self.starved_to_receive } else { &mut self.starved };
        self.counters.starved += u64::from(line.push(self.nodes, index));
    }

    /// Offers the free buffers to the connections that wait for one. Those that hold input go first, each once, because
    /// they wait for different classes; there are no more of them than buffers. Those that wait to receive go in order,
    /// as many as there are buffers to receive into.
    #[cold]
    pub(super) fn feed(&mut self, now: Instant, peers: &dyn Peers) {
        // Cleared first: what is released on the way is for those that were tried before it.
        self.held.pool.forget_released();
        self.famine_due.get_or_insert(now.plus_ms(PAUSE_MS));
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
            self.starved_marks.left(index);
            self.feed_one(now, index, peers);
            fed += 1;
        }
        // One that receives nothing, or has ended meanwhile, leaves the buffer for the next in line.
        self.feed_again = fed > 0 && !planted!(UnusedTurnKept);
        self.forget_gone();
        match self.starved_to_receive.last() {
            Some(last) => self.starved_marks.mark(last, now),
            None => {
                self.starved_marks.clear();
                if !planted!(LineGoneSpins) {
                    self.heads_due = None;
                }
            }
        }
        if self.starved.is_empty() && self.starved_to_receive.is_empty() {
            (self.famine_due, self.standing_since, self.shed_for_buffers) = (None, None, 0);
        } else {
            self.standing_since.get_or_insert(now);
        }
    }

    /// Takes those in front out of the line who have ended since they came into it: a line in which nobody waits is none.
    fn forget_gone(&mut self) {
        while let Some(first) = self.starved_to_receive.first()
            && !waits_to_receive(&self.held.slots, first)
        {
            self.starved_to_receive.pop(self.nodes);
            self.starved_marks.left(first);
        }
    }

    /// How many wait to receive, up to `most`.
    fn waiting_to_receive(&mut self, most: usize) -> usize {
        self.starved_to_receive.count(self.nodes, most, |index| waits_to_receive(&self.held.slots, index))
    }

    /// Buffers that are free though somebody waits to receive: none, where a program may sleep.
    #[cfg(feature = "sim")]
    pub fn kept_from_line(&mut self) -> usize {
        if self.waiting_to_receive(1) == 0 {
            return 0;
        }
        self.lent + self.held.pool.available(self.receive_class).saturating_sub(self.send_reserve)
    }

    /// Whether there is something to do for those who wait for a buffer: somebody began to in this turn, and what is due for
    /// that is found out when the next one begins; or a buffer may have come back since they were looked at.
    pub(super) fn looks_at_lines(&self) -> bool {
        let is_new = self.famine_due.is_none();
        let is_released = self.held.pool.has_released() && !planted!(LinesForgotten);
        (is_new || self.feed_again || is_released) && !(self.starved.is_empty() && self.starved_to_receive.is_empty())
    }

    fn feed_one(&mut self, now: Instant, index: u32, peers: &dyn Peers) {
        let handle = self.handle_of(index);
        let starved = self.counters.starved;
        let Some(slot) = self.held.slots.by_index_mut(index).filter(|slot| slot.connection.is_starved()) else {
            return;
        };
        slot.connection.handle_buffers(&mut context!(self, now, peers, handle, slot.io));
        if slot.connection.is_starved() {
            self.settle_later(now, index);
            if !planted!(StarvedCountedTwice) {
                self.counters.starved = starved; // it waits on
            }
            return;
        }
        // What it waited to receive has yet to be looked at.
        slot.turn = self.turn;
        // The line moves by itself, unless it was moved.
        match self.shed_for_buffers.checked_sub(1) {
            Some(left) => self.shed_for_buffers = left,
            None => self.standing_since = Some(now),
        }
        self.sweep_due |= self.mode == Mode::Drain;
        self.settle_later(now, index);
    }

    /// Somebody waits to receive: ends the oldest heads that are incomplete, one for each who waits, like those that are
    /// ended for a newcomer without a slot. Heads by the thousand are no reason to let anybody else wait.
    pub(super) fn shed_heads(&mut self, now: Instant) {
        self.heads_due = None;
        let under_way = if now < self.shed_due { self.shed_for_buffers } else { 0 };
        let waiting = self.waiting_to_receive(HEADS_AT_ONCE + under_way);
        let mut passed_over = None;
        for _ in 0..waiting.saturating_sub(under_way) {
            let nodes: &mut [SlotNode] = self.nodes;
            let end = Instant(u64::MAX);
            let Some(index) = self.deadlines.next_due(nodes, Deadline::Head as usize, passed_over, end) else { return };
            let Some((slot, began)) = self.held.slots.by_index(index).zip(self.began(index)) else { return };
            if slot.connection.is_starved() || !slot.connection.holds_buffer() {
                // It is complete and waits for a buffer to be answered in, or for a larger one.
                passed_over = Some(index);
                continue;
            }
            let stale_at = stale_at(began, self.starved_marks.since(self.looked_at));
            if stale_at > self.looked_at {
                self.heads_due = Some(stale_at);
                return;
            }
            self.refuse_overloaded(now, self.handle_of(index));
            self.shed_for_buffers += 1;
            self.shed_due = now.plus_ms(PAUSE_MS);
        }
    }

    /// A line has stood still for a while: ends those who have been where they are for longest with a buffer in their
    /// hands, one at most for each one who has none.
    #[cold]
    pub(super) fn relieve(&mut self, now: Instant, peers: &dyn Peers) {
        // What came back in this turn is taken first.
        self.feed(now, peers);
        let Some(standing_since) = self.standing_since else { return };
        // Who waits with input may be one of those who have to go: then one is for the others.
        let waiting = self.waiting_to_receive(AT_ONCE).max(1);
        let oldest = self.oldest_holders(standing_since);
        let stands_for_long = standing_since.plus_ms(STALE_MS);
        let due_at = |began: Instant| began.plus_ms(STALE_MS).min(stands_for_long);
        let is_due = |began: &Instant| due_at(*began) <= self.looked_at;
        let count = oldest.iter().take(waiting).take_while(|(began, _)| is_due(began)).count();
        for (_, index) in oldest.iter().take(count) {
            self.give_up_buffer(now, *index);
        }
        self.shed_for_buffers += count;
        // Without anybody who holds one, all are in the hands of the reactor, or of the program.
        let next = oldest.get(count).map_or(now.plus_ms(STALE_MS), |(began, _)| due_at(*began));
        self.famine_due = Some(next.max(now.plus_ms(PAUSE_MS)));
        if count > 0 {
            // Those in line come before the reactor, which would be lent what is free.
            self.feed(now, peers);
        }
    }

    /// Those with a buffer of the pool in their hands, in the order in which their deadlines began. Which has none has
    /// been where it is since the line began to stand.
    fn oldest_holders(&self, standing_since: Instant) -> heapless::Vec<(Instant, u32), AT_ONCE> {
        let mut oldest: heapless::Vec<(Instant, u32), AT_ONCE> = heapless::Vec::new();
        for (handle, slot) in self.held.slots.iter() {
            let is_spared = match slot.connection.state() {
                State::Processing | State::Switched => planted!(AnswersSpared),
                State::ReadingContent => planted!(ContentSpared),
                _ => false,
            };
            let is_ending = is_spared || slot.connection.state().is_ending();
            if is_ending || !slot.connection.holds_buffer() {
                continue;
            }
            let began = self.began(handle.index).unwrap_or(standing_since);
            let at = oldest.iter().position(|(other, _)| *other > began).unwrap_or(oldest.len());
            if at == AT_ONCE {
                continue;
            }
            if oldest.is_full() {
                oldest.pop();
            }
            let inserted = oldest.insert(at, (began, handle.index));
            debug_assert!(inserted.is_ok(), "there is room");
        }
        oldest
    }

    /// When the deadline of a connection began to run.
    pub(super) fn began(&self, index: u32) -> Option<Instant> {
        let node = &self.nodes.get(index as usize)?.deadline;
        Some(Instant(node.deadline()?.0.saturating_sub(self.timeouts[node.class()?])))
    }

    /// Ends one that holds a buffer: with 503 where there is something to be answered and nothing of the answer has left.
    fn give_up_buffer(&mut self, now: Instant, index: u32) {
        let Some(slot) = self.held.slots.by_index(index) else { return };
        match slot.connection.state() {
            State::ReadingHead | State::ReadingContent | State::Processing => {
                self.refuse_overloaded(now, self.handle_of(index))
            }
            // A part of the response may have left, or nobody has asked for one.
            State::New
            | State::KeepAlive
            | State::Writing
            | State::Switched
            | State::Lingering
            | State::Closing
            | State::Closed => self.end(now, index, CloseReason::Shed),
        }
    }

    /// Ends a connection with 503 before its request is there, or before it is answered.
    pub(super) fn refuse_overloaded(&mut self, now: Instant, handle: crate::handler::ConnectionId) {
        if let Some(slot) = self.held.slots.get_mut(handle) {
            slot.connection.refuse_overloaded(&mut context!(self, now, &NoPeers, handle, slot.io));
            self.settle_later(now, handle.index);
        }
    }
}

/// Whether it is there, and has no buffer to receive into.
fn waits_to_receive<E>(slots: &ObjectPool<'_, Slot<'_, E>>, index: u32) -> bool {
    slots.by_index(index).is_some_and(|slot| slot.connection.is_starved_to_receive())
}
