//! Exchanges that wait for a time, or for content and a token at once, and how they react to a stop.

use aurora_http_core::handler::{Content, Flow};
use aurora_http_core::writer::ResponseWriter;

use super::{Puppet, State};
use crate::exchange::{Answer, Id};

impl Puppet<'_> {
    /// Waits for a time that it sets, which must not come early.
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
            self.fault(state.id, "woken, but not by its time");
        }
        let now = self.clock.get();
        if state.wakes_at.is_none_or(|at| now < at) {
            self.fault(state.id, format!("woken at {now:?}, before {:?}", state.wakes_at));
        }
        if state.deferred < times {
            return self.sleep(state, response);
        }
        match state.token.take() {
            // The token has to outlive all of these times.
            Some(token) if self.deferrals.resolve(token) => Flow::Defer(state),
            Some(_) => {
                self.fault(state.id, "its token is stale");
                Flow::Finish
            }
            None => self.body(state.id, 200, length, false, response),
        }
    }

    /// Takes content only after a token was resolved.
    pub(super) fn await_content_and_token(&self, state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        self.take_token(state.id, response);
        Flow::ReceiveOrResume(state)
    }

    /// A call with content or raw bytes, which it holds until it may take them.
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
        match self.exchange(state.id).answer {
            Answer::Paced { length, .. } => self.take_all(state, length, content, response),
            _ => self.echo_all(state, content, response),
        }
    }

    /// Takes all content that has arrived.
    fn take_all(
        &self,
        mut state: State,
        length: usize,
        content: &Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<State> {
        self.see(&state, content.bytes());
        state.seen += content.bytes().len();
        if !content.ended() {
            return self.await_content_and_token(state, response);
        }
        self.see_end(&state, content);
        self.body(state.id, 200, length, false, response)
    }

    /// Echoes the raw bytes that have arrived.
    fn echo_all(&self, mut state: State, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<State> {
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

    /// A token was resolved: it may take the content that has arrived.
    pub(super) fn may_take(&self, mut state: State, response: &ResponseWriter<'_>) -> Flow<State> {
        if response.is_woken_by_time() {
            self.fault(state.id, "woken by a time that it did not set");
        }
        state.may_take = true;
        Flow::Receive(state)
    }

    /// The server stops: every second exchange that can answers now.
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

    /// Whether the body of its response is not sent, as with HEAD.
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
