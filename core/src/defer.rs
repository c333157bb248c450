//! Deferred answers: tokens with which another thread, or an interrupt, tells that an answer is ready.
//!
//! A handler that cannot answer yet takes a [`DeferToken`] from its writer and returns
//! [`Flow::Defer`](crate::handler::Flow::Defer). When the answer is ready, the holder of the token
//! [resolves](Deferrals::resolve) it and wakes the worker, which then calls
//! [`Handler::resume`](crate::handler::Handler::resume). Tokens are plain data: a stale one does nothing.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Identifies one deferred exchange: realm, worker, slot, and the number of the deferral in its slot.
///
/// Numbers continue when a slot is reused, and when the next engine uses the same cells: a cell repeats a number only
/// after 2⁶¹ deferrals.
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

/// The state that a slot shares with the holders of its tokens: the number of its last deferral, whether that is
/// waiting, and whether it has been resolved.
///
/// Two words, because not every core has 64-bit atomics. The lowest 30 bits of the number are in `word`, the others in
/// `block`, which also repeats the highest of those 30. Resolving loads `block` first and then exchanges `word`.
/// Because of the common bit, `word` can have the same value again only after 2²⁹ deferrals of the slot between these
/// two instructions.
#[derive(Debug, Default)]
pub struct DeferCell {
    block: AtomicU32,
    word: AtomicU32,
}

/// In [`DeferCell::word`]: an exchange is waiting.
const ARMED: u32 = 2;
/// In [`DeferCell::word`]: its token has been resolved.
const RESOLVED: u32 = 1;
/// Bits of a number in [`DeferCell::word`].
const WORD_BITS: u32 = 30;
/// Bits of a number that are only in [`DeferCell::word`].
const BLOCK_BITS: u32 = WORD_BITS - 1;
/// The bits of a number.
const SERIAL_MASK: u64 = (1 << (BLOCK_BITS + 32)) - 1;

/// The value of `word` for a deferral that is over.
const fn word(serial: u64) -> u32 {
    (serial as u32) << 2
}

/// The value of `block`.
const fn block(serial: u64) -> u32 {
    (serial >> BLOCK_BITS) as u32
}

impl DeferCell {
    /// A cell that has never deferred anything. New cells count from the start: if tokens of other cells may still
    /// exist, put them in a separate [realm](Deferrals::in_realm).
    #[must_use]
    pub const fn new() -> Self {
        Self { block: AtomicU32::new(0), word: AtomicU32::new(0) }
    }

    /// A cell that has given out numbers up to `serial`: for tests of the wrap-around.
    #[cfg(feature = "sim")]
    #[must_use]
    pub const fn with_serial(serial: u64) -> Self {
        Self { block: AtomicU32::new(block(serial)), word: AtomicU32::new(word(serial)) }
    }

    /// Begins a deferral, and returns its number. Only the worker calls this, like all methods except
    /// [`resolve`](Self::resolve).
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

    /// From here on the previous deferral cannot be resolved, and the new one not yet.
    fn end_last(&self, serial: u64) {
        self.word.store(word(serial), Ordering::SeqCst);
    }

    fn enter_block(&self, serial: u64) {
        self.block.store(block(serial), Ordering::SeqCst);
    }

    fn wait(&self, serial: u64) {
        self.word.store(word(serial) | ARMED, Ordering::SeqCst);
    }

    /// Ends the deferral; the number is kept.
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

    /// With compare-and-swap, a stale token can never undo a concurrent change of the slot. A core that has only loads
    /// and stores (Cortex-M0) is a single one, and resolving from an interrupt is not interrupted by the worker.
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

/// The cells of one worker, one per slot, and a bell, shared between the worker and the holders of tokens.
///
/// ```
/// use core::sync::atomic::AtomicBool;
/// use aurora_http_core::defer::{DeferCell, DeferToken, Deferrals};
///
/// static CELLS: [DeferCell; 16] = [const { DeferCell::new() }; 16];
/// static BELL: AtomicBool = AtomicBool::new(false);
/// const DEFERRALS: Deferrals<'static> = Deferrals::new(0, &CELLS, &BELL);
///
/// // With the DEFERRALS in the storage of an engine, its handlers can give out tokens. From an interrupt or a thread:
/// fn answer_is_ready(token: DeferToken, wake_the_worker: impl FnOnce()) {
///     if DEFERRALS.resolve(token) {
///         wake_the_worker();
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Deferrals<'d> {
    realm: u32,
    worker: u16,
    cells: &'d [DeferCell],
    bell: &'d AtomicBool,
    /// One for each [`Deferrals::GROUP`] cells, or none at all.
    group_bells: &'d [AtomicBool],
}

