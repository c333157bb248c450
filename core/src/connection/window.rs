//! The minimum rate of transfers, in windows of the time during which an operation was in flight.

use crate::limits::RateMin;
use crate::time::Instant;

/// A direction of transfer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Direction {
    /// Content is received.
    Content,
    /// A response is sent.
    Write,
}

/// The current window of each direction, of which at most one runs at a time: the caller keeps which. Times are the low
/// 32 bits of milliseconds: a window is far shorter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Windows {
    /// From when the operation in flight counts.
    since: u32,
    windows: [Window; 2],
}

#[cfg(all(not(feature = "small"), debug_assertions))]
impl Windows {
    /// What another connection may have left, in debug builds: far from what a new one begins with.
    pub(super) const SPOILT: Self = Self { since: 1, windows: [Window { elapsed_ms: u32::MAX, bytes: u32::MAX }; 2] };
}

/// The direction of the operation in flight. It is not a part of [`Windows`], because it would take four bytes there.
pub(super) type Running = Option<Direction>;

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// The time that counted before the operation in flight.
    elapsed_ms: u32,
    bytes: u32,
}

/// The state of a transfer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// The window is not over.
    Going,
    /// The window had enough bytes; the next one begins.
    Complete,
    /// The window is over and did not have enough bytes.
    TooSlow,
}

impl Windows {
    /// From `now` on, an operation of this direction is in flight, or none. Time does not count for the other
    /// direction.
    pub(super) fn run(&mut self, running: &mut Running, now: Instant, direction: Running) {
        if *running == direction {
            return;
        }
        if let Some(before) = running.filter(|_| !planted!(InterruptionsForgotten)) {
            let window = &mut self.windows[before as usize];
            window.elapsed_ms = window.elapsed_ms.saturating_add((now.0 as u32).wrapping_sub(self.since));
        }
        self.since = now.0 as u32;
        *running = direction;
    }

    /// Counts transferred bytes.
    ///
    /// The deadline catches a transfer that has stalled; this catches one that trickles, however often it is
    /// interrupted.
    pub(super) fn count(
        &mut self,
        running: Running,
        now: Instant,
        direction: Direction,
        bytes: u32,
        rate: Option<RateMin>,
    ) -> Progress {
        let Some(rate) = rate else { return Progress::Going };
        let running_ms = if running == Some(direction) { (now.0 as u32).wrapping_sub(self.since) } else { 0 };
        let window = &mut self.windows[direction as usize];
        window.bytes = window.bytes.saturating_add(bytes);
        if window.bytes >= rate.bytes {
            *window = Window::default();
            if running == Some(direction) {
                self.since = now.0 as u32;
            }
            return Progress::Complete;
        }
        if window.elapsed_ms.saturating_add(running_ms) < rate.window_ms { Progress::Going } else { Progress::TooSlow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The windows of a connection.
    #[derive(Default)]
    struct Both(Windows, Running);

    impl Both {
        fn run(&mut self, now: Instant, direction: Running) {
            self.0.run(&mut self.1, now, direction);
        }

        fn count(&mut self, now: Instant, direction: Direction, bytes: u32, rate: Option<RateMin>) -> Progress {
            self.0.count(self.1, now, direction, bytes, rate)
        }
    }

    const RATE: Option<RateMin> = Some(RateMin { bytes: 100, window_ms: 1_000 });
    const CONTENT: Running = Some(Direction::Content);

    #[test]
    fn only_time_in_flight_counts() {
        let mut windows = Both::default();
        windows.run(Instant(0), CONTENT);
        assert_eq!(windows.count(Instant(900), Direction::Content, 1, RATE), Progress::Going);
        windows.run(Instant(900), None);
        windows.run(Instant(50_000), CONTENT);
        assert_eq!(windows.count(Instant(50_099), Direction::Content, 1, RATE), Progress::Going, "999 ms in flight");
        assert_eq!(
            windows.count(Instant(50_100), Direction::Content, 1, RATE),
            Progress::TooSlow,
            "1 000 ms in flight"
        );
    }

    #[test]
    fn each_direction_has_its_own_window() {
        let mut windows = Both::default();
        // Content that trickles into an echo: one byte in, one byte out, over and over.
        for second in 0..9_u64 {
            windows.run(Instant(second * 100), CONTENT);
            assert_eq!(windows.count(Instant(second * 100 + 99), Direction::Content, 1, RATE), Progress::Going);
            windows.run(Instant(second * 100 + 99), Some(Direction::Write));
            assert_eq!(windows.count(Instant(second * 100 + 99), Direction::Write, 100, RATE), Progress::Complete);
        }
        windows.run(Instant(900), CONTENT);
        assert_eq!(windows.count(Instant(1_100), Direction::Content, 1, RATE), Progress::TooSlow);
    }

    #[test]
    fn enough_bytes_start_the_next_window() {
        let mut windows = Both::default();
        windows.run(Instant(0), CONTENT);
        assert_eq!(windows.count(Instant(999), Direction::Content, 100, RATE), Progress::Complete);
        assert_eq!(windows.count(Instant(1_998), Direction::Content, 99, RATE), Progress::Going);
        assert_eq!(windows.count(Instant(1_999), Direction::Content, 0, RATE), Progress::TooSlow);
    }

    #[test]
    fn without_a_rate_nothing_is_too_slow() {
        let mut windows = Both::default();
        windows.run(Instant(0), CONTENT);
        assert_eq!(windows.count(Instant(u64::from(u32::MAX)), Direction::Content, 1, None), Progress::Going);
    }
}
