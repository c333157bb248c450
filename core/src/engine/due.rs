//! What is judged by time, behind a wait that has looked at everything.

use super::Engine;
use super::drive::context;
use crate::connection::{Context, Deadline, Place};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::reactor::{Peers, Seen};
use crate::stop::Mode;
use crate::time::Instant;

/// So many turns in a row may end without having looked at everything. Each of them brings what it has no room for in the
/// next ones, in order, so that all has been looked at long before; then time is judged all the same, or a flood of events
/// would keep every deadline from passing.
const TURNS_BLIND_MAX: u16 = 256;

/// For so many turns in a row a deadline waits for a connection on which each turn brings something: a turn receives once,
/// which may not be all that had arrived in time.
const GRACE_TURNS: u8 = 200;

impl<H: Handler> Engine<'_, '_, H> {
    /// Whether time is judged though this turn did not look at everything.
    #[cold]
    pub(super) fn is_blind_for_long(&mut self) -> bool {
        self.turns_blind += 1;
        let is_long = self.turns_blind >= TURNS_BLIND_MAX;
        if is_long {
            self.turns_blind = 0;
            self.looked_at = self.turn_began;
        }
        is_long
    }

    /// Deadlines, buffers, the lobby, a stop: everything that somebody may be too late for.
    #[cold]
    pub(super) fn judge(&mut self, now: Instant, is_due: bool, seen: Seen, peers: &dyn Peers) {
        if is_due {
            if !self.starved.is_empty() || !self.starved_to_receive.is_empty() {
                // Buffers that came back in this turn are for those who wait for them.
                self.feed(now, peers);
            }
            if self.deferrals.take_bell() {
                // Tokens that were resolved in this turn are in time.
                self.resume(now, peers);
            }
            self.expire(now, peers);
        }
        if !self.starved_to_receive.is_empty() {
            self.shed_heads(now);
        }
        if self.famine_due.is_some_and(|at| at <= self.looked_at) {
            self.relieve(now, peers);
        }
        if !self.lobby.is_empty() {
            self.admit(now, peers);
        }
        if self.mode == Mode::Drain && seen == Seen::All && !self.rejected {
            self.sweep(now, peers);
        }
    }

    fn expire(&mut self, now: Instant, peers: &dyn Peers) {
        for (class, deadline) in Deadline::ALL.into_iter().enumerate() {
            let mut passed_over = None;
            while let Some(index) = self.deadlines.next_due(self.nodes, class, passed_over, self.looked_at) {
                let handle = self.handle_of(index);
                let turn = self.turn;
                let Some(slot) = self.held.slots.by_index_mut(index) else {
                    self.deadlines.cancel(self.nodes, index);
                    continue;
                };
                if slot.turn == turn && slot.grace < GRACE_TURNS {
                    slot.grace += 1;
                    passed_over = Some(index);
                    continue;
                }
                self.deadlines.cancel(self.nodes, index);
                if slot.connection.is_starved_to_receive() && matches!(deadline, Deadline::FirstByte | Deadline::Idle) {
                    // Its bytes are there, it is we who have no room for them.
                    let at = Instant(now.0.saturating_add(self.timeouts[class]));
                    self.deadlines.arm(self.nodes, index, class, at);
                    continue;
                }
                slot.connection.handle_timeout(&mut context!(self, now, peers, handle, slot.io), deadline);
                self.settle_later(now, index);
            }
        }
    }
}
