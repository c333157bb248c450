//! One exchange: a request, the handler's calls for it and its response.

use super::content::Body;
use super::linger::Linger;
use super::window::Windows;
use super::{Context, Deadline, flag, largest_class, release};
use crate::answer::{ANSWER_BYTES_MAX, Answer, CONTINUE};
use crate::error::CloseReason;
use crate::handler::{Flow, Handler};
use crate::parse::{HeadError, HeadScan};
use crate::pool::{Buf, BufferPool, Class, Loans, return_loans};
use crate::request::{BodyLength, Method, Request, Version};
use crate::state::{Event, State};
use crate::writer::{Facts, Ground, RETRY_AFTER_S, ResponseWriter, Stream, WriteError};

/// Room that must be free in the send buffer before a handler is called: then an answer can always be given, and a
/// full buffer never makes a handler run twice.
const RESERVE: usize = ANSWER_BYTES_MAX + CONTINUE.len();

/// The largest send buffer a first call gets, however much was received: responses beyond it leave in several sends.
const GATHER_MAX: usize = Class::Medium.size();

/// What was written and has not left, or the content that is being collected, or how the end goes: never two of them.
#[derive(Debug, Default)]
pub(super) enum Output<'p> {
    #[default]
    Empty,
    /// Goes out in this order.
    Unsent { head: Buf<'p>, body: &'p [u8] },
    /// Content on its way to [`Handler::collected`].
    Collected(Buf<'p>),
    /// All responses are out: what the end behind them depends on.
    Lingering(Linger),
}

/// State of the exchange and of the connection around it, all but the received bytes.
pub(super) struct Exchange<'p, E> {
    pub(super) output: Output<'p>,
    /// What the handler waits for.
    pub(super) waiting: Option<Flow<E>>,
    /// What is left of the request's body.
    pub(super) body: Body,
    pub(super) stream: Stream,
    pub(super) scan: HeadScan,
    /// Bytes that stay in front of the received ones: the head for [`Flow::Collect`], or content that is out of its
    /// chunks, for a handler that waits for more of it.
    pub(super) front: u32,
    /// Where the response begins in the output, while no part of it has left.
    pub(super) response_at: u32,
    pub(super) served: u32,
    pub(super) windows: Windows,
    flags: u32,
    pub(super) facts: Facts,
    pub(super) state: State,
    pub(super) reason: Option<CloseReason>,
    /// The deadline that was last told.
    pub(super) armed: Option<Deadline>,
}

/// Why no handler can be called now.
pub(super) enum NotReady {
    /// What was gathered must leave before there is room to answer.
    Flush,
    /// No buffer to answer in is free.
    Starved,
}

/// What lies in front of the received bytes while a call of the handler is settled.
#[derive(Clone, Copy)]
pub(super) struct Here {
    /// The request's head: it is its first call.
    pub(super) head: bool,
    /// Some of its content, or the time for an interim response is past.
    pub(super) content: bool,
}

impl Here {
    /// The head is gone, and the client is sending.
    pub(super) const CONTENT: Self = Self { head: false, content: true };
}

/// What came of trying to answer the head at the front of the received bytes.
pub(super) enum Dispatched {
    /// The handler ran; this many bytes are done with.
    Answered { head_len: usize },
    /// What was gathered must leave before there is room to answer.
    Flush,
    /// No buffer to answer in is free.
    Starved,
    /// The head is not complete.
    Partial,
    /// The head is not acceptable.
    Refused(HeadError),
}

impl<E> Default for Exchange<'_, E> {
    fn default() -> Self {
        Self {
            output: Output::Empty,
            waiting: None,
            body: Body::Finished,
            stream: Stream::Unbegun,
            scan: HeadScan::default(),
            front: 0,
            response_at: 0,
            served: 0,
            windows: Windows::default(),
            flags: 0,
            facts: Facts::default(),
            state: State::New,
            reason: None,
            armed: None,
        }
    }
}

