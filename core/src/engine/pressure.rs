//! How long other connections have lacked a slot or a buffer that an incomplete head holds, and how old such a head may
//! become meanwhile.

use heapless::Deque;

use crate::time::Instant;

/// How old an incomplete head must be before its connection may be ended for another one, at first.
const STALE_MS: u64 = 2_000;

/// How long others must have waited until any head is old enough.
const PRESSURE_MS: u64 = 250;

/// The least time that a client has to receive its response, however long newcomers wait.
const RECEIVING_MS: u64 = 25;

/// How much of the waiting time is taken off by one that is served without another's end.
const EASED_MS: u64 = PRESSURE_MS / 16;

/// If none has waited for this long, the pressure starts from nothing again.
const RELIEF_MS: u64 = 1_000;

/// When a head that began at `began` is old enough to be ended for others, who have been waiting since `since`: after
/// [`STALE_MS`], minus a multiple of their waiting time. At least 1 ms, so that what the client sent at once has been
/// handled.
pub(super) fn stale_at(began: Instant, since: Instant) -> Instant {
    const SHRINKS: u32 = (STALE_MS / PRESSURE_MS) as u32;
    if planted!(NoPressure) {
        return Instant(began.0 + 20 * STALE_MS);
    }
    // The time at which `at - began == STALE_MS - SHRINKS * (at - since)`, limited to where the right-hand side is 0. It
    // shrinks only after `since`; and what is more than 32 bits is beyond the limit.
    let after_since = u32::try_from((STALE_MS + began.0).saturating_sub(since.0)).unwrap_or(u32::MAX);
    let while_it_shrinks = since.0 + u64::from(after_since.div_ceil(1 + SHRINKS));
    let at = while_it_shrinks.min(since.0 + PRESSURE_MS).min(began.0 + STALE_MS);
    Instant(at.max(began.0 + 1))
}

/// When a connection that has lingered or been idle since `began` may be ended for a newcomer although its client is
/// still receiving: long after any head, but before newcomers have waited for a second.
pub(super) fn receiving_until(began: Instant, since: Instant) -> Instant {
    Instant((since.0 + 2 * PRESSURE_MS).max(began.0 + RECEIVING_MS))
}

/// The pressure of newcomers without a slot, most of whom are in a backlog and cannot be counted. It grows while one
/// waits, and shrinks with each one that finds a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pressure {
    waits: Option<Waits>,
}

/// Newcomers who wait, or have waited one after the other.
#[derive(Clone, Copy, Debug)]
struct Waits {
    /// Since when, as if there had been no time between them.
    since: Instant,
    /// When one was last seen waiting.
    seen: Instant,
    /// Whether none has waited after `seen`.
    is_over: bool,
}

impl Waits {
    /// `since`, with the time in which none has waited taken off; `None` if that was long.
    fn since_at(&self, now: Instant) -> Option<Instant> {
        let pause_ms = if self.is_over { now.ms_since(self.seen) } else { 0 };
        let counted_ms = if planted!(PausesCountAsWaiting) { 0 } else { pause_ms };
        (pause_ms < RELIEF_MS).then(|| Instant((self.since.0 + counted_ms).min(now.0)))
    }
}

impl Pressure {
    pub(super) const fn new() -> Self {
        Self { waits: None }
    }

    /// A newcomer waits.
    pub(super) fn press(&mut self, now: Instant) {
        let since = self.waits.and_then(|waits| waits.since_at(now));
        self.waits = Some(Waits { since: since.unwrap_or(now), seen: now, is_over: false });
    }

    /// No newcomer waits any more.
    pub(super) fn rest(&mut self, now: Instant) {
        if let Some(waits) = &mut self.waits
            && !waits.is_over
        {
            (waits.seen, waits.is_over) = (now, true);
        }
    }

    /// A newcomer is served without another connection's end. After a few of them the pressure is gone.
    pub(super) fn ease(&mut self, now: Instant) {
        let eased = |since: Instant| Instant(since.0.max(now.0.saturating_sub(PRESSURE_MS)) + EASED_MS);
        self.waits = self.waits.and_then(|waits| {
            let since = eased(waits.since_at(now)?);
            (since < now).then_some(Waits { since, seen: now, ..waits })
        });
    }

    /// Since when newcomers have been waiting; `now` if none is.
    pub(super) fn since(&self, now: Instant) -> Instant {
        self.waits.map_or(now, |waits| waits.since)
    }
}

/// The number of marks of a queue.
const MARKS: usize = 8;

/// The least time between two marks.
const MARK_MS: u64 = PRESSURE_MS / MARKS as u64;

/// Tells since when the first connection in a queue has been waiting, without a note for each one: it records from time
/// to time which one was last in the queue. Times are the low 32 bits of milliseconds: nothing waits for as long as that.
#[derive(Debug)]
pub(super) struct Marks(Deque<(u32, u32), MARKS>);

impl Marks {
    pub(super) const fn new() -> Self {
        Self(Deque::new())
    }

    /// The queue is not empty, and `last` is at its end.
    pub(super) fn mark(&mut self, last: u32, now: Instant) {
        if self.0.back().is_some_and(|(index, since)| *index == last || ms_since(now, *since) < MARK_MS) {
            return;
        }
        if self.0.is_full() {
            // Every other mark is enough: the longer they wait, the less precision is needed.
            for _ in 0..MARKS / 2 {
                let kept = self.0.pop_front();
                self.0.pop_front();
                kept.into_iter().for_each(|mark| self.push(mark));
            }
        }
        self.push((last, now.0 as u32));
    }

