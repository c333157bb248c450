//! Calls the handler for an exchange, and acts on what it returns.

use super::body::Body;
use super::exchange::{Exchange, GATHER_MAX, NotReady, Output};
use super::{Context, flag};
use crate::answer::{Answer, CONTINUE};
use crate::error::CloseReason;
use crate::handler::{Flow, Handler, Refusal, RefusalCause};
use crate::parse::HeadError;
use crate::pool::{Loans, return_loans};
use crate::request::{BodyLength, Method, Request, Version};
use crate::state::Event;
use crate::writer::{Facts, Failure, RETRY_AFTER_S, ResponseWriter, Stream, WriteError, WriterParts};

/// The send buffer for a piece of a response whose length is not known, in bytes.
const PIECE_BYTES: usize = 4 * 1024;

/// What the received bytes hold while a call of the handler is settled.
#[derive(Clone, Copy)]
pub(super) struct Here {
    /// The request's head is at their front, as in the first call.
    pub(super) head: bool,
    /// Some of its content has arrived, or it is too late for an interim response.
    pub(super) content: bool,
}

impl Here {
    /// The head has been consumed, and the client is sending.
    pub(super) const CONTENT: Self = Self { head: false, content: true };
}

/// The outcome of reading the head at the front of the received bytes.
pub(super) enum Dispatched {
    /// The handler ran; this many bytes are to be consumed.
    Answered { head_len: usize },
    /// Earlier responses must be sent before there is room for an answer.
    Flush,
    /// No buffer for an answer is free.
    Starved,
    /// The head is not complete.
    Partial,
    /// The head is not acceptable.
    Refused(HeadError),
}

