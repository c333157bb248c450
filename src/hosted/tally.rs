//! What a worker's thread and the others both see.

use std::sync::atomic::{AtomicU64, Ordering};

use aurora_http_core::counters::Counters;
use aurora_http_core::error::CloseReason;
use aurora_http_core::pool::CacheAligned;
use static_assertions::const_assert_eq;

/// A worker's counters, for other threads to read at any time. On cache lines of their own; one thread writes.
///
/// Every number is read whole. They are not all read at the same instant, so that they may be off against each other by
/// what happens meanwhile.
#[derive(Debug, Default)]
pub(super) struct SharedCounters {
    now: CacheAligned<Cells>,
    /// Of workers in the same place that were replaced.
    earlier: CacheAligned<Cells>,
}

// However they lie, no two workers write to the same line.
const_assert_eq!(align_of::<SharedCounters>(), 64);
const_assert_eq!(size_of::<SharedCounters>() % 64, 0);

#[derive(Debug, Default)]
struct Cells {
    plain: [AtomicU64; Counters::PLAIN],
    /// How many have ended, to see whether the reasons must be written.
    ended: AtomicU64,
    closed: [AtomicU64; CloseReason::COUNT],
}

impl SharedCounters {
    /// Called by the worker after each turn, so nothing but plain stores, to two or three lines that it has anyway
    /// unless somebody looked.
    #[inline]
    pub(super) fn publish(&self, counters: &Counters) {
        let CacheAligned(cells) = &self.now;
        let put = |cell: &AtomicU64, value| cell.store(value, Ordering::Relaxed);
        for (cell, count) in cells.plain.iter().zip(counters.to_array()) {
            put(cell, count);
        }
        let ended = counters.closed.total();
        if cells.ended.load(Ordering::Relaxed) != ended {
            put(&cells.ended, ended);
            for (cell, count) in cells.closed.iter().zip(counters.closed.to_array()) {
                put(cell, count);
            }
        }
    }

    /// Keeps what a worker counted that is replaced now: its successor begins with nothing. What was open is not open any
    /// more, and was not closed for any reason that is counted.
    pub(super) fn retire(&self) {
        let CacheAligned(earlier) = &self.earlier;
        let mut last = self.now.0.read();
        last.active = 0;
        self.publish(&Counters::default());
        let add = |cell: &AtomicU64, count| cell.fetch_add(count, Ordering::Relaxed);
        for (cell, count) in earlier.plain.iter().zip(last.to_array()) {
            add(cell, count);
        }
        for (cell, count) in earlier.closed.iter().zip(last.closed.to_array()) {
            add(cell, count);
        }
    }

    pub(super) fn read(&self) -> Counters {
        let mut sum = self.earlier.0.read();
        sum += &self.now.0.read();
        sum
    }
}

impl Cells {
    fn read(&self) -> Counters {
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Counters::from_arrays(
            std::array::from_fn(|at| get(&self.plain[at])),
            std::array::from_fn(|reason| get(&self.closed[reason])),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_back_every_number_of_it() {
        let shared = SharedCounters::default();
        let plain = std::array::from_fn(|at| at as u64 + 1);
        let closed: [u64; CloseReason::COUNT] = std::array::from_fn(|reason| u64::MAX >> 8 >> reason);
        let counters = Counters::from_arrays(plain, closed);
        shared.publish(&counters);
        assert_eq!(shared.read(), counters);
        let mut sum = shared.read();
        sum += &Counters::from_arrays(plain, [0; CloseReason::COUNT]);
        assert_eq!(sum, Counters::from_arrays(plain.map(|count| 2 * count), closed));
        assert_eq!((counters.accepted, counters.stopped_finished), (1, Counters::PLAIN as u64));

        shared.retire();
        let with_active = |mut counters: Counters, active| {
            counters.active = active;
            counters
        };
        assert_eq!(shared.read(), with_active(counters, 0));
        shared.publish(&counters);
        let sum = Counters::from_arrays(plain.map(|count| 2 * count), closed.map(|count| 2 * count));
        assert_eq!(shared.read(), with_active(sum, counters.active));
        shared.retire();
        assert_eq!(shared.read(), with_active(sum, 0));
    }
}
