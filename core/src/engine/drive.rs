//! The engine's side of the event loop: completions in, operations out.

#[cfg(not(feature = "small"))]
use super::mark;
use super::{Control, Detached, Engine};
#[cfg(feature = "small")]
use crate::connection::Act;
#[cfg(not(feature = "small"))]
use crate::connection::Resting;
use crate::connection::{Action, Connection, Context, ControlIsNext, Deadline, Place};
use crate::defer::Deferrals;
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::pool::{Buf, Handle};
use crate::reactor::{Completion, IoHandle, NoPeers, Op, OpKind, OpToken, Outcome, Peers, Seen, Submission};
use crate::stop::Mode;
use crate::time::Instant;

/// The context of a connection, made of the engine's other fields.
macro_rules! context {
    ($engine:expr, $now:expr, $peers:expr, $handle:expr, $io:expr) => {
        Context {
            place: &Place {
                peers: $peers,
                io: $io,
                id: $handle,
                deferrals: if H::NEEDS.deferral { $engine.deferrals } else { Deferrals::NONE },
            },
            in_flight: &mut $engine.in_flight,
            handler: &mut $engine.handler,
            pool: &mut $engine.held.pool,
            loans: &mut *$engine.loans,
            arena: &mut $engine.arena,
            preamble: &$engine.preamble,
            limits: &$engine.limits,
            counters: &mut $engine.counters,
            now: $now,
            last: if H::NEEDS.stop && !matches!($engine.mode, Mode::Run) {
                Some(CloseReason::Stopped)
            } else if H::NEEDS.eviction
                && $engine.lobby.len() + $engine.promised_more > $engine.promised
                && !$engine.refuses
            {
                Some(CloseReason::Evicted)
            } else {
                None
            },
        }
    };
}

