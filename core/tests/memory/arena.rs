//! `Arena`, `Scope` and `Loans`: disjoint, aligned, and everything back in the pool.

use aurora_http_core::pool::{
    Align, Arena, ArenaFull, Buf, BufferPool, Class, ClassCounts, LOANS_MAX, Lend, Loans, NoLoans, Scope, return_loans,
};
use proptest::prelude::*;

const COUNTS: ClassCounts = ClassCounts::new([3, 2, 1, 0, 0]);
const ALIGNS: [Align; 4] = [Align::Bytes8, Align::Bytes16, Align::Bytes32, Align::Bytes64];

fn table<T>(len: usize) -> Vec<Option<T>> {
    std::iter::repeat_with(|| None).take(len).collect()
}

fn slab(counts: ClassCounts) -> Vec<u8> {
    vec![0; counts.slab_bytes() + 63]
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn allocations_are_disjoint_and_aligned_and_all_loans_return(
        calls in prop::collection::vec(
            prop::collection::vec((0_usize..3000, prop::sample::select(ALIGNS.to_vec())), 1..20), 1..4),
        start in 0_usize..64,
        base_len in 0_usize..4000,
        loans_max in 0_usize..5,
    ) {
        let (mut memory, mut base) = (slab(COUNTS), vec![0; 64 + 4000]);
        let (mut free, mut loans_table) = (table(COUNTS.total()), table(loans_max));
        let mut pool = BufferPool::new(&mut free, COUNTS).unwrap();
        pool.carve(&mut memory).unwrap();
        let mut arena = Arena::new(&mut base[start..][..base_len]);
        for call in calls {
            {
                let mut loans = Loans::new(&mut pool, &mut loans_table);
                let mut scope = arena.scope(&mut loans);
                let mut slices = Vec::new();
                for (mark, (len, align)) in (0_u8..).zip(call) {
                    let lent_before = scope.lender().lent_count();
                    match scope.alloc_aligned(len, align) {
                        Ok(slice) => {
                            prop_assert_eq!(slice.len(), len);
                            prop_assert!(len == 0 || slice.as_ptr().addr() % align.bytes() == 0);
                            slice.fill(mark);
                            slices.push((mark, slice));
                        }
                        Err(ArenaFull) => prop_assert_eq!(scope.lender().lent_count(), lent_before, "a failed allocation must not lend a block"),
                    }
                    prop_assert!(scope.lender().lent_count() <= loans_max);
                }
                for (mark, slice) in slices {
                    prop_assert!(slice.iter().all(|&byte| byte == mark), "slices overlap");
                }
            }
            return_loans(&mut pool, &mut loans_table);
            prop_assert!(loans_table.iter().all(Option::is_none));
            prop_assert_eq!(pool.in_use(), 0);
            for class in Class::ALL {
                prop_assert_eq!(pool.available(class), COUNTS.of(class) as usize);
            }
        }
        prop_assert_eq!(arena.into_memory().len(), base_len);
    }
}

#[test]
fn the_base_is_used_up_before_anything_is_lent() {
    let (mut memory, mut base) = (slab(COUNTS), vec![0; 1024 + 7]);
    let (mut free, mut loans_table) = (table(COUNTS.total()), table(8));
    let mut pool = BufferPool::new(&mut free, COUNTS).unwrap();
    pool.carve(&mut memory).unwrap();
    let start = base.as_ptr().addr().wrapping_neg() % 8;
    let mut arena = Arena::new(&mut base[start..][..1024]);
    let first = arena.scope(&mut NoLoans).alloc(8).unwrap().as_ptr();
    {
        let mut loans = Loans::new(&mut pool, &mut loans_table);
        let mut scope = arena.scope(&mut loans);
        assert_eq!(scope.alloc(1000).unwrap().as_ptr(), first, "a new scope starts over");
        assert_eq!(scope.alloc(24).unwrap().len(), 24);
        assert_eq!(scope.lender().lent_count(), 0);
        // After the base, one block serves several allocations, up to its end.
        assert_eq!((scope.alloc(1).unwrap().len(), scope.alloc(1016).unwrap().len()), (1, 1016));
        assert_eq!(scope.lender().lent_count(), 1);
        assert_eq!((scope.alloc(16 * 1024 + 1), scope.lender().lent_count()), (Err(ArenaFull), 1));
        assert_eq!((scope.alloc(usize::MAX), scope.alloc(0).unwrap().len()), (Err(ArenaFull), 0));
    }
    return_loans(&mut pool, &mut loans_table);
    let mut without = NoLoans;
    let mut scope = arena.scope(&mut without);
    assert_eq!(scope.alloc(1025), Err(ArenaFull), "exhaustion is reported");
    assert_eq!(scope.alloc(1024).unwrap().len(), 1024, "and leaves the rest usable");
}

