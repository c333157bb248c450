//! Whether consecutive batches of events have seen everything together.

use crate::reactor::Seen;

/// Counts full batches, for a poller that takes a bounded number of events per wait from a list, in order, in which
/// each registration occurs at most once. The lists of epoll and kqueue are like that.
///
/// A batch with room left has reached the end of the list. After enough full batches in a row, everything has been
/// taken that was in the list before the first of them.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// Events per batch.
    size: usize,
    /// Full batches in a row since everything had been seen.
    full: usize,
    /// Whether the last batch was full.
    more: bool,
}

impl Batches {
    /// A counter for batches of at most `size` events.
    #[must_use]
    pub const fn new(size: usize) -> Self {
        Self { size, full: 0, more: false }
    }

    /// What has been seen after a batch of `events`, by a poller with at most `registrations`.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn taken(&mut self, events: usize, registrations: usize) -> Seen {
        self.more = events >= self.size;
        if !self.more {
            self.full = 0;
            return Seen::All;
        }
        self.full += 1;
        if self.full <= registrations / self.size {
            return Seen::Part;
        }
        self.full = 0;
        Seen::All
    }

    /// Whether the last batch was full, so that there may be more.
    #[must_use]
    pub const fn was_full(&self) -> bool {
        self.more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_with_room_left_has_seen_everything() {
        let mut batches = Batches::new(256);
        assert_eq!(batches.taken(256, 1000), Seen::Part);
        assert!(batches.was_full());
        assert_eq!(batches.taken(255, 1000), Seen::All);
        assert!(!batches.was_full());
    }

    #[test]
    fn full_batches_see_everything_after_as_many_as_hold_all_registrations() {
        for registrations in [0, 1, 255, 256, 257, 1000, 10_000] {
            let mut batches = Batches::new(256);
            for _ in 0..3 {
                let needed = (1..).find(|_| batches.taken(256, registrations) == Seen::All).unwrap();
                assert!(needed * 256 > registrations, "{registrations}");
                assert!((needed - 1) * 256 <= registrations, "{registrations}");
                assert!(batches.was_full(), "there may be more nevertheless");
            }
        }
    }
}
