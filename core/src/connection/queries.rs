//! What a connection says about itself.

use super::exchange::Output;
use super::{Connection, flag};
use crate::error::CloseReason;
use crate::state::State;

impl<E> Connection<'_, E> {
    /// Its phase.
    #[inline]
    #[must_use]
    pub fn state(&self) -> State {
        self.exchange.state
    }

    /// Whether the handle has been closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.exchange.state == State::Closed
    }

    /// Whether it waits for a buffer: call [`handle_buffers`](Self::handle_buffers) when there are some.
    #[inline]
    #[must_use]
    pub fn is_starved(&self) -> bool {
        self.exchange.has(flag::STARVED)
    }

    /// Whether it waits for a lent buffer to receive into, and holds no received bytes.
    #[must_use]
    pub fn is_starved_to_receive(&self) -> bool {
        self.is_starved() && self.inbound.is_none() && !self.exchange.is_woken()
    }

    /// Whether the receive in flight uses a lent buffer, or waits for one.
    #[inline]
    #[must_use]
    pub fn is_receiving_lent(&self) -> bool {
        self.exchange.has(flag::LENT)
    }

    /// Whether it, or one of its operations in flight, holds a buffer of the pool.
    pub(crate) fn holds_buffer(&self) -> bool {
        let exchange = &self.exchange;
        self.inbound.is_some()
            || matches!(exchange.output, Output::Unsent { .. } | Output::File { .. } | Output::Collected(_))
            || exchange.has(flag::SEND)
            || (exchange.has(flag::RECV) && !exchange.has(flag::LENT))
    }

    /// Whether an exchange is under way: a head has been accepted, and not all of the response has been sent.
    #[must_use]
    pub fn is_exchanging(&self) -> bool {
        matches!(self.exchange.state, State::Processing | State::Writing | State::ReadingContent | State::Switched)
    }

    /// The number of requests served so far.
    #[must_use]
    pub fn requests_served(&self) -> u32 {
        self.exchange.served
    }

    /// Whether the program can take the connection with [`take_detached`](Self::take_detached).
    #[inline]
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.exchange.state == State::Switched
            && self.exchange.has(flag::DETACHED)
            && !self.exchange.has(flag::RECV | flag::SEND)
    }

    /// Why it ends, once that is known.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.exchange.reason
    }
}
