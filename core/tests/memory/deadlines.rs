//! `Deadlines` against a list that is searched linearly.

use aurora_http_core::deadlines::{DeadlineNode, DeadlineSlots, Deadlines};
use aurora_http_core::time::Instant;
use proptest::prelude::*;

const SLOTS: usize = 9;
const TIMEOUTS_MS: [u32; 3] = [10, 25, 10];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Like the engine: after the timeout of the class.
    Arm {
        index: u32,
        class: usize,
    },
    /// As after a change of the clock or the configuration.
    ArmAt {
        index: u32,
        class: usize,
        at: u64,
    },
    /// A time in the heap.
    ArmWake {
        index: u32,
        at: u64,
    },
    Cancel {
        index: u32,
    },
    Pass {
        ms: u32,
    },
    Pop,
    PopWake,
}

fn step() -> impl Strategy<Value = Step> {
    let (index, class) = (0..SLOTS as u32, 0..TIMEOUTS_MS.len());
    prop_oneof![
        6 => (index.clone(), class.clone()).prop_map(|(index, class)| Step::Arm { index, class }),
        2 => (index.clone(), class, 0_u64..200).prop_map(|(index, class, at)| Step::ArmAt { index, class, at }),
        4 => (index.clone(), 0_u64..200).prop_map(|(index, at)| Step::ArmWake { index, at }),
        2 => index.prop_map(|index| Step::Cancel { index }),
        3 => (0_u32..12).prop_map(|ms| Step::Pass { ms }),
        2 => Just(Step::Pop),
        2 => Just(Step::PopWake),
    ]
}

/// The armed deadlines: (instant, class, order of arming, slot), so that the smallest is the next.
#[derive(Default)]
struct Model {
    armed: Vec<(Instant, usize, u64, u32)>,
    /// The times in the heap: (instant, slot).
    wakes: Vec<(Instant, u32)>,
    sequence: u64,
}

impl Model {
    fn arm(&mut self, index: u32, class: usize, at: Instant) {
        if self.armed.iter().any(|&(was_at, was, _, slot)| (was_at, was, slot) == (at, class, index)) {
            return;
        }
        self.cancel(index);
        self.armed.push((at, class, self.sequence, index));
        self.sequence += 1;
    }

    fn cancel(&mut self, index: u32) {
        self.armed.retain(|&(.., slot)| slot != index);
        self.wakes.retain(|&(_, slot)| slot != index);
    }

    fn arm_wake(&mut self, index: u32, at: Instant) {
        self.cancel(index);
        self.wakes.push((at, index));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.armed.iter().map(|armed| armed.0).chain(self.wakes.iter().map(|wake| wake.0)).min()
    }

