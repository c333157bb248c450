//! A connection at rest: idle between two requests, or waiting for a first byte. What it has to remember until bytes arrive
//! is a fraction of what an exchange takes.

use super::exchange::Output;
use super::{Action, Connection, Deadline, flag};
use crate::state::State;

/// All that a connection is at rest. It holds no buffer, and nothing is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resting {
    served: u32,
    flags: u32,
    state: State,
    armed: Option<Deadline>,
}

impl Resting {
    /// A newly accepted connection.
    pub(crate) const fn new() -> Self {
        Self { served: 0, flags: 0, state: State::New, armed: None }
    }

    #[inline]
    const fn has(self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    /// As [`Connection::state`].
    #[inline]
    pub(crate) const fn state(self) -> State {
        self.state
    }

    /// As [`Connection::requests_served`].
    #[inline]
    pub(crate) const fn requests_served(self) -> u32 {
        self.served
    }

    /// As [`Connection::is_starved`]. What it waits for is a buffer to receive into.
    #[inline]
    pub(crate) const fn is_starved(self) -> bool {
        self.has(flag::STARVED)
    }

    /// As [`Connection::holds_buffer`].
    #[inline]
    pub(crate) const fn holds_buffer(self) -> bool {
        self.has(flag::RECV) && !self.has(flag::LENT)
    }

    /// As [`Connection::next_action`]: only ever a receive into a lent buffer.
    #[inline]
    pub(crate) const fn next_action<'p>(&mut self) -> Option<Action<'p>> {
        if self.has(flag::RECV | flag::STARVED) {
            return None;
        }
        self.flags |= flag::RECV | flag::LENT;
        Some(Action::Recv { into: None })
    }

    /// As [`Connection::deadline_change`]. No window runs at rest.
    #[inline]
    pub(crate) fn deadline_change(&mut self) -> Option<Option<Deadline>> {
        let wanted = if matches!(self.state, State::New) { Deadline::FirstByte } else { Deadline::Idle };
        if self.armed == Some(wanted) && (!self.has(flag::PROGRESS) || planted!(DeadlineNotRenewed)) {
            return None;
        }
        self.flags &= !flag::PROGRESS;
        self.armed = Some(wanted);
        Some(self.armed)
    }
}

impl<E> Connection<'_, E> {
    /// What is left of it if it is at rest; `None` while it is not. Afterwards it may be used for any connection, after
    /// [`wake`](Self::wake).
    #[cold]
    pub(crate) fn rest(&mut self) -> Option<Resting> {
        let exchange = &self.exchange;
        let is_at_rest = matches!(exchange.state, State::New | State::KeepAlive)
            && !exchange.has(flag::SEND)
            && self.inbound.is_none()
            && matches!(exchange.output, Output::Empty)
            && exchange.waiting.is_none()
            && exchange.reason.is_none()
            && exchange.body.is_finished()
            && !exchange.scan_has_begun();
        if !is_at_rest {
            return None;
        }
        let resting = self.resting();
        *self = Self::new();
        Some(resting)
    }

    /// What is left of it at rest.
    #[inline]
    pub(super) fn resting(&self) -> Resting {
        let exchange = &self.exchange;
        let served = if planted!(RestForgetsRequests) { 0 } else { exchange.served };
        Resting { served, flags: exchange.flags(), state: exchange.state, armed: exchange.armed }
    }

    /// Becomes the connection that was at rest. Nothing else that it remembers from another one matters before a head has
    /// been accepted or refused, which sets it anew.
    #[inline]
    pub(crate) const fn wake(&mut self, resting: Resting) {
        let Resting { served, flags, state, armed } = resting;
        self.exchange.wake(served, flags, state, armed);
    }
}
