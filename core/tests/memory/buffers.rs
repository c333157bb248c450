//! `BufferPool` against counts per class.

use aurora_http_core::pool::{Buf, BufferPool, Buffers, Class, ClassCounts, ClassSizes, ClassStats, PoolError};
use proptest::prelude::*;

const COUNTS: ClassCounts = ClassCounts::new([3, 2, 2, 0, 1]);

fn table(counts: ClassCounts) -> Vec<Option<&'static mut [u8]>> {
    std::iter::repeat_with(|| None).take(counts.total()).collect()
}

/// Memory for `counts` that need not be aligned, so that carving has to align it.
fn slab(counts: ClassCounts) -> Vec<u8> {
    vec![0; counts.slab_bytes() + 63]
}

const ALL_SIZES: [(ClassSizes, usize); 3] =
    [(ClassSizes::FROM_1024, 1024), (ClassSizes::FROM_512, 512), (ClassSizes::FROM_256, 256)];

#[test]
fn each_class_is_four_times_the_previous_one() {
    for (sizes, smallest) in ALL_SIZES {
        assert_eq!(sizes.for_len(0), Some(Class::Tiny));
        for (index, class) in Class::ALL.into_iter().enumerate() {
            let size = smallest << (2 * index);
            assert_eq!((sizes.of(class), class.index()), (size, index));
            assert_eq!(sizes.for_len(size), Some(class));
            assert_eq!(sizes.for_len(size + 1), class.larger());
            assert_eq!(class.larger(), Class::ALL.get(index + 1).copied());
            assert_eq!(sizes.class_of(size), Some(class));
            assert_eq!((sizes.class_of(size - 1), sizes.class_of(size + 1)), (None, None));
        }
        assert_eq!(sizes.for_len(usize::MAX), None);
    }
}

#[test]
fn every_power_of_two_from_256_to_262144_is_the_size_of_a_class() {
    for length in 0..300_000 {
        let found = ClassSizes::with(length);
        assert_eq!(found.is_some(), (256..=262_144).contains(&length) && length.is_power_of_two(), "{length}");
        assert!(found.is_none_or(|sizes| sizes.class_of(length).is_some()), "{length}");
    }
    assert_eq!(ClassSizes::with(1024), Some(ClassSizes::default()));
}

#[test]
fn counts_know_their_largest_and_their_first_class() {
    let counts = ClassCounts::NONE.with(Class::Small, 2).with(Class::Large, 1);
    for (sizes, smallest) in ALL_SIZES {
        assert_eq!(counts.sized(sizes).largest(), smallest << 6);
        assert_eq!(counts.sized(sizes).slab_bytes(), smallest * (2 * 4 + 64));
    }
    assert_eq!(ClassCounts::NONE.largest(), 0);
    let firsts = [Some(Class::Small), Some(Class::Small), Some(Class::Large), Some(Class::Large), None];
    assert_eq!(Class::ALL.map(|class| counts.first_from(class)), firsts);
}