/// The calls of the loop.
impl<'p, H: Handler> Engine<'_, 'p, H> {
    /// Begins a turn: handles a stop, resolved tokens, times that handlers set, and connections that wait for buffers.
    /// `now` is the time before the reactor waits.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn begin_turn(&mut self, now: Instant, mode: Mode, peers: &dyn Peers) {
        self.turn = self.turn.wrapping_add(1);
        self.turn_began = now;
        self.rejected = false;
        if H::NEEDS.stop && mode > self.mode {
            self.stop(now, mode);
        }
        if self.accept_paused_until <= now && !planted!(AcceptPausesForever) {
            self.resume_accepting();
        }
        if H::NEEDS.stop && self.stop_deadline <= now {
            self.stop(now, Mode::Abort);
        }
        if !self.lobby.is_empty() {
            self.admit(now, peers);
        }
        if H::NEEDS.deferral && self.deferrals.take_bell() {
            self.resume(now, peers);
        }
        if H::NEEDS.deferral && self.deadlines.has_wake(now) {
            self.wake(now, peers);
        }
        if !self.starved.is_empty() || !self.starved_to_receive.is_empty() || self.famine_due != Instant::NEVER {
            self.feed(now, peers);
        }
    }

    /// Ends a turn after all its completions have been handled: acts on what should have arrived by now. `now` is the
    /// time after the wait, `seen` whether the wait returned all events. Returns `true` if
    /// [`next_control`](Self::next_control) may have something.
    ///
    /// Deadlines are compared with the time at which the turn began, because everything that arrived before has been
    /// handled. So a client whose bytes have arrived in time is never late, even after a long call of a handler or a
    /// suspended process. Without this call no deadline ever expires.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn end_turn(&mut self, now: Instant, seen: Seen, peers: &dyn Peers) -> bool {
        self.arm_sends(now);
        if seen == Seen::All && !self.rejected {
            self.seen_until = if planted!(JudgedBeforeLooked) { now } else { self.turn_began };
            self.turns_blind = 0;
        } else if !self.is_blind_for_long() {
            return false;
        }
        let is_due = self.deadlines.first_at().is_some_and(|at| at <= self.seen_until);
        if is_due
            || H::NEEDS.eviction && self.famine_due != Instant::NEVER
            || !self.lobby.is_empty()
            || self.mode() != Mode::Run
        {
            self.act_on_time(now, is_due, seen, peers);
            return true;
        }
        false
    }

    /// Handles the completion of an operation. Returns the connection's next operation, if it has one; everything else
    /// is left to [`next_control`](Self::next_control).
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn handle_completion(
        &mut self,
        now: Instant,
        completion: Completion<'p>,
        peers: &dyn Peers,
    ) -> Option<Submission<'p>> {
        let token = completion.token;
        let handle = Handle { index: token.slot(), generation: token.generation() };
        let Some((connection, io)) = self.held.seats.begin(handle, self.turn) else {
            self.handle_other(now, completion, peers);
            return None;
        };
        match completion.outcome {
            Outcome::Recv { result, buf } => {
                if buf.is_some() && connection.is_receiving_lent() && !planted!(LentCountKept) {
                    self.lent -= 1;
                }
                connection.handle_received(&mut context!(self, now, peers, handle, io), result, buf);
            }
            #[cfg(not(feature = "small"))]
            Outcome::Send { result: Ok(count), head, body } if self.lobby.is_empty() => {
                let (pool, counters) = (&mut self.held.pool, &mut self.counters);
                match connection.rest_after_response(pool, counters, count, head, body) {
                    Ok(resting) => return Some(self.receive_again(now, handle, resting, io, token)),
                    Err(head) => {
                        let cx = &mut context!(self, now, peers, handle, io);
                        connection.handle_sent(cx, Ok(count), head, body);
                    }
                }
            }
            Outcome::Send { result, head, body } => {
                connection.handle_sent(&mut context!(self, now, peers, handle, io), result, head, body);
            }
            Outcome::Close => {
                connection.handle_closed();
                self.free(now, handle, peers);
                return None;
            }
            Outcome::Accept(_) => return None,
        }
        self.settle(now, handle)
    }

    /// Takes back a submission that the reactor rejected because it is full; it is retried in the next turn.
    #[cold]
    pub fn handle_rejected(&mut self, submission: Submission<'p>) {
        let index = submission.token.slot();
        self.rejected = true;
        match self.held.seats.sit(index) {
            Some((connection, _)) => {
                connection.handle_rejected(&mut self.held.pool, submission.op);
                self.held.seats.rest(index);
                self.ready.push(self.nodes, index);
            }
            None => self.handle_rejected_listener(submission.token),
        }
    }

    /// The next buffer to lend to the reactor, as long as there are enough.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn next_provision(&mut self) -> Option<Buf<'p>> {
        if self.lent >= self.lent_max || self.held.pool.available(self.receive_class) <= self.send_reserve {
            return None;
        }
        let buf = self.held.pool.acquire(self.receive_class)?;
        self.lent += 1;
        Some(buf)
    }

    /// Takes back a buffer for which the reactor has no room; it will be lent no more than it holds now.
    #[cold]
    pub fn handle_unprovided(&mut self, buf: Buf<'p>) {
        self.handle_reclaimed(buf);
        self.lent_max = self.lent.max(1);
    }

    /// Takes back a lent buffer that was not used.
    pub fn handle_reclaimed(&mut self, buf: Buf<'p>) {
        self.lent = self.lent.saturating_sub(1);
        let foreign = self.held.pool.release(buf);
        debug_assert!(foreign.is_ok(), "every lent buffer must come from the pool");
    }

    /// The next operation or control for the reactor.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn next_control(&mut self) -> Option<Control<'p>> {
        if self.listeners_due
            && let Some(control) = self.next_listener_control()
        {
            return Some(control);
        }
        if self.ready.is_empty() { None } else { self.next_ready_control() }
    }

    /// The next connection that a handler detached; its slot is free again. A loop that does not use detached
    /// connections closes them with [`close_detached`](Self::close_detached).
    pub fn next_detached(&mut self) -> Option<Detached<'p, H::Exchange>> {
        while let Some(index) = self.detached.pop(self.nodes) {
            if !self.held.seats.look(index).is_some_and(|connection| connection.is_detached()) {
                continue;
            }
            let Some((connection, _)) = self.held.seats.sit(index) else { continue };
            let Some((state, leftover)) = connection.take_detached() else { continue };
            self.deadlines.cancel(self.nodes, index);
            let handle = self.handle_of(index);
            let Some(left) = self.held.seats.remove(handle) else { continue };
            self.unmark(left.marks);
            let leftover = match leftover {
                Some(buf) if buf.is_empty() || planted!(LeftoverDropped) => {
                    self.release(buf);
                    None
                }
                leftover => leftover,
            };
            self.handler.closed(handle, CloseReason::Detached, left.served);
            self.counters.active -= 1;
            self.counters.detached += 1;
            self.counters.closed.count(CloseReason::Detached);
            if self.mode() != Mode::Run {
                self.count_stopped(CloseReason::Detached, left.marks);
            }
            if !planted!(NoAcceptAfterDetach) {
                self.resume_accepting();
            }
            return Some(Detached { io: left.io, leftover, state });
        }
        None
    }

    /// Takes back the leftover buffer of a detached connection.
    pub fn release(&mut self, buf: Buf<'p>) {
        let foreign = self.held.pool.release(buf);
        debug_assert!(foreign.is_ok(), "every leftover buffer must come from the pool");
    }

    /// Closes the connections that handlers detached and the program did not take.
    #[cold]
    pub fn close_detached(&mut self, now: Instant) {
        while let Some(index) = self.detached.pop(self.nodes) {
            if self.held.seats.look(index).is_some_and(|connection| connection.is_detached()) {
                self.end(now, index, CloseReason::UpgradeFinished);
            }
        }
    }

    /// Whether [`next_detached`](Self::next_detached) may return a connection.
    #[inline]
    #[must_use]
    pub fn has_detached(&self) -> bool {
        !self.detached.is_empty()
    }

    /// The next operation of a connection in the ready list. A connection stays at the front until it has no more.
    fn next_ready_control(&mut self) -> Option<Control<'p>> {
        while let Some(index) = self.ready.pop(self.nodes) {
            let Some((action, io)) = self.held.seats.next_action(index, &mut self.held.pool) else { continue };
            if self.held.seats.has_action(index) {
                self.ready.push_front(self.nodes, index);
            } else {
                self.held.seats.rest(index);
            }
            return Some(control(action, self.handle_of(index), io));
        }
        None
    }
}

