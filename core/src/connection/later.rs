//! Exchanges that continue later: deferred answers, and connections that switch to another protocol.

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
    /// Waits for the answer, without a buffer. The output is sent first.
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

    /// Whether a valid token of this exchange exists.
    pub(super) fn can_be_resolved<H: Handler<Exchange = E>>(&self, cx: &Context<'_, '_, 'p, H>) -> bool {
        if !H::NEEDS.deferral {
            return false;
        }
        let place = cx.place;
        let cell = place.deferrals.cell(place.id.index).filter(|cell| cell.is_armed() && self.facts.has(Facts::TOKEN));
        if cell.is_some_and(DeferCell::is_resolved) && !planted!(OwnResolveUnheard) {
            // Resolved before the exchange began to wait; the worker has already scanned this cell, so ring again.
            place.deferrals.ring(place.id.index);
        }
        cell.is_some()
    }

    /// The output before a deferred answer has been sent. The client may have sent its FIN earlier.
    pub(super) fn await_answer<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if self.has(flag::FIN_RECEIVED) {
            self.client_vanished(cx);
        }
    }

    /// The client of a deferred answer has sent its FIN: asks the handler whether to keep waiting or close the
    /// connection.
    #[cold]
    pub(super) fn client_vanished<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let Some(Flow::Defer(state)) = self.waiting.take() else { return };
        match cx.handler.half_closed(state) {
            Some(state) => self.waiting = Some(Flow::Defer(state)),
            None => {
                self.end_deferral(cx);
                // All input has been received, so closing does not cause a reset.
                self.cut_off(cx, CloseReason::PeerClosedEarly);
            }
        }
    }

    /// After the response that switches protocols nothing is HTTP any more, and the exchange is over. `false` if
    /// content has been left unread as HTTP.
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

    /// Waits for raw bytes, after the response that switched protocols.
    pub(super) fn switch<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, flow: Flow<E>) {
        match flow {
            Flow::Detach(_) => {
                self.set(flag::DETACHED);
                // The program owns it from now on, and no token reaches it.
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

    /// Whether the handler waits for the time that it set.
    pub(super) const fn is_timed(&self) -> bool {
        self.has(flag::TIMED) && self.waits_for_token()
    }

    /// Whether the handler may wait for long, and has yet to be told of a stop.
    pub(super) const fn wants_stop_notice(&self) -> bool {
        let waits_for_raw = matches!(self.waiting, Some(Flow::Receive(_) | Flow::Upgrade(_))) && self.body.is_raw();
        (self.waits_for_token() || waits_for_raw) && !self.has(flag::TOLD_OF_STOP)
    }

    /// Whether the handler is to be called for a reason other than received bytes.
    #[inline]
    pub(super) const fn is_woken(&self) -> bool {
        self.has(flag::WOKEN) && (self.has(flag::STOPPING) || self.waits_for_token()) && self.waiting.is_some()
    }

    /// [`is_woken`](Self::is_woken), for a handler that may need that.
    pub(super) const fn is_woken_in<H: Handler<Exchange = E>>(&self) -> bool {
        (H::NEEDS.deferral || H::NEEDS.stop && H::NEEDS.upgrades) && self.is_woken()
    }

    /// Calls the handler if it has been woken.
    pub(super) fn resume<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        content_is_here: bool,
    ) -> bool {
        if !self.is_woken_in::<H>() || self.holds_input_in_flight() {
            return false;
        }
        if let Err(not_ready) = self.reserve(cx.pool, 0) {
            return self.await_room(not_ready);
        }
        let is_due = self.has(flag::RESOLVED | flag::DUE) && self.waits_for_token();
        let Some(flow) = self.waiting.take() else { return false };
        // The receive for noticing the client's FIN may wait for a buffer; the handler does not have to.
        self.clear(flag::STARVED);
        // Content that it did not consume is offered again.
        self.clear(flag::HUNGRY);
        self.go(Event::CallHandler);
        // Any call tells the handler about a stop.
        self.clear(flag::STOPPING);
        let (flow, failure, content_max) = if !is_due {
            self.call(cx, None, |handler, response| handler.stopping(flow, response))
        } else {
            let Some(state) = flow.into_state() else { return false };
            let by_time = !self.has(flag::RESOLVED);
            if !by_time || planted!(TokenEndsWithTime) {
                self.end_deferral(cx);
            }
            self.clear(flag::RESOLVED | flag::DUE);
            self.facts = self.facts.with(Facts::WOKEN_BY_TIME, by_time);
            let called = self.call(cx, None, |handler, response| handler.resume(state, response));
            self.facts = self.facts.with(Facts::WOKEN_BY_TIME, false);
            called
        };
        let here = Here { head: false, content: content_is_here || self.has(flag::BEGUN) };
        self.settle(cx, flow, failure, content_max, here);
        true
    }

    /// Makes the tokens of this exchange stale, including those of an exchange that answered without waiting for them.
    #[inline]
    pub(super) fn end_deferral<H: Handler<Exchange = E>>(&mut self, cx: &Context<'_, '_, 'p, H>) {
        if H::NEEDS.deferral && self.facts.has(Facts::TOKEN) && !planted!(TokensKept) {
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

    /// The handler's flow cannot be followed: returns its state to it.
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

    /// Ends the exchange without the rest of its response.
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
