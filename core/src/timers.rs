//! Timers for programs: one-shot and recurring, in a table of fixed size.

use core::fmt;

use crate::time::Instant;

/// Identifies a timer as long as it is armed; afterwards it is stale, even if its entry is in use again.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

impl TimerId {
    /// The index in the table, below its capacity: for a parallel table of your own that says what each timer is for.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// An entry of the table of a [`Timers`]. The table also contains the heap, so that both are one slice.
#[derive(Clone, Copy, Debug)]
pub struct TimerEntry {
    at: Instant,
    /// Order of arming: of two timers for the same instant, the one that was armed first fires first.
    sequence: u64,
    /// 0: one-shot.
    interval_ms: u32,
    generation: u32,
    /// Where this timer is in the heap.
    position: u32,
    /// The heap's content at *this* position: the index of a timer, or after the heap's end that of a vacant entry.
    heap: u32,
}

static_assertions::const_assert!(size_of::<TimerEntry>() <= 32);

impl TimerEntry {
    /// A vacant entry.
    #[must_use]
    pub const fn new() -> Self {
        Self { at: Instant(0), sequence: 0, interval_ms: 0, generation: 0, position: 0, heap: 0 }
    }
}

impl Default for TimerEntry {
    fn default() -> Self {
        Self::new()
    }
}

/// All entries of the table are in use; nothing was armed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimersFull;

impl fmt::Display for TimersFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all timers are in use")
    }
}

impl core::error::Error for TimersFull {}

/// A timer that fired.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fired {
    /// Which one. The id of a one-shot timer is stale by now.
    pub id: TimerId,
    /// When it was due; if several periods were missed, the first of them.
    pub at: Instant,
    /// The number of further periods of a recurring timer that have passed; they do not fire separately.
    pub missed: u64,
}

/// Timers in a table of fixed size: O(log n) to arm, cancel and fire.
///
/// A timer never fires early. How late it fires depends on how long a turn of the loop takes, and on the resolution of the
/// system's wait.
///
/// ```
/// use aurora_http_core::{time::Instant, timers::{TimerEntry, Timers}};
///
/// let mut table = [TimerEntry::new(); 8];
/// let mut timers = Timers::new(&mut table);
/// let tick = timers.create_recurring(Instant(0), 100)?;
/// let once = timers.create(Instant(0), 250)?;
/// assert_eq!(timers.poll_timeout(), Some(Instant(100)));
/// assert_eq!(timers.pop_expired(Instant(230)).map(|fired| (fired.id, fired.missed)), Some((tick, 1)));
/// assert_eq!(timers.pop_expired(Instant(230)), None);
/// assert!(timers.cancel(once));
/// assert_eq!(timers.poll_timeout(), Some(Instant(300)));
/// # Ok::<(), aurora_http_core::timers::TimersFull>(())
/// ```
#[derive(Debug)]
pub struct Timers<'s> {
    /// The `heap` fields are a permutation of all indices: first the armed timers as a binary heap, then vacant ones.
    /// `entries[entries[i].position].heap == i` for every armed timer `i`.
    entries: &'s mut [TimerEntry],
    len: u32,
    sequence: u64,
}

impl<'s> Timers<'s> {
    /// A table without armed timers, whatever its entries contained. O(capacity).
    #[must_use]
    pub fn new(entries: &'s mut [TimerEntry]) -> Self {
        let capacity = entries.len().min(u32::MAX as usize);
        let entries = &mut entries[..capacity];
        for (index, entry) in (0..).zip(entries.iter_mut()) {
            // Generations continue, so that ids from an earlier use of the table stay stale.
            entry.generation = entry.generation.wrapping_add(1);
            entry.heap = index;
        }
        Self { entries, len: 0, sequence: 0 }
    }

    /// Arms a timer that fires once, `delay_ms` after `now`. With 0 it is due at once.
    ///
    /// # Errors
    /// [`TimersFull`].
    pub fn create(&mut self, now: Instant, delay_ms: u32) -> Result<TimerId, TimersFull> {
        self.arm(now.plus_ms(delay_ms), 0)
    }

    /// Arms a timer that fires every `interval_ms` until it is cancelled, for the first time one interval after `now`. 0
    /// counts as 1 ms, because a timer that is due again at once would never let a turn end.
    ///
    /// It does not drift: each instant is the previous one plus the interval, however late the timer fired. If several
    /// have passed, it fires once for all of them ([`Fired::missed`]).
    ///
    /// # Errors
    /// [`TimersFull`].
    pub fn create_recurring(&mut self, now: Instant, interval_ms: u32) -> Result<TimerId, TimersFull> {
        let interval_ms = interval_ms.max(1);
        self.arm(now.plus_ms(interval_ms), interval_ms)
    }