#[test]
fn counts_add_up_and_saturate() {
    const COUNTS: ClassCounts = ClassCounts::NONE.with(Class::Tiny, 2).with(Class::Huge, 1);
    assert_eq!(COUNTS, ClassCounts::new([2, 0, 0, 0, 1]));
    assert_eq!((COUNTS.total(), COUNTS.slab_bytes()), (3, 2 * 1024 + 256 * 1024));
    let most = ClassCounts::new([u32::MAX; 5]);
    assert_eq!(most.slab_bytes() as u128, (u128::from(u32::MAX) * 341 * 1024).min(usize::MAX as u128));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire(Class),
    /// As many bytes as the class has, one more, or one less.
    AcquireFor(Class, usize),
    Release(prop::sample::Index),
    Grow(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop::sample::select(Class::ALL.to_vec());
    prop_oneof![
        2 => class.clone().prop_map(Step::Acquire),
        2 => (class, 0_usize..3).prop_map(|(class, less)| Step::AcquireFor(class, less)),
        3 => any::<prop::sample::Index>().prop_map(Step::Release),
        1 => any::<prop::sample::Index>().prop_map(Step::Grow),
    ]
}

/// The expected state of a pool.
struct Model {
    free: [u32; 5],
    stats: [ClassStats; 5],
}

impl Model {
    /// The class that the pool should serve from, if any; counts refusals on the way.
    fn acquire(&mut self, first: Option<Class>, only: bool) -> Option<Class> {
        let candidates = Class::ALL.into_iter().filter(|&class| Some(class) >= first && first.is_some());
        for class in candidates {
            let (index, absent) = (class.index(), COUNTS.of(class) == 0);
            if self.free[index] > 0 {
                self.free[index] -= 1;
                self.stats[index].in_use += 1;
                self.stats[index].high_water = self.stats[index].high_water.max(self.stats[index].in_use);
                return Some(class);
            }
            self.stats[index].refused += u64::from(only || !absent);
            if only {
                break;
            }
        }
        None
    }

    fn release(&mut self, class: Class) {
        self.free[class.index()] += 1;
        self.stats[class.index()].in_use -= 1;
    }
}

fn assert_disjoint_and_aligned(live: &mut [Buf<'_>]) {
    let mut ranges: Vec<_> = live.iter_mut().map(whole).collect();
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.iter().all(|range| range.start % 64 == 0), "not aligned to a cache line: {ranges:?}");
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "overlap: {ranges:?}");
}

fn whole(buf: &mut Buf<'_>) -> std::ops::Range<usize> {
    let filled = buf.filled().len();
    let end = buf.spare().as_ptr_range().end.addr();
    assert!(filled <= buf.capacity());
    end - buf.capacity()..end
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn a_pool_counts_like_its_model(
        steps in prop::collection::vec(step(), 1..60),
        offset in 0_usize..64,
        (sizes, _) in prop::sample::select(&ALL_SIZES[..]),
    ) {
        let counts = COUNTS.sized(sizes);
        let mut memory = vec![0; counts.slab_bytes() + 63 + 64];
        let mut free = table(counts);
        let mut pool = BufferPool::new(&mut free, counts).unwrap();
        prop_assert_eq!((pool.sizes(), pool.counts()), (sizes, counts));
        pool.carve(&mut memory[offset..]).unwrap();
        let mut model = Model {
            free: Class::ALL.map(|class| counts.of(class)),
            stats: Class::ALL.map(|class| ClassStats { bytes: sizes.of(class), ..ClassStats::default() }),
        };
        let mut live: Vec<Buf<'_>> = Vec::new();
        for step in steps {
            match step {
                Step::Acquire(class) => {
                    let buf = pool.acquire(class);
                    prop_assert_eq!(buf.as_ref().map(Buf::capacity), model.acquire(Some(class), true).map(|class| sizes.of(class)));
                    live.extend(buf);
                }
                Step::AcquireFor(class, less) => {
                    let len = sizes.of(class) + 1 - less;
                    let buf = pool.acquire_for(len);
                    let class = model.acquire(sizes.for_len(len), false);
                    prop_assert_eq!(buf.as_ref().map(Buf::capacity), class.map(|class| sizes.of(class)));
                    prop_assert!(buf.as_ref().is_none_or(|buf| buf.is_empty() && buf.spare_len() >= len));
                    live.extend(buf);
                }
                Step::Release(index) if !live.is_empty() => {
                    let mut buf = live.swap_remove(index.index(live.len()));
                    buf.advance(7);
                    let (class, place) = (sizes.class_of(buf.capacity()).unwrap(), whole(&mut buf));
                    prop_assert!(pool.release(buf).is_ok());
                    // The buffer that was released last is acquired first, and is empty.
                    let mut again = pool.acquire(class).unwrap();
                    prop_assert_eq!(whole(&mut again), place);
                    prop_assert!(again.is_empty());
                    prop_assert!(pool.release(again).is_ok());
                    model.release(class);
                }
                Step::Grow(index) if !live.is_empty() => {
                    let mut buf = live.swap_remove(index.index(live.len()));
                    let old = sizes.class_of(buf.capacity()).unwrap();
                    buf.clear();
                    buf.append(b"consumed; kept").unwrap();
                    buf.consume(10);
                    let grown = pool.grow(buf);
                    let class = model.acquire(old.larger(), false);
                    prop_assert_eq!(grown.as_ref().ok().map(Buf::capacity), class.map(|class| sizes.of(class)));
                    if class.is_some() {
                        model.release(old);
                    }
                    let buf = grown.unwrap_or_else(|buf| buf);
                    prop_assert_eq!(buf.filled(), b"kept");
                    live.push(buf);
                }
                Step::Release(_) | Step::Grow(_) => {}
            }
            assert_disjoint_and_aligned(&mut live);
            for class in Class::ALL {
                prop_assert_eq!(pool.available(class), model.free[class.index()] as usize);
                prop_assert_eq!(pool.stats(class), model.stats[class.index()]);
            }
            prop_assert_eq!(pool.in_use(), live.len());
        }
        for buf in live {
            prop_assert!(pool.release(buf).is_ok());
        }
        prop_assert_eq!(pool.drain().count(), COUNTS.total());
    }
}

