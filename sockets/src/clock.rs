//! The clocks, and durations for a wait.

use core::time::Duration;

use aurora_http_core::time::Instant;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Milliseconds of the monotonic clock. On macOS it goes on while the machine sleeps and a wait does not, so that a
/// deadline which passes in that time is noticed at the next event after it.
#[inline]
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    Instant(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000)
}

/// Whole seconds since 1970-01-01 00:00:00 UTC; `None` for a clock that is before that.
#[inline]
#[must_use]
pub fn unix_time() -> Option<u64> {
    // Whole seconds: the clock of the last tick will do, and is cheaper.
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::RealtimeCoarse;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Realtime;
    u64::try_from(clock_gettime(CLOCK).tv_sec).ok()
}

/// The next whole millisecond, epoll's unit and the clock's: returning before a deadline would make the loop spin up to
/// it. What is longer than 24 days becomes 24 days; macOS refuses more than 100 000 000 seconds.
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
