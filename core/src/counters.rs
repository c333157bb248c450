//! Counters of one worker: plain numbers, to be summed up by the program if it wants totals.

use core::ops::AddAssign;

use crate::error::CloseReason;

/// Counters of one worker since its start. They are the same on every platform, and only the worker writes them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections that currently hold a slot.
    pub active: u64,
    /// Requests whose handler was called.
    pub requests: u64,
    /// Requests refused without calling the handler: malformed, too large, too slow.
    pub refused: u64,
    /// Responses replaced by 413, 500 or 503 because the handler could not complete its own.
    pub failed: u64,
    /// Requests answered 503 because [`in_flight_max`](crate::limits::Limits::in_flight_max) exchanges were under way.
    pub shed: u64,
    /// Connections handed to the program by [`Flow::Detach`](crate::handler::Flow::Detach).
    pub detached: u64,
    /// Accepts that failed: no free descriptors, aborted by the peer, …
    pub accept_errors: u64,
    /// How often a connection had to wait for a buffer; each wait counts once, however often it is retried.
    pub starved: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes sent; without those of a send that failed, whose number is not known.
    pub bytes_sent: u64,
    /// Connections that a graceful stop closed at once, because nothing was under way on them.
    pub stopped_idle: u64,
    /// Connections that ended during a graceful stop, with no response cut off. Those that did not finish are counted
    /// in [`closed`](Self::closed), as [`CloseReason::Aborted`] or with their own reason.
    pub stopped_finished: u64,
    /// Connections ended, by [`CloseReason`].
    pub closed: ClosedCounters,
}

impl Counters {
    /// The number of counters apart from those by reason.
    pub const PLAIN: usize = 13;

    /// All counters apart from those by reason. Together with [`ClosedCounters::to_array`] this is for programs that
    /// copy them between threads.
    #[cfg_attr(not(feature = "small"), inline)]
    #[must_use]
    pub const fn to_array(&self) -> [u64; Self::PLAIN] {
        // By name and without "..", so that the compiler reports a forgotten one.
        let &Self {
            accepted,
            active,
            requests,
            refused,
            failed,
            shed,
            detached,
            accept_errors,
            starved,
            bytes_received,
            bytes_sent,
            stopped_idle,
            stopped_finished,
            closed: _,
        } = self;
        [
            accepted,
            active,
            requests,
            refused,
            failed,
            shed,
            detached,
            accept_errors,
            starved,
            bytes_received,
            bytes_sent,
            stopped_idle,
            stopped_finished,
        ]
    }

    /// The inverse of [`to_array`](Self::to_array) and [`ClosedCounters::to_array`].
    #[must_use]
    pub const fn from_arrays(plain: [u64; Self::PLAIN], closed: [u64; CloseReason::COUNT]) -> Self {
        let [accepted, active, requests, refused, failed, shed, detached, accept_errors, starved, rest @ ..] = plain;
        let [bytes_received, bytes_sent, stopped_idle, stopped_finished] = rest;
        Self {
            accepted,
            active,
            requests,
            refused,
            failed,
            shed,
            detached,
            accept_errors,
            starved,
            bytes_received,
            bytes_sent,
            stopped_idle,
            stopped_finished,
            closed: ClosedCounters(closed),
        }
    }
}

/// Connections ended, by reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClosedCounters([u64; CloseReason::COUNT]);

impl Default for ClosedCounters {
    fn default() -> Self {
        Self([0; CloseReason::COUNT])
    }
}

impl ClosedCounters {
    /// Takes counts in the order of [`CloseReason::ALL`]: for programs that copy them between threads.
    #[must_use]
    pub const fn from_array(counts: [u64; CloseReason::COUNT]) -> Self {
        Self(counts)
    }

    /// The counts in the order of [`CloseReason::ALL`].
    #[must_use]
    pub const fn to_array(self) -> [u64; CloseReason::COUNT] {
        self.0
    }

    /// Connections that ended for `reason`.
    #[must_use]
    pub const fn of(&self, reason: CloseReason) -> u64 {
        self.0[reason as usize]
    }

    /// Connections that ended for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) const fn count(&mut self, reason: CloseReason) {
        self.0[reason as usize] += 1;
    }
}

impl AddAssign<&Self> for Counters {
    fn add_assign(&mut self, other: &Self) {
        let plain = other.to_array();
        let sums = self.to_array();
        let closed = self.closed;
        *self = Self::from_arrays(core::array::from_fn(|at| sums[at] + plain[at]), closed.0);
        for (sum, count) in self.closed.0.iter_mut().zip(other.closed.0) {
            *sum += count;
        }
    }
}
