//! What happened in one worker: plain numbers, added up by whoever wants a total.

use core::ops::AddAssign;

use crate::error::CloseReason;

/// Counts of one worker since its start. They count on every platform, and nothing but its worker writes them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections taken from a listener.
    pub accepted: u64,
    /// Connections that hold a slot now.
    pub active: u64,
    /// Requests whose handler was called.
    pub requests: u64,
    /// Requests refused by the connection itself: malformed, too large, too slow.
    pub refused: u64,
    /// Responses replaced by 413, 500 or 503 because the handler could not complete its own.
    pub failed: u64,
    /// Requests answered 503 because too many exchanges were under way.
    pub shed: u64,
    /// Connections given to the program by [`Flow::Detach`](crate::handler::Flow::Detach).
    pub detached: u64,
    /// Accepts that failed: no descriptors left, aborted by the peer, …
    pub accept_errors: u64,
    /// Times a connection had to wait for a buffer.
    pub starved: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Connections ended, by [`CloseReason`].
    pub closed: ClosedCounters,
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
    /// From counts in the order of [`CloseReason::ALL`]: for programs that copy them between threads.
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

    /// All that ended.
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
        self.accepted += other.accepted;
        self.active += other.active;
        self.requests += other.requests;
        self.refused += other.refused;
        self.failed += other.failed;
        self.shed += other.shed;
        self.detached += other.detached;
        self.accept_errors += other.accept_errors;
        self.starved += other.starved;
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        for (sum, count) in self.closed.0.iter_mut().zip(other.closed.0) {
            *sum += count;
        }
    }
}
