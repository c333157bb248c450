//! Answers that the connection writes itself, in place of a handler's or when no handler is called.

use super::exchange::{Exchange, Output};
use super::{Context, flag};
use crate::answer::{Answer, sendable};
use crate::error::CloseReason;
use crate::handler::{Flow, Handler, Refusal, RefusalCause};
use crate::state::State;
use crate::writer::{Facts, Stream};

/// Answers that the connection writes itself.
impl<'p, E> Exchange<'p, E> {
    /// Whether the current request has been answered, even if its content has not been read completely.
    pub(super) fn is_answered(&self) -> bool {
        match self.state {
            State::New | State::ReadingHead => false,
            State::ReadingContent if self.waiting.is_none() => true,
            _ => self.has(flag::BEGUN) && self.stream.is_done(),
        }
    }

    /// Appends an answer to a request that no handler will answer; `false` if that is impossible.
    pub(super) fn write_refusal<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        answer: Answer<'_>,
        cause: RefusalCause,
        target: Option<&[u8]>,
    ) -> bool {
        if matches!(self.state, State::New | State::ReadingHead) {
            // No request was dispatched for this response: nothing is known about it except perhaps its method.
            self.facts = Facts::default().with(Facts::HEAD, answer.head_request).with(Facts::NO_FILES, !H::NEEDS.files);
            self.response_at = self.output_len();
            self.clear(flag::BEGUN);
            self.reset_windows();
        } else if !self.has(flag::BEGUN) {
            self.take_back();
        }
        if let Output::Collected(_) = self.output {
            self.release_output(cx.pool);
            self.response_at = 0;
        }
        if self.reserve(cx.pool, 0).is_err() {
            return false;
        }
        self.facts = self.facts.with(Facts::CLOSE, true);
        self.write_answer(cx, answer, cause, target)
    }

    /// Replaces what has been written of the current response; `false` if a part of it has been sent, or there is no
    /// room.
    #[cold]
    pub(super) fn write_answer<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        answer: Answer<'_>,
        cause: RefusalCause,
        target: Option<&[u8]>,
    ) -> bool {
        if self.has(flag::BEGUN) {
            return false;
        }
        self.take_back();
        self.stream = Stream::Unbegun;
        let refusal = Refusal { status: sendable(answer.status, &[]), cause, target };
        let mut is_answered = false;
        self.write(cx, |handler, response| is_answered = response.refuse(handler, &refusal, answer).is_ok());
        is_answered
    }

    /// The handler neither consumed nor wrote anything, so it never will: 500, unless a part of the response has been
    /// sent.
    #[cold]
    pub(super) fn give_up_stalled<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, flow: Flow<E>) {
        cx.counters.failed += 1;
        self.drop_flow(cx, flow, RefusalCause::Stalled);
        self.facts = self.facts.with(Facts::CLOSE, true);
        if self.write_answer(cx, Answer::new(500), RefusalCause::Stalled, None) {
            self.reason.get_or_insert(CloseReason::HandlerStalled);
            return self.finish_response(cx);
        }
        self.break_off(cx, CloseReason::HandlerStalled);
    }

    /// Drops what has been written of the current response, of which nothing has been sent.
    fn take_back(&mut self) {
        if let Output::File { .. } = self.output
            && let Output::File { head, .. } = core::mem::take(&mut self.output)
        {
            self.output = Output::Unsent { head, body: &[] };
        }
        if let Output::Unsent { head, body } = &mut self.output {
            head.truncate(self.response_at as usize);
            *body = &[];
        }
    }

    pub(super) fn output_len(&self) -> u32 {
        match &self.output {
            Output::Unsent { head, .. } | Output::File { head, .. } => head.len() as u32,
            _ => 0,
        }
    }
}