#[test]
fn carving_uses_the_slab_to_the_last_byte() {
    let mut memory = slab(COUNTS);
    let start = memory.as_ptr().addr().wrapping_neg() % 64;
    let aligned = &mut memory[start..][..COUNTS.slab_bytes()];
    let (mut free, needed) = (table(COUNTS), COUNTS.slab_bytes());
    let mut pool = BufferPool::new(&mut free, COUNTS).unwrap();
    let (short, last) = aligned.split_at_mut(needed - 1);
    assert_eq!(pool.carve(short).unwrap_err(), PoolError::SlabTooShort { needed, has: needed - 1 });
    assert_eq!(last.len(), 1);
    assert!(Class::ALL.iter().all(|&class| pool.available(class) == 0), "nothing was added");

    let mut free = table(COUNTS);
    let mut pool = BufferPool::new(&mut free, COUNTS).unwrap();
    assert_eq!(pool.carve(aligned).unwrap().len(), 0);
    for class in Class::ALL {
        assert_eq!(pool.available(class), COUNTS.of(class) as usize);
    }
}

#[test]
fn carving_skips_to_a_boundary_and_adds_missing_buffers() {
    let counts = ClassCounts::NONE.with(Class::Tiny, 2).with(Class::Small, 1);
    let mut memory = vec![0; 1024 + 64 + 4096 + 64];
    let mut tiny = Buffers::<1, 1024>::new();
    let mut free = table(counts);
    let mut pool = BufferPool::new(&mut free, counts).unwrap();
    pool.add_buffers(&mut tiny).unwrap();
    let start = memory.as_ptr().addr().wrapping_neg() % 64;
    let rest = pool.carve(&mut memory[start + 1..][..63 + 4096 + 1024 + 5]).unwrap();
    assert_eq!(rest.len(), 5);
    assert_eq!((pool.available(Class::Tiny), pool.available(Class::Small)), (2, 1));
    assert_eq!(pool.carve(rest).unwrap().len(), 5, "no buffer was missing");
}