    /// Disarms a timer, and returns whether it was armed.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        if !self.is_armed(id) {
            return false;
        }
        self.remove(id.index);
        true
    }

    /// Whether the timer will fire (again).
    #[must_use]
    pub fn is_armed(&self, id: TimerId) -> bool {
        let Some(entry) = self.entries.get(id.index()) else { return false };
        // The generation alone decides, except for ids of another table.
        entry.generation == id.generation && entry.position < self.len && self.at_position(entry.position) == id.index
    }

    /// The next timer that is due at `now`, in order of time; `None` if none is due.
    ///
    /// Call it until it returns `None`. A program that arms a timer of 0 ms whenever one fires must bound that loop,
    /// for example by [`len`](Self::len) before it.
    pub fn pop_expired(&mut self, now: Instant) -> Option<Fired> {
        if self.poll_timeout()? > now {
            return None;
        }
        let index = self.at_position(0);
        let entry = &mut self.entries[index as usize];
        let (at, id) = (entry.at, TimerId { index, generation: entry.generation });
        if entry.interval_ms == 0 {
            self.remove(index);
            return Some(Fired { id, at, missed: 0 });
        }
        let interval_ms = u64::from(entry.interval_ms);
        let missed = now.ms_since(at) / interval_ms;
        entry.at = Instant(at.0.saturating_add(missed.saturating_add(1).saturating_mul(interval_ms)));
        entry.sequence = self.sequence;
        self.sequence += 1;
        self.sift_down(0);
        Some(Fired { id, at, missed })
    }

    /// Calls `fire` for each timer that is due at `now`, in order of time, but at most as often as timers were armed before:
    /// timers that `fire` creates wait for the next call.
    pub fn fire(&mut self, now: Instant, mut fire: impl FnMut(&mut Self, Fired)) {
        for _ in 0..self.len() {
            let Some(fired) = self.pop_expired(now) else { return };
            fire(self, fired);
        }
    }

    /// When the next timer is due; `None` if no timer is armed.
    #[inline]
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.len == 0 { None } else { Some(self.timer_at(0).at) }
    }

    /// The number of armed timers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no timer is armed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The most timers that can be armed at once.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.entries.len()
    }

    fn arm(&mut self, at: Instant, interval_ms: u32) -> Result<TimerId, TimersFull> {
        let position = self.len;
        let index = self.entries.get(position as usize).ok_or(TimersFull)?.heap;
        let entry = &mut self.entries[index as usize];
        entry.at = at;
        entry.interval_ms = interval_ms;
        entry.sequence = self.sequence;
        entry.position = position;
        let id = TimerId { index, generation: entry.generation };
        self.sequence += 1;
        self.len += 1;
        self.sift_up(position);
        Ok(id)
    }

    /// Removes the armed timer `index` from the heap and makes its id stale.
    fn remove(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        let position = entry.position;
        self.len -= 1;
        let last = self.len;
        self.swap(position, last);
        if position < last {
            // The timer that took its place may belong further up or further down.
            self.sift_up(position);
            self.sift_down(position);
        }
    }

    fn sift_up(&mut self, mut position: u32) {
        while position > 0 {
            let parent = (position - 1) / 2;
            if !self.is_earlier(position, parent) {
                return;
            }
            self.swap(position, parent);
            position = parent;
        }
    }

    fn sift_down(&mut self, mut position: u32) {
        loop {
            let left = 2 * u64::from(position) + 1;
            if left >= u64::from(self.len) {
                return;
            }
            let left = left as u32;
            let right = left + 1;
            let child = if right < self.len && self.is_earlier(right, left) { right } else { left };
            if !self.is_earlier(child, position) {
                return;
            }
            self.swap(position, child);
            position = child;
        }
    }

    fn is_earlier(&self, position: u32, other: u32) -> bool {
        let (timer, other) = (self.timer_at(position), self.timer_at(other));
        (timer.at, timer.sequence) < (other.at, other.sequence)
    }

    fn swap(&mut self, position: u32, other: u32) {
        let (timer, other_timer) = (self.at_position(position), self.at_position(other));
        self.place(other_timer, position);
        self.place(timer, other);
    }

    fn place(&mut self, index: u32, position: u32) {
        self.entries[position as usize].heap = index;
        self.entries[index as usize].position = position;
    }

    /// The index of the timer at a position of the heap.
    #[inline]
    fn at_position(&self, position: u32) -> u32 {
        self.entries[position as usize].heap
    }

    #[inline]
    fn timer_at(&self, position: u32) -> &TimerEntry {
        &self.entries[self.at_position(position) as usize]
    }
}
