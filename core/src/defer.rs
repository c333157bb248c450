//! Deferred answers: what another thread, or an interrupt, may hold of an exchange.
//!
//! A handler that cannot answer yet takes a [`DeferToken`] from its writer and returns
//! [`Flow::Defer`](crate::handler::Flow::Defer). Whoever has the answer later [resolves](Deferrals::resolve) the token
//! and wakes the worker, which then calls [`Handler::resume`](crate::handler::Handler::resume). Tokens are plain data:
//! a stale one does nothing.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Names one deferred exchange: realm, worker, slot, and a tag that no other exchange of the slot has for a long time:
/// it comes round again after 65 536 connections in the slot, or 32 767 deferrals on one connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct DeferToken {
    realm: u16,
    worker: u16,
    slot: u32,
    tag: u32,
}

impl DeferToken {
    /// The server that the exchange belongs to: see [`Deferrals::in_realm`].
    #[must_use]
    pub const fn realm(self) -> u16 {
        self.realm
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
    realm: u16,
    worker: u16,
    cells: &'d [DeferCell],
    bell: &'d AtomicBool,
    /// One per [`Deferrals::GROUP`] cells, or none at all.
    group_bells: &'d [AtomicBool],
}

/// For engines that defer nothing.
static NO_BELL: AtomicBool = AtomicBool::new(false);

impl<'d> Deferrals<'d> {
    /// No slot can defer.
    pub const NONE: Deferrals<'static> = Deferrals::new(0, &[], &NO_BELL);

    /// Cells that share a bell of their own: see [`with_group_bells`](Self::with_group_bells).
    pub const GROUP: usize = 64;

    /// The cells of worker number `worker`. Slots beyond the last cell cannot defer.
    #[must_use]
    pub const fn new(worker: u16, cells: &'d [DeferCell], bell: &'d AtomicBool) -> Self {
        Self { realm: 0, worker, cells, bell, group_bells: &[] }
    }

    /// In a realm of its own: tokens of another one mean nothing here, though the same worker and slot may have given
    /// them out. For programs with several servers. Realm 0 unless set.
    #[must_use]
    pub const fn in_realm(self, realm: u16) -> Self {
        Self { realm, ..self }
    }

    /// With a bell for each [`GROUP`](Self::GROUP) cells, so that the worker need not look at all cells to find the
    /// resolved ones: for more than a few hundred connections. Cells beyond the last group are always looked at.
    #[must_use]
    pub const fn with_group_bells(self, group_bells: &'d [AtomicBool]) -> Self {
        Self { group_bells, ..self }
    }

    /// Makes all tokens stale: for the end of an engine, and before the next one uses the same cells.
    pub fn reset(&self) {
        self.cells.iter().for_each(DeferCell::clear);
    }

    /// Says that the answer to a deferred exchange is there; wake the worker afterwards. `false` when the token is
    /// stale or another worker's: then nothing happened, and nobody needs to be woken.
    pub fn resolve(&self, token: DeferToken) -> bool {
        let slot = token.slot as usize;
        let resolved = token.realm == self.realm
            && token.worker == self.worker
            && self.cells.get(slot).is_some_and(|cell| cell.resolve(token.tag));
        if resolved {
            self.ring(token.slot);
        }
        resolved
    }

    /// Has the worker look at a slot in its next turn.
    pub(crate) fn ring(&self, slot: u32) {
        // In this order, the opposite of the worker's.
        if let Some(bell) = self.group_bells.get(slot as usize / Self::GROUP) {
            bell.store(true, Ordering::SeqCst);
        }
        self.bell.store(true, Ordering::SeqCst);
    }

    /// Whether something was resolved since the bell was taken.
    #[inline]
    pub(crate) fn is_rung(&self) -> bool {
        self.bell.load(Ordering::Relaxed)
    }

    /// Whether something was resolved since the last call.
    #[inline]
    pub(crate) fn take_bell(&self) -> bool {
        take(self.bell)
    }

    pub(crate) fn cell(&self, slot: u32) -> Option<&'d DeferCell> {
        self.cells.get(slot as usize)
    }

    pub(crate) const fn token(&self, slot: u32, tag: u32) -> DeferToken {
        DeferToken { realm: self.realm, worker: self.worker, slot, tag }
    }