/// Single connections.
impl<'p, H: Handler> Engine<'_, 'p, H> {
    /// Called after every event of a connection: updates its deadline and its place in the lists, and returns its next
    /// operation.
    #[cfg_attr(not(feature = "small"), inline)]
    fn settle(&mut self, now: Instant, handle: Handle) -> Option<Submission<'p>> {
        let index = handle.index;
        if !self.lobby.is_empty() {
            self.mark_leaving(index);
        }
        #[cfg(not(feature = "small"))]
        let (connection, slot) = self.held.seats.busy(index)?;
        #[cfg(feature = "small")]
        let (connection, io) = self.held.seats.sit(index)?;
        #[cfg(not(feature = "small"))]
        let io = slot.io;
        #[cfg(not(feature = "small"))]
        if let Some((head, body)) = connection.take_response() {
            if self.sending.push(index).is_ok() {
                slot.marks |= mark::UNARMED;
            } else {
                self.update_deadline(now, index);
            }
            let token = OpToken::new(index, handle.generation, OpKind::Send);
            return Some(Submission { token, op: Op::Send { io, head, body } });
        }
        let is_starved = connection.is_starved();
        let next = if is_starved { Ok(None) } else { connection.next_operation(&mut self.held.pool) };
        let has_more = connection.has_action();
        let is_send = matches!(next, Ok(Some(Action::Send { .. } | Action::SendFile { .. })));
        if !is_send || self.sending.push(index).is_err() {
            self.update_deadline(now, index);
        }
        if !is_send {
            self.held.seats.rest(index);
        }
        let action = match next {
            Ok(Some(action)) => action,
            Ok(None) => {
                self.settle_idle(index);
                return None;
            }
            Err(ControlIsNext) => {
                self.ready.push(self.nodes, index);
                return None;
            }
        };
        if has_more && !planted!(FurtherActionForgotten) {
            self.ready.push(self.nodes, index);
        }
        match control(action, handle, io) {
            Control::Submit(submission) => Some(submission),
            // next_operation() returns no control.
            Control::Shutdown { .. } | Control::Cancel { .. } => None,
        }
    }

    /// Called instead of [`settle`](Self::settle) for a connection that has become idle and is to receive, after a send whose
    /// token was `token`.
    #[cfg(not(feature = "small"))]
    #[inline(always)]
    fn receive_again(
        &mut self,
        now: Instant,
        handle: Handle,
        resting: Resting,
        io: IoHandle,
        token: OpToken,
    ) -> Submission<'p> {
        // Usually the send was submitted in this turn, and is the last one that was.
        let is_last = self.sending.last() == Some(&handle.index);
        if let Some(slot) = self.held.seats.rest_as(handle.index, resting) {
            if is_last {
                self.sending.pop();
                slot.marks &= !mark::UNARMED;
            }
            if slot.marks & mark::UNARMED == 0 {
                self.update_deadline(now, handle.index);
            }
        }
        Submission { token: token.with_kind(OpKind::Recv), op: Op::Recv { io, into: None } }
    }

    /// The connection has no operation to submit: it waits for a buffer, for the program, or for an operation in
    /// flight.
    fn settle_idle(&mut self, index: u32) {
        let Some(connection) = self.held.seats.look(index) else { return };
        if connection.is_starved() {
            self.join_queue(index);
        } else if H::NEEDS.upgrades && connection.is_detached() {
            self.detached.push(self.nodes, index);
        }
    }

    /// Arms the deadlines of the sends of this turn that have not completed: most complete in the turn in which they
    /// are
    /// submitted, and never need one.
    pub(super) fn arm_sends(&mut self, now: Instant) {
        while let Some(index) = self.sending.pop() {
            #[cfg(not(feature = "small"))]
            if let Some(slot) = self.held.seats.slot_mut(index) {
                slot.marks &= !mark::UNARMED;
            }
            if !planted!(SendsNotArmed) {
                self.update_deadline(now, index);
            }
        }
    }

    /// Like [`settle`](Self::settle), for events other than completions.
    pub(super) fn settle_later(&mut self, now: Instant, index: u32) {
        self.update_deadline(now, index);
        if !self.lobby.is_empty() {
            self.mark_leaving(index);
        }
        let Some(connection) = self.held.seats.look(index) else { return };
        if H::NEEDS.upgrades && connection.is_detached() {
            self.detached.push(self.nodes, index);
        } else if connection.is_starved() {
            self.join_queue(index);
        }
        self.held.seats.rest(index);
        self.ready.push(self.nodes, index);
    }

    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn update_deadline(&mut self, now: Instant, index: u32) {
        let Some(change) = self.held.seats.deadline_change(index, now) else { return };
        match change {
            Some(Deadline::Idle) if planted!(DeadlineNotArmed) => self.deadlines.cancel(self.nodes, index),
            Some(Deadline::Wake) if planted!(WakeNotArmed) => self.deadlines.cancel(self.nodes, index),
            Some(Deadline::Wake) if H::NEEDS.deferral => {
                self.deadlines.arm_wake(self.nodes, index, self.held.seats.wake_at(index, now));
            }
            Some(class) => {
                let at = Instant(now.0.saturating_add(self.timeout_ms(class as usize)));
                self.deadlines.arm(self.nodes, index, class as usize, at);
                // Its response did not announce the stop but was its last one, unless another request has arrived.
                self.sweep_due |= class == Deadline::Idle && self.mode() == Mode::Drain;
            }
            None => self.deadlines.cancel(self.nodes, index),
        }
    }

    /// Frees the slot of a connection whose handle has been closed.
    fn free(&mut self, now: Instant, handle: Handle, peers: &dyn Peers) {
        self.deadlines.cancel(self.nodes, handle.index);
        let Some(left) = self.held.seats.remove(handle) else { return };
        self.unmark(left.marks);
        let reason = left.reason.unwrap_or(CloseReason::PeerClosed);
        self.handler.closed(handle, reason, left.served);
        self.counters.active -= 1;
        self.counters.closed.count(reason);
        if planted!(ClosedCountedTwice) && reason == CloseReason::PeerAsked {
            self.counters.closed.count(reason);
        }
        if self.mode() != Mode::Run {
            self.count_stopped(reason, left.marks);
        }
        if !planted!(NoAcceptAfterClose) {
            self.resume_accepting();
        }
        if !self.lobby.is_empty() {
            self.admit(now, peers);
        }
    }

    /// Ends a connection so that its slot becomes free.
    pub(super) fn evict(&mut self, now: Instant, index: u32) {
        self.end(now, index, CloseReason::Evicted);
    }

    /// Ends a connection without an answer.
    pub(super) fn end(&mut self, now: Instant, index: u32, reason: CloseReason) {
        self.act_on(now, index, &NoPeers, |connection, cx| connection.close(cx, reason));
    }

    /// Calls `act` for a connection, and then settles what it did: for events other than completions.
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn act_on(
        &mut self,
        now: Instant,
        index: u32,
        peers: &dyn Peers,
        act: impl FnOnce(&mut Connection<'p, H::Exchange>, &mut Context<'_, '_, 'p, H>),
    ) {
        #[cfg(feature = "small")]
        let mut once = Some(act);
        // With this, the rest is compiled once, and not for each kind of event.
        #[cfg(feature = "small")]
        let act: &mut Act<'_, 'p, H> = &mut |connection, cx| {
            if let Some(act) = once.take() {
                act(connection, cx);
            }
        };
        self.act_by(now, index, peers, act);
    }

    #[cfg_attr(not(feature = "small"), inline(always))]
    fn act_by(
        &mut self,
        now: Instant,
        index: u32,
        peers: &dyn Peers,
        act: impl FnOnce(&mut Connection<'p, H::Exchange>, &mut Context<'_, '_, 'p, H>),
    ) {
        let handle = self.handle_of(index);
        if let Some((connection, io)) = self.held.seats.sit(index) {
            act(connection, &mut context!(self, now, peers, handle, io));
            self.settle_later(now, index);
        }
    }
}