/// Calling the handler.
impl<'p, E> Exchange<'p, E> {
    /// Answers a request whose head is complete. Everything that depends only on the head is decided here.
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn dispatch<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        request: &Request<'_>,
        available: usize,
    ) -> Dispatched {
        match self.reserve(cx.pool, available) {
            Ok(()) => {}
            Err(NotReady::Flush) => return Dispatched::Flush,
            Err(NotReady::Starved) => return Dispatched::Starved,
        }
        self.go(Event::HeadComplete);
        self.served += 1;
        self.clear(flag::BEGUN | flag::BLANK_CR | flag::BLANK_LINE | flag::TIMED | flag::DUE);
        self.set(flag::PROGRESS | flag::IN_FLIGHT);
        *cx.in_flight += 1;
        self.stream = Stream::Unbegun;
        self.reset_windows();
        self.response_at = self.output_len();
        self.body = Body::of(request.body_length(), cx.limits.content_bytes_max);
        self.facts = self.facts_of(cx, request);
        let head_len = request.head_len();
        self.kept_len = 0;
        if cx.limits.in_flight_max.is_some_and(|max| *cx.in_flight > max) {
            cx.counters.shed += 1;
            let answer = Answer { retry_after_s: Some(RETRY_AFTER_S), ..Answer::new(503) };
            self.answer_instead(cx, answer, RefusalCause::InFlight);
            return Dispatched::Answered { head_len };
        }
        cx.counters.requests += 1 + u64::from(planted!(RequestsCountedTwice) && self.served > 2);
        let info = cx.place.info();
        let request = request.on(&info);
        let target = Some(request.target());
        let (flow, failure, content_max) =
            self.call(cx, target, |handler, response| handler.request(&request, response));
        let here = Here { head: true, content: available > head_len };
        if self.settle(cx, flow, failure, content_max, here) {
            self.kept_len = head_len as u32;
            Dispatched::Answered { head_len: 0 }
        } else {
            Dispatched::Answered { head_len }
        }
    }

    #[cfg_attr(not(feature = "small"), inline(always))]
    fn facts_of<H: Handler<Exchange = E>>(&mut self, cx: &Context<'_, '_, 'p, H>, request: &Request<'_>) -> Facts {
        #[cfg(not(feature = "small"))]
        if request.is_plain() && cx.limits.requests_per_connection_max.is_none_or(|max| self.served < max) {
            return Facts::default().with(Facts::NO_FILES, !H::NEEDS.files);
        }
        self.any_facts_of(cx, request)
    }

    #[cfg_attr(not(feature = "small"), inline(never))]
    fn any_facts_of<H: Handler<Exchange = E>>(&mut self, cx: &Context<'_, '_, 'p, H>, request: &Request<'_>) -> Facts {
        let mut close = !request.persistent();
        if request.method() == Method::Connect && !planted!(ConnectKept) {
            // Unless a tunnel is opened, the bytes that follow must not be interpreted: the client may believe that it
            // is already open (RFC 9931 §5).
            close = true;
        } else if close {
            self.reason.get_or_insert(CloseReason::PeerAsked);
        } else if cx
            .limits
            .requests_per_connection_max
            .is_some_and(|max| self.served >= max + u32::from(planted!(RequestLimitOffByOne)))
        {
            self.reason.get_or_insert(CloseReason::RequestLimit);
            close = true;
        }
        let expects = request.expects_continue();
        let (content, droppable) = match request.body_length() {
            BodyLength::None => (false, true),
            BodyLength::Length(length) => (length > 0, length <= u64::from(cx.limits.discard_bytes_max) && !expects),
            BodyLength::Chunked => (true, false),
        };
        Facts::default()
            .with(Facts::HEAD, request.method() == Method::Head)
            .with(Facts::CONNECT, request.method() == Method::Connect)
            .with(Facts::HTTP10, request.version() == Version::Http10)
            .with(Facts::CLOSE, close)
            .with(Facts::CLOSE_UNREAD, !droppable)
            .with(Facts::EXPECTS, expects)
            .with(Facts::UPGRADE, H::NEEDS.upgrades && request.wants_upgrade())
            .with(Facts::NO_FILES, !H::NEEDS.files)
            .with(Facts::CONTENT, content)
    }

    /// Makes this response the last one, however long its exchange has been under way. The response says so unless its
    /// head has already been written.
    #[cold]
    fn end_after_response(&mut self, reason: CloseReason) {
        self.facts = self.facts.with(Facts::STOPPING, reason == CloseReason::Stopped);
        if self.stream == Stream::Unbegun && !self.facts.has(Facts::CLOSE) {
            self.facts = self.facts.with(Facts::CLOSE, true);
            self.reason.get_or_insert(reason);
        }
    }

    /// Calls the handler once, with a writer for the send buffer, which must be reserved. If the handler fails, its
    /// output is replaced.
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn call<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        target: Option<&[u8]>,
        call: impl FnOnce(&mut H, &mut ResponseWriter<'_>) -> Flow<E>,
    ) -> (Flow<E>, Option<Failure>, Option<u64>) {
        #[cfg(feature = "small")]
        let mut once = Some(call);
        // With this, the rest is compiled once, and not for each of the handler's functions.
        #[cfg(feature = "small")]
        let call: &mut dyn FnMut(&mut H, &mut ResponseWriter<'_>) -> Flow<E> =
            &mut |handler, response| once.take().map_or(Flow::Finish, |call| call(handler, response));
        self.call_by(cx, target, call)
    }

    #[cfg_attr(not(feature = "small"), inline(always))]
    fn call_by<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        target: Option<&[u8]>,
        call: impl FnOnce(&mut H, &mut ResponseWriter<'_>) -> Flow<E>,
    ) -> (Flow<E>, Option<Failure>, Option<u64>) {
        if let Some(reason) = cx.last {
            self.end_after_response(reason);
        }
        let (mut called, mut failure) = (Flow::Finish, None);
        let content_max = self.write(cx, |handler, response| {
            called = call(handler, response);
            if response.is_over(&called) {
                called = Flow::Finish;
                response.finish();
            } else {
                response.pause();
            }
            if let Some(error) = response.error() {
                failure = Some(replace(response, handler, error, target));
            }
        });
        (called, failure, content_max)
    }

    /// Lets `write` append to the output; returns the limit for content that the handler set, if any.
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn write<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        write: impl FnOnce(&mut H, &mut ResponseWriter<'_>),
    ) -> Option<u64> {
        let Output::Unsent { head, body } = &mut self.output else {
            debug_assert!(false, "a send buffer must be reserved");
            return None;
        };
        let len = head.len();
        let mut loans = Loans::new(cx.pool, cx.loans);
        let mut response = ResponseWriter::new(WriterParts {
            out: head.writable(),
            len,
            scope: cx.arena.scope(&mut loans),
            preamble: cx.preamble,
            bytes_max: cx.limits.response_bytes_max as usize,
            stream: self.stream,
            facts: self.facts,
            place: cx.place,
        });
        write(cx.handler, &mut response);
        let written = response.take_written();
        self.stream = written.stream;
        self.facts = written.facts;
        *body = written.static_body;
        let range = written.file;
        match written.grown {
            None => head.set_len(written.len),
            Some(index) => {
                if let Some(Some(larger)) = cx.loans.get_mut(index) {
                    larger.set_len(written.len);
                    core::mem::swap(head, larger);
                }
            }
        }
        return_loans(cx.pool, cx.loans);
        if H::NEEDS.files
            && let Some(range) = range
        {
            self.append_file(range);
        }
        if H::NEEDS.deferral
            && let Some(ms) = written.wake_after_ms
        {
            // The time now is rounded down, by less than a millisecond, and so will be the time then.
            self.wake_at = (cx.now.0 as u32).wrapping_add(ms.clamp(1, i32::MAX as u32 - 1) + 1);
            self.set(flag::TIMED | flag::PROGRESS);
        }
        written.content_max
    }

    /// Decides what follows a call. `true` if the head has to be kept for a later one.
    pub(super) fn settle<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        flow: Flow<E>,
        failure: Option<Failure>,
        content_max: Option<u64>,
        here: Here,
    ) -> bool {
        match failure {
            None => {}
            Some(Failure { error, is_answered: true }) => {
                cx.counters.failed += 1;
                self.drop_flow(cx, flow, RefusalCause::Handler(error));
                self.finish_response(cx);
                return false;
            }
            Some(Failure { error, .. }) => {
                self.replace_response(cx, flow, error.answer(), RefusalCause::Handler(error));
                return false;
            }
        }
        if self.stream == Stream::Raw && !H::NEEDS.upgrades {
            self.replace_response(cx, flow, Answer::new(500), RefusalCause::Flow);
            return false;
        }
        if self.stream == Stream::Raw && !self.begins_raw(cx) {
            let error = WriteError::ContentUnread;
            self.replace_response(cx, flow, error.answer(), RefusalCause::Handler(error));
            return false;
        }
        match flow {
            Flow::Finish => {
                self.announce_close();
                self.finish_response(cx);
            }
            Flow::Produce(_) => {
                self.decline_content();
                self.waiting = Some(flow);
                self.go(Event::Respond);
            }
            Flow::Defer(_) if H::NEEDS.deferral => self.defer(cx, flow),
            Flow::Upgrade(_) | Flow::Detach(_) | Flow::Receive(_) | Flow::ReceiveOrResume(_)
                if H::NEEDS.upgrades && self.body.is_raw() =>
            {
                self.switch(cx, flow);
            }
            // The content was declined, and has been dropped.
            Flow::Receive(_) | Flow::ReceiveOrResume(_) | Flow::Collect(_) if self.has(flag::IGNORES_INPUT) => {
                self.replace_response(cx, flow, Answer::new(500), RefusalCause::Flow);
            }
            Flow::Receive(_) => return self.want_content(cx, flow, content_max, here),
            Flow::ReceiveOrResume(_) if self.can_be_resolved(cx) => {
                return self.want_content(cx, flow, content_max, here);
            }
            Flow::Collect(_) if here.head && !self.body.is_raw() => {
                return self.want_content(cx, flow, content_max, here);
            }
            // There is no valid token, or it is said not to be needed, no protocol was switched to, or the head that belongs to the content has been
            // consumed.
            Flow::Defer(_) | Flow::ReceiveOrResume(_) | Flow::Upgrade(_) | Flow::Detach(_) | Flow::Collect(_) => {
                self.replace_response(cx, flow, Answer::new(500), RefusalCause::Flow);
            }
        }
        false
    }

    /// Counts the exchange as no longer under way.
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn count_out<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if self.has(flag::IN_FLIGHT) {
            self.clear(flag::IN_FLIGHT);
            *cx.in_flight -= u32::from(!planted!(InFlightKept));
        }
    }

    /// Waits for content, unless there is too much. A client that waits for 100 (Continue) gets it.
    fn want_content<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        flow: Flow<E>,
        content_max: Option<u64>,
        here: Here,
    ) -> bool {
        if H::NEEDS.files && matches!(self.output, Output::File { .. }) {
            // The rest of the head would have to be kept together with the file, and the file open for longer.
            self.replace_response(cx, flow, Answer::new(500), RefusalCause::Flow);
            return false;
        }
        let collects = matches!(flow, Flow::Collect(_));
        let allowed = match content_max {
            // For content larger than the pool's buffers it would wait in vain.
            _ if collects => {
                let bytes_max = cx.pool.largest().min(cx.limits.content_collected_max as usize);
                Some(content_max.map_or(bytes_max as u64, |max| max.min(bytes_max as u64)))
            }
            Some(bytes_max) => Some(bytes_max),
            // Set by an earlier call, and counted down since then.
            None if self.facts.has(Facts::LIMITED) => None,
            None => Some(cx.limits.content_bytes_max),
        };
        if allowed.is_some_and(|bytes_max| !self.body.allow(bytes_max)) {
            self.facts = self.facts.with(Facts::CLOSE, true);
            self.reason.get_or_insert(CloseReason::TooLarge);
            self.replace_response(cx, flow, Answer::new(413), RefusalCause::Connection(CloseReason::TooLarge));
            return false;
        }
        self.facts = self.facts.with(Facts::CLOSE_UNREAD, false).with(Facts::LIMITED, true);
        if self.facts.has(Facts::EXPECTS) || planted!(ContinueUnasked) {
            self.facts = self.facts.with(Facts::EXPECTS, false);
            if !here.content && !self.body.is_finished() && !planted!(ContinueUnsaid) {
                self.insert_continue();
            }
        }
        self.waiting = Some(flow);
        self.go(Event::NeedContent);
        collects
    }

    /// Inserts the interim response before what has been written of the final one.
    fn insert_continue(&mut self) {
        let at = self.response_at as usize;
        let Output::Unsent { head, .. } = &mut self.output else { return };
        if head.insert(at, CONTINUE).is_ok() {
            self.response_at += CONTINUE.len() as u32;
            self.set(flag::CONTINUE);
            self.facts = self.facts.with(Facts::INTERIM, true);
        }
    }

    /// The response is complete: continues with the next request, or ends the connection.
    pub(super) fn finish_response<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        self.waiting = None;
        self.count_out(cx);
        self.end_deferral(cx);
        if H::NEEDS.upgrades && self.body.is_raw() {
            self.stream = Stream::Done;
            self.reason.get_or_insert(CloseReason::UpgradeFinished);
            self.set(flag::LAST | flag::IGNORES_INPUT);
            return self.go(Event::Respond);
        }
        if !self.stream.ends_with_connection() {
            self.stream = Stream::Done;
        }
        if self.body.is_finished() && !self.facts.has(Facts::CLOSE) {
            return self.go(Event::Bytes);
        }
        // Content that is not worth reading ends the connection, even if the response promised otherwise because its
        // head had been sent. Content that the client holds back for a 100 (Continue) would never come.
        let too_long = self.body.announced() > u64::from(cx.limits.discard_bytes_max);
        let held_back = self.facts.has(Facts::EXPECTS) && !self.body.is_finished();
        if self.facts.has(Facts::CLOSE) || too_long || held_back || self.has(flag::IGNORES_INPUT) {
            let reason = if !self.body.is_finished() {
                CloseReason::ContentUnread
            } else if self.facts.has(Facts::CONNECT) {
                CloseReason::TunnelRefused
            } else {
                CloseReason::CloseDelimited
            };
            self.reason.get_or_insert(reason);
            self.set(flag::LAST | flag::IGNORES_INPUT);
            self.go(Event::Respond);
        } else {
            self.go(Event::NeedContent);
        }
    }

    /// Replaces the handler's response with an answer; cuts it off if a part of it has been sent.
    pub(super) fn replace_response<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        flow: Flow<E>,
        answer: Answer<'_>,
        cause: RefusalCause,
    ) {
        cx.counters.failed += 1;
        self.drop_flow(cx, flow, cause);
        self.answer_instead(cx, answer, cause);
    }

    fn answer_instead<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        answer: Answer<'_>,
        cause: RefusalCause,
    ) {
        // A response that switches protocols has dropped what the request said about the connection.
        let raw = self.stream == Stream::Raw;
        let close = raw || self.facts.has(Facts::CLOSE) || self.facts.has(Facts::CLOSE_UNREAD);
        self.facts = self.facts.with(Facts::CLOSE, close);
        if self.write_answer(cx, answer, cause, None) {
            return self.finish_response(cx);
        }
        self.break_off(cx, CloseReason::ResponseFailed);
    }

    /// Ends the connection in the middle of a response, in a way that shows the client that it is incomplete, and so that
    /// what was sent before still reaches the client.
    pub(super) fn break_off<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, reason: CloseReason) {
        self.forget_response(cx, reason);
        self.set(flag::LAST | flag::IGNORES_INPUT);
        self.go(Event::Respond);
    }

    /// Ends the connection at once.
    pub(super) fn cut_off<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, reason: CloseReason) {
        self.forget_response(cx, reason);
        self.go(Event::Close);
    }

    fn forget_response<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, reason: CloseReason) {
        // Overrides the reason recorded for after the response.
        self.reason = Some(reason);
        self.mark_cut_off();
        self.abandon(cx, reason);
        self.clear(flag::STARVED);
        self.release_output(cx.pool);
    }

    /// Calls the handler for the next piece of its response.
    pub(super) fn produce<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        let wanted = if matches!(self.stream, Stream::Length(_)) { GATHER_MAX } else { PIECE_BYTES };
        if self.reserve(cx.pool, wanted).is_err() {
            self.set(flag::STARVED);
            return false;
        }
        let Some(Flow::Produce(state)) = self.waiting.take() else { return false };
        self.go(Event::CallHandler);
        let (flow, failure, content_max) = self.call(cx, None, |handler, response| handler.produce(state, response));
        let stalled = failure.is_none() && matches!(flow, Flow::Produce(_)) && !self.has_output();
        if stalled {
            self.give_up_stalled(cx, flow);
            return true;
        }
        self.settle(cx, flow, failure, content_max, Here::CONTENT);
        true
    }
}

/// Writes an answer in place of a handler that failed in this call, unless a part of its response has been sent.
#[cold]
fn replace<H: Handler>(
    response: &mut ResponseWriter<'_>,
    handler: &mut H,
    error: WriteError,
    target: Option<&[u8]>,
) -> Failure {
    let answer = error.answer();
    let refusal = Refusal { status: response.sendable(answer.status), cause: RefusalCause::Handler(error), target };
    Failure { error, is_answered: response.refuse(handler, &refusal, answer).is_ok() }
}
