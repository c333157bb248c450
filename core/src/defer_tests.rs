use std::vec::Vec;

use proptest::prelude::*;

use super::*;

#[test]
fn only_the_token_of_the_waiting_exchange_resolves_it_and_only_once() {
    let cells = [DeferCell::new(), DeferCell::new()];
    let bell = AtomicBool::new(false);
    let deferrals = Deferrals::new(3, &cells, &bell);
    let token = deferrals.defer(1).unwrap();
    assert_eq!((token.worker(), token.realm()), (3, 0));
    for other in [
        DeferToken { realm: 1, ..token },
        DeferToken { worker: 2, ..token },
        DeferToken { slot: 0, ..token },
        DeferToken { slot: 2, ..token },
        DeferToken { serial: token.serial - 1, ..token },
        DeferToken { serial: token.serial + 1, ..token },
        DeferToken { serial: token.serial + (1 << BLOCK_BITS), ..token },
        DeferToken { serial: token.serial + (1 << WORD_BITS), ..token },
        DeferToken { serial: token.serial + (1 << 32), ..token },
    ] {
        assert!(!deferrals.resolve(other), "{other:?}");
    }
    assert!(!deferrals.in_realm(1).resolve(token));
    assert!(!deferrals.take_bell());
    assert!(deferrals.resolve(token));
    assert!(!deferrals.resolve(token), "a copy of a token does nothing");
    assert!(deferrals.take_bell() && !deferrals.take_bell());
    assert_eq!((deferrals.next_resolved(0), deferrals.next_resolved(2)), (Some(1), None));
    cells[1].clear();
    assert!(!deferrals.resolve(token), "the exchange is over");
    assert_eq!(deferrals.next_resolved(0), None);
    let token = deferrals.defer(1).unwrap();
    deferrals.reset();
    assert!(!deferrals.resolve(token), "the engine is gone");
    assert_ne!(deferrals.defer(1), Some(token), "the next one continues the numbers");
    assert_eq!(deferrals.defer(2), None);
    assert_eq!(deferrals.in_realm(5).defer(0).unwrap().realm(), 5);
}

/// A cell that has had `serial` deferrals.
fn cell_at(serial: u64) -> DeferCell {
    DeferCell { block: AtomicU32::new(block(serial)), word: AtomicU32::new(word(serial)) }
}

/// Where words, blocks and numbers wrap around.
fn boundaries() -> Vec<u64> {
    let of_blocks = [1, 2, 3, 4, 1 << 31, (1 << 32) - 1].map(|count: u64| count << BLOCK_BITS);
    [of_blocks.as_slice(), &[1, SERIAL_MASK + 1]].concat()
}

#[test]
fn numbers_count_up_through_both_words() {
    for border in boundaries() {
        let before = border.saturating_sub(3);
        let cell = cell_at(before);
        for serial in before + 1..before + 7 {
            assert_eq!(cell.arm(), serial & SERIAL_MASK);
            assert!(cell.is_armed() && !cell.is_resolved());
            cell.clear();
            assert!(!cell.is_armed());
        }
    }
}

/// A worker that defers four times, concurrently with a thread that resolves a token, in each order of their steps: the
/// token resolves its own deferral while that waits, and no other.
#[test]
fn no_order_of_steps_takes_a_token_for_another() {
    /// What the worker waits for after a number of its steps, of which a deferral has four.
    type Waiting = Option<u64>;
    fn step(cell: &DeferCell, first: u64, at: usize) -> Waiting {
        let serial = (first + at as u64 / 4) & SERIAL_MASK;
        match at % 4 {
            0 => {
                assert_eq!(cell.next(), serial);
                cell.end_last(serial);
            }
            1 => cell.enter_block(serial),
            2 => {
                cell.wait(serial);
                return Some(serial);
            }
            _ => cell.clear(),
        }
        None
    }
    const STEPS: usize = 16;
    for border in boundaries() {
        let first = border.saturating_sub(1);
        let near = (0..6).map(|at| first.wrapping_sub(1).wrapping_add(at));
        // As many deferrals before or after as make one of the words wrap around.
        let distances = [0, 1 << BLOCK_BITS, 1 << WORD_BITS, 1 << 32, 1 << (WORD_BITS + 31), 3 << BLOCK_BITS];
        for serial in near.flat_map(|near| distances.map(|distance: u64| near.wrapping_sub(distance) & SERIAL_MASK)) {
            for looks_at in 0..=STEPS {
                for marks_at in looks_at..=STEPS {
                    let cell = cell_at(first.wrapping_sub(1) & SERIAL_MASK);
                    let (mut waiting, mut in_block) = (None, false);
                    for at in 0..=marks_at {
                        if at == looks_at {
                            in_block = cell.is_in_block(serial);
                        }
                        if at == marks_at {
                            break;
                        }
                        waiting = step(&cell, first, at);
                    }
                    let resolved = in_block && cell.mark_resolved(serial);
                    if resolved || looks_at == marks_at {
                        assert_eq!(resolved, waiting == Some(serial), "{first} {serial}: {looks_at}, {marks_at}");
                    }
                }
            }
        }
    }
}

