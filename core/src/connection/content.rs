//! Reading content: in slices or collected for the handler, or to drop it.

use super::body::{Body, Slice};
use super::calling::Here;
use super::exchange::{Exchange, NotReady, Output};
use super::{Connection, Context, flag, release};
use crate::answer::Answer;
use crate::error::CloseReason;
use crate::handler::{Content, Flow, Handler, RefusalCause};
use crate::parse::{HeadScan, with_head};
use crate::part::part;
use crate::pool::Buf;
use crate::request::Trailers;
use crate::state::Event;
use crate::writer::{Facts, Failure, Stream};

/// With less room than this, in bytes, chunked content that is collected gets a larger buffer, if there is one.
const COLLECT_BYTES_MIN: usize = 512;

/// The outcome of offering content to the handler.
#[derive(Clone, Copy)]
struct Offer {
    len: usize,
    /// Nothing was consumed.
    is_untouched: bool,
    /// It was the last content, and all of it was consumed.
    is_read: bool,
    /// Nothing follows it.
    is_last: bool,
    /// Something was written.
    is_answered: bool,
}

impl<'p, E> Connection<'p, E> {
    /// Reads the content that has arrived, for the handler or to drop it.
    ///
    /// With `small` each of the ways to do so is a function of its own, as is reading a head: inlined into
    /// [`advance`](Self::advance), what all of them need would be on the stack together.
    pub(super) fn read_content<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        match &self.exchange.waiting {
            Some(Flow::Collect(_)) => self.collect(cx),
            Some(Flow::Receive(_) | Flow::ReceiveOrResume(_)) => self.receive(cx),
            _ => self.discard(cx),
        }
    }

    /// Passes raw bytes to the handler of an upgraded connection, starting with those that had already arrived.
    #[cold]
    pub(super) fn read_raw<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        match self.exchange.waiting.take() {
            Some(Flow::Upgrade(state)) => self.exchange.waiting = Some(Flow::Receive(state)),
            waiting => self.exchange.waiting = waiting,
        }
        matches!(self.exchange.waiting, Some(Flow::Receive(_) | Flow::ReceiveOrResume(_))) && self.receive(cx)
    }

    /// Drops content that the handler left unread.
    #[cfg_attr(feature = "small", inline(never))]
    fn discard<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        loop {
            let bytes = self.inbound.as_ref().map_or(&[][..], |inbound| inbound.filled());
            let slice = match self.exchange.body.poll(bytes, 0, cx.limits) {
                Ok(slice) => slice,
                Err(status) => return self.refuse_content(cx, status),
            };
            self.exchange.body.take(slice.len, &mut 0);
            self.consume(slice.skip + slice.len);
            if slice.ended {
                self.exchange.go(Event::Bytes);
                return true;
            }
            if slice.skip + slice.len == 0 {
                return self.await_content(cx);
            }
        }
    }

    /// Passes slices of content to the handler.
    #[cfg_attr(feature = "small", inline(never))]
    fn receive<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        let bytes = self.inbound.as_ref().map_or(&[][..], |inbound| inbound.filled());
        let keeps_trailers = H::NEEDS.trailers && self.exchange.facts.has(Facts::TRAILERS);
        let held = self.exchange.kept_len as usize;
        let body = &mut self.exchange.body;
        let polled = if keeps_trailers {
            body.poll_keeping_trailers(bytes, held, cx.limits)
        } else {
            body.poll(bytes, held, cx.limits)
        };
        let mut slice = match polled {
            Ok(slice) => slice,
            Err(status) => return self.refuse_content(cx, status),
        };
        slice.ended |= H::NEEDS.upgrades && self.exchange.body.is_raw() && self.exchange.has(flag::FIN_RECEIVED);
        let is_new = slice.len > 0 || slice.ended;
        self.join_held(&mut slice);
        if !is_new {
            self.consume(slice.skip);
            return self.await_trailers(cx);
        }
        if self.exchange.has(flag::HUNGRY) && !slice.ended {
            self.consume(slice.skip);
            return self.await_content(cx);
        }
        if let Err(not_ready) = self.exchange.reserve(cx.pool, slice.len) {
            self.consume(slice.skip);
            return self.exchange.await_room(not_ready);
        }
        let Some(state) = self.exchange.waiting.take().and_then(Flow::into_state) else { return false };
        self.exchange.go(Event::CallHandler);
        let bytes = self.inbound.as_ref().map_or(&[][..], |inbound| inbound.filled());
        // Trailers are at the end of the content, so the only content before them is what was held.
        let content_end = slice.skip + slice.len;
        let content = part(bytes, slice.skip..content_end);
        let trailers = slice.trailers.map(|len| Trailers::new(part(bytes, content_end..content_end + len)));
        let mut content = Content::new(content, slice.ended, trailers);
        let before = self.exchange.unsent();
        // A handler that answers now leaves the rest unread.
        let rest = self.exchange.body.announced().saturating_sub(slice.len as u64);
        let too_long = !slice.ended && rest > u64::from(cx.limits.discard_bytes_max);
        self.exchange.facts =
            self.exchange.facts.with(Facts::CLOSE_UNREAD, too_long).with(Facts::CONTENT, !slice.ended);
        let (flow, failure, content_max) =
            self.exchange.call(cx, None, |handler, response| handler.receive(state, &mut content, response));
        let (consumed, is_held_end) = (content.consumed(), content.is_held_end());
        let offer = Offer {
            len: slice.len,
            is_untouched: consumed == 0,
            is_read: slice.ended && consumed == slice.len,
            is_last: slice.ended,
            is_answered: self.exchange.unsent() != before,
        };
        let exchange = &mut self.exchange;
        if !is_held_end {
            exchange.body.take(consumed, &mut exchange.kept_len);
        }
        self.consume(slice.skip + consumed);
        if !is_held_end {
            self.cut_trailers(&slice, consumed);
        }
        self.settle_receive(cx, flow, failure, content_max, offer)
    }

    /// Removes the trailer section once all content before it has been consumed. Until then it stays, and is found
    /// again with the rest.
    fn cut_trailers(&mut self, slice: &Slice, consumed: usize) {
        let is_taken = consumed == slice.len || planted!(TrailersCutTwice);
        if let (Some(len), Some(inbound)) = (slice.trailers.filter(|_| is_taken), &mut self.inbound) {
            inbound.cut(0, len);
        }
    }

    /// Joins new content with the held content before it.
    fn join_held(&mut self, slice: &mut Slice) {
        if slice.held > 0
            && let Some(inbound) = &mut self.inbound
        {
            inbound.cut(slice.held, slice.skip);
            slice.skip = 0;
            slice.len += slice.held;
        }
    }

    fn settle_receive<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        flow: Flow<E>,
        failure: Option<Failure>,
        content_max: Option<u64>,
        offer: Offer,
    ) -> bool {
        let raw = H::NEEDS.upgrades && self.exchange.body.is_raw();
        let wants_more = failure.is_none()
            && match flow {
                Flow::Receive(_) => true,
                Flow::ReceiveOrResume(_) => self.exchange.can_be_resolved(cx) || raw && self.exchange.has(flag::TIMED),
                _ => false,
            };
        let waits = wants_more && offer.is_untouched && !offer.is_answered;
        let flow = match flow {
            // There is nothing more to receive, or no room for it: it can only wait for the token or the time.
            Flow::ReceiveOrResume(state)
                if wants_more && (offer.is_last || waits && !self.make_room(cx, usize::MAX)) =>
            {
                self.exchange.settle(cx, Flow::Defer(state), failure, content_max, Here::CONTENT);
                return true;
            }
            flow => flow,
        };
        if wants_more && raw && (offer.is_read || offer.is_last && waits) {
            // Nothing more will come: the handler would wait in vain.
            self.exchange.drop_flow(cx, flow, RefusalCause::Connection(CloseReason::UpgradeFinished));
            self.exchange.finish_response(cx);
            return true;
        }
        if waits {
            // It waits for more than has arrived: there must be more to come, and room for it.
            if offer.is_last || !self.make_room(cx, usize::MAX) {
                self.exchange.give_up_stalled(cx, flow);
                return true;
            }
            let exchange = &mut self.exchange;
            if !exchange.body.hold(offer.len, &mut exchange.kept_len) {
                exchange.set(flag::HUNGRY);
            }
        }
        let switches = self.exchange.stream == Stream::Raw;
        if wants_more && !raw && !switches && content_max.is_none_or(|bytes_max| self.exchange.body.allow(bytes_max)) {
            self.exchange.waiting = Some(flow);
            // If it wrote something but consumed nothing, its output is sent first, then the content is offered again.
            let written_first = offer.is_answered && offer.is_untouched && !offer.is_read;
            self.exchange.go(if written_first { Event::Respond } else { Event::NeedContent });
            return true;
        }
        self.exchange.settle(cx, flow, failure, content_max, Here::CONTENT);
        true
    }

    /// Collects the whole content: in place after the head if it fits, otherwise in a separate buffer.
    fn collect<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        let head_len = self.exchange.kept_len as usize;
        let Some(inbound) = &mut self.inbound else { return false };
        if let (Body::Length(length), Output::Empty | Output::Unsent { .. }) =
            (self.exchange.body, &self.exchange.output)
            && (head_len as u64).saturating_add(length) <= inbound.capacity() as u64
        {
            let total = head_len + length as usize;
            if inbound.len() < total {
                inbound.compact();
                return self.await_content(cx);
            }
            return self.call_collected(cx, Some(length as usize));
        }
        if self.exchange.body.is_finished() {
            return self.call_collected(cx, Some(0));
        }
        if self.exchange.has_output() {
            self.exchange.go(Event::Respond);
            return true;
        }
        self.collect_aside(cx, head_len)
    }

    /// Copies content that follows the head into a separate buffer.
    #[cfg_attr(feature = "small", inline(never))]
    fn collect_aside<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, head_len: usize) -> bool {
        if !matches!(self.exchange.output, Output::Collected(_)) {
            self.exchange.release_output(cx.pool);
            let announced = match self.exchange.body {
                Body::Length(length) => length as usize,
                _ => 0,
            };
            let Some(buf) = cx.pool.acquire_for(announced) else {
                self.exchange.set(flag::STARVED);
                return false;
            };
            self.exchange.output = Output::Collected(buf);
        }
        loop {
            let Some(inbound) = &mut self.inbound else { return false };
            let slice = match self.exchange.body.poll(part(inbound.filled(), head_len..), 0, cx.limits) {
                Ok(slice) => slice,
                Err(status) => return self.refuse_content(cx, status),
            };
            let Output::Collected(mut collected) = core::mem::take(&mut self.exchange.output) else { return false };
            let from = head_len + slice.skip;
            let data = part(inbound.filled(), from..from + slice.len);
            let mut fits = collected.append(data).is_ok();
            while !fits {
                collected = match cx.pool.grow(collected) {
                    Ok(larger) => larger,
                    Err(full) => {
                        collected = full;
                        break;
                    }
                };
                fits = collected.append(data).is_ok();
            }
            self.exchange.output = Output::Collected(collected);
            if !fits {
                inbound.cut(head_len, slice.skip);
                self.exchange.set(flag::STARVED);
                return false;
            }
            self.exchange.body.take(slice.len, &mut 0);
            inbound.cut(head_len, slice.skip + slice.len);
            if slice.ended {
                return self.call_collected(cx, None);
            }
            if slice.skip + slice.len == 0 {
                if inbound.spare_len() < COLLECT_BYTES_MIN && !self.make_room(cx, usize::MAX) {
                    return self.await_larger(cx, 413);
                }
                return self.await_content(cx);
            }
        }
    }

    /// The content is complete: calls the handler. `in_place` is its length if it follows the head; otherwise it is in
    /// the separate buffer.
    #[cfg_attr(feature = "small", inline(never))]
    fn call_collected<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        in_place: Option<usize>,
    ) -> bool {
        let aside = match core::mem::take(&mut self.exchange.output) {
            Output::Collected(buf) => Some(buf),
            output => {
                self.exchange.output = output;
                None
            }
        };
        match self.exchange.reserve(cx.pool, 0) {
            Ok(()) => {}
            Err(NotReady::Starved) => {
                if let Some(buf) = aside {
                    self.exchange.output = Output::Collected(buf);
                }
                self.exchange.set(flag::STARVED);
                return false;
            }
            Err(NotReady::Flush) => {
                self.exchange.go(Event::Respond);
                return true;
            }
        }
        let Some(Flow::Collect(state)) = self.exchange.waiting.take() else { return false };
        let Some(inbound) = &self.inbound else { return false };
        self.exchange.go(Event::CallHandler);
        self.exchange.body = Body::Finished;
        let exchange = &mut self.exchange;
        exchange.facts = exchange.facts.with(Facts::CONTENT, false);
        let content_len = in_place.unwrap_or(0);
        let head_len = core::mem::take(&mut exchange.kept_len) as usize;
        let head = part(inbound.filled(), ..head_len);
        let content = match &aside {
            Some(buf) => buf.filled(),
            None => part(inbound.filled(), head_len..head_len + content_len),
        };
        let called = with_head(head, cx.limits, &mut HeadScan::default(), |parsed| match parsed {
            Ok(Some(request)) => {
                let target = Some(request.target());
                Some(
                    exchange
                        .call(cx, target, |handler, response| handler.collected(state, &request, content, response)),
                )
            }
            _ => None,
        });
        if let Some(buf) = aside {
            release(cx.pool, buf);
        }
        self.consume(head_len + content_len);
        let Some((flow, failure, content_max)) = called else {
            // Cannot happen: the same bytes were accepted before.
            self.close(cx, CloseReason::ResponseFailed);
            return false;
        };
        self.exchange.settle(cx, flow, failure, content_max, Here::CONTENT);
        true
    }

    /// More bytes are needed before there is content, and room for them after the part of the trailer section that is
    /// kept.
    fn await_trailers<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        if self.inbound.as_ref().is_some_and(|inbound| !inbound.is_empty()) && !self.make_room(cx, usize::MAX) {
            let capacity = self.inbound.as_ref().map_or(0, Buf::capacity);
            if capacity < cx.pool.largest() {
                self.exchange.set(flag::STARVED);
                return false;
            }
            return self.refuse_content(cx, 431); // longer than any buffer
        }
        self.await_content(cx)
    }

    /// More content is needed: the output is sent first.
    fn await_content<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        if self.exchange.has_output() {
            self.exchange.go(Event::Respond);
            return true;
        }
        if !matches!(self.exchange.output, Output::Collected(_)) {
            self.exchange.release_output(cx.pool);
        }
        if self.exchange.has(flag::FIN_RECEIVED) {
            self.close(cx, CloseReason::PeerClosedEarly);
        }
        false
    }

    fn refuse_content<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, status: u16) -> bool {
        let reason = if matches!(status, 413 | 431) { CloseReason::TooLarge } else { CloseReason::BadRequest };
        self.refuse(cx, Answer::new(status), reason);
        true
    }

    fn consume(&mut self, count: usize) {
        if let Some(inbound) = &mut self.inbound {
            inbound.consume(count);
        }
    }
}

impl<E> Exchange<'_, E> {
    /// Bytes written and not sent: a difference shows that a call wrote something.
    fn unsent(&self) -> usize {
        match &self.output {
            Output::Unsent { head, body } => head.len() + body.len(),
            _ => 0,
        }
    }
}
