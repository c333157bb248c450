//! Clocks, and timeouts for a wait.

use core::time::Duration;

use aurora_http_core::time::Instant;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The monotonic clock, in milliseconds. On macOS it advances while the machine sleeps but a wait's timeout does not, so a
/// deadline that passes during sleep is noticed at the next event afterwards.
#[inline]
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    Instant(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000)
}

/// Whole seconds since 1970-01-01 00:00:00 UTC; `None` when the clock is set to an earlier time.
#[inline]
#[must_use]
pub fn unix_time() -> Option<u64> {
    // The coarse clock is accurate to a tick, enough for whole seconds, and cheaper to read.
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::RealtimeCoarse;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Realtime;
    u64::try_from(clock_gettime(CLOCK).tv_sec).ok()
}

/// Rounds up to whole milliseconds, the unit of epoll and of [`now`]: a wait that returned just before a deadline would make
/// the loop spin until it. Timeouts are capped at 24 days, because macOS rejects more than 100 000 000 seconds.
pub(crate) fn round_up(timeout: Duration) -> Timespec {
    let part = u64::from(timeout.subsec_nanos().div_ceil(1_000_000));
    let timeout_ms = timeout.as_secs().saturating_mul(1000).saturating_add(part).min(i32::MAX as u64);
    Timespec { tv_sec: (timeout_ms / 1000) as i64, tv_nsec: (timeout_ms % 1000 * 1_000_000) as _ }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_rounded_up_to_milliseconds() {
        let max = Duration::from_millis(i32::MAX as u64);
        for (timeout, expected_ms) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(1), 1),
            (Duration::from_nanos(1_000_001), 2),
            (Duration::from_nanos(999_999_999), 1000),
            (Duration::from_secs(3), 3000),
            (max, i32::MAX as u64),
            (Duration::MAX, i32::MAX as u64),
        ] {
            let rounded = round_up(timeout);
            let rounded_ms = rounded.tv_sec as u64 * 1000 + rounded.tv_nsec as u64 / 1_000_000;
            assert_eq!((rounded_ms, rounded.tv_nsec % 1_000_000), (expected_ms, 0), "{timeout:?}");
        }
    }
}
