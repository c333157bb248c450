//! What a worker's thread and the others both see.

use std::sync::atomic::{AtomicU64, Ordering};

use aurora_http_core::counters::{ClosedCounters, Counters};
use aurora_http_core::error::CloseReason;
use aurora_http_core::pool::CacheAligned;

/// A worker's counters, for other threads to read at any time. On cache lines of their own; one thread writes.
///
/// Fields are not read all at the same instant, so that sums may be off by what happens meanwhile.
#[derive(Debug, Default)]
pub(super) struct SharedCounters(CacheAligned<Cells>);

#[derive(Debug, Default)]
struct Cells {
    accepted: AtomicU64,
    active: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    accept_errors: AtomicU64,
    starved: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    /// How many have ended, to see whether the reasons must be written.
    ended: AtomicU64,
    closed: [AtomicU64; CloseReason::COUNT],
}

impl SharedCounters {
    /// Called by the worker after each turn, so nothing but plain stores.
    #[inline]
    pub(super) fn publish(&self, counters: &Counters) {
        let Self(CacheAligned(cells)) = self;
        let put = |cell: &AtomicU64, value| cell.store(value, Ordering::Relaxed);
        put(&cells.accepted, counters.accepted);
        put(&cells.active, counters.active);
        put(&cells.requests, counters.requests);
        put(&cells.refused, counters.refused);
        put(&cells.failed, counters.failed);
        put(&cells.accept_errors, counters.accept_errors);
        put(&cells.starved, counters.starved);
        put(&cells.bytes_received, counters.bytes_received);
        put(&cells.bytes_sent, counters.bytes_sent);
        let ended = counters.closed.total();
        if cells.ended.load(Ordering::Relaxed) != ended {
            put(&cells.ended, ended);
            for (cell, count) in cells.closed.iter().zip(counters.closed.to_array()) {
                put(cell, count);
            }
        }
    }

    pub(super) fn read(&self) -> Counters {
        let Self(CacheAligned(cells)) = self;
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let mut counters = Counters::default();
        counters.accepted = get(&cells.accepted);
        counters.active = get(&cells.active);
        counters.requests = get(&cells.requests);
        counters.refused = get(&cells.refused);
        counters.failed = get(&cells.failed);
        counters.accept_errors = get(&cells.accept_errors);
        counters.starved = get(&cells.starved);
        counters.bytes_received = get(&cells.bytes_received);
        counters.bytes_sent = get(&cells.bytes_sent);
        counters.closed = ClosedCounters::from_array(std::array::from_fn(|reason| get(&cells.closed[reason])));
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_back() {
        let shared = SharedCounters::default();
        let mut counters = Counters::default();
        (counters.accepted, counters.active, counters.requests) = (9, 3, 4);
        (counters.refused, counters.failed, counters.accept_errors) = (5, 6, 7);
        (counters.starved, counters.bytes_received, counters.bytes_sent) = (8, 10, u64::MAX);
        counters.closed = ClosedCounters::from_array(std::array::from_fn(|reason| u64::from(reason < 6)));
        shared.publish(&counters);
        assert_eq!(shared.read(), counters);
    }
}
