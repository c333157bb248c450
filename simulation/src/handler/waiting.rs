//! Exchanges that wait for a time, or for content and a token at once, and what they do when the server stops.

use aurora_http_core::handler::{Content, Flow};
use aurora_http_core::writer::ResponseWriter;

use super::{Puppet, State};
use crate::exchange::{Answer, Id};

impl Puppet<'_> {
    /// Waits for a time that it sets, and that must not come early.
    pub(super) fn sleep(&self, mut state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let Answer::Timed { ms, has_token, .. } = self.exchange(state.id).answer else { return Flow::Finish };
        if has_token && state.token.is_none() {
            state.token = response.defer().ok();
        }
        response.wake_after(ms);
        state.deferred += 1;
        state.wakes_at = Some(self.clock.get().plus_ms(ms));
        Flow::Defer(state)
    }

    /// Its time has come.
    pub(super) fn wake(&self, mut state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let Answer::Timed { times, length, .. } = self.exchange(state.id).answer else { return Flow::Finish };
        if state.deferred == times && !response.is_woken_by_time() {
            return self.body(state.id, 200, length, false, response);
        }
        if !response.is_woken_by_time() {
            self.fault(state.id, "woken, and not by its time");
        }
        let now = self.clock.get();
        if state.wakes_at.is_none_or(|at| now < at) {
            self.fault(state.id, format!("woken at {now:?}, before {:?}", state.wakes_at));
        }
        if state.deferred < times {
            return self.sleep(state, response);
        }
        match state.token.take() {
            // It has outlived all of the times.
            Some(token) if self.deferrals.resolve(token) => Flow::Defer(state),
            Some(_) => {
                self.fault(state.id, "its token is stale");
                Flow::Finish
            }
            None => self.body(state.id, 200, length, false, response),
        }
    }

    /// Takes content only when a token says so.
    pub(super) fn await_content_and_token(&self, state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        self.take_token(state.id, response);
        Flow::ReceiveOrResume(state)
    }

    /// Content, of which it takes all once it may.
    pub(super) fn take_at_its_pace(
        &self,
        mut state: State,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<State> {
        if !state.may_take {
            content.hold();
            return Flow::ReceiveOrResume(state);
        }
        state.may_take = false;
        self.see(&state, content.bytes());
        state.seen += content.bytes().len();
        if !content.ended() {
            return self.await_content_and_token(state, response);
        }
        self.see_end(&state, content);
        let Answer::Paced { length, .. } = self.exchange(state.id).answer else { return Flow::Finish };
        self.body(state.id, 200, length, false, response)
    }

    /// Raw bytes, of which it writes back what is there once it may.
    pub(super) fn echo_at_its_pace(
        &self,
        mut state: State,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<State> {
        if !state.may_take {
            content.hold();
            return Flow::ReceiveOrResume(state);
        }
        state.may_take = false;
        let bytes = content.bytes();
        self.see_raw(&state, bytes);
        let count = response.write(bytes).unwrap_or(0);
        content.consume(count);
        state.seen += count;
        if content.ended() && content.bytes().is_empty() {
            return Flow::Finish;
        }
        self.await_content_and_token(state, response)
    }

    /// A token says that it may take what is there.
    pub(super) fn may_take(&self, mut state: State, response: &ResponseWriter<'_>) -> Flow<State> {
        if response.is_woken_by_time() {
            self.fault(state.id, "woken by a time that it did not set");
        }
        state.may_take = true;
        Flow::Receive(state)
    }

    /// The server stops: every second one that can answers now.
    pub(super) fn hear_of_stop(&self, flow: Flow<State>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let Some(state) = flow_state(&flow) else { return flow };
        let id = state.id;
        if !response.is_stopping() {
            self.fault(id, "told of a stop that has not begun");
        }
        if !self.book.borrow_mut().told.insert(id) {
            self.fault(id, "told twice of a stop");
        }
        if state.whim.is_some() || !id.serial.is_multiple_of(2) {
            return flow;
        }
        match self.exchange(id).answer {
            Answer::Timed { length, .. } | Answer::Defer { after_ms: Some(_), length, .. } => {
                self.body(id, 200, length, false, response)
            }
            _ => flow,
        }
    }

    /// Whether the body of its response is not sent, as that of a response to HEAD.
    pub(super) fn may_drop_body(&self, id: Id) -> bool {
        let exchange = self.plan.clients.get(id.client).and_then(|client| client.exchanges.get(id.serial));
        exchange.is_none_or(|exchange| {
            exchange.method == crate::exchange::Method::Head || matches!(exchange.answer, Answer::Anything(_))
        })
    }
}

const fn flow_state(flow: &Flow<State>) -> Option<&State> {
    match flow {
        Flow::Defer(state) | Flow::Receive(state) | Flow::ReceiveOrResume(state) | Flow::Upgrade(state) => Some(state),
        _ => None,
    }
}
