//! Counters that a worker's thread writes and other threads read.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aurora_http_core::counters::Counters;
use aurora_http_core::error::CloseReason;
use aurora_http_core::pool::{CacheAligned, Class, ClassSizes, ClassStats};
use static_assertions::const_assert_eq;

/// A worker's counters, for other threads to read at any time. They have cache lines of their own, and one thread
/// writes.
///
/// Each counter is read atomically, but not all of them at the same instant, so they may be slightly inconsistent with
/// each other.
#[derive(Debug, Default)]
pub(super) struct SharedCounters {
    now: CacheAligned<Cells>,
    /// The sum of workers in the same place that have been replaced.
    earlier: CacheAligned<Cells>,
    buffers: CacheAligned<[BufferCells; Class::COUNT]>,
}

/// The buffers of one class.
#[derive(Debug, Default)]
struct BufferCells {
    in_use: AtomicU32,
    /// Of all workers that have been in this place.
    high_water: AtomicU32,
    refused: AtomicU64,
    /// `refused` of the workers that have been replaced.
    refused_earlier: AtomicU64,
}

// Wherever they are placed, no two workers write to the same cache line.
const_assert_eq!(align_of::<SharedCounters>(), 64);
const_assert_eq!(size_of::<SharedCounters>() % 64, 0);

#[derive(Debug, Default)]
struct Cells {
    plain: [AtomicU64; Counters::PLAIN],
    /// How many connections have ended, which tells whether `closed` must be written.
    ended: AtomicU64,
    closed: [AtomicU64; CloseReason::COUNT],
}

impl SharedCounters {
    /// Called by the worker after each turn, so it uses only plain stores, to two or three cache lines that stay in the
    /// worker's cache unless another thread has read them.
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

    /// As [`publish`](Self::publish), for the worker's buffers.
    #[inline]
    pub(super) fn publish_buffers(&self, stats: impl Fn(Class) -> ClassStats) {
        for (class, cells) in Class::ALL.into_iter().zip(&self.buffers.0) {
            let stats = stats(class);
            cells.in_use.store(stats.in_use, Ordering::Relaxed);
            cells.refused.store(stats.refused, Ordering::Relaxed);
            if cells.high_water.load(Ordering::Relaxed) < stats.high_water {
                cells.high_water.store(stats.high_water, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn read_buffers(&self, class: Class) -> ClassStats {
        let cells = &self.buffers.0[class as usize];
        ClassStats {
            bytes: ClassSizes::default().of(class),
            in_use: cells.in_use.load(Ordering::Relaxed),
            high_water: cells.high_water.load(Ordering::Relaxed),
            refused: cells.refused_earlier.load(Ordering::Relaxed) + cells.refused.load(Ordering::Relaxed),
        }
    }

    /// Keeps the counts of a worker that is being replaced; its successor starts from zero. Its open connections are
    /// gone, and are counted under no close reason.
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
        for cells in &self.buffers.0 {
            cells.in_use.store(0, Ordering::Relaxed);
            add(&cells.refused_earlier, cells.refused.swap(0, Ordering::Relaxed));
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
    fn every_published_counter_is_read_back() {
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

    #[test]
    fn buffers_of_replaced_workers_are_counted_too() {
        let shared = SharedCounters::default();
        let stats = |class: Class, times: u32| ClassStats {
            bytes: 1024 << (2 * class as u32),
            in_use: class as u32 + 1,
            high_water: (class as u32 + 10) * times,
            refused: u64::from(times) * 100,
        };
        shared.publish_buffers(|class| stats(class, 2));
        assert!(Class::ALL.into_iter().all(|class| shared.read_buffers(class) == stats(class, 2)));
        shared.retire();
        shared.publish_buffers(|class| stats(class, 1));
        for class in Class::ALL {
            let sum = ClassStats { refused: 300, high_water: stats(class, 2).high_water, ..stats(class, 1) };
            assert_eq!(shared.read_buffers(class), sum, "{class:?}");
        }
        shared.retire();
        assert_eq!(shared.read_buffers(Class::Small).in_use, 0);
    }
}
