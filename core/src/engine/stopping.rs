//! A stop: what has arrived is served, what is idle is closed.

use super::listener::Listening;
use super::{Engine, mark};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::reactor::Peers;
use crate::state::State;
use crate::stop::Mode;
use crate::time::Instant;

/// How long a connection on which nothing has arrived stays open during a stop, from when it was accepted: its client
/// is about to send a request, and may not know that it can safely repeat it.
const NEWCOMER_MS: u32 = 1_000;

impl<H: Handler> Engine<'_, '_, H> {
    /// Begins a stop: idle connections are closed, exchanges under way are finished; an abort closes everything.
    ///
    /// Connections in the backlogs of the listeners are still accepted and served, and input of a connection that seems
    /// idle is read before it is closed. Both take until the end of a turn that has seen all events. A new connection
    /// has a second to send its first request.
    ///
    /// Nothing happens if the handler does not need a stop: [`Needs::stop`](crate::handler::Needs::stop).
    #[cold]
    pub fn stop(&mut self, now: Instant, mode: Mode) {
        if mode <= self.mode || !H::NEEDS.stop {
            return;
        }
        self.mode = mode;
        self.stop_deadline = match (mode, self.limits.timeouts.stop_timeout_ms) {
            (Mode::Drain, Some(timeout_ms)) => now.plus_ms(timeout_ms),
            _ => Instant::NEVER,
        };
        self.accept_paused_until = Instant::NEVER;
        self.lobby_check_at = Instant::NEVER;
        self.listeners_due = true;
        self.sweep_due = mode == Mode::Drain;
        self.sweep_at = Instant::NEVER;
        let mut at = None;
        while mode == Mode::Abort
            && let Some(index) = self.held.seats.next_occupied_after(at)
        {
            at = Some(index);
            self.end(now, index, CloseReason::Aborted);
        }
    }

    /// Whether a stop has begun, and which.
    #[inline]
    pub(super) const fn mode(&self) -> Mode {
        if H::NEEDS.stop { self.mode } else { Mode::Run }
    }

    /// Whether the next turn must follow at once to complete a stop.
    pub(super) fn must_turn_to_stop(&self) -> bool {
        self.mode() == Mode::Drain
            && (self.sweep_due || self.listeners.iter().any(|listener| listener.state == Listening::Accepting))
    }

    /// After a turn that has seen all events: closes listeners with an empty backlog, and connections on which nothing
    /// is under way.
    #[cold]
    pub(super) fn sweep(&mut self, now: Instant, peers: &dyn Peers) {
        for listener in &mut *self.listeners {
            // The accept was in flight before this turn's wait and still is, so the backlog is empty.
            let looked =
                planted!(BacklogForgotten) || listener.state == Listening::Accepting && listener.turn != self.turn;
            listener.is_empty |= looked;
            self.listeners_due |= looked;
        }
        let is_due = self.sweep_at <= self.seen_until;
        if !core::mem::take(&mut self.sweep_due) && !is_due {
            return;
        }
        self.sweep_at = Instant::NEVER;
        let mut at = None;
        while let Some(index) = self.held.seats.next_occupied_after(at) {
            at = Some(index);
            let began = self.began(index);
            let Some(connection) = self.held.seats.look(index) else { continue };
            if connection.wants_stop_notice() {
                self.act_on(now, index, peers, |connection, cx| connection.handle_stopping(cx));
                continue;
            }
            let state = connection.state();
            let is_unused = matches!(state, State::New | State::KeepAlive);
            // A connection that waits for a buffer has a request that has yet to be read.
            if !is_unused || connection.is_starved() {
                continue;
            }
            let Some(slot) = self.held.seats.slot_mut(index) else { continue };
            if slot.turn == self.turn {
                // It has only just begun to receive.
                self.sweep_due = true;
                continue;
            }
            let patient_until = began.map(|began| began.plus_ms(NEWCOMER_MS));
            if state == State::New
                && !planted!(NewcomersUnheard)
                && let Some(until) = patient_until.filter(|until| *until > self.seen_until)
            {
                self.sweep_at = self.sweep_at.min(until);
                continue;
            }
            slot.marks |= mark::STOPPED_IDLE;
            self.act_on(now, index, peers, |connection, cx| connection.stop(cx, CloseReason::Stopped));
        }
    }

    /// Counts a connection that ended while stopping, as idle or as finished.
    #[cold]
    pub(super) fn count_stopped(&mut self, reason: CloseReason, marks: u8) {
        if marks & mark::STOPPED_IDLE != 0 {
            self.counters.stopped_idle += 1;
        } else if reason.is_orderly() && reason != CloseReason::FirstByteTimeout {
            self.counters.stopped_finished += 1;
        }
    }
}
