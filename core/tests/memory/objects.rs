//! `ObjectPool` against a list of handles.

use std::rc::Rc;

use aurora_http_core::pool::{Handle, ObjectPool, Slots};
use proptest::prelude::*;

const CAPACITY: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert,
    Remove(prop::sample::Index),
    RemoveStale(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Insert),
        3 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => any::<prop::sample::Index>().prop_map(Step::RemoveStale),
    ]
}

fn assert_like(pool: &ObjectPool<'_, usize>, live: &[(Handle, usize)], stale: &[Handle]) {
    let mut in_order = live.to_vec();
    in_order.sort_by_key(|(handle, _)| handle.index);
    assert_eq!(pool.iter().map(|(handle, &value)| (handle, value)).collect::<Vec<_>>(), in_order);
    let walk = std::iter::successors(pool.next_occupied_after(None), |&index| pool.next_occupied_after(Some(index)));
    assert!(walk.eq(in_order.iter().map(|(handle, _)| handle.index)));
    for &(handle, value) in live {
        assert_eq!((pool.get(handle), pool.by_index(handle.index)), (Some(&value), Some(&value)));
        assert_eq!(pool.generation_of(handle.index), Some(handle.generation));
    }
    assert!(stale.iter().all(|&handle| pool.get(handle).is_none()), "stale handles find nothing");
    assert_eq!((pool.len(), pool.is_empty(), pool.is_full()), (live.len(), live.is_empty(), live.len() == CAPACITY));
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn only_live_handles_find_objects(steps in prop::collection::vec(step(), 1..80)) {
        let mut slots = Slots::<usize, CAPACITY>::new();
        let mut pool = ObjectPool::new(slots.entries());
        let (mut live, mut stale): (Vec<(Handle, usize)>, Vec<Handle>) = (Vec::new(), Vec::new());
        let mut vacated: Vec<u32> = Vec::new();
        let mut fresh = 0..CAPACITY as u32;
        for (value, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert => {
                    let inserted = pool.insert(value);
                    // Last in, first out; unused entries follow in table order when no other is vacant.
                    let expected = vacated.pop().or_else(|| fresh.next()).ok_or(value);
                    prop_assert_eq!(inserted.map(|handle| handle.index), expected);
                    live.extend(inserted.ok().map(|handle| (handle, value)));
                }
                Step::Remove(index) if !live.is_empty() => {
                    let (handle, value) = live.swap_remove(index.index(live.len()));
                    if let Some(object) = pool.get_mut(handle) {
                        *object += 1000;
                    }
                    prop_assert_eq!(pool.remove(handle), Some(value + 1000));
                    prop_assert_eq!(pool.remove(handle), None, "a second removal finds nothing");
                    vacated.push(handle.index);
                    stale.push(handle);
                }
                Step::RemoveStale(index) if !stale.is_empty() => {
                    let handle = stale[index.index(stale.len())];
                    prop_assert_eq!((pool.remove(handle), pool.get_mut(handle)), (None, None));
                }
                Step::Remove(_) | Step::RemoveStale(_) => {}
            }
            assert_like(&pool, &live, &stale);
        }
        pool.clear();
        stale.extend(live.iter().map(|&(handle, _)| handle));
        assert_like(&pool, &[], &stale);
    }
}

#[test]
fn a_handle_that_was_never_returned_finds_nothing() {
    let mut slots = Slots::<u8, 2>::new();
    let mut pool = ObjectPool::new(slots.entries());
    let handle = pool.insert(1).unwrap();
    let vacant = Handle { index: 1, generation: 0 };
    let outside = Handle { index: 2, generation: 0 };
    let other = Handle { generation: handle.generation + 1, ..handle };
    for wrong in [vacant, outside, other, Handle { index: u32::MAX, generation: 0 }] {
        assert_eq!((pool.remove(wrong), pool.get(wrong)), (None, None), "{wrong:?}");
    }
    assert!(pool.by_index_mut(1).is_none() && pool.by_index_mut(2).is_none());
    assert_eq!((pool.by_index(1), pool.by_index(2), pool.generation_of(2)), (None, None, None));
    assert_eq!(pool.remove(handle), Some(1));
}

#[test]
fn dropping_a_pool_drops_its_objects_and_keeps_its_handles_stale() {
    let object = Rc::new(());
    let mut slots = Slots::<Rc<()>, 3>::new();
    let mut pool = ObjectPool::new(slots.entries());
    let handles = [(); 3].map(|()| pool.insert(Rc::clone(&object)).unwrap());
    assert!(pool.insert(Rc::clone(&object)).is_err());
    drop(pool.remove(handles[1]));
    assert_eq!(Rc::strong_count(&object), 3);
    drop(pool);
    assert_eq!(Rc::strong_count(&object), 1);

    let mut pool = ObjectPool::new(slots.entries());
    let again = [(); 3].map(|()| pool.insert(Rc::clone(&object)).unwrap());
    assert_eq!(again.map(|handle| handle.index), [0, 1, 2]);
    assert!(handles.iter().all(|&handle| pool.get(handle).is_none()));
}
