//! Parked operations, queued entries and lent buffers.

use super::ACCEPTS_PER_TURN;
use crate::pool::Buf;
use crate::reactor::{OpKind, OpToken};

/// Means "no entry" in a link. It is beyond the end of every table, so looking it up is the test for it.
pub(super) const NONE: u32 = u32::MAX;

// Two readiness flags, and two bits higher the operations that wait for them: `flags & flags >> 2` is what can be
// tried.
pub(super) const READABLE: u16 = 1;
pub(super) const WRITABLE: u16 = 1 << 1;
/// A receive is parked, or (with `ACCEPT`) an accept.
pub(super) const RECV: u16 = 1 << 2;
pub(super) const SEND: u16 = 1 << 3;
/// The end was reported: no further event will follow.
pub(super) const ENDED: u16 = 1 << 4;
pub(super) const QUEUED_NOW: u16 = 1 << 5;
pub(super) const ACCEPT: u16 = 1 << 7;
pub(super) const CANCEL_RECV: u16 = 1 << 8;
pub(super) const CANCEL_SEND: u16 = 1 << 9;
pub(super) const CLOSE: u16 = 1 << 10;
// Two more such bits, `flags >> 11`: the entry had its receive, or its send, in this turn. An entry with one of them is
// in the stack of served ones, and the next turn begins by clearing them.
pub(super) const HAD_RECV: u16 = 1 << 11;
pub(super) const HAD_SEND: u16 = 1 << 12;
pub(super) const HAD: u16 = HAD_RECV | HAD_SEND;

/// The flags of a handle about which nothing is known.
pub(super) const FRESH: u16 = READABLE | WRITABLE;
/// Flags that complete an operation whatever the readiness is.
pub(super) const FORCED: u16 = CANCEL_RECV | CANCEL_SEND | CLOSE;
/// Flags that the hot path leaves to `Readiness::complete_rare`.
pub(super) const RARE: u16 = FORCED | ACCEPT;

/// The state that [`Readiness`](super::Readiness) keeps per handle: 24 bytes. What its operations hold is in a [`Held`](super::Held).
pub struct Parked {
    /// The slot and generation of every operation on this handle; its kind is meaningless.
    pub(super) owner: OpToken,
    pub(super) flags: u16,
    /// The number of accepts in this turn, or in the last turn that had any.
    pub(super) accepted: u16,
    /// The record of what its operations hold, [`NONE`] if they hold nothing.
    pub(super) held: u32,
    pub(super) next_now: u32,
    pub(super) next_served: u32,
}

const _: () = assert!(size_of::<Parked>() == 24);

impl Parked {
    /// An entry for the table of a new reactor, which initialises it. It is all zeros, so that a `static` of them takes no
    /// flash.
    #[must_use]
    pub const fn new() -> Self {
        Self { owner: OpToken::from_bits(0), flags: 0, accepted: 0, held: 0, next_now: 0, next_served: 0 }
    }

    /// An entry without operations.
    pub(super) const fn idle() -> Self {
        Self { flags: FRESH, held: NONE, next_now: NONE, next_served: NONE, ..Self::new() }
    }

    /// The parked operations for which the handle is ready, as `READABLE` and `WRITABLE`.
    #[inline(always)]
    pub(super) fn due(&self) -> u16 {
        self.flags & (self.flags >> 2) & (READABLE | WRITABLE)
    }

    /// Those of them that had no share of this turn yet; not for a listener, which gets more than one.
    #[inline(always)]
    pub(super) fn due_now(&self) -> u16 {
        // Fewer instructions than with 16 bits.
        let flags = u32::from(self.flags);
        (flags & (flags >> 2) & !(flags >> 11)) as u16 & (READABLE | WRITABLE)
    }

    #[inline(always)]
    pub(super) fn may_recv(&self) -> bool {
        self.flags & HAD_RECV == 0 || (self.flags & ACCEPT != 0 && self.accepted < ACCEPTS_PER_TURN)
    }

    /// Whether an operation may take the place `seat`: it is free, the handle is not being closed, and other operations
    /// in flight have the same owner.
    #[inline(always)]
    pub(super) fn admits(&self, seat: u16, token: OpToken) -> bool {
        self.flags & (seat | CLOSE) == 0 && (self.flags & (RECV | SEND) == 0 || self.is_owned_by(token))
    }

    #[inline(always)]
    pub(super) fn is_owned_by(&self, token: OpToken) -> bool {
        self.owner.with_kind(OpKind::Accept) == token.with_kind(OpKind::Accept)
    }
}

impl Default for Parked {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(HAD_RECV >> 11 == READABLE && HAD_SEND >> 11 == WRITABLE);

/// The entries to try in this turn, linked by `next_now`.
pub(super) struct Queue {
    pub(super) first: u32,
    /// Meaningless if `first` is `NONE`.
    pub(super) last: u32,
}

impl Queue {
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn push(&mut self, parked: &mut [Parked], index: u32) {
        let Some(entry) = parked.get_mut(index as usize) else { return };
        if entry.flags & QUEUED_NOW != 0 {
            return;
        }
        entry.flags |= QUEUED_NOW;
        entry.next_now = NONE;
        if self.first == NONE {
            self.first = index;
        } else if let Some(last) = parked.get_mut(self.last as usize) {
            last.next_now = index;
        }
        self.last = index;
    }

    /// Puts an entry at the front, unless it is in the queue.
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn push_first(&mut self, parked: &mut [Parked], index: u32) {
        let Some(entry) = parked.get_mut(index as usize) else { return };
        if entry.flags & QUEUED_NOW != 0 {
            return;
        }
        entry.flags |= QUEUED_NOW;
        entry.next_now = self.first;
        if self.first == NONE {
            self.last = index;
        }
        self.first = index;
    }
}

/// A stack of the entries that had a share of this turn (those with `HAD`), linked by `next_served`.
pub(super) struct Served {
    pub(super) top: u32,
}

impl Served {
    /// Records that the operation `done` has completed, as the share `had` of this turn.
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn push(&mut self, entry: &mut Parked, index: u32, done: u16, had: u16) {
        if entry.flags & HAD == 0 {
            entry.next_served = self.top;
            self.top = index;
        }
        entry.flags = entry.flags & !done | had;
    }

    /// Whether one of them can be tried in the next turn.
    pub(super) fn is_due(&self, parked: &[Parked]) -> bool {
        let mut index = self.top;
        while let Some(entry) = parked.get(index as usize) {
            if entry.due() != 0 {
                return true;
            }
            index = entry.next_served;
        }
        false
    }
}

/// A stack of lent buffers, so that the one that was returned last, which is warm in the cache, is used first.
pub(super) struct Lent<'s, 'p> {
    pub(super) places: &'s mut [Option<Buf<'p>>],
    pub(super) count: usize,
}

impl<'p> Lent<'_, 'p> {
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn push(&mut self, buf: Buf<'p>) -> Result<(), Buf<'p>> {
        let Some(place) = self.places.get_mut(self.count) else { return Err(buf) };
        *place = Some(buf);
        self.count += 1;
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Buf<'p>> {
        self.count = self.count.checked_sub(1)?;
        self.places.get_mut(self.count)?.take()
    }
}
