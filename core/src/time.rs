//! Time as data: the core is told what time it is and never asks.

use core::time::Duration;

/// Milliseconds on the driver's monotonic clock, from an origin of the driver's choice.
///
/// A *deadline* is an `Instant`; a *timeout* is a [`Duration`]. The core never reads a clock: the driver passes the
/// current instant in.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant(pub u64);

impl Instant {
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

    /// The time from `self` until `deadline`; zero if it has passed.
    #[must_use]
    pub const fn until(self, deadline: Self) -> Duration {
        Duration::from_millis(deadline.0.saturating_sub(self.0))
    }
}
