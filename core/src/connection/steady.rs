//! Short ways for the steady state of a connection: a request, its response, and idle again. They do what the long ways do,
//! in the states in which little of that is needed; otherwise they do nothing.

use super::exchange::Output;
use super::{Connection, Resting, flag, release};
use crate::counters::Counters;
use crate::pool::{Buf, BufferPool};
use crate::state::{Event, State};

impl<'p, E> Connection<'p, E> {
    /// The response to send, if that is the only operation that is wanted: as [`next_action`](Self::next_action) returns it.
    #[inline(always)]
    pub(crate) fn take_response(&mut self) -> Option<(Buf<'p>, &'p [u8])> {
        let exchange = &mut self.exchange;
        if exchange.state != State::Writing
            || exchange.has(flag::SEND | flag::STARVED | flag::CONTINUE | flag::IGNORES_INPUT)
        {
            return None;
        }
        if !matches!(exchange.output, Output::Unsent { .. }) {
            return None;
        }
        let Output::Unsent { head, body } = core::mem::take(&mut exchange.output) else { return None };
        exchange.set(flag::SEND);
        exchange.leave(head.len(), body.len());
        Some((head, body))
    }

    /// The send in flight has completed, with `count` bytes. If that ends an exchange, and nothing else is under way on the
    /// connection, it is idle again, and asks for a receive into a lent buffer: what it has to remember, as
    /// [`rest`](Connection::rest) does. Otherwise returns the buffer.
    #[inline(always)]
    pub(crate) fn rest_after_response(
        &mut self,
        pool: &mut BufferPool<'_, 'p>,
        counters: &mut Counters,
        count: u32,
        head: Buf<'p>,
        body: &[u8],
    ) -> Result<Resting, Buf<'p>> {
        let exchange = &mut self.exchange;
        let is_over = exchange.has_only(flag::SEND | flag::PROGRESS)
            && exchange.state == State::Writing
            && count as usize == head.len() + body.len()
            && exchange.waiting.is_none()
            && exchange.body.is_finished()
            && matches!(exchange.output, Output::Empty)
            && self.inbound.is_none();
        if !is_over {
            return Err(head);
        }
        counters.bytes_sent += u64::from(count);
        release(pool, head);
        exchange.clear(flag::SEND);
        exchange.set(flag::RECV | flag::LENT);
        exchange.go(Event::Bytes);
        exchange.go(Event::Idle);
        debug_assert!(exchange.reason.is_none() && !exchange.scan_has_begun(), "it must be at rest");
        Ok(self.resting())
    }
}