/// An event of a worker's deferrals.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A handler takes a token.
    Defer(u32),
    /// The exchange of a slot is over, or its answer was taken.
    Clear(u32),
    /// An engine ends, and the next one uses the same cells.
    Restart,
    /// A token that was given out at some time is resolved.
    Resolve(prop::sample::Index),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0_u32..3).prop_map(Event::Defer),
        2 => (0_u32..3).prop_map(Event::Clear),
        1 => Just(Event::Restart),
        4 => any::<prop::sample::Index>().prop_map(Event::Resolve),
    ]
}

/// Takes the resolved slots, as a worker does once a turn.
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
    fn a_token_resolves_only_its_own_deferral_once_while_it_waits(
        border in prop::sample::select(boundaries()),
        events in prop::collection::vec(event(), 1..200),
    ) {
        let cells = [0, 1, 2].map(|slot| cell_at(border.saturating_sub(10 * slot) & SERIAL_MASK));
        let bell = AtomicBool::new(false);
        let deferrals = Deferrals::new(0, &cells, &bell);
        // Every token ever given out, and the one that each slot waits for.
        let (mut tokens, mut waiting) = (Vec::new(), [None; 3]);
        for event in events {
            match event {
                Event::Defer(slot) => {
                    let token = deferrals.defer(slot).unwrap();
                    prop_assert!(!tokens.contains(&token), "{:?} again", token);
                    waiting[slot as usize] = Some(token);
                    tokens.push(token);
                }
                Event::Clear(slot) => {
                    cells[slot as usize].clear();
                    waiting[slot as usize] = None;
                }
                Event::Restart => {
                    deferrals.reset();
                    waiting = [None; 3];
                }
                Event::Resolve(index) if !tokens.is_empty() => {
                    let token = *index.get(&tokens);
                    let waits = waiting.contains(&Some(token));
                    prop_assert_eq!(deferrals.resolve(token), waits, "{:?}", token);
                    waiting = waiting.map(|other| other.filter(|other| *other != token));
                }
                Event::Resolve(_) => {}
            }
        }
    }

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
                let token = deferrals.defer(slot);
                prop_assert_eq!(token.is_some(), slot < connections as u32);
                if let Some(token) = token {
                    prop_assert!(deferrals.resolve(token));
                    expected.push(slot);
                }
            }
            prop_assert_eq!(take_all(&deferrals), expected);
            prop_assert_eq!(take_all(&deferrals), []);
        }
    }
}

/// A bell that stayed set would have its group scanned in every turn.
#[test]
fn a_scan_takes_the_bell_of_each_group() {
    for cells in [1, 63, 64, 65, 200, 256] {
        let cells: Vec<_> = (0..cells).map(|_| DeferCell::new()).collect();
        let groups: Vec<_> = (0..4).map(|_| AtomicBool::new(false)).collect();
        let bell = AtomicBool::new(false);
        let deferrals = Deferrals::new(0, &cells, &bell).with_group_bells(&groups);
        let last = cells.len() as u32 - 1;
        let resolved: Vec<_> = (0..=last).filter(|slot| *slot == last || slot.is_multiple_of(63)).collect();
        for slot in &resolved {
            let token = deferrals.defer(*slot).expect("a cell");
            assert!(deferrals.resolve(token));
        }
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some(slot) = deferrals.next_resolved(from) {
            found.push(slot);
            from = slot + 1;
        }
        assert_eq!(found, resolved);
        assert!(groups.iter().all(|bell| !bell.load(Ordering::SeqCst)), "{} cells", cells.len());
    }
}