#[test]
fn an_arena_returns_its_buffer() {
    let (mut memory, mut free) = (slab(COUNTS), table(COUNTS.total()));
    let mut pool = BufferPool::new(&mut free, COUNTS).unwrap();
    pool.carve(&mut memory).unwrap();
    let arena = Arena::from(pool.acquire(Class::Small).unwrap());
    assert_eq!(arena.capacity(), 4096);
    pool.release(Buf::new(arena.into_memory())).unwrap();
    assert_eq!((pool.in_use(), pool.available(Class::Small)), (0, 2));
}

#[test]
fn at_most_128_loans_are_tracked() {
    let counts = ClassCounts::NONE.with(Class::Tiny, LOANS_MAX as u32 + 2);
    let (mut memory, mut free, mut loans_table) = (slab(counts), table(counts.total()), table(LOANS_MAX + 1));
    let mut pool = BufferPool::new(&mut free, counts).unwrap();
    pool.carve(&mut memory).unwrap();
    let mut loans = Loans::new(&mut pool, &mut loans_table);
    let lent = std::iter::from_fn(|| loans.lend(1)).count();
    assert_eq!((lent, loans.lent_count(), LOANS_MAX), (128, 128, 128));
    assert_eq!(pool.in_use(), 128, "the refused one stayed in the pool");
    return_loans(&mut pool, &mut loans_table);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn one_loan_can_stay_in_use() {
    let (mut memory, mut free, mut loans_table) = (slab(COUNTS), table(COUNTS.total()), table(4));
    let mut pool = BufferPool::new(&mut free, COUNTS).unwrap();
    pool.carve(&mut memory).unwrap();
    let mut kept = pool.acquire_for(10).unwrap();
    let mut loans = Loans::new(&mut pool, &mut loans_table);
    let _scratch = loans.lend(10).unwrap();
    let at = loans.lent_count();
    loans.lend(2000).unwrap()[..5].copy_from_slice(b"hello");
    std::mem::swap(&mut kept, loans_table[at].as_mut().unwrap());
    return_loans(&mut pool, &mut loans_table);
    kept.advance(5);
    assert_eq!((kept.capacity(), kept.filled(), pool.in_use()), (4096, &b"hello"[..], 1));
    pool.release(kept).unwrap();
}

#[test]
fn forgotten_loans_return_when_their_entry_is_needed() {
    let (mut memory, mut free, mut loans_table) = (slab(COUNTS), table(COUNTS.total()), table(1));
    let mut pool = BufferPool::new(&mut free, COUNTS).unwrap();
    pool.carve(&mut memory).unwrap();
    for _ in 0..10 {
        let lent = Loans::new(&mut pool, &mut loans_table).lend(1).map(|block| block.len());
        assert_eq!(lent, Some(1024));
        assert_eq!(pool.in_use(), 1);
    }
}

/// A writer like that of handlers: it has one lifetime, although pool, table and memory have different ones.
struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    /// The loan that `out` is in, once it has grown.
    grown: Option<usize>,
    scope: Scope<'a>,
}

impl Writer<'_> {
    fn write(&mut self, data: &[u8]) -> bool {
        let end = self.len + data.len();
        if end > self.out.len() {
            let lender = self.scope.lender();
            self.grown = Some(lender.lent_count());
            let Some(larger) = lender.lend(end) else { return false };
            larger[..self.len].copy_from_slice(&self.out[..self.len]);
            self.out = larger;
        }
        self.out[self.len..end].copy_from_slice(data);
        self.len = end;
        true
    }
}

#[test]
fn a_writer_with_one_lifetime_can_grow_and_keep_its_loan() {
    let (mut memory, mut free, mut loans_table) = (slab(COUNTS), table(COUNTS.total()), table(4));
    let mut pool = BufferPool::new(&mut free, COUNTS).unwrap();
    pool.carve(&mut memory).unwrap();
    let (mut base, mut send) = ([0; 16], pool.acquire(Class::Tiny).unwrap());
    let mut arena = Arena::new(&mut base);
    let (len, grown) = {
        let mut loans = Loans::new(&mut pool, &mut loans_table);
        let scope = arena.scope(&mut loans);
        let mut writer = Writer { out: send.spare(), len: 0, grown: None, scope };
        let scratch = writer.scope.alloc(100).unwrap();
        scratch.fill(b'x');
        assert!((0..50).all(|_| writer.write(scratch)));
        (writer.len, writer.grown)
    };
    let mut larger = loans_table[grown.unwrap()].take().unwrap();
    larger.advance(len);
    return_loans(&mut pool, &mut loans_table);
    pool.release(send).unwrap();
    assert_eq!((larger.capacity(), larger.filled()), (16 << 10, &[b'x'; 5000][..]));
    assert_eq!(pool.in_use(), 1, "only the buffer to be sent is in use");
}
