//! What a connection wants, as a function of its state.

use super::exchange::Output;
use super::{Action, Connection, flag, release};
use crate::pool::BufferPool;
use crate::reactor::{Op, Shutdown};
use crate::state::State;

/// What a connection wants.
impl<'p, E> Connection<'p, E> {
    /// The next thing to do, `None` when there is nothing to be done until something happens. Ask again afterwards.
    #[inline]
    pub fn next_action(&mut self, pool: &mut BufferPool<'_, 'p>) -> Option<Action<'p>> {
        let exchange = &mut self.exchange;
        match exchange.state {
            State::Writing if exchange.wants_send() => {
                let Output::Unsent { head, body } = core::mem::take(&mut exchange.output) else { return None };
                exchange.set(flag::SEND);
                exchange.leave(head.len(), body.len());
                Some(Action::Send { head, body })
            }
            State::Writing if exchange.wants_to_drop() && !planted!(LateInputKept) => Some(self.recv_to_drop(pool)),
            State::New | State::KeepAlive | State::ReadingHead | State::ReadingContent
                if !exchange.has(flag::RECV | flag::STARVED) =>
            {
                self.next_recv(pool)
            }
            State::Processing | State::Switched => self.next_parked(pool),
            State::Lingering => self.next_lingering(pool),
            State::Closing => self.next_closing(pool),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn next_recv(&mut self, pool: &mut BufferPool<'_, 'p>) -> Option<Action<'p>> {
        let into = match self.inbound.take() {
            Some(mut buf) if !buf.is_empty() => {
                if buf.spare_len() == 0 {
                    buf.compact();
                }
                Some(buf)
            }
            Some(buf) => {
                release(pool, buf);
                self.exchange.bulk_buffer(pool)
            }
            None if self.exchange.state == State::ReadingContent => self.exchange.bulk_buffer(pool),
            None => None,
        };
        self.exchange.set(if into.is_some() { flag::RECV } else { flag::RECV | flag::LENT });
        Some(Action::Recv { into })
    }