    /// The next resolved slot at or behind `from`, which is 0 or follows the last answer: a group's bell is looked at, and
    /// falls, when its first cell is come to.
    pub(crate) fn next_resolved(&self, from: u32) -> Option<u32> {
        let mut from = from as usize;
        loop {
            let behind = self.cells.get(from..)?;
            let group = behind.len().min(Self::GROUP - from % Self::GROUP);
            let is_silent = from.is_multiple_of(Self::GROUP)
                && self.group_bells.get(from / Self::GROUP).is_some_and(|bell| !take(bell));
            let found = behind.iter().take(group).position(DeferCell::is_resolved);
            match found.filter(|_| !is_silent) {
                Some(at) => return Some((from + at) as u32),
                None if group == 0 => return None,
                None => from += group,
            }
        }
    }
}

/// The bell falls before the cells are read: what is resolved later rings again.
#[inline]
fn take(bell: &AtomicBool) -> bool {
    let rung = bell.load(Ordering::Relaxed);
    if rung {
        bell.store(false, Ordering::SeqCst);
    }
    rung
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn only_the_token_of_the_waiting_exchange_resolves_it_and_only_once() {
        let cells = [DeferCell::new(), DeferCell::new()];
        let bell = AtomicBool::new(false);
        let deferrals = Deferrals::new(3, &cells, &bell);
        cells[1].arm(7);
        let token = |realm, worker, slot, tag| DeferToken { realm, worker, slot, tag };
        for (realm, worker, slot, tag) in
            [(1, 3, 1, 7), (0, 2, 1, 7), (0, 3, 0, 7), (0, 3, 1, 6), (0, 3, 2, 7), (0, 3, 1, 0)]
        {
            assert!(!deferrals.resolve(token(realm, worker, slot, tag)), "{realm} {worker} {slot} {tag}");
        }
        assert!(!deferrals.in_realm(1).resolve(token(0, 3, 1, 7)));
        assert!(!deferrals.take_bell());
        assert!(deferrals.resolve(token(0, 3, 1, 7)));
        assert!(!deferrals.resolve(token(0, 3, 1, 7)), "a doubled token is a no-op");
        assert!(deferrals.take_bell() && !deferrals.take_bell());
        assert_eq!((deferrals.next_resolved(0), deferrals.next_resolved(2)), (Some(1), None));
        cells[1].clear();
        assert!(!deferrals.resolve(token(0, 3, 1, 7)), "the exchange is over");
        assert_eq!(deferrals.next_resolved(0), None);
        cells[1].arm(8);
        deferrals.reset();
        assert!(!deferrals.resolve(token(0, 3, 1, 8)), "the engine is over");
    }

    /// What a worker does once a turn.
    fn take_all(deferrals: &Deferrals<'_>) -> Vec<u32> {
        let mut found = Vec::new();
        let mut from = 0;
        while deferrals.take_bell() || from > 0 {
            let Some(slot) = deferrals.next_resolved(from) else { break };
            deferrals.cells[slot as usize].clear();
            found.push(slot);
            from = slot + 1;
        }
        found
    }

    proptest! {
        #[test]
        fn with_and_without_group_bells_each_resolved_slot_is_found_once(
            connections in 1_usize..300,
            groups in 0_usize..5,
            turns in prop::collection::vec(prop::collection::btree_set(0_u32..300, 0..20), 1..5),
        ) {
            let cells: Vec<_> = (0..connections).map(|_| DeferCell::new()).collect();
            let bells: Vec<_> = (0..groups).map(|_| AtomicBool::new(false)).collect();
            let bell = AtomicBool::new(false);
            let deferrals = Deferrals::new(0, &cells, &bell).with_group_bells(&bells);
            for slots in turns {
                let mut expected = Vec::new();
                for slot in slots {
                    if let Some(cell) = cells.get(slot as usize) {
                        cell.arm(9);
                        expected.push(slot);
                    }
                    prop_assert_eq!(deferrals.resolve(deferrals.token(slot, 9)), slot < connections as u32);
                }
                prop_assert_eq!(take_all(&deferrals), expected);
                prop_assert_eq!(take_all(&deferrals), []);
            }
        }
    }
}