/// State, flags, buffers.
impl<'p, E> Exchange<'p, E> {
    #[inline]
    pub(super) const fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    #[inline]
    pub(super) const fn set(&mut self, flags: u32) {
        self.flags |= flags;
    }

    #[inline]
    pub(super) const fn clear(&mut self, flags: u32) {
        self.flags &= !flags;
    }

    /// The one place where the state changes.
    #[inline]
    pub(super) fn go(&mut self, event: Event) {
        let next = self.state.after(event);
        debug_assert!(next.is_some(), "{event:?} in {:?}", self.state);
        #[cfg(all(feature = "sim", target_has_atomic = "64", debug_assertions))]
        crate::state::reached::count(self.state, event);
        self.state = next.unwrap_or(State::Closing);
    }

    /// Whether the receive in flight has a buffer of its own, and was not told to end.
    pub(super) const fn pins_buffer(&self) -> bool {
        self.has(flag::RECV) && !self.has(flag::LENT | flag::RECV_CANCELED)
    }

    /// A part of a head was looked at.
    pub(super) const fn scan_has_begun(&self) -> bool {
        !self.scan.is_fresh()
    }

    /// Something was written, and no send is in flight.
    #[inline]
    pub(super) const fn wants_send(&self) -> bool {
        !self.has(flag::SEND) && matches!(self.output, Output::Unsent { .. })
    }

    /// While the last response goes out, what still arrives is received and dropped: the client may read nothing before
    /// it has written everything.
    #[inline]
    pub(super) const fn wants_to_drop(&self) -> bool {
        self.has(flag::DEAF) && !self.has(flag::RECV | flag::ENDED | flag::UNFED)
    }

    /// The deferred answer is there, and the receive in flight has what had arrived behind its request.
    pub(super) const fn wants_inbound_back(&self) -> bool {
        self.has(flag::RESOLVED) && self.is_deferred() && self.pins_buffer()
    }

    /// The receive in flight has a buffer of its own, which may hold what arrived before.
    pub(super) const fn holds_input_in_flight(&self) -> bool {
        self.has(flag::RECV) && !self.has(flag::LENT)
    }

    /// The handler goes on when more content is there, and there is more to come.
    pub(super) const fn waits_for_content(&self) -> bool {
        matches!(self.waiting, Some(Flow::Receive(_) | Flow::Collect(_)))
            && !self.body.is_finished()
            && !self.body.is_raw()
    }

    #[inline]
    pub(super) fn has_output(&self) -> bool {
        matches!(&self.output, Output::Unsent { head, body } if !head.is_empty() || !body.is_empty())
    }

    /// What was written leaves the buffer: a response that is not complete can no longer be replaced.
    #[inline]
    pub(super) const fn leave(&mut self, head_len: usize, body_len: usize) {
        if self.waiting.is_some() && head_len + body_len > self.response_at as usize {
            self.set(flag::BEGUN);
        }
        self.response_at = 0;
    }

    /// A part was sent: what is left of the bytes in front of the response that is not complete still is in front.
    pub(super) const fn keep_rest(&mut self, rest_len: usize) {
        if !self.has(flag::BEGUN) {
            self.response_at = rest_len as u32;
        }
    }

    pub(super) fn release_output(&mut self, pool: &mut BufferPool<'_, 'p>) {
        match core::mem::take(&mut self.output) {
            Output::Empty | Output::Lingering(_) => {}
            Output::Unsent { head: buf, .. } | Output::Collected(buf) => release(pool, buf),
        }
    }

    /// Makes sure that an answer fits behind what was gathered. The buffer is as large as what came in, so that
    /// pipelined responses leave together.
    #[inline]
    pub(super) fn reserve(&mut self, pool: &mut BufferPool<'_, 'p>, available: usize) -> Result<(), NotReady> {
        match &self.output {
            Output::Unsent { head, body } if body.is_empty() && head.spare_len() >= RESERVE => Ok(()),
            Output::Empty => {
                let wanted = available.clamp(RESERVE, GATHER_MAX);
                let head = pool.acquire_for(wanted).or_else(|| pool.acquire_for(RESERVE));
                self.output = Output::Unsent { head: head.ok_or(NotReady::Starved)?, body: &[] };
                Ok(())
            }
            _ => Err(NotReady::Flush),
        }
    }