#[test]
fn unsuitable_memory_is_refused() {
    let counts = ClassCounts::NONE.with(Class::Tiny, 1);
    let mut short = [];
    let error = BufferPool::new(&mut short, counts).unwrap_err();
    assert_eq!(error, PoolError::TableTooShort { needed: 1, has: 0 });

    let (mut one, mut two, mut small) =
        (Buffers::<1, 1024>::new(), Buffers::<1, 1024>::new(), Buffers::<3, 4096>::new());
    let mut free = table(counts);
    let mut pool = BufferPool::new(&mut free, counts).unwrap();
    let mut blocks = small.blocks();
    let (first, second) = (blocks.next().unwrap(), blocks.next().unwrap());
    assert_eq!(pool.add(&mut first[..1000]), Err(PoolError::NotAClassSize { len: 1000 }));
    assert_eq!(pool.add(&mut second[8..8 + 1024]), Err(PoolError::Misaligned));
    assert_eq!(pool.add(blocks.next().unwrap()), Err(PoolError::ClassFull { len: 4096 }));
    assert_eq!(pool.add_buffers(&mut one), Ok(()));
    let taken = pool.acquire(Class::Tiny).unwrap();
    let full = pool.add_buffers(&mut two);
    assert_eq!(full, Err(PoolError::ClassFull { len: 1024 }), "the buffer in use will come back");
    pool.release(taken).unwrap();
}

#[test]
fn a_foreign_buffer_is_taken_only_if_one_is_missing() {
    let counts = ClassCounts::NONE.with(Class::Tiny, 2).with(Class::Small, 1);
    let (mut own, mut small) = (Buffers::<1, 1024>::new(), Buffers::<1, 4096>::new());
    let (mut foreign, mut medium) = (Buffers::<4, 1024>::new(), Buffers::<1, { 16 << 10 }>::new());
    let mut foreign = foreign.blocks().map(Buf::new);
    let mut free = table(counts);
    let mut pool = BufferPool::new(&mut free, counts).unwrap();
    pool.add_buffers(&mut own).unwrap();
    pool.add_buffers(&mut small).unwrap();

    assert!(pool.release(foreign.next().unwrap()).is_ok(), "the class lacks a buffer");
    assert_eq!((pool.available(Class::Tiny), pool.in_use()), (2, 0));
    assert!(pool.release(foreign.next().unwrap()).is_err(), "the class is full");
    let absent = pool.release(Buf::new(medium.blocks().next().unwrap())).unwrap_err();
    assert_eq!(absent.capacity(), 16 << 10, "the class has no capacity");
    let memory = foreign.next().unwrap().into_memory();
    assert!(pool.release(Buf::new(&mut memory[..1000])).is_err(), "no class has this length");

    // A buffer that the pool cannot take back is not grown either, and stays unchanged.
    let mut buf = foreign.next().unwrap();
    buf.append(b"kept").unwrap();
    let buf = pool.grow(buf).unwrap_err();
    assert_eq!((buf.filled(), pool.in_use()), (&b"kept"[..], 0));
}

#[test]
fn a_misaligned_buffer_is_refused() {
    let counts = ClassCounts::NONE.with(Class::Tiny, 1);
    let mut memory = Buffers::<1, 4096>::new();
    let mut free = table(counts);
    let mut pool = BufferPool::new(&mut free, counts).unwrap();
    let block = memory.blocks().next().unwrap();
    assert!(pool.release(Buf::new(&mut block[32..32 + 1024])).is_err());
    assert_eq!(pool.available(Class::Tiny), 0);
}

#[test]
fn drained_memory_fills_the_next_pool() {
    let mut memory = slab(COUNTS);
    let mut free = table(COUNTS);
    let mut pool = BufferPool::new(&mut free, COUNTS).unwrap();
    pool.carve(&mut memory).unwrap();
    let held = pool.acquire(Class::Tiny).unwrap();
    let mut next_free = table(COUNTS);
    let mut next = BufferPool::new(&mut next_free, COUNTS).unwrap();
    for buf in pool.drain() {
        next.add(buf.into_memory()).unwrap();
    }
    assert!(pool.pop_any().is_none());
    assert_eq!(pool.in_use(), 1, "the acquired buffer stays in use");
    pool.release(held).unwrap();
    next.add(pool.pop_any().unwrap().into_memory()).unwrap();
    assert_eq!(next.drain().count(), COUNTS.total());
}
