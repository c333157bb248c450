//! Runs the state machine as far as the received bytes and free buffers allow.

use super::body::Body;
use super::calling::Dispatched;
use super::exchange::NotReady;
use super::{Connection, Context, flag, release};
use crate::answer::Answer;
use crate::error::CloseReason;
use crate::handler::{Flow, Handler};
use crate::parse::{HeadError, with_head};
use crate::pool::Buf;
use crate::state::{Event, State};
use crate::writer::Stream;

/// Allowed once before a head.
const BLANK_LINE: &[u8] = b"\r\n";

/// The state machine.
impl<'p, E> Connection<'p, E> {
    /// Continues until it needs an event from outside.
    pub(super) fn advance<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        loop {
            let goes_on = match self.exchange.state {
                State::New | State::KeepAlive | State::ReadingHead => self.read_head(cx),
                State::ReadingContent | State::Switched if self.exchange.is_woken_in::<H>() => {
                    self.exchange.resume(cx, true)
                }
                State::ReadingContent => self.read_content(cx),
                State::Writing => self.write(cx),
                State::Processing => {
                    let content_is_here = self.inbound.as_ref().is_some_and(|inbound| !inbound.is_empty());
                    self.exchange.resume(cx, content_is_here)
                }
                State::Switched => H::NEEDS.upgrades && self.read_raw(cx),
                State::Lingering | State::Closing | State::Closed => false,
            };
            if !goes_on {
                break;
            }
        }
    }

    /// Parses the next head and dispatches it. Bytes that have arrived are parsed before more are requested.
    #[cfg_attr(not(feature = "small"), inline)]
    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn read_head<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        let Some(inbound) = self.inbound.as_ref().filter(|buf| !buf.is_empty()) else {
            return self.finish_input(cx);
        };
        if !planted!(BlankLineBegins)
            && (inbound.len() <= BLANK_LINE.len() || self.exchange.has(flag::BLANK_CR | flag::BLANK_LINE))
            && let Some(goes_on) = self.take_blank_line(cx)
        {
            return goes_on;
        }
        let Some(inbound) = &self.inbound else { return false };
        let exchange = &mut self.exchange;
        if exchange.state != State::ReadingHead {
            exchange.go(Event::Bytes);
        }
        let mut scan = exchange.body.scan();
        let limits = cx.limits;
        let available = inbound.len();
        let dispatched = with_head(inbound.filled(), limits, &mut scan, |head| match head {
            Ok(Some(request)) => exchange.dispatch(cx, &request, available),
            Ok(None) => Dispatched::Partial,
            Err(error) => Dispatched::Refused(error),
        });
        match dispatched {
            Dispatched::Answered { head_len } => {
                let Some(inbound) = &mut self.inbound else { return true };
                inbound.consume(head_len);
                if inbound.is_empty() && self.exchange.state == State::ReadingHead {
                    return self.finish_input(cx);
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
                self.exchange.body = Body::Head(scan);
                self.await_head(cx)
            }
            Dispatched::Refused(error) => self.refuse_head(cx, error),
        }
    }

    /// Answers a head that is not acceptable.
    #[cold]
    fn refuse_head<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, error: HeadError) -> bool {
        if matches!(self.exchange.reserve(cx.pool, 0), Err(NotReady::Flush)) {
            // The earlier responses are sent first, or they would be lost with the connection; then this head is read
            // again.
            self.exchange.go(Event::Respond);
            return true;
        }
        let status = error.status();
        let reason = if matches!(status, 414 | 431) { CloseReason::TooLarge } else { CloseReason::BadRequest };
        self.refuse(cx, Answer::new(status), reason);
        true
    }

    /// Skips one empty line before a head (RFC 9112 §2.2). It is not part of the head, so if nothing follows it the
    /// connection is idle and holds no buffer. `Some` if there is nothing to parse, with the value that
    /// [`advance`](Self::advance) needs.
    #[cold]
    fn take_blank_line<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> Option<bool> {
        if self.exchange.scan_has_begun() {
            return None;
        }
        loop {
            let inbound = self.inbound.as_mut()?;
            let exchange = &mut self.exchange;
            let (is_after_cr, is_after_line) = (exchange.has(flag::BLANK_CR), exchange.has(flag::BLANK_LINE));
            let error = match inbound.filled() {
                [] => return Some(self.finish_input(cx)),
                [b'\n', ..] if is_after_cr => {
                    inbound.consume(1);
                    exchange.clear(flag::BLANK_CR);
                    exchange.set(flag::BLANK_LINE);
                    continue;
                }
                _ if is_after_cr => HeadError::BareCr,
                [b'\r', ..] if is_after_line => HeadError::BlankLines,
                [b'\r'] => {
                    inbound.consume(1);
                    exchange.set(flag::BLANK_CR);
                    continue;
                }
                BLANK_LINE => {
                    inbound.consume(BLANK_LINE.len());
                    exchange.set(flag::BLANK_LINE);
                    continue;
                }
                _ => return None,
            };
            if exchange.state != State::ReadingHead {
                exchange.go(Event::Bytes);
            }
            return Some(self.refuse_head(cx, error));
        }
    }

    /// No input is left: sends the output, or goes idle without a buffer.
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn finish_input<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        self.drop_inbound(cx);
        if self.exchange.has_output() {
            self.exchange.go(Event::Respond);
            return true;
        }
        if self.exchange.has(flag::FIN_RECEIVED) {
            self.close(cx, CloseReason::PeerClosed);
        } else if self.exchange.state == State::ReadingHead {
            self.exchange.go(Event::Idle);
        }
        false
    }

    /// A part of a head has arrived: the output is sent first, then there must be room for the rest.
    #[cold]
    pub(super) fn await_head<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        if self.exchange.has_output() {
            self.exchange.go(Event::Respond);
            return true;
        }
        if self.exchange.has(flag::FIN_RECEIVED) {
            self.close(cx, CloseReason::PeerClosedEarly);
            return false;
        }
        if !self.make_room(cx, cx.limits.head_bytes_max as usize) {
            return self.await_larger(cx, 431);
        }
        false
    }

    /// The received bytes fill their buffer: waits for a larger one, or refuses if there can never be one.
    #[cold]
    pub(super) fn await_larger<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        status: u16,
    ) -> bool {
        if self.inbound.as_ref().is_some_and(|inbound| inbound.capacity() < cx.pool.largest()) {
            self.exchange.set(flag::STARVED);
            return false;
        }
        self.refuse(cx, Answer::new(status), CloseReason::TooLarge);
        true
    }

    /// Makes room after the received bytes: moves them to the front, and exchanges the buffer for a larger one when it
    /// is 90 % full, up to `bytes_max`. Without a larger buffer it fills the current one to the last byte; `false` if
    /// that is full.
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

    /// Waits until the output has been sent; then continues with what the exchange needs next.
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn write<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        let exchange = &mut self.exchange;
        if exchange.has(flag::SEND) || exchange.has_output() {
            // Until then nothing is received: an empty buffer is for others.
            if self.inbound.as_ref().is_some_and(Buf::is_empty) {
                self.drop_inbound(cx);
            }
            return false;
        }
        exchange.release_output(cx.pool);
        match &exchange.waiting {
            Some(Flow::Produce(_)) => exchange.produce(cx),
            Some(Flow::Defer(_)) if H::NEEDS.deferral => {
                exchange.go(Event::CallHandler);
                exchange.await_answer(cx);
                true
            }
            Some(_) if H::NEEDS.upgrades && exchange.stream == Stream::Raw => {
                exchange.go(Event::Switch);
                true
            }
            Some(_) => {
                exchange.go(Event::NeedContent);
                true
            }
            None if exchange.has(flag::LAST) && !planted!(LastForgotten) => {
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

    #[inline]
    pub(super) fn drop_inbound<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if let Some(buf) = self.inbound.take() {
            release(cx.pool, buf);
        }
    }
}
