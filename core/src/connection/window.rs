//! The minimum rate of a transfer, in windows of time in which an operation was in flight.

use crate::limits::RateMin;
use crate::time::Instant;

/// The current window of one direction. Times are the low 32 bits of milliseconds: a window is far shorter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// When the operation in flight began to count.
    since: u32,
    /// Time that counted before that.
    elapsed_ms: u32,
    bytes: u32,
    running: bool,
}

/// How a transfer does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// The window goes on.
    Going,
    /// The window has enough bytes: the next one begins.
    Complete,
    /// The window has passed without enough of them.
    TooSlow,
}

impl Window {
    /// No operation is in flight any more: the time until the next one does not count.
    pub(super) const fn pause(&mut self, now: Instant) {
        if self.running {
            self.elapsed_ms = self.elapsed_ms.saturating_add((now.0 as u32).wrapping_sub(self.since));
            self.running = false;
        }
    }

    /// An operation is in flight.
    pub(super) const fn resume(&mut self, now: Instant) {
        if !self.running {
            self.since = now.0 as u32;
            self.running = true;
        }
    }

    /// Bytes moved.
    ///
    /// The deadline sees a transfer that stands still; this sees one that drips, however often it is interrupted.
    pub(super) fn count(&mut self, now: Instant, bytes: u32, rate: Option<RateMin>) -> Progress {
        let Some(rate) = rate else { return Progress::Going };
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= rate.bytes {
            *self = Self::default();
            return Progress::Complete;
        }
        let running_ms = if self.running { (now.0 as u32).wrapping_sub(self.since) } else { 0 };
        if self.elapsed_ms.saturating_add(running_ms) < rate.window_ms { Progress::Going } else { Progress::TooSlow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Option<RateMin> = Some(RateMin { bytes: 100, window_ms: 1_000 });

    #[test]
    fn only_time_in_flight_counts() {
        let mut window = Window::default();
        window.resume(Instant(0));
        assert_eq!(window.count(Instant(900), 1, RATE), Progress::Going);
        window.pause(Instant(900));
        window.resume(Instant(50_000));
        assert_eq!(window.count(Instant(50_099), 1, RATE), Progress::Going, "999 ms were in flight");
        assert_eq!(window.count(Instant(50_100), 1, RATE), Progress::TooSlow, "1 000 ms were in flight");
    }

    #[test]
    fn enough_bytes_start_the_next_window() {
        let mut window = Window::default();
        window.resume(Instant(0));
        assert_eq!(window.count(Instant(999), 100, RATE), Progress::Complete);
        window.resume(Instant(999));
        assert_eq!(window.count(Instant(1_998), 99, RATE), Progress::Going);
        assert_eq!(window.count(Instant(2_999), 0, RATE), Progress::TooSlow);
    }

    #[test]
    fn without_a_rate_nothing_is_too_slow() {
        let mut window = Window::default();
        window.resume(Instant(0));
        assert_eq!(window.count(Instant(u64::from(u32::MAX)), 1, None), Progress::Going);
    }
}
