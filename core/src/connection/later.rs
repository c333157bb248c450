//! Exchanges that go on later: answers that are deferred, connections that switch to another protocol.

use super::body::Body;
use super::calling::Here;
use super::exchange::Exchange;
use super::{Context, flag};
use crate::answer::Answer;
use crate::error::CloseReason;
use crate::handler::{Flow, Handler, RefusalCause};
use crate::state::Event;
use crate::writer::{Facts, WriteError};

impl<'p, E> Exchange<'p, E> {
    /// Waits for the answer, without a buffer. What was written goes out first.
    #[cold]
    pub(super) fn defer<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, flow: Flow<E>) {
        let place = cx.place;
        let cell = place.deferrals.cell(place.id.index).filter(|cell| cell.is_armed());
        let Some(cell) = cell.filter(|_| self.facts.has(Facts::TOKEN)) else {
            // Nobody has a token: it could never be resolved.
            return self.replace_response(cx, Answer::new(500), RefusalCause::Flow);
        };
        if cell.is_resolved() && !planted!(OwnResolveUnheard) {
            // Before it was waited for: the worker has passed it over.
            place.deferrals.ring(place.id.index);
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
        match cx.handler.vanished(state) {
            Some(state) => self.waiting = Some(Flow::Defer(state)),
            None => {
                self.end_deferral(cx);
                // With all of its input received, the end is no reset.
                self.cut_off(cx, CloseReason::PeerClosedEarly);
            }
        }
    }

    /// From the response that switches on, nothing is HTTP any more, and the exchange is over; `false` when content is
    /// left unread as HTTP, and the response was replaced.
    #[cold]
    pub(super) fn begin_raw<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        if self.body.is_raw() {
            return true;
        }
        if !self.body.is_finished() {
            let error = WriteError::ContentUnread;
            self.replace_response(cx, error.answer(), RefusalCause::Handler(error));
            return false;
        }
        self.body = Body::Raw;
        self.count_out(cx);
        true
    }

    /// Waits for raw bytes, behind the response that switched to them.
    pub(super) fn switch<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, flow: Flow<E>) {
        if matches!(flow, Flow::Detach(_)) {
            self.set(flag::DETACHED);
            // Its new owner is not this connection, and never calls it.
            self.end_deferral(cx);
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

    /// Calls the handler again once its deferred answer is there.
    pub(super) fn resume<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        content_is_here: bool,
    ) -> bool {
        if !self.has(flag::RESOLVED) || !self.is_deferred() || self.holds_input_in_flight() {
            return false;
        }
        if self.reserve(cx.pool, 0).is_err() {
            self.set(flag::STARVED);
            return false;
        }
        let Some(Flow::Defer(state)) = self.waiting.take() else { return false };
        self.end_deferral(cx);
        // The receive that was to notice the client's end may have waited for a buffer: the answer does not.
        self.clear(flag::STARVED);
        self.go(Event::CallHandler);
        let (flow, failure, content_max) = self.call(cx, None, |handler, response| handler.resume(state, response));
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

    /// The exchange ends without its response: the handler's state is dropped.
    pub(super) fn abandon<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        self.end_deferral(cx);
        if let Some(Flow::Defer(state)) = self.waiting.take() {
            let _ = cx.handler.vanished(state);
        }
        self.count_out(cx);
    }
}