    fn pop(&mut self, now: Instant) -> Option<(u32, usize)> {
        let &(at, class, _, index) = self.armed.iter().min()?;
        if at > now {
            return None;
        }
        self.cancel(index);
        Some((index, class))
    }
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn deadlines_expire_in_order_of_time(steps in prop::collection::vec(step(), 1..120)) {
        let mut nodes = [DeadlineNode::new(); SLOTS];
        let nodes = &mut nodes[..];
        let mut deadlines = Deadlines::<3>::new();
        let (mut model, mut now) = (Model::default(), Instant(0));
        for step in steps {
            match step {
                Step::Arm { index, class } => {
                    deadlines.arm(nodes, index, class, now.plus_ms(TIMEOUTS_MS[class]));
                    model.arm(index, class, now.plus_ms(TIMEOUTS_MS[class]));
                }
                Step::ArmAt { index, class, at } => {
                    deadlines.arm(nodes, index, class, Instant(at));
                    model.arm(index, class, Instant(at));
                }
                Step::Cancel { index } => {
                    deadlines.cancel(nodes, index);
                    model.cancel(index);
                }
                Step::Pass { ms } => now = now.plus_ms(ms),
                Step::ArmWake { index, at } => {
                    deadlines.arm_wake(nodes, index, Instant(at));
                    model.arm_wake(index, Instant(at));
                }
                Step::Pop => prop_assert_eq!(deadlines.pop_expired(nodes, now), model.pop(now)),
                Step::PopWake => {
                    // Equal times may come in any order.
                    let first = model.wakes.iter().map(|wake| wake.0).min().filter(|at| *at <= now);
                    let popped = deadlines.pop_wake(nodes, now);
                    let its = popped.and_then(|index| model.wakes.iter().find(|wake| wake.1 == index));
                    prop_assert_eq!(its.map(|wake| wake.0), first);
                    if let Some(index) = popped {
                        model.cancel(index);
                    }
                }
            }
            prop_assert_eq!(deadlines.poll_timeout(), model.poll_timeout());
            for class in 0..TIMEOUTS_MS.len() {
                let oldest = model.armed.iter().filter(|armed| armed.1 == class).min().map(|armed| armed.3);
                prop_assert_eq!(deadlines.oldest(class), oldest);
            }
            for index in 0..SLOTS as u32 {
                let armed = model.armed.iter().find(|armed| armed.3 == index);
                let wake = model.wakes.iter().find(|wake| wake.1 == index);
                let at = armed.map(|armed| armed.0).or(wake.map(|wake| wake.0));
                prop_assert_eq!(deadlines.is_armed(nodes, index), at.is_some());
                prop_assert_eq!(nodes[index as usize].deadline(), at);
                prop_assert_eq!(nodes[index as usize].class(), armed.map(|armed| armed.1));
            }
        }
        let end = Instant(u64::MAX);
        while let Some(popped) = model.pop(end) {
            prop_assert_eq!(deadlines.pop_expired(nodes, end), Some(popped));
        }
        prop_assert_eq!(deadlines.pop_expired(nodes, end), None);
        let mut last = Instant(0);
        while let Some(index) = deadlines.pop_wake(nodes, end) {
            let at = model.wakes.iter().find(|wake| wake.1 == index).map(|wake| wake.0);
            prop_assert!(at.is_some_and(|at| at >= last), "{:?} after {:?}", at, last);
            last = at.unwrap();
            model.cancel(index);
        }
        prop_assert!(model.wakes.is_empty());
        prop_assert_eq!(deadlines.poll_timeout(), None);
    }
}

/// Counts how many nodes an operation touches.
struct Counted {
    nodes: Vec<DeadlineNode>,
    touched: usize,
}

impl DeadlineSlots for Counted {
    fn node(&mut self, index: u32) -> Option<&mut DeadlineNode> {
        let node = self.nodes[..].node(index);
        self.touched += usize::from(node.is_some());
        node
    }
}

#[test]
fn ten_thousand_deadlines_cost_no_more_than_ten() {
    let mut slots = Counted { nodes: vec![DeadlineNode::new(); 10_000], touched: 0 };
    let mut deadlines = Deadlines::<2>::new();
    let mut most = 0;
    for turn in 0..4_u32 {
        for index in 0..10_000_u32 {
            let place = index.wrapping_mul(7919) % 10_000;
            let class = usize::from(turn == 2);
            slots.touched = 0;
            deadlines.arm(&mut slots, place, class, Instant(u64::from(turn * 10_000 + index)));
            most = most.max(slots.touched);
        }
    }
    assert!(most <= 5, "touched {most} nodes to move one deadline");
    slots.touched = 0;
    let expired = std::iter::from_fn(|| deadlines.pop_expired(&mut slots, Instant(u64::MAX))).count();
    assert_eq!(expired, 10_000);
    assert!(slots.touched <= 2 * expired, "touched {} nodes to expire them all", slots.touched);
}

#[test]
fn a_deadline_expires_at_its_millisecond_not_before() {
    let mut nodes = [DeadlineNode::new(); 1];
    let nodes = &mut nodes[..];
    let mut deadlines = Deadlines::<1>::new();
    deadlines.arm(nodes, 0, 0, Instant(100));
    assert_eq!(deadlines.pop_expired(nodes, Instant(99)), None);
    assert_eq!(deadlines.pop_expired(nodes, Instant(100)), Some((0, 0)));
    assert_eq!(deadlines.pop_expired(nodes, Instant(100)), None, "expired twice");
    deadlines.arm(nodes, 0, 0, Instant(u64::MAX));
    assert_eq!(deadlines.poll_timeout(), None, "a deadline at the end of time counts as none");
    assert_eq!(deadlines.pop_expired(nodes, Instant(u64::MAX)), None);
}