    /// While an answer is deferred, one receive notices that the client goes away, behind whatever it has sent as far as
    /// that fits its buffer; while another protocol is spoken, it brings the bytes.
    #[cold]
    pub(super) fn next_parked(&mut self, pool: &mut BufferPool<'_, 'p>) -> Option<Action<'p>> {
        if !self.has_action() {
            return None;
        }
        if self.has_control() {
            self.exchange.set(flag::RECV_CANCELED);
            return Some(Action::CancelRecv);
        }
        self.next_recv(pool)
    }

    /// Receives what nobody will look at.
    fn recv_to_drop(&mut self, pool: &mut BufferPool<'_, 'p>) -> Action<'p> {
        if let Some(buf) = self.inbound.take() {
            release(pool, buf);
        }
        self.exchange.set(flag::RECV | flag::LENT);
        Action::Recv { into: None }
    }

    #[cold]
    pub(super) fn next_lingering(&mut self, pool: &mut BufferPool<'_, 'p>) -> Option<Action<'p>> {
        if !self.exchange.has(flag::SHUT) {
            self.exchange.set(flag::SHUT);
            return Some(Action::Shutdown(Shutdown::Write));
        }
        if self.exchange.pins_buffer() {
            // What arrives is dropped; a lent buffer will do for that.
            self.exchange.set(flag::RECV_CANCELED);
            return Some(Action::CancelRecv);
        }
        if self.exchange.has(flag::RECV | flag::STARVED) {
            return None;
        }
        Some(self.recv_to_drop(pool))
    }

    /// Shutdown, join, close: never a close with an operation in flight.
    pub(super) fn next_closing(&mut self, pool: &mut BufferPool<'_, 'p>) -> Option<Action<'p>> {
        if let Some(buf) = self.inbound.take() {
            release(pool, buf); // pipelined requests behind a response that broke off
        }
        let exchange = &mut self.exchange;
        let in_flight = exchange.has(flag::RECV | flag::SEND) && !planted!(ClosedUnderOperations);
        if exchange.has(flag::CLOSE) {
            return None;
        }
        if !in_flight {
            exchange.set(flag::CLOSE);
            return Some(Action::Close);
        }
        if !exchange.has(flag::SHUT) {
            exchange.set(flag::SHUT);
            return Some(Action::Shutdown(Shutdown::Both));
        }
        for (operation, canceled, action) in [
            (flag::RECV, flag::RECV_CANCELED, Action::CancelRecv),
            (flag::SEND, flag::SEND_CANCELED, Action::CancelSend),
        ] {
            if exchange.has(operation) && !exchange.has(canceled) {
                exchange.set(canceled);
                return Some(action);
            }
        }
        None
    }

    /// Whether what [`next_action`](Self::next_action) would answer is no operation.
    #[inline]
    #[must_use]
    pub fn has_control(&self) -> bool {
        let exchange = &self.exchange;
        match exchange.state {
            State::Lingering => !exchange.has(flag::SHUT) || exchange.pins_buffer(),
            State::Closing => exchange.has(flag::RECV | flag::SEND) && self.has_action(),
            State::Processing => exchange.wants_inbound_back(),
            State::Switched => exchange.has(flag::DETACHED) && self.has_action(),
            _ => false,
        }
    }

    /// An action's operation was not taken: everything is as before it.
    #[cold]
    pub fn handle_rejected(&mut self, pool: &mut BufferPool<'_, 'p>, op: Op<'p>) {
        match op {
            Op::Recv { into, .. } => {
                self.exchange.clear(flag::RECV | flag::LENT);
                match into {
                    Some(buf) if buf.is_empty() => release(pool, buf),
                    into => self.inbound = into,
                }
            }
            Op::Send { head, body, .. } => {
                self.exchange.clear(flag::SEND);
                if !planted!(RejectedSendLosesPlace) {
                    self.exchange.keep_rest(head.len() + body.len());
                }
                self.exchange.output = Output::Unsent { head, body };
            }
            Op::Close { .. } => self.exchange.clear(flag::CLOSE),
            Op::Accept { .. } => {}
        }
    }

    /// Whether [`next_action`](Self::next_action) would answer with something: for a caller that can take one only.
    #[inline]
    #[must_use]
    pub fn has_action(&self) -> bool {
        let exchange = &self.exchange;
        match exchange.state {
            State::Writing => exchange.wants_send() || exchange.wants_to_drop() && !planted!(LateInputKept),
            State::New | State::KeepAlive | State::ReadingHead | State::ReadingContent => {
                !exchange.has(flag::RECV | flag::STARVED)
            }
            State::Processing => {
                exchange.wants_inbound_back()
                    || exchange.is_deferred()
                        && !exchange.has(flag::RECV | flag::STARVED | flag::ENDED | flag::RESOLVED)
                        && self.inbound.as_ref().is_none_or(|inbound| inbound.len() < inbound.capacity())
            }
            State::Switched if exchange.has(flag::DETACHED) => {
                exchange.has(flag::RECV) && !exchange.has(flag::RECV_CANCELED)
            }
            State::Switched => !exchange.has(flag::RECV | flag::STARVED | flag::ENDED),
            State::Lingering => {
                !exchange.has(flag::SHUT) || exchange.pins_buffer() || !exchange.has(flag::RECV | flag::STARVED)
            }
            State::Closing => {
                let lacks = |operation, canceled| exchange.has(operation) && !exchange.has(canceled);
                !exchange.has(flag::CLOSE)
                    && (!exchange.has(flag::RECV | flag::SEND)
                        || !exchange.has(flag::SHUT)
                        || lacks(flag::RECV, flag::RECV_CANCELED)
                        || lacks(flag::SEND, flag::SEND_CANCELED))
            }
            _ => false,
        }
    }
}
