//! Time as data: the core is told what time it is and never asks.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::part::scale;

/// Milliseconds on the driver's monotonic clock, from an origin of the driver's choice.
///
/// A *deadline* is an `Instant`; a *timeout* is a [`Duration`]. The core never reads a clock: the driver passes the
/// current instant in.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant(pub u64);

impl Instant {
    /// Later than any other: in place of an `Option`, which would take twice the memory.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The instant `timeout_ms` later, saturating after 584 million years.
    #[must_use]
    pub const fn plus_ms(self, timeout_ms: u32) -> Self {
        Self(self.0.saturating_add(timeout_ms as u64))
    }

    /// Milliseconds from `earlier` to `self`; 0 if `earlier` is in fact later.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time from `self` until `deadline`, for a wait: zero if it has passed, and at most 2³² − 1 milliseconds (49 days), so
    /// that no division of 64-bit numbers is needed. After a wait that was too short, the loop waits again.
    #[must_use]
    pub const fn until(self, deadline: Self) -> Duration {
        let ms = deadline.0.saturating_sub(self.0);
        let ms = if ms > u32::MAX as u64 { u32::MAX } else { ms as u32 };
        Duration::new((ms / 1000) as u64, ms % 1000 * 1_000_000)
    }
}

/// A monotonic clock made of a counter of 32 bits that wraps around, as timers of microcontrollers have: of milliseconds, of
/// microseconds, or of the cycles of a quartz.
///
/// The counter must be read at least once each time it wraps around: every 71 minutes if it counts microseconds. A loop that turns
/// for each deadline does so; a program that may be idle for longer wakes up once in between. Nothing is lost by rounding, however
/// often it is read, and it takes no division of 64-bit numbers.
///
/// ```
/// use core::cell::Cell;
/// use core::num::NonZeroU32;
///
/// use aurora_http_core::time::{Instant, Ticks};
///
/// # fn timer() -> u32 { 8_192 }
/// /// The clock of a device whose timer counts 32 768 times a second.
/// struct Clock(Cell<Ticks>);
///
/// impl Clock {
///     fn now(&self) -> Instant {
///         let mut ticks = self.0.get();
///         let now = ticks.at(timer());
///         self.0.set(ticks);
///         now
///     }
/// }
///
/// let hz = NonZeroU32::new(32_768).ok_or("0 Hz")?;
/// assert_eq!(Clock(Cell::new(Ticks::new(hz, 0))).now(), Instant(250));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    hz: NonZeroU32,
    /// The counter when it was last read.
    last: u32,
    /// Whole seconds since the start, in milliseconds.
    seconds_ms: u64,
    /// Ticks since then: less than a second.
    rest: u32,
}

impl Ticks {
    /// A clock at 0, with a counter that counts `hz` times a second and has the value `counter` now.
    #[must_use]
    pub const fn new(hz: NonZeroU32, counter: u32) -> Self {
        Self { hz, last: counter, seconds_ms: 0, rest: 0 }
    }

    /// The time at which the counter has the value `counter`.
    pub fn at(&mut self, counter: u32) -> Instant {
        let passed = counter.wrapping_sub(self.last);
        self.last = counter;
        let hz = self.hz.get();
        let (mut seconds, passed) = (passed / hz, passed % hz);
        self.rest = match self.rest.checked_sub(hz - passed) {
            Some(rest) => {
                seconds += 1;
                rest
            }
            None => self.rest + passed,
        };
        self.seconds_ms += u64::from(seconds) * 1_000;
        Instant(self.seconds_ms + u64::from(scale(1_000, self.rest, hz)))
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::{Instant, Ticks};

    proptest! {
        #[test]
        fn ticks_are_a_clock_that_never_wraps_or_drifts(
            hz in prop_oneof![Just(1_u32), Just(1_000), Just(32_768), Just(1_000_000), 1_u32..],
            start: u32,
            steps in prop::collection::vec(prop_oneof![0_u32..10, any::<u32>()], 0..100),
        ) {
            let mut ticks = Ticks::new(NonZeroU32::new(hz).unwrap(), start);
            let mut passed = 0_u64;
            for step in steps {
                passed += u64::from(step);
                let now = ticks.at(start.wrapping_add(passed as u32));
                let exact = u128::from(passed) * 1_000 / u128::from(hz);
                prop_assert_eq!(u128::from(now.0), exact);
            }
        }

        #[test]
        fn a_wait_ends_at_its_deadline_or_after_49_days(now: u64, deadline: u64) {
            let ms = u64::try_from(Instant(now).until(Instant(deadline)).as_millis()).unwrap();
            prop_assert_eq!(ms, deadline.saturating_sub(now).min(u64::from(u32::MAX)));
        }
    }

    #[test]
    fn a_clock_of_milliseconds_goes_on_behind_its_counter() {
        let mut ticks = Ticks::new(NonZeroU32::new(1_000).unwrap(), u32::MAX - 1);
        let times: Vec<u64> = [u32::MAX - 1, u32::MAX, 0, 5].map(|counter| ticks.at(counter).0).into();
        assert_eq!(times, [0, 1, 2, 7]);
    }
}
