//! The checks after each turn and at the end.

use aurora_http_core::engine::Detached;
use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::Reactor;

use super::{Life, Stage};
use crate::face::Face;
use crate::handler::Owned;

/// How long a stop waits for exchanges under way.
const STOP_MS: u64 = 30_000;

impl<'p, F: Face<'p>> Life<'_, '_, 'p, F> {
    /// All bytes that arrived after the request that switched are in the leftover, or still in the kernel.
    pub(super) fn check_leftover(&mut self, stage: &Stage<'_>, detached: &Detached<'p, Owned>) -> Result<(), String> {
        let id = detached.state.id;
        if stage.plan.clients[id.client].is_answered_anyhow() {
            return Ok(());
        }
        let leftover = detached.leftover.as_ref().map_or(&[][..], Buf::filled);
        let unread = self.reactor.inner.network().unread(detached.io);
        let is_own = leftover == id.raw(0, leftover.len());
        // A client that has disconnected does not tell how much it sent.
        let sent = stage.actors[id.client].raw_sent().unwrap_or(leftover.len() + unread);
        if is_own && leftover.len() + unread == sent {
            return Ok(());
        }
        Err(format!("{id:?} sent {sent} raw bytes: {} are left over and {unread} unread", leftover.len()))
    }

    pub(super) fn check_turn(&mut self, stage: &Stage<'_>) -> Result<(), String> {
        if let Some(fault) = stage.book.borrow_mut().fault.take().or_else(|| self.reactor.fault.take()) {
            return Err(fault);
        }
        let counters = self.engine.counters();
        let book = stage.book.borrow();
        if counters.requests != book.requests {
            return Err(format!(
                "{} requests are counted, the handler was called for {}",
                counters.requests, book.requests
            ));
        }
        if counters.active > stage.plan.world.slots as u64 {
            return Err(format!("{} connections in {} slots", counters.active, stage.plan.world.slots));
        }
        if self.reactor.inner.refusals() > 0 {
            return Err("an operation violates the reactor's contract".to_owned());
        }
        Ok(())
    }

    /// Nothing is left behind by a drained engine.
    pub(super) fn check_drained(&mut self, stage: &mut Stage<'_>) -> Result<(), String> {
        while let Some(buf) = self.reactor.reclaim() {
            self.engine.handle_reclaimed(buf);
        }
        let counters = *self.engine.counters();
        let in_use = self.engine.pool().in_use();
        let handles = self.reactor.inner.network().open_handles();
        let moved = self.reactor.inner.network().transferred();
        let moved = (moved.0 - self.bytes_before.0, moved.1 - self.bytes_before.1);
        // Connections in the backlog when a stop begins are served, as long as the stop has time.
        let took_ms = self.told_at.or(self.stops_since).map_or(0, |since| self.reactor.now().ms_since(since));
        let turned_away = self.reactor.inner.network().turned_away() - self.turned_away_before;
        let faults = stage.plan.world.faults;
        // With these faults, an accept may miss a connection in the backlog.
        let is_sure = took_ms < STOP_MS && faults.would_block + faults.delay == 0;
        let turned_away = if is_sure { turned_away } else { 0 };
        let rows = [
            ("connections turned away", turned_away, 0),
            ("buffers in use", in_use as u64, 0),
            ("open handles", handles as u64, 0),
            ("active connections", counters.active, 0),
            ("operations in flight", self.reactor.in_flight() as u64, 0),
            ("connections closed", counters.closed.total(), counters.accepted),
            ("bytes received", counters.bytes_received, moved.0),
            ("bytes sent", counters.bytes_sent, moved.1),
            ("calls of closed", stage.book.borrow().closed, counters.closed.total()),
        ];
        stage.tally.requests += counters.requests;
        stage.tally.accepted += counters.accepted;
        match rows.into_iter().find(|(_, is, should)| is != should) {
            Some((what, is, should)) => Err(format!("drained with {is} {what}, not {should}: {counters:?}")),
            None => Ok(()),
        }
    }
}
