//! The way from one state to the next, as far as what is there allows.

use super::exchange::Dispatched;
use super::{Connection, Context, flag, release};
use crate::answer::Answer;
use crate::error::CloseReason;
use crate::handler::{Flow, Handler};
use crate::parse::{HeadScan, with_head};
use crate::state::{Event, State};
use crate::writer::Stream;

/// The way from one state to the next.
impl<'p, E> Connection<'p, E> {
    /// Goes on until something outside has to happen first.
    pub(super) fn advance<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        loop {
            let goes_on = match self.exchange.state {
                State::New | State::KeepAlive | State::ReadingHead => self.read_head(cx),
                State::ReadingContent => self.read_content(cx),
                State::Writing => self.write(cx),
                State::Processing => {
                    let content_is_here = self.inbound.as_ref().is_some_and(|inbound| !inbound.is_empty());
                    self.exchange.resume(cx, content_is_here)
                }
                State::Switched => self.read_raw(cx),
                State::Lingering | State::Closing | State::Closed => false,
            };
            if !goes_on {
                break;
            }
        }
    }

    /// Parses the next head and dispatches it. Bytes that are there are parsed before more are asked for.
    #[inline]
    pub(super) fn read_head<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        let Some(inbound) = self.inbound.as_ref().filter(|buf| !buf.is_empty()) else {
            return self.finish_input(cx);
        };
        let exchange = &mut self.exchange;
        if exchange.state != State::ReadingHead {
            exchange.go(Event::Bytes);
        }
        let mut scan = exchange.scan;
        let limits = cx.limits;
        let available = inbound.len();
        let dispatched = with_head(inbound.filled(), limits, &mut scan, |head| match head {
            Ok(Some(request)) => exchange.dispatch(cx, &request, available),
            Ok(None) => Dispatched::Partial,
            Err(error) => Dispatched::Refused(error),
        });
        match dispatched {
            Dispatched::Answered { head_len } => {
                self.exchange.scan = HeadScan::default();
                if let Some(inbound) = &mut self.inbound {
                    inbound.consume(head_len);
                }
                true
            }
            Dispatched::Flush => {
                self.exchange.go(Event::Respond);
                true
            }
            Dispatched::Starved => {
                self.exchange.set(flag::STARVED);
                false
            }
            Dispatched::Partial => {
                self.exchange.scan = scan;
                self.await_head(cx)
            }
            Dispatched::Refused(error) => {
                let status = error.status();
                let reason = if matches!(status, 414 | 431) { CloseReason::TooLarge } else { CloseReason::BadRequest };
                self.refuse(cx, Answer::new(status), reason);
                true
            }
        }
    }

    /// Nothing is left to parse: sends what was gathered, or goes idle without a buffer.
    #[inline]
    pub(super) fn finish_input<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        self.drop_inbound(cx);
        if self.exchange.has_output() {
            self.exchange.go(Event::Respond);
            return true;
        }
        if self.exchange.has(flag::ENDED) {
            self.close(cx, CloseReason::PeerClosed);
        } else if let Some(reason) = cx.last.filter(|_| self.exchange.served > 0) {
            self.close(cx, reason);
        } else if self.exchange.state == State::ReadingHead {
            self.exchange.go(Event::Idle);
        }
        false
    }

    /// A part of a head is there: what was gathered goes first, then there must be room for the rest.
    #[cold]
    pub(super) fn await_head<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        if self.exchange.has_output() {
            self.exchange.go(Event::Respond);
            return true;
        }
        if self.exchange.has(flag::ENDED) {
            self.close(cx, CloseReason::PeerClosedEarly);
            return false;
        }
        if !self.make_room(cx, cx.limits.head_bytes_max as usize) {
            self.exchange.set(flag::STARVED);
        }
        false
    }

    /// Makes room behind what was received: moves it to the front, and grows at 90 % of the class, while `bytes_max`
    /// allows. Without a larger buffer it goes on until the last byte; `false` when there is none left.
    pub(super) fn make_room<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        bytes_max: usize,
    ) -> bool {
        let Some(mut buf) = self.inbound.take() else { return true };
        if buf.spare_len() < buf.capacity() / 10 {
            buf.compact();
        }
        if buf.spare_len() < buf.capacity() / 10 && buf.capacity() < bytes_max {
            buf = match cx.pool.grow(buf) {
                Ok(buf) | Err(buf) => buf,
            };
        }
        let has_room = buf.spare_len() > 0;
        self.inbound = Some(buf);
        has_room
    }

    /// Sends what is there; then whatever the exchange wants next.
    #[inline]
    pub(super) fn write<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        let exchange = &mut self.exchange;
        if exchange.has(flag::SEND) || exchange.has_output() {
            return false;
        }
        exchange.release_output(cx.pool);
        match &exchange.waiting {
            Some(Flow::Produce(_)) => exchange.produce(cx),
            Some(Flow::Defer(_)) => {
                exchange.go(Event::CallHandler);
                exchange.await_answer(cx);
                true
            }
            Some(_) if exchange.stream == Stream::Raw => {
                exchange.go(Event::Switch);
                true
            }
            Some(_) => {
                exchange.go(Event::NeedContent);
                true
            }
            None if exchange.has(flag::LAST) => {
                self.end(cx);
                false
            }
            None if !exchange.body.is_finished() => {
                exchange.go(Event::NeedContent);
                true
            }
            None => {
                exchange.go(Event::Bytes);
                true
            }
        }
    }

    /// The last response is out: closes at once when the peer knows and nothing of it is unread, else lingers, or the
    /// reset that close(2) on unread input causes would eat the answer.
    pub(super) fn end<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let exchange = &mut self.exchange;
        let unread = exchange.unread
            || !exchange.body.is_finished()
            || self.inbound.as_ref().is_some_and(|inbound| !inbound.is_empty());
        let reason = exchange.reason.unwrap_or(CloseReason::PeerAsked);
        let known = matches!(reason, CloseReason::PeerAsked | CloseReason::PeerClosed);
        if exchange.has(flag::ENDED) || (known && !unread) {
            return self.close(cx, reason);
        }
        exchange.reason = Some(reason);
        exchange.go(Event::Linger);
        self.drop_inbound(cx);
    }

    #[inline]
    pub(super) fn drop_inbound<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if let Some(buf) = self.inbound.take() {
            release(cx.pool, buf);
        }
    }
}
