//! What server and clients record while they run, for the checks at the end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The things that are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    /// Connections that clients opened.
    Opened,
    /// Calls of the handler for a request.
    Handled,
    /// Exchanges whose state the server still holds.
    States,
    /// Requests of good clients that were answered in full.
    Good,
    /// Requests of good clients that were sent again, because an idle connection had been closed.
    Again,
    /// Requests of good clients that were sent again on another connection, because an earlier response had closed
    /// theirs.
    Moved,
    /// Requests of slow clients that were answered in full.
    Slow,
    /// Exchanges of slow clients that the server ended, with or without an answer.
    TooSlow,
    /// Hostile requests that were refused with a documented status.
    Refused,
    /// Hostile connections that were closed without an answer.
    Dropped,
    /// Exchanges that their client abandoned.
    Left,
    /// The longest time that a good client waited for a byte, in milliseconds.
    WaitMs,
}

impl Count {
    const COUNT: usize = Self::WaitMs as usize + 1;
}

/// How many faults are kept; the first ones tell the most.
const FAULTS_MAX: usize = 8;

pub(crate) struct Book {
    counts: [AtomicU64; Count::COUNT],
    /// For each client, the serial of the last request that the handler was called for.
    begun: Vec<AtomicU64>,
    /// Clients below this are good.
    good: u32,
    faults: Mutex<Vec<String>>,
    /// Tells the clients to end.
    done: AtomicBool,
}

impl Book {
    pub(crate) fn new(clients: u32, good: u32) -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            begun: (0..clients).map(|_| AtomicU64::new(0)).collect(),
            good,
            faults: Mutex::new(Vec::with_capacity(FAULTS_MAX)),
            done: AtomicBool::new(false),
        }
    }

    pub(crate) fn count(&self, what: Count) {
        self.add(what, 1);
    }

    pub(crate) fn add(&self, what: Count, count: u64) {
        self.counts[what as usize].fetch_add(count, Ordering::SeqCst);
    }

    pub(crate) fn take_one(&self, what: Count) {
        self.counts[what as usize].fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn at_least(&self, what: Count, count: u64) {
        self.counts[what as usize].fetch_max(count, Ordering::SeqCst);
    }

    pub(crate) fn of(&self, what: Count) -> u64 {
        self.counts[what as usize].load(Ordering::SeqCst)
    }

    /// Records a call of the handler for a request. A good client repeats a request only if no handler was called for
    /// it, so a serial that comes again has been handled twice.
    pub(crate) fn begin(&self, client: u32, serial: u64) {
        let Some(begun) = self.begun.get(client as usize) else {
            self.fault(format!("the handler was called for a request of client {client}, which does not exist"));
            return;
        };
        let before = begun.swap(serial, Ordering::SeqCst);
        if client < self.good && before >= serial {
            self.fault(format!("client {client}: request {serial} was handled after request {before}"));
        }
    }

    /// Whether the handler has been called for this request, or a later one, of a client that uses one connection at a
    /// time.
    pub(crate) fn has_begun(&self, client: u32, serial: u64) -> bool {
        self.begun[client as usize].load(Ordering::SeqCst) >= serial
    }

    /// Records a fault. The first one ends the soak.
    pub(crate) fn fault(&self, what: String) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.len() < FAULTS_MAX {
            faults.push(what);
        }
        self.finish();
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn finish(&self) {
        self.done.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }
}