    /// A large buffer for the next receive, when much content is still to come and buffers abound.
    #[cold]
    pub(super) fn bulk_buffer(&self, pool: &mut BufferPool<'_, 'p>) -> Option<Buf<'p>> {
        if self.state != State::ReadingContent || self.body.announced() <= Class::Small.size() as u64 {
            return None;
        }
        [Class::Large, Class::Medium]
            .into_iter()
            .find(|class| pool.available(*class) > pool.capacity(*class) / 4)
            .and_then(|class| pool.acquire(class))
    }
}

/// Calling the handler.
impl<'p, E> Exchange<'p, E> {
    /// Answers a request whose head is complete: everything that is decided by the head alone is decided here.
    #[inline]
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
        self.clear(flag::BEGUN | flag::BLANK_CR | flag::BLANK_LINE);
        self.set(flag::PROGRESS | flag::COUNTED);
        *cx.in_flight += 1;
        self.stream = Stream::Unbegun;
        self.windows = Windows::default();
        self.response_at = self.output_len();
        self.body = Body::of(request.body_length(), cx.limits.content_bytes_max);
        self.facts = self.facts_of(cx, request);
        let head_len = request.head_len();
        self.front = 0;
        if cx.limits.in_flight_max.is_some_and(|max| *cx.in_flight > max) {
            cx.counters.shed += 1;
            let answer = Answer { retry_after_s: Some(RETRY_AFTER_S), ..Answer::new(503) };
            self.answer_instead(cx, answer);
            return Dispatched::Answered { head_len };
        }
        cx.counters.requests += 1 + u64::from(planted!(RequestsCountedTwice) && self.served > 2);
        let info = cx.place.info();
        let request = request.on(&info);
        let (flow, error, content_max) = self.call(cx, |handler, response| handler.request(&request, response));
        let here = Here { head: true, content: available > head_len };
        if self.settle(cx, flow, error, content_max, here) {
            self.front = head_len as u32;
            Dispatched::Answered { head_len: 0 }
        } else {
            Dispatched::Answered { head_len }
        }
    }

    fn facts_of<H: Handler<Exchange = E>>(&mut self, cx: &Context<'_, '_, 'p, H>, request: &Request<'_>) -> Facts {
        let mut close = !request.persistent();
        if request.method() == Method::Connect && !planted!(ConnectKept) {
            // Unless a tunnel is opened, nothing that follows may be looked at: the client may take it to be one already
            // (RFC 9931 §5).
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
            .with(Facts::UPGRADE, request.wants_upgrade())
            .with(Facts::CONTENT, content)
    }

    /// This response is the last one, however long its exchange has been under way: it says so unless its head is
    /// written.
    #[cold]
    fn end_behind_response(&mut self, reason: CloseReason) {
        if self.stream == Stream::Unbegun && !self.facts.has(Facts::CLOSE) {
            self.facts = self.facts.with(Facts::CLOSE, true);
            self.reason.get_or_insert(reason);
        }
    }

    /// Runs one call of the handler with a writer over the send buffer, which must be reserved.
    #[inline]
    pub(super) fn call<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        call: impl FnOnce(&mut H, &mut ResponseWriter<'_>) -> Flow<E>,
    ) -> (Flow<E>, Option<WriteError>, Option<u64>) {
        if let Some(reason) = cx.last {
            self.end_behind_response(reason);
        }
        let Output::Unsent { head, body } = &mut self.output else {
            return (Flow::Finish, Some(WriteError::PoolExhausted), None);
        };
        let len = head.len();
        let mut loans = Loans::new(cx.pool, cx.loans);
        let mut response = ResponseWriter::new(Ground {
            out: head.writable(),
            len,
            scope: cx.arena.scope(&mut loans),
            preamble: cx.preamble,
            bytes_max: cx.limits.response_bytes_max as usize,
            stream: self.stream,
            facts: self.facts,
            place: cx.place,
        });
        let flow = call(cx.handler, &mut response);
        if matches!(flow, Flow::Finish) {
            response.finish();
        } else {
            response.pause();
        }
        let written = response.into_written();
        self.stream = written.stream;
        self.facts = written.facts;
        *body = written.static_body;
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
        (flow, written.error, written.content_max)
    }

    /// Decides what follows a call. `true` when the head must stay readable.
    pub(super) fn settle<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        flow: Flow<E>,
        error: Option<WriteError>,
        content_max: Option<u64>,
        here: Here,
    ) -> bool {
        if let Some(error) = error {
            self.replace_response(cx, error.answer());
            return false;
        }
        if self.stream == Stream::Raw && !self.begin_raw(cx) {
            return false;
        }
        match flow {
            Flow::Finish => {
                self.announce_close();
                self.finish_response(cx);
            }
            Flow::Produce(_) if self.stream == Stream::Dropped => self.finish_response(cx),
            Flow::Produce(_) => {
                self.decline_content();
                self.waiting = Some(flow);
                self.go(Event::Respond);
            }
            Flow::Defer(_) => self.defer(cx, flow),
            Flow::Upgrade(_) | Flow::Detach(_) | Flow::Receive(_) if self.body.is_raw() => self.switch(cx, flow),
            // What was declined is gone.
            Flow::Receive(_) | Flow::Collect(_) if self.has(flag::DEAF) => self.replace_response(cx, Answer::new(500)),
            Flow::Receive(_) => return self.want_content(cx, flow, content_max, here),
            Flow::Collect(_) if here.head && !self.body.is_raw() => {
                return self.want_content(cx, flow, content_max, here);
            }
            // Not switched, or there is no head any more that could be shown beside the content.
            Flow::Upgrade(_) | Flow::Detach(_) | Flow::Collect(_) => self.replace_response(cx, Answer::new(500)),
        }
        false
    }

    /// The exchange is no longer under way.
    #[inline]
    pub(super) fn count_out<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if self.has(flag::COUNTED) {
            self.clear(flag::COUNTED);
            *cx.in_flight -= u32::from(!planted!(InFlightKept));
        }
    }

    /// Waits for content, unless there is too much of it. The client is told to go on when it waits for that.
    fn want_content<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        flow: Flow<E>,
        content_max: Option<u64>,
        here: Here,
    ) -> bool {
        let collects = matches!(flow, Flow::Collect(_));
        let allowed = match content_max {
            // Content that no buffer of the pool could hold would wait for one in vain.
            _ if collects => {
                let bytes_max = largest_class(cx.pool).size().min(cx.limits.content_collected_max as usize);
                Some(bytes_max as u64)
            }
            Some(bytes_max) => Some(bytes_max),
            // Decided in an earlier call, and counted down since.
            None if self.facts.has(Facts::LIMITED) => None,
            None => Some(cx.limits.content_bytes_max),
        };
        if allowed.is_some_and(|bytes_max| !self.body.allow(bytes_max)) {
            self.facts = self.facts.with(Facts::CLOSE, true);
            self.reason.get_or_insert(CloseReason::TooLarge);
            self.replace_response(cx, Answer::new(413));
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

    /// Puts the interim response in front of whatever was written of the final one.
    fn insert_continue(&mut self) {
        let at = self.response_at as usize;
        let Output::Unsent { head, .. } = &mut self.output else { return };
        let len = head.len();
        if head.append(CONTINUE).is_ok() {
            head.filled_mut().copy_within(at..len, at + CONTINUE.len());
            head.filled_mut()[at..at + CONTINUE.len()].copy_from_slice(CONTINUE);
            self.response_at += CONTINUE.len() as u32;
        }
    }

    /// The response is complete: the next request, or the end.
    pub(super) fn finish_response<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        self.waiting = None;
        self.count_out(cx);
        self.end_deferral(cx);
        if self.body.is_raw() {
            self.stream = Stream::Done;
            self.reason.get_or_insert(CloseReason::UpgradeFinished);
            self.set(flag::LAST | flag::DEAF);
            return self.go(Event::Respond);
        }
        self.stream = Stream::Done;
        if self.body.is_finished() && !self.facts.has(Facts::CLOSE) {
            return self.go(Event::Bytes);
        }
        // Content that is not worth reading ends the connection, even where the response promised otherwise because its
        // head had left; content that the client holds back until it is asked for would never come.
        let too_long = self.body.announced() > u64::from(cx.limits.discard_bytes_max);
        let held_back = self.facts.has(Facts::EXPECTS) && !self.body.is_finished();
        if self.facts.has(Facts::CLOSE) || too_long || held_back || self.has(flag::DEAF) {
            let reason = if !self.body.is_finished() {
                CloseReason::ContentUnread
            } else if self.facts.has(Facts::CONNECT) {
                CloseReason::TunnelRefused
            } else {
                CloseReason::CloseDelimited
            };
            self.reason.get_or_insert(reason);
            self.set(flag::LAST | flag::DEAF);
            self.go(Event::Respond);
        } else {
            self.go(Event::NeedContent);
        }
    }

    /// Answers in place of what the handler wrote; breaks the response off when a part of it has left.
    pub(super) fn replace_response<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        answer: Answer<'_>,
    ) {
        cx.counters.failed += 1;
        self.answer_instead(cx, answer);
    }

    fn answer_instead<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, answer: Answer<'_>) {
        // The response that was to switch forgot what the request said about the connection.
        let raw = self.stream == Stream::Raw;
        let close = raw || self.facts.has(Facts::CLOSE) || self.facts.has(Facts::CLOSE_UNREAD);
        self.facts = self.facts.with(Facts::CLOSE, close);
        if self.write_answer(cx, answer) {
            return self.finish_response(cx);
        }
        self.break_off(cx, CloseReason::ResponseFailed);
    }

    /// Ends the connection in the middle of a response. What has left of it shows that it is not whole, and what was
    /// answered before still reaches the client, so that the end is a FIN, behind which the connection lingers; but for a
    /// response that a FIN would complete.
    pub(super) fn break_off<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, reason: CloseReason) {
        if !self.shows_its_end() {
            return self.cut_off(cx, reason);
        }
        self.forget_response(cx, reason);
        self.set(flag::LAST | flag::DEAF);
        self.go(Event::Respond);
    }

    /// Ends the connection at once.
    pub(super) fn cut_off<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, reason: CloseReason) {
        self.forget_response(cx, reason);
        self.go(Event::Close);
    }

    fn forget_response<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, reason: CloseReason) {
        // Whatever was to happen behind the response.
        self.reason = Some(reason);
        self.abandon(cx);
        self.waiting = None;
        self.clear(flag::STARVED);
        self.release_output(cx.pool);
    }

    /// Whether the client can tell that the response is not whole when it ends now.
    pub(super) const fn shows_its_end(&self) -> bool {
        !matches!(self.stream, Stream::CloseDelimited | Stream::Raw)
    }

    /// The next piece of a produced response.
    pub(super) fn produce<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        let wanted = if matches!(self.stream, Stream::Length(_)) { GATHER_MAX } else { Class::Small.size() };
        if self.reserve(cx.pool, wanted).is_err() {
            self.set(flag::STARVED);
            return false;
        }
        let Some(Flow::Produce(state)) = self.waiting.take() else { return false };
        self.go(Event::CallHandler);
        let (flow, error, content_max) = self.call(cx, |handler, response| handler.produce(state, response));
        let stalled = error.is_none() && matches!(flow, Flow::Produce(_)) && !self.has_output();
        if stalled {
            self.give_up_stalled(cx);
            return true;
        }
        self.settle(cx, flow, error, content_max, Here::CONTENT);
        true
    }
}
