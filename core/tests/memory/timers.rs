//! `Timers` against a list that is searched linearly.

use aurora_http_core::time::Instant;
use aurora_http_core::timers::{Fired, TimerEntry, TimerId, Timers, TimersFull};
use proptest::prelude::*;

const CAPACITY: usize = 7;

#[derive(Clone, Copy, Debug)]
enum Step {
    Create { delay_ms: u32 },
    CreateRecurring { interval_ms: u32 },
    Cancel(prop::sample::Index),
    Pass { ms: u32 },
    Pop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u32..30).prop_map(|delay_ms| Step::Create { delay_ms }),
        2 => (0_u32..30).prop_map(|interval_ms| Step::CreateRecurring { interval_ms }),
        3 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        3 => (0_u32..40).prop_map(|ms| Step::Pass { ms }),
        4 => Just(Step::Pop),
    ]
}

/// The armed timers: (instant, order of arming, interval, id).
#[derive(Default)]
struct Model {
    armed: Vec<(Instant, u64, u64, TimerId)>,
    sequence: u64,
}

impl Model {
    fn arm(&mut self, at: Instant, interval_ms: u64, id: TimerId) {
        self.armed.push((at, self.sequence, interval_ms, id));
        self.sequence += 1;
    }

    fn cancel(&mut self, id: TimerId) -> bool {
        let before = self.armed.len();
        self.armed.retain(|armed| armed.3 != id);
        self.armed.len() < before
    }

    fn pop(&mut self, now: Instant) -> Option<Fired> {
        let &(at, _, interval_ms, id) = self.armed.iter().min_by_key(|armed| (armed.0, armed.1))?;
        if at > now {
            return None;
        }
        self.cancel(id);
        let (mut missed, mut next) = (0, at.0 + interval_ms);
        if interval_ms > 0 {
            while next <= now.0 {
                next += interval_ms;
                missed += 1;
            }
            self.arm(Instant(next), interval_ms, id);
        }
        Some(Fired { id, at, missed })
    }
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn timers_fire_in_order_of_time(steps in prop::collection::vec(step(), 1..150)) {
        let mut table = [TimerEntry::new(); CAPACITY];
        let mut timers = Timers::new(&mut table);
        let (mut model, mut now, mut ids) = (Model::default(), Instant(5), Vec::new());
        for step in steps {
            match step {
                Step::Create { delay_ms } => {
                    let id = timers.create(now, delay_ms);
                    prop_assert_eq!(id.is_ok(), model.armed.len() < CAPACITY);
                    id.iter().for_each(|&id| model.arm(now.plus_ms(delay_ms), 0, id));
                    ids.extend(id);
                }
                Step::CreateRecurring { interval_ms } => {
                    let id = timers.create_recurring(now, interval_ms);
                    prop_assert_eq!(id.is_ok(), model.armed.len() < CAPACITY);
                    let interval_ms = interval_ms.max(1);
                    id.iter().for_each(|&id| model.arm(now.plus_ms(interval_ms), interval_ms.into(), id));
                    ids.extend(id);
                }
                Step::Cancel(index) if !ids.is_empty() => {
                    let id = ids[index.index(ids.len())];
                    prop_assert_eq!(timers.cancel(id), model.cancel(id));
                }
                Step::Cancel(_) => {}
                Step::Pass { ms } => now = now.plus_ms(ms),
                Step::Pop => prop_assert_eq!(timers.pop_expired(now), model.pop(now)),
            }
            prop_assert_eq!(timers.poll_timeout(), model.armed.iter().map(|armed| armed.0).min());
            prop_assert_eq!(timers.len(), model.armed.len());
            for &id in &ids {
                prop_assert_eq!(timers.is_armed(id), model.armed.iter().any(|armed| armed.3 == id));
            }
            let mut places: Vec<_> = model.armed.iter().map(|armed| armed.3.index()).collect();
            places.sort_unstable();
            places.dedup();
            prop_assert!(places.len() == model.armed.len() && places.iter().all(|&place| place < CAPACITY));
        }
    }
}

#[test]
fn a_hundred_at_once_fire_in_the_order_of_their_creation() {
    let mut table = [TimerEntry::new(); 100];
    let mut timers = Timers::new(&mut table);
    let ids = [(); 100].map(|()| timers.create(Instant(7), 0).unwrap());
    assert_eq!(timers.create(Instant(7), 0), Err(TimersFull));
    assert_eq!(timers.pop_expired(Instant(6)), None);
    for id in ids {
        assert_eq!(timers.pop_expired(Instant(7)), Some(Fired { id, at: Instant(7), missed: 0 }));
        assert!(!timers.cancel(id), "cancelling a stale id has no effect");
    }
    assert_eq!((timers.pop_expired(Instant(7)), timers.is_empty()), (None, true));
}

#[test]
fn a_recurring_timer_neither_drifts_nor_bursts() {
    let mut table = [TimerEntry::new(); 1];
    let mut timers = Timers::new(&mut table);
    let id = timers.create_recurring(Instant(0), 10).unwrap();
    // (now, instant that fires, periods missed with it)
    let rows =
        [(9, None), (10, Some((10, 0))), (10, None), (27, Some((20, 0))), (75, Some((30, 4))), (80, Some((80, 0)))];
    for (now, expected) in rows {
        let expected = expected.map(|(at, missed)| Fired { id, at: Instant(at), missed });
        assert_eq!(timers.pop_expired(Instant(now)), expected, "at {now}");
    }
    assert_eq!(timers.poll_timeout(), Some(Instant(90)));
    assert!(timers.cancel(id));
    assert_eq!((timers.cancel(id), timers.poll_timeout()), (false, None));
}

#[test]
fn ids_of_an_earlier_use_of_the_table_stay_stale() {
    let mut table = [TimerEntry::new(); 2];
    let old = Timers::new(&mut table).create(Instant(0), 1).unwrap();
    let mut timers = Timers::new(&mut table);
    assert!(timers.is_empty());
    let new = timers.create(Instant(0), 1).unwrap();
    assert_eq!(new.index(), old.index());
    assert!(!timers.cancel(old));
    assert!(timers.cancel(new));
}