    fn push(&mut self, mark: (u32, u32)) {
        let pushed = self.0.push_back(mark);
        debug_assert!(pushed.is_ok(), "there must be room");
    }

    /// The slot has left the queue, at its front.
    pub(super) fn left(&mut self, index: u32) {
        if self.0.front().is_some_and(|(front, _)| *front == index) {
            self.0.pop_front();
        }
    }

    /// The queue is empty.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Since when the first one has been waiting, or slightly later; `now` if none is.
    pub(super) fn since(&self, now: Instant) -> Instant {
        self.0.front().map_or(now, |(_, since)| Instant(now.0.saturating_sub(ms_since(now, *since))))
    }
}

/// The milliseconds since an earlier time, of which the low 32 bits are known. A time that is slightly later than `now` counts as
/// `now`.
fn ms_since(now: Instant, since: u32) -> u64 {
    let ms = (now.0 as u32).wrapping_sub(since) as i32;
    ms.max(0) as u64
}

#[cfg(test)]
mod tests {
    use super::{EASED_MS, MARK_MS, Marks, PRESSURE_MS, Pressure, RELIEF_MS, stale_at};
    use crate::time::Instant;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn the_time_of_a_head_shrinks_with_the_time_that_others_wait() {
        let at = |began, since| stale_at(Instant(began), Instant(since)).0;
        assert_eq!(at(5_000, 9_000), 7_000, "2 s at first");
        assert_eq!(at(8_000, 9_000), 9_112, "1 112 ms old, when 2 000 - 8 * 112 ms are allowed");
        assert_eq!(at(9_000, 9_000), 9_223, "223 ms old, when 2 000 - 8 * 223 ms are allowed");
        assert_eq!(at(9_240, 9_000), 9_249);
        assert_eq!(at(9_600, 9_000), 9_601, "no time is allowed, but what it sent at once is handled");
    }

    #[test]
    fn being_served_reduces_the_pressure_and_a_second_without_newcomers_resets_it() {
        let mut pressure = Pressure::new();
        pressure.press(Instant(1_000));
        pressure.press(Instant(1_999));
        assert_eq!(pressure.since(Instant(2_000)), Instant(1_000));
        pressure.ease(Instant(2_000));
        assert_eq!(pressure.since(Instant(2_000)), Instant(2_000 - PRESSURE_MS + EASED_MS));
        for _ in 0..PRESSURE_MS / EASED_MS {
            pressure.ease(Instant(2_000));
        }
        assert_eq!(pressure.since(Instant(2_000)), Instant(2_000));
        assert_eq!(pressure.since(Instant(2_500)), Instant(2_500), "it stays away");
        pressure.press(Instant(2_000 - EASED_MS));
        pressure.ease(Instant(2_000));
        assert_eq!(pressure.since(Instant(2_500)), Instant(2_500), "all of it was taken off");
        pressure.press(Instant(2_000));
        pressure.rest(Instant(2_000));
        pressure.press(Instant(2_000 + RELIEF_MS));
        assert_eq!(pressure.since(Instant(9_000)), Instant(2_000 + RELIEF_MS));
    }

    #[test]
    fn only_time_in_which_a_newcomer_waits_counts() {
        let mut pressure = Pressure::new();
        pressure.press(Instant(1_000));
        pressure.rest(Instant(1_100));
        pressure.rest(Instant(1_500));
        pressure.press(Instant(1_600));
        assert_eq!(pressure.since(Instant(1_600)), Instant(1_500), "the first one waited for 100 ms");
        pressure.press(Instant(5_000));
        assert_eq!(pressure.since(Instant(5_000)), Instant(1_500), "the second one has been waiting all the time");
        pressure.rest(Instant(5_000));
        pressure.ease(Instant(5_800));
        pressure.press(Instant(5_800));
        assert_eq!(
            pressure.since(Instant(5_800)),
            Instant(5_800 - PRESSURE_MS + EASED_MS),
            "a pause is taken off once"
        );
    }

    proptest! {
        #[test]
        fn marks_tell_since_when_the_first_in_the_queue_waits(
            steps in prop::collection::vec((0_u64..30, 0_u32..4, 0_usize..4), 0..200),
        ) {
            let (mut marks, mut line, mut now, mut next) = (Marks::new(), VecDeque::new(), Instant(1_000), 0);
            for (ms, come, leave) in steps {
                now = now.plus_ms(ms as u32);
                for _ in 0..come {
                    line.push_back((next, now));
                    next += 1;
                }
                for _ in 0..leave {
                    line.pop_front().into_iter().for_each(|(index, _)| marks.left(index));
                }
                match line.back() {
                    Some((last, _)) => marks.mark(*last, now),
                    None => marks.clear(),
                }
                let Some((_, truth)) = line.front() else {
                    prop_assert_eq!(marks.since(now), now);
                    continue;
                };
                let told = marks.since(now);
                prop_assert!(told >= *truth, "never earlier");
                let (told_ms, true_ms) = (now.ms_since(told), now.ms_since(*truth));
                prop_assert!(2 * (told_ms + MARK_MS + 30) >= true_ms, "{told_ms} ms for {true_ms} ms");
            }
        }
    }
}