/// The bell of engines that defer nothing.
static NO_BELL: AtomicBool = AtomicBool::new(false);

impl<'d> Deferrals<'d> {
    /// No cells: no slot can defer.
    pub const NONE: Deferrals<'static> = Deferrals::new(0, &[], &NO_BELL);

    /// The number of cells that share a group bell: see [`with_group_bells`](Self::with_group_bells).
    pub const GROUP: usize = 64;

    /// The cells of worker number `worker`. Slots beyond the last cell cannot defer.
    #[must_use]
    pub const fn new(worker: u16, cells: &'d [DeferCell], bell: &'d AtomicBool) -> Self {
        Self { realm: 0, worker, cells, bell, group_bells: &[] }
    }

    /// Sets the realm: tokens of other realms are stale here, even if they have the same worker and slot. For programs
    /// with several servers. The default is realm 0.
    #[must_use]
    pub const fn in_realm(self, realm: u32) -> Self {
        Self { realm, ..self }
    }

    /// Adds a bell for each [`GROUP`](Self::GROUP) cells, so that the worker finds resolved cells without scanning all
    /// of them: for more than a few hundred connections. Cells beyond the last group are always scanned.
    #[must_use]
    pub const fn with_group_bells(self, group_bells: &'d [AtomicBool]) -> Self {
        Self { group_bells, ..self }
    }

    /// Makes all tokens stale, permanently: at the end of an engine, and before the next one uses the same cells.
    pub fn reset(&self) {
        self.cells.iter().for_each(DeferCell::clear);
    }

    /// Tells that the answer of a deferred exchange is ready. `true`: wake the worker now. `false`: the token is stale
    /// or another worker's, and nothing has changed.
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

    /// Makes the worker check a slot in its next turn.
    pub(crate) fn ring(&self, slot: u32) {
        // In the opposite order of the worker's.
        if let Some(bell) = self.group_bells.get(slot as usize / Self::GROUP).filter(|_| !planted!(GroupUnheard)) {
            bell.store(true, Ordering::SeqCst);
        }
        self.bell.store(true, Ordering::SeqCst);
    }

    /// Whether a token was resolved since the last [`take_bell`](Self::take_bell).
    #[inline]
    pub(crate) fn is_rung(&self) -> bool {
        self.bell.load(Ordering::Relaxed)
    }

    /// Whether a token was resolved since the last call.
    #[inline]
    pub(crate) fn take_bell(&self) -> bool {
        take(self.bell)
    }

    pub(crate) fn cell(&self, slot: u32) -> Option<&'d DeferCell> {
        self.cells.get(slot as usize)
    }

    /// Begins a deferral of `slot`, which makes earlier tokens stale. `None` if the slot has no cell.
    pub(crate) fn defer(&self, slot: u32) -> Option<DeferToken> {
        let serial = self.cell(slot)?.arm();
        Some(DeferToken { serial, realm: self.realm, slot, worker: self.worker })
    }

    /// The next resolved slot from `from` on, which is 0 or one more than the last result. Reads and clears a group's
    /// bell when it reaches the group's first cell.
    pub(crate) fn next_resolved(&self, from: u32) -> Option<u32> {
        let mut from = from as usize;
        loop {
            let rest = self.cells.get(from..)?;
            let group = rest.len().min(Self::GROUP - from % Self::GROUP);
            let is_silent = from.is_multiple_of(Self::GROUP)
                && self.group_bells.get(from / Self::GROUP).is_some_and(|bell| !take(bell));
            let found = rest.iter().take(group).position(DeferCell::is_resolved);
            match found.filter(|_| !is_silent) {
                Some(at) => return Some((from + at) as u32),
                None if group == 0 => return None,
                None => from += group,
            }
        }
    }
}

/// Clears the bell before the cells are read, so that a later resolve rings again.
#[cfg_attr(not(feature = "small"), inline)]
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
