//! Everything that depends on time, after a wait that saw all events.

use super::Engine;
use crate::connection::Deadline;
use crate::handler::Handler;
use crate::reactor::{Peers, Seen};
use crate::stop::Mode;
use crate::time::Instant;

/// How many turns in a row may end without having seen all events. Events for which a turn has no room are returned by
/// the next ones, in order, so by then all of them have been seen long ago. Then deadlines expire anyway, or a flood of
/// events could suspend all of them.
const TURNS_BLIND_MAX: u16 = 256;

/// How many turns in a row a deadline is put off while each of them receives something on the connection: a turn
/// receives once, which may not be everything that had arrived in time.
const GRACE_TURNS: u8 = 200;

impl<H: Handler> Engine<'_, '_, H> {
    /// Counts a turn that did not see all events; returns whether deadlines expire nevertheless.
    #[cold]
    pub(super) fn is_blind_for_long(&mut self) -> bool {
        self.turns_blind += 1;
        let is_long = self.turns_blind >= TURNS_BLIND_MAX;
        if is_long {
            self.turns_blind = 0;
            self.seen_until = self.turn_began;
        }
        is_long
    }

    /// Whether it has yet to be decided which connections are ended for those that wait: the last turn may have changed
    /// any of them, and has not decided, although there may be nothing else to see.
    pub(super) fn must_decide(&self) -> bool {
        let is_blind = self.turns_blind > 0 && !planted!(BlindSleeps);
        is_blind && H::NEEDS.eviction && !(self.starved_to_receive.is_empty() && self.lobby.is_empty())
    }

    /// Acts on everything that may be overdue: deadlines, buffers, the lobby, a stop.
    #[cold]
    pub(super) fn act_on_time(&mut self, now: Instant, is_due: bool, seen: Seen, peers: &dyn Peers) {
        if is_due {
            if !self.starved.is_empty() || !self.starved_to_receive.is_empty() {
                // Buffers that came back in this turn go to the connections that wait for them.
                self.feed(now, peers);
            }
            if H::NEEDS.deferral && self.deferrals.take_bell() {
                // Tokens that were resolved in this turn were resolved in time.
                self.resume(now, peers);
            }
            self.expire(now, peers);
        }
        if H::NEEDS.eviction && !self.starved_to_receive.is_empty() {
            self.end_stale_heads(now, peers);
        }
        if H::NEEDS.eviction && self.famine_due <= self.seen_until {
            self.relieve(now, peers);
        }
        if !self.lobby.is_empty() {
            self.admit(now, peers);
        }
        if self.mode() == Mode::Drain && seen == Seen::All && !self.rejected {
            self.sweep(now, peers);
        }
    }

    fn expire(&mut self, now: Instant, peers: &dyn Peers) {
        for (class, deadline) in Deadline::ALL.into_iter().enumerate() {
            let mut passed_over = None;
            while let Some(index) = self.deadlines.next_due(self.nodes, class, passed_over, self.seen_until) {
                let turn = self.turn;
                let Some(slot) = self.held.seats.slot_mut(index) else {
                    self.deadlines.cancel(self.nodes, index);
                    continue;
                };
                if slot.turn == turn && slot.grace < GRACE_TURNS {
                    slot.grace += 1;
                    passed_over = Some(index);
                    continue;
                }
                self.deadlines.cancel(self.nodes, index);
                let waits = self.held.seats.look(index).is_some_and(|connection| connection.is_starved_to_receive());
                if waits && matches!(deadline, Deadline::FirstByte | Deadline::Idle) {
                    // Its bytes have arrived; it is the pool that has no buffer for them.
                    let at = Instant(now.0.saturating_add(self.timeout_ms(class)));
                    self.deadlines.arm(self.nodes, index, class, at);
                    continue;
                }
                self.act_on(now, index, peers, |connection, cx| connection.handle_timeout(cx, deadline));
            }
        }
    }
}
