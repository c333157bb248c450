//! Deferred answers: what another thread, or an interrupt, may hold of an exchange.
//!
//! A handler that cannot answer yet takes a [`DeferToken`] from its writer and returns
//! [`Flow::Defer`](crate::handler::Flow::Defer). Whoever has the answer later [resolves](Deferrals::resolve) the token
//! and wakes the worker, which then calls [`Handler::resume`](crate::handler::Handler::resume). Tokens are plain data:
//! a stale one does nothing.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Names one deferred exchange: realm, worker, slot, and the number of the deferral in its slot.
///
/// Numbers go on when a slot is used again, and when the next engine uses the same cells: no two deferrals of a cell have
/// the same one before 2⁶¹ of them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct DeferToken {
    serial: u64,
    realm: u32,
    slot: u32,
    worker: u16,
}

impl DeferToken {
    /// The server that the exchange belongs to: see [`Deferrals::in_realm`].
    #[must_use]
    pub const fn realm(self) -> u32 {
        self.realm
    }

    /// The number of the worker that the exchange belongs to.
    #[must_use]
    pub const fn worker(self) -> u16 {
        self.worker
    }
}

/// What a slot shares with those who may resolve its exchange: the number of its last deferral, whether that waits, and
/// whether it is resolved.
///
/// Two words, because not every core has atomics of 64 bits. The number's lowest 30 bits stand in `word`, the others in
/// `block`, and so does the highest of those 30 once more. Who resolves looks at `block` first and then exchanges `word`;
/// with the bit in common, a `word` that looks the same has come round again only after 2²⁹ deferrals of the slot between
/// those two instructions.
#[derive(Debug, Default)]
pub struct DeferCell {
    block: AtomicU32,
    word: AtomicU32,
}

/// In [`DeferCell::word`]: an answer is waited for.
const ARMED: u32 = 2;
/// It is there.
const RESOLVED: u32 = 1;
/// Bits of a number in [`DeferCell::word`].
const WORD_BITS: u32 = 30;
/// Bits of a number below those in [`DeferCell::block`].
const BLOCK_BITS: u32 = WORD_BITS - 1;
/// Numbers have so many bits.
const SERIAL_MASK: u64 = (1 << (BLOCK_BITS + 32)) - 1;

/// The word of a deferral that is over.
const fn word(serial: u64) -> u32 {
    (serial as u32) << 2
}

/// The other one.
const fn block(serial: u64) -> u32 {
    (serial >> BLOCK_BITS) as u32
}

impl DeferCell {
    /// Nothing is deferred, or ever was. Cells that are made anew count from the start: give them a
    /// [realm](Deferrals::in_realm) of their own when tokens of other ones may be about.
    #[must_use]
    pub const fn new() -> Self {
        Self { block: AtomicU32::new(0), word: AtomicU32::new(0) }
    }

    /// A cell that has given out so many numbers: to come near the end of what its words count.
    #[cfg(feature = "sim")]
    #[must_use]
    pub const fn with_serial(serial: u64) -> Self {
        Self { block: AtomicU32::new(block(serial)), word: AtomicU32::new(word(serial)) }
    }

    /// Begins a deferral, and gives its number. By the worker alone, like all but [`resolve`](Self::resolve).
    pub(crate) fn arm(&self) -> u64 {
        let serial = self.next();
        self.end_last(serial);
        self.enter_block(serial);
        self.wait(serial);
        serial
    }

    fn next(&self) -> u64 {
        let above = u64::from(self.block.load(Ordering::SeqCst)) << BLOCK_BITS;
        let below = u64::from(self.word.load(Ordering::SeqCst) >> 2) & ((1 << BLOCK_BITS) - 1);
        (above | below).wrapping_add(u64::from(!planted!(SerialKept))) & SERIAL_MASK
    }

    /// From here on nobody resolves the deferral before, and nobody this one yet.
    fn end_last(&self, serial: u64) {
        self.word.store(word(serial), Ordering::SeqCst);
    }

    fn enter_block(&self, serial: u64) {
        self.block.store(block(serial), Ordering::SeqCst);
    }

    fn wait(&self, serial: u64) {
        self.word.store(word(serial) | ARMED, Ordering::SeqCst);
    }

    /// Nothing is deferred any more; the number stays.
    pub(crate) fn clear(&self) {
        let ended = self.word.load(Ordering::SeqCst) & !(ARMED | RESOLVED);
        self.word.store(ended, Ordering::SeqCst);
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.word.load(Ordering::SeqCst) & ARMED != 0
    }

    pub(crate) fn is_resolved(&self) -> bool {
        self.word.load(Ordering::SeqCst) & RESOLVED != 0
    }

    fn resolve(&self, serial: u64) -> bool {
        self.is_in_block(serial) && self.mark_resolved(serial)
    }

    fn is_in_block(&self, serial: u64) -> bool {
        self.block.load(Ordering::SeqCst) == block(serial)
    }

    /// Where the core has compare-and-swap, a stale token can never undo what happens to the slot meanwhile. Where it
    /// has only loads and stores (Cortex-M0), there is one core, and resolving from an interrupt is not interrupted by
    /// the worker.
    fn mark_resolved(&self, serial: u64) -> bool {
        let waiting = word(serial) | ARMED;
        #[cfg(target_has_atomic = "32")]
        {
            self.word.compare_exchange(waiting, waiting | RESOLVED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        }
        #[cfg(not(target_has_atomic = "32"))]
        {
            let is_waiting = self.word.load(Ordering::SeqCst) == waiting;
            if is_waiting {
                self.word.store(waiting | RESOLVED, Ordering::SeqCst);
            }
            is_waiting
        }
    }
}

/// The cells of one worker, one per slot, and a bell. Shared between the worker and whoever resolves.
#[derive(Clone, Copy, Debug)]
pub struct Deferrals<'d> {
    realm: u32,
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
    pub const fn in_realm(self, realm: u32) -> Self {
        Self { realm, ..self }
    }

    /// With a bell for each [`GROUP`](Self::GROUP) cells, so that the worker need not look at all cells to find the
    /// resolved ones: for more than a few hundred connections. Cells beyond the last group are always looked at.
    #[must_use]
    pub const fn with_group_bells(self, group_bells: &'d [AtomicBool]) -> Self {
        Self { group_bells, ..self }
    }

    /// Makes all tokens stale, for good: for the end of an engine, and before the next one uses the same cells.
    pub fn reset(&self) {
        self.cells.iter().for_each(DeferCell::clear);
    }

    /// Says that the answer to a deferred exchange is there; wake the worker afterwards. `false` when the token is
    /// stale or another worker's: then nothing happened, and nobody needs to be woken.
    pub fn resolve(&self, token: DeferToken) -> bool {
        let slot = token.slot as usize;
        let resolved = token.realm == self.realm
            && token.worker == self.worker
            && self.cells.get(slot).is_some_and(|cell| cell.resolve(token.serial));
        if resolved {
            self.ring(token.slot);
        }
        resolved
    }

    /// Has the worker look at a slot in its next turn.
    pub(crate) fn ring(&self, slot: u32) {
        // In this order, the opposite of the worker's.
        if let Some(bell) = self.group_bells.get(slot as usize / Self::GROUP).filter(|_| !planted!(GroupUnheard)) {
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

    /// Begins a deferral of `slot`: tokens of earlier ones are stale. `None` when the slot has no cell.
    pub(crate) fn defer(&self, slot: u32) -> Option<DeferToken> {
        let serial = self.cell(slot)?.arm();
        Some(DeferToken { serial, realm: self.realm, slot, worker: self.worker })
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
#[path = "defer_tests.rs"]
mod tests;
