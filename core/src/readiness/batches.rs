//! What batches of events have seen together.

use crate::reactor::Seen;

/// Counts full batches, for a poller that takes a bounded number of events per wait from a list in which each of its
/// registrations stands at most once and that is taken in order, as epoll's and kqueue's are.
///
/// A batch with room left is the end of the list. Behind enough full ones in a row everything has been taken that was in
/// the list before the first of them.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// Events per batch.
    size: usize,
    /// Full ones in a row since the last that had seen everything.
    full: usize,
    /// The last one was full.
    more: bool,
}

impl Batches {
    /// None so far; of at most `size` events each.
    #[must_use]
    pub const fn new(size: usize) -> Self {
        Self { size, full: 0, more: false }
    }

    /// What has been seen behind a batch of `events`, by a poller with at most `registrations`.
    #[inline]
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
                assert!(batches.was_full(), "there may be more all the same");
            }
        }
    }
}
