//! Exchanges that go on later: answers that are deferred, connections that switch to another protocol.

use super::body::Body;
use super::calling::Here;
use super::exchange::Exchange;
use super::{Context, flag};
use crate::answer::Answer;
use crate::defer::DeferCell;
use crate::error::CloseReason;
use crate::handler::{Flow, Handler, RefusalCause};
use crate::state::Event;
use crate::writer::Facts;

impl<'p, E> Exchange<'p, E> {
    /// Waits for the answer, without a buffer. What was written goes out first.
    #[cold]
    pub(super) fn defer<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, flow: Flow<E>) {
        if !self.can_be_resolved(cx) && !self.has(flag::TIMED) {
            return self.replace_response(cx, flow, Answer::new(500), RefusalCause::Flow);
        }
        self.waiting = Some(flow);
        self.set(flag::PROGRESS);
        if self.has_output() {
            self.go(Event::Respond);
        } else {
            self.release_output(cx.pool);
            self.await_answer(cx);
        }
    }

    /// Whether somebody has a token of this exchange.
    pub(super) fn can_be_resolved<H: Handler<Exchange = E>>(&self, cx: &Context<'_, '_, 'p, H>) -> bool {
        let place = cx.place;
        let cell = place.deferrals.cell(place.id.index).filter(|cell| cell.is_armed() && self.facts.has(Facts::TOKEN));
        if cell.is_some_and(DeferCell::is_resolved) && !planted!(OwnResolveUnheard) {
            // Resolved before it was waited for; the worker has already scanned this cell, so ring again.
            place.deferrals.ring(place.id.index);
        }
        cell.is_some()
    }

    /// Nothing is left to send before the deferred answer. The client may have ended its side before that.
    pub(super) fn await_answer<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if self.has(flag::ENDED) {
            self.client_vanished(cx);
        }
    }

    /// The client of a deferred answer has ended its side: the handler may wait on, or the connection closes.
    #[cold]
    pub(super) fn client_vanished<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let Some(Flow::Defer(state)) = self.waiting.take() else { return };
        match cx.handler.half_closed(state) {
            Some(state) => self.waiting = Some(Flow::Defer(state)),
            None => {
                self.end_deferral(cx);
                // With all of its input received, the end is no reset.
                self.cut_off(cx, CloseReason::PeerClosedEarly);
            }
        }
    }

    /// From the response that switches on, nothing is HTTP any more, and the exchange is over; `false` when content is
    /// left unread as HTTP.
    #[cold]
    pub(super) fn begins_raw<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        if self.body.is_raw() {
            return true;
        }
        if !self.body.is_finished() {
            return false;
        }
        self.body = Body::Raw;
        self.count_out(cx);
        true
    }

    /// Waits for raw bytes, behind the response that switched to them.
    pub(super) fn switch<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, flow: Flow<E>) {
        match flow {
            Flow::Detach(_) => {
                self.set(flag::DETACHED);
                // Its new owner is not this connection, and never calls it.
                self.end_deferral(cx);
            }
            Flow::ReceiveOrResume(_) if !self.can_be_resolved(cx) && !self.has(flag::TIMED) => {
                return self.replace_response(cx, flow, Answer::new(500), RefusalCause::Flow);
            }
            _ => {}
        }
        self.waiting = Some(flow);
        if self.has_output() {
            self.go(Event::Respond);
        } else {
            self.release_output(cx.pool);
            self.go(Event::Switch);
        }
    }

    #[inline]
    pub(super) const fn is_deferred(&self) -> bool {
        matches!(self.waiting, Some(Flow::Defer(_)))
    }

    pub(super) const fn waits_for_token(&self) -> bool {
        matches!(self.waiting, Some(Flow::Defer(_) | Flow::ReceiveOrResume(_)))
    }

    /// Whether the handler waits for a time that it set.
    pub(super) const fn is_timed(&self) -> bool {
        self.has(flag::TIMED) && self.waits_for_token()
    }

    /// Whether the handler may wait for long, and was not told of a stop.
    pub(super) const fn wants_to_be_told(&self) -> bool {
        let waits_for_raw = matches!(self.waiting, Some(Flow::Receive(_) | Flow::Upgrade(_))) && self.body.is_raw();
        (self.waits_for_token() || waits_for_raw) && !self.has(flag::TOLD)
    }

    /// Whether the handler is to be called although no bytes have come.
    #[inline]
    pub(super) const fn is_woken(&self) -> bool {
        self.has(flag::WOKEN) && (self.has(flag::STOPPING) || self.waits_for_token()) && self.waiting.is_some()
    }

    /// Calls the handler if it is woken.
    pub(super) fn resume<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        content_is_here: bool,
    ) -> bool {
        if !self.is_woken() || self.holds_input_in_flight() {
            return false;
        }
        if let Err(not_ready) = self.reserve(cx.pool, 0) {
            return self.await_room(not_ready);
        }
        let is_due = self.has(flag::RESOLVED | flag::TIME) && self.waits_for_token();
        let Some(flow) = self.waiting.take() else { return false };
        // The receive that was to notice the client's end may have waited for a buffer: the handler does not.
        self.clear(flag::STARVED);
        // What it held back is offered again.
        self.clear(flag::HUNGRY);
        self.go(Event::CallHandler);
        // A call tells of a stop by itself.
        self.clear(flag::STOPPING);
        let (flow, failure, content_max) = if !is_due {
            self.call(cx, None, |handler, response| handler.stopping(flow, response))
        } else {
            let Some(state) = flow.into_state() else { return false };
            let by_time = !self.has(flag::RESOLVED);
            if !by_time || planted!(TokenEndsWithTime) {
                self.end_deferral(cx);
            }
            self.clear(flag::RESOLVED | flag::TIME);
            self.facts = self.facts.with(Facts::TIME, by_time);
            let called = self.call(cx, None, |handler, response| handler.resume(state, response));
            self.facts = self.facts.with(Facts::TIME, false);
            called
        };
        let here = Here { head: false, content: content_is_here || self.has(flag::BEGUN) };
        self.settle(cx, flow, failure, content_max, here);
        true
    }

    /// Tokens of this exchange are stale from now on, also of one that answered without waiting for them.
    #[inline]
    pub(super) fn end_deferral<H: Handler<Exchange = E>>(&mut self, cx: &Context<'_, '_, 'p, H>) {
        if self.facts.has(Facts::TOKEN) && !planted!(TokensKept) {
            self.make_token_stale(cx);
        }
    }

    #[cold]
    fn make_token_stale<H: Handler<Exchange = E>>(&mut self, cx: &Context<'_, '_, 'p, H>) {
        self.clear(flag::RESOLVED);
        self.facts = self.facts.with(Facts::TOKEN, false);
        if let Some(cell) = cx.place.deferrals.cell(cx.place.id.index) {
            cell.clear();
        }
    }

    /// What the handler wants next is not to be: its state goes back to it.
    pub(super) fn drop_flow<H: Handler<Exchange = E>>(
        &self,
        cx: &mut Context<'_, '_, 'p, H>,
        flow: Flow<E>,
        cause: RefusalCause,
    ) {
        if let Some(state) = flow.into_state() {
            cx.handler.abandoned(state, cause.close_reason());
        }
    }

    /// The exchange ends without the rest of its response.
    pub(super) fn abandon<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, reason: CloseReason) {
        self.end_deferral(cx);
        if let Some(state) = self.waiting.take().and_then(Flow::into_state)
            && !planted!(AbandonedUnheard)
        {
            cx.handler.abandoned(state, reason);
        }
        self.count_out(cx);
    }
}
