//! Deferred answers: what another thread, or an interrupt, may hold of an exchange.
//!
//! A handler that cannot answer yet takes a [`DeferToken`] from its writer and returns
//! [`Flow::Defer`](crate::handler::Flow::Defer). Whoever has the answer later [resolves](Deferrals::resolve) the token
//! and wakes the worker, which then calls [`Handler::resume`](crate::handler::Handler::resume). Tokens are plain data:
//! a stale one does nothing.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Names one deferred exchange: worker, slot, and a tag that no other exchange of the slot has for a long time.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct DeferToken {
    worker: u16,
    slot: u32,
    tag: u32,
}

impl DeferToken {
    pub(crate) const fn new(worker: u16, slot: u32, tag: u32) -> Self {
        Self { worker, slot, tag }
    }

    /// The number of the worker that the exchange belongs to.
    #[must_use]
    pub const fn worker(self) -> u16 {
        self.worker
    }
}

/// What a slot shares with those who may resolve its exchange: one word.
///
/// 0: nothing is deferred. Else the tag, one bit to the left, and in the lowest bit whether it is resolved.
#[derive(Debug, Default)]
pub struct DeferCell(AtomicU32);

const RESOLVED: u32 = 1;

impl DeferCell {
    /// Nothing is deferred.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub(crate) fn arm(&self, tag: u32) {
        self.0.store(tag << 1, Ordering::SeqCst);
    }

    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    pub(crate) fn is_resolved(&self) -> bool {
        self.0.load(Ordering::SeqCst) & RESOLVED != 0
    }

    /// Where the core has compare-and-swap, a stale token can never undo what happens to the slot meanwhile. Where it
    /// has only loads and stores (Cortex-M0), there is one core, and resolving from an interrupt is not interrupted by
    /// the worker.
    fn resolve(&self, tag: u32) -> bool {
        let waiting = tag << 1;
        #[cfg(target_has_atomic = "32")]
        {
            self.0.compare_exchange(waiting, waiting | RESOLVED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        }
        #[cfg(not(target_has_atomic = "32"))]
        {
            let is_waiting = self.0.load(Ordering::SeqCst) == waiting;
            if is_waiting {
                self.0.store(waiting | RESOLVED, Ordering::SeqCst);
            }
            is_waiting
        }
    }
}

/// The cells of one worker, one per slot, and a bell. Shared between the worker and whoever resolves.
#[derive(Clone, Copy, Debug)]
pub struct Deferrals<'d> {
    worker: u16,
    cells: &'d [DeferCell],
    bell: &'d AtomicBool,
}

/// For engines that defer nothing.
static NO_BELL: AtomicBool = AtomicBool::new(false);

impl<'d> Deferrals<'d> {
    /// No slot can defer.
    pub const NONE: Deferrals<'static> = Deferrals { worker: 0, cells: &[], bell: &NO_BELL };

    /// The cells of worker number `worker`. Slots beyond the last cell cannot defer.
    #[must_use]
    pub const fn new(worker: u16, cells: &'d [DeferCell], bell: &'d AtomicBool) -> Self {
        Self { worker, cells, bell }
    }

    /// Says that the answer to a deferred exchange is there; wake the worker afterwards. `false` when the token is
    /// stale or another worker's: then nothing happened, and nobody needs to be woken.
    pub fn resolve(&self, token: DeferToken) -> bool {
        let resolved = token.worker == self.worker
            && self.cells.get(token.slot as usize).is_some_and(|cell| cell.resolve(token.tag));
        if resolved {
            self.bell.store(true, Ordering::SeqCst);
        }
        resolved
    }

    /// Whether something was resolved since the bell was taken.
    #[inline]
    pub(crate) fn is_rung(&self) -> bool {
        self.bell.load(Ordering::Relaxed)
    }

    /// Whether something was resolved since the last call.
    #[inline]
    pub(crate) fn take_bell(&self) -> bool {
        // The bell falls before the cells are read: what is resolved later rings again.
        let rung = self.is_rung();
        if rung {
            self.bell.store(false, Ordering::SeqCst);
        }
        rung
    }

    pub(crate) fn cell(&self, slot: u32) -> Option<&'d DeferCell> {
        self.cells.get(slot as usize)
    }

    pub(crate) const fn worker(&self) -> u16 {
        self.worker
    }

    /// The next resolved slot at or behind `from`.
    pub(crate) fn next_resolved(&self, from: u32) -> Option<u32> {
        let behind = self.cells.get(from as usize..)?;
        behind.iter().position(DeferCell::is_resolved).map(|at| from + at as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_of_the_waiting_exchange_resolves_it_and_only_once() {
        let cells = [DeferCell::new(), DeferCell::new()];
        let bell = AtomicBool::new(false);
        let deferrals = Deferrals::new(3, &cells, &bell);
        cells[1].arm(7);
        for (worker, slot, tag) in [(2, 1, 7), (3, 0, 7), (3, 1, 6), (3, 2, 7), (3, 1, 0)] {
            assert!(!deferrals.resolve(DeferToken::new(worker, slot, tag)), "{worker} {slot} {tag}");
        }
        assert!(!deferrals.take_bell());
        assert!(deferrals.resolve(DeferToken::new(3, 1, 7)));
        assert!(!deferrals.resolve(DeferToken::new(3, 1, 7)), "a doubled token is a no-op");
        assert!(deferrals.take_bell() && !deferrals.take_bell());
        assert_eq!((deferrals.next_resolved(0), deferrals.next_resolved(2)), (Some(1), None));
        cells[1].clear();
        assert!(!deferrals.resolve(DeferToken::new(3, 1, 7)), "the exchange is over");
        assert_eq!(deferrals.next_resolved(0), None);
    }
}
