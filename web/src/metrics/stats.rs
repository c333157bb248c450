//! Counting and timing of exchanges.

use core::ops::{ControlFlow, Deref};
use core::sync::atomic::{AtomicU16, Ordering};

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Around, Refusal, RefusalCause};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

/// A counter. On targets without 64-bit atomics it wraps after 2^32, which Prometheus takes for a restart.
#[cfg(target_has_atomic = "64")]
type Cell = core::sync::atomic::AtomicU64;
#[cfg(not(target_has_atomic = "64"))]
type Cell = core::sync::atomic::AtomicU32;

/// The upper bounds of the buckets for durations, in microseconds: from 100 µs to 10 s. Longer ones are in one more bucket.
pub(super) const BOUNDS_US: [u32; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// The number of different statuses that are counted on their own.
const STATUSES: usize = 24;

/// Numbers about the exchanges of one worker. Only that worker writes them, by its [`Metrics`]; any thread may read them at any time.
#[derive(Debug)]
pub struct Exchanges {
    /// The status that each counter is for, 0 for a free one; the last counter is for all other statuses.
    statuses: [AtomicU16; STATUSES],
    counts: [Cell; STATUSES + 1],
    durations: [Cell; BOUNDS_US.len() + 1],
    duration_sum_us: Cell,
    under_way: Cell,
    abandoned: Cell,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self::new()
    }
}

impl Exchanges {
    /// Without any exchange.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            statuses: [const { AtomicU16::new(0) }; STATUSES],
            counts: [const { Cell::new(0) }; STATUSES + 1],
            durations: [const { Cell::new(0) }; BOUNDS_US.len() + 1],
            duration_sum_us: Cell::new(0),
            under_way: Cell::new(0),
            abandoned: Cell::new(0),
        }
    }

    /// The statuses that have been sent, each with its number.
    pub(super) fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        let rows = self.statuses.iter().zip(&self.counts);
        rows.map(|(status, count)| (status.load(Ordering::Relaxed), read(count))).take_while(|(status, _)| *status != 0)
    }

    /// The number of responses with a status that has no counter of its own.
    pub(super) fn other_statuses(&self) -> u64 {
        read(&self.counts[STATUSES])
    }

    /// Exchanges in bucket `at`.
    pub(super) fn in_bucket(&self, at: usize) -> u64 {
        read(&self.durations[at])
    }

    pub(super) fn duration_sum_us(&self) -> u64 {
        read(&self.duration_sum_us)
    }

    pub(super) fn under_way(&self) -> u64 {
        read(&self.under_way)
    }

    pub(super) fn abandoned(&self) -> u64 {
        read(&self.abandoned)
    }

    fn begin(&self) {
        add(&self.under_way, 1);
    }

    fn finish(&self, status: u16, took_us: u64) {
        self.count_status(status);
        let bucket = BOUNDS_US.partition_point(|bound| u64::from(*bound) < took_us);
        add(&self.durations[bucket], 1);
        add(&self.duration_sum_us, took_us);
        self.end();
    }

    fn abandon(&self) {
        add(&self.abandoned, 1);
        self.end();
    }

    fn end(&self) {
        let count = self.under_way.load(Ordering::Relaxed);
        self.under_way.store(count.saturating_sub(1), Ordering::Relaxed);
    }

    fn count_status(&self, status: u16) {
        let place = self.statuses.iter().position(|place| {
            let taken = place.load(Ordering::Relaxed);
            if taken == 0 {
                place.store(status, Ordering::Relaxed);
            }
            taken == 0 || taken == status
        });
        add(&self.counts[place.unwrap_or(STATUSES)], 1);
    }
}

/// Adds to a counter that no other thread writes.
fn add(cell: &Cell, count: u64) {
    let before = cell.load(Ordering::Relaxed);
    cell.store(before.wrapping_add(count as _), Ordering::Relaxed);
}

#[allow(clippy::useless_conversion, reason = "u32 on some targets")]
fn read(cell: &Cell) -> u64 {
    cell.load(Ordering::Relaxed).into()
}

/// Middleware that counts exchanges by status and measures how long they take, from the complete head of the request to the call in
/// which the handler finishes the response. Make it the outermost one, or apply it to a part of the routes. Requests that the server
/// refuses count by their status, but have no duration.
///
/// `E` holds the numbers: a `&'static Exchanges`, say. Servers with several workers take one of each worker from a
/// [`Registry`](super::Registry).
#[derive(Debug)]
pub struct Metrics<E: Deref<Target = Exchanges>> {
    own: E,
    clock: fn() -> u64,
}

/// What is known about an exchange.
#[derive(Clone, Copy, Debug)]
pub struct MetricsNote {
    began_us: u64,
    status: u16,
    /// Its connection was handed over, and it is counted.
    is_counted: bool,
}

impl<E: Deref<Target = Exchanges>> Metrics<E> {
    /// Counts into `own`, which no other handler may do. `clock` returns microseconds and never goes back.
    pub const fn new(own: E, clock: fn() -> u64) -> Self {
        Self { own, clock }
    }
}

impl<E: Deref<Target = Exchanges>> Drop for Metrics<E> {
    /// Exchanges end with their handler, also when it panics.
    fn drop(&mut self) {
        self.own.under_way.store(0, Ordering::Relaxed);
    }
}

impl<E: Deref<Target = Exchanges>> Around for Metrics<E> {
    type Note = MetricsNote;

    fn before(&mut self, _: &Request<'_>, _: &mut ResponseWriter<'_>) -> ControlFlow<(), MetricsNote> {
        self.own.begin();
        ControlFlow::Continue(MetricsNote { began_us: (self.clock)(), status: 0, is_counted: false })
    }

    fn wrote(&mut self, note: &mut MetricsNote, response: &ResponseWriter<'_>) {
        if note.status == 0 && response.written() > 0 {
            note.status = response.status_so_far();
        }
    }

    fn finished(&mut self, mut note: MetricsNote, response: &ResponseWriter<'_>) {
        // The head was written in an earlier call, unless the response has been replaced since.
        if note.status == 0 || response.status_so_far() >= 400 {
            note.status = response.status_so_far();
        }
        self.own.finish(note.status, (self.clock)().saturating_sub(note.began_us));
    }

    fn detached(&mut self, note: &mut MetricsNote, response: &ResponseWriter<'_>) {
        note.is_counted = true;
        self.finished(*note, response);
    }

    fn abandoned(&mut self, note: MetricsNote, _: CloseReason) {
        if !note.is_counted {
            self.own.abandon();
        }
    }

    fn refused(&mut self, refusal: &Refusal<'_>, _: &mut ResponseWriter<'_>) {
        // The failed response of a handler has been counted by `finished`.
        if !matches!(refusal.cause(), RefusalCause::Handler(_)) {
            self.own.count_status(refusal.status());
        }
    }
}
