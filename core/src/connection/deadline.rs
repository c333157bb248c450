//! The deadlines of a connection: which one applies, and when it restarts.

use super::exchange::Output;
use super::window::Direction;
use super::{Connection, flag};
use crate::limits::{Limits, RateMin};
use crate::part::scale;
use crate::state::State;
use crate::time::Instant;

/// How often a lingering connection is checked, since there is no event for acknowledgements.
const LINGER_CHECK_MS: u32 = 1_000;

/// The classes of deadlines. All timeouts of a class have the same length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Deadline {
    /// From accept to the first byte.
    FirstByte,
    /// The whole head.
    Head,
    /// Progress of receiving content.
    Content,
    /// Received content that waits for another buffer, so that its own buffer is not held forever.
    Famine,
    /// Progress of sending a response.
    Write,
    /// A deferred answer.
    Defer,
    /// Raw bytes of an upgraded connection.
    Upgraded,
    /// Idle between requests.
    Idle,
    /// The next check of a lingering connection.
    Linger,
    /// A time that the handler set. It is not a timeout, and in none of the lists of deadlines with equal timeouts.
    Wake,
}

impl Deadline {
    /// The number of classes with a timeout.
    pub const COUNT: usize = 9;

    /// All classes with a timeout, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::FirstByte,
        Self::Head,
        Self::Content,
        Self::Famine,
        Self::Write,
        Self::Defer,
        Self::Upgraded,
        Self::Idle,
        Self::Linger,
    ];

    /// The timeout of this class in milliseconds; `None` if it is disabled.
    #[must_use]
    pub fn timeout_ms(self, limits: &Limits) -> Option<u32> {
        let timeouts = &limits.timeouts;
        match self {
            Self::FirstByte => timeouts.first_byte_timeout_ms,
            Self::Head if planted!(TimeoutsSwapped) => timeouts.idle_timeout_ms,
            Self::Head => timeouts.head_timeout_ms,
            Self::Content => progress_window(timeouts.content_timeout_ms, timeouts.rate_min).map(|rate| rate.window_ms),
            Self::Famine => timeouts.content_timeout_ms,
            Self::Write => progress_window(timeouts.write_timeout_ms, timeouts.rate_min).map(|rate| rate.window_ms),
            Self::Defer => timeouts.defer_timeout_ms,
            Self::Upgraded => timeouts.upgraded_timeout_ms,
            Self::Idle if planted!(TimeoutsSwapped) => timeouts.head_timeout_ms,
            Self::Idle => timeouts.idle_timeout_ms,
            Self::Wake => None,
            // When to check, not when to close: see `linger`.
            Self::Linger => Some(timeouts.linger_timeout_ms.map_or(LINGER_CHECK_MS, |ms| ms.clamp(1, LINGER_CHECK_MS))),
        }
    }
}

/// Progress timeout and minimum rate as one rule: a number of bytes per window. A window is never longer than the
/// progress timeout, so a stalled transfer violates it.
fn progress_window(timeout_ms: Option<u32>, rate: Option<RateMin>) -> Option<RateMin> {
    match (timeout_ms, rate) {
        (None, None) => None,
        (Some(window_ms), None) => Some(RateMin { bytes: 1, window_ms }),
        (None, Some(rate)) => Some(rate),
        (Some(timeout_ms), Some(rate)) if timeout_ms >= rate.window_ms => Some(rate),
        (Some(timeout_ms), Some(rate)) => {
            let bytes = scale(rate.bytes, timeout_ms, rate.window_ms);
            Some(RateMin { bytes: bytes.max(1), window_ms: timeout_ms })
        }
    }
}

pub(super) fn content_rate(limits: &Limits) -> Option<RateMin> {
    progress_window(limits.timeouts.content_timeout_ms, limits.timeouts.rate_min)
}

pub(super) fn write_rate(limits: &Limits) -> Option<RateMin> {
    progress_window(limits.timeouts.write_timeout_ms, limits.timeouts.rate_min)
}

impl<E> Connection<'_, E> {
    /// The deadline that applies now, as a function of the state: it is the same before and after
    /// [`next_action`](Self::next_action) returns the operation that it limits.
    #[cfg_attr(not(feature = "small"), inline)]
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        let exchange = &self.exchange;
        let sends = || exchange.has(flag::SEND) || exchange.wants_send();
        let receives = |unless| exchange.has(flag::RECV) || !exchange.has(unless);
        match exchange.state {
            State::New => Some(Deadline::FirstByte),
            State::ReadingHead => Some(Deadline::Head),
            State::ReadingContent if receives(flag::STARVED) => Some(Deadline::Content),
            State::ReadingContent if self.inbound.is_some() || matches!(exchange.output, Output::Collected(_)) => {
                Some(Deadline::Famine)
            }
            State::Writing if sends() => Some(Deadline::Write),
            State::KeepAlive => Some(Deadline::Idle),
            State::Processing | State::Switched if exchange.is_timed() => Some(Deadline::Wake),
            State::Processing if exchange.is_deferred() => Some(Deadline::Defer),
            State::Switched if receives(flag::STARVED | flag::FIN_RECEIVED | flag::DETACHED) => {
                Some(Deadline::Upgraded)
            }
            State::Lingering => Some(Deadline::Linger),
            _ => None,
        }
    }

    /// The time that the handler set.
    pub(crate) fn wake_at(&self, now: Instant) -> Instant {
        // At most half of the range of 32 bits away, in either direction.
        let left_ms = self.exchange.wake_at.wrapping_sub(now.0 as u32) as i32 - 2 * i32::from(planted!(WakeEarly));
        now.plus_ms(left_ms.max(0) as u32)
    }

    /// Whether the deadline changed since the last call: `Some(None)` if none applies any more, `Some(Some(class))` if
    /// one of that class starts or restarts now.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn deadline_change(&mut self, now: Instant) -> Option<Option<Deadline>> {
        let wanted = self.deadline();
        let exchange = &mut self.exchange;
        let armed = exchange.armed;
        if wanted == armed && (!exchange.has(flag::PROGRESS) || planted!(DeadlineNotRenewed)) {
            return None;
        }
        exchange.clear(flag::PROGRESS);
        exchange.armed = wanted;
        let direction = match wanted {
            Some(Deadline::Content) => Some(Direction::Content),
            Some(Deadline::Write) => Some(Direction::Write),
            Some(Deadline::Linger) => Some(exchange.lingering_direction()),
            _ => None,
        };
        exchange.run_window(now, direction);
        Some(wanted)
    }

    /// As [`deadline_change`](Self::deadline_change), with the instant at which the deadline passes: for a driver that keeps
    /// one deadline for each connection. A class that `limits` switch off never runs.
    pub fn due_change(&mut self, now: Instant, limits: &Limits) -> Option<Option<(Instant, Deadline)>> {
        let change = self.deadline_change(now)?;
        Some(change.and_then(|deadline| match deadline {
            Deadline::Wake => Some((self.wake_at(now), deadline)),
            deadline => Some((now.plus_ms(deadline.timeout_ms(limits)?), deadline)),
        }))
    }
}