/// Rare events.
impl<'p, H: Handler> Engine<'_, 'p, H> {
    /// A completion that belongs to a listener, or to no connection: its buffer is released.
    #[cold]
    fn handle_other(&mut self, now: Instant, completion: Completion<'p>, peers: &dyn Peers) {
        match completion.outcome {
            Outcome::Accept(result) => self.handle_accepted(now, completion.token, result, completion.more, peers),
            Outcome::Close => self.handle_closed_listener(completion.token),
            Outcome::Recv { buf: Some(buf), .. } | Outcome::Send { head: buf, .. } => {
                let foreign = self.held.pool.release(buf);
                debug_assert!(foreign.is_ok(), "every buffer in flight must come from the pool");
            }
            Outcome::Recv { buf: None, .. } => {}
        }
    }

    /// Calls the handlers whose tokens have been resolved.
    #[cold]
    pub(super) fn resume(&mut self, now: Instant, peers: &dyn Peers) {
        let mut from = 0;
        while let Some(index) = self.deferrals.next_resolved(from) {
            from = index + 1;
            if self.held.seats.look(index).is_some_and(|connection| connection.waits_for_token()) {
                if let Some(cell) = self.deferrals.cell(index) {
                    cell.clear();
                }
                self.act_on(now, index, peers, |connection, cx| connection.handle_resolved(cx));
            }
        }
    }

    /// Calls the handlers at the times that they set.
    #[cold]
    fn wake(&mut self, now: Instant, peers: &dyn Peers) {
        while let Some(index) = self.deadlines.pop_wake(self.nodes, now) {
            self.act_on(now, index, peers, |connection, cx| connection.handle_timeout(cx, Deadline::Wake));
        }
    }

    /// The current handle of a slot.
    pub(super) fn handle_of(&self, index: u32) -> Handle {
        Handle { index, generation: self.held.seats.generation_of(index).unwrap_or_default() }
    }
}

#[cfg_attr(not(feature = "small"), inline)]
fn control(action: Action<'_>, handle: Handle, io: IoHandle) -> Control<'_> {
    let token = |kind| OpToken::new(handle.index, handle.generation, kind);
    match action {
        Action::Recv { into } => Control::Submit(Submission { token: token(OpKind::Recv), op: Op::Recv { io, into } }),
        Action::Send { head, body } => {
            Control::Submit(Submission { token: token(OpKind::Send), op: Op::Send { io, head, body } })
        }
        Action::SendFile { head, range } => {
            Control::Submit(Submission { token: token(OpKind::Send), op: Op::SendFile { io, head, range } })
        }
        Action::Close => Control::Submit(Submission { token: token(OpKind::Close), op: Op::Close { io } }),
        Action::Shutdown(how) => Control::Shutdown { io, how },
        Action::CancelRecv => Control::Cancel { token: token(OpKind::Recv), io },
        Action::CancelSend => Control::Cancel { token: token(OpKind::Send), io },
    }
}
