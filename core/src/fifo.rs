//! First-in-first-out lists through links in a table of slots: O(1), without scanning, and no slot twice in a list.

/// The link of the last slot in a list.
const END: u32 = u32::MAX;
/// The link of a slot that is not in the list.
const UNLISTED: u32 = u32::MAX - 1;

/// The links of one slot; each list uses the link with its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links([u32; Links::LISTS]);

impl Links {
    /// The number of lists that a slot can be in at the same time.
    pub(crate) const LISTS: usize = 4;

    /// All zeros, for tables that are initialised later: these are not links yet.
    pub(crate) const ZEROS: Self = Self([0; Self::LISTS]);

    pub(crate) const fn new() -> Self {
        Self([UNLISTED; Self::LISTS])
    }
}

/// Tables that carry [`Links`].
pub(crate) trait Linked {
    fn links(&mut self, index: u32) -> Option<&mut Links>;
}

/// One list.
#[derive(Debug)]
pub(crate) struct Fifo {
    link: usize,
    first: u32,
    last: u32,
}

impl Fifo {
    /// A list that uses link number `link`, below [`Links::LISTS`].
    pub(crate) const fn new(link: usize) -> Self {
        Self { link, first: END, last: END }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.first == END
    }

    /// The last slot in the list.
    pub(crate) const fn last(&self) -> Option<u32> {
        if self.first == END { None } else { Some(self.last) }
    }

    /// Appends a slot; returns `false` if it already is in the list.
    pub(crate) fn push(&mut self, table: &mut (impl Linked + ?Sized), index: u32) -> bool {
        let Some(next) = self.next_of(table, index) else { return false };
        if *next != UNLISTED {
            return false;
        }
        *next = END;
        if self.first == END {
            self.first = index;
        } else if let Some(next) = self.next_of(table, self.last) {
            *next = index;
        }
        self.last = index;
        true
    }

    /// The first slot in the list.
    pub(crate) const fn first(&self) -> Option<u32> {
        if self.first == END { None } else { Some(self.first) }
    }

    /// The number of slots in the list for which `counts` is true, but at most `most`.
    pub(crate) fn count(&self, table: &mut (impl Linked + ?Sized), most: usize, counts: impl Fn(u32) -> bool) -> usize {
        let (mut at, mut count) = (self.first, 0);
        while at != END && count < most {
            count += usize::from(counts(at));
            at = self.next_of(table, at).map_or(END, |next| *next);
        }
        count
    }

    /// Puts a slot at the front, unless it already is in the list.
    pub(crate) fn push_front(&mut self, table: &mut (impl Linked + ?Sized), index: u32) {
        let first = self.first;
        let Some(next) = self.next_of(table, index) else { return };
        if *next != UNLISTED {
            return;
        }
        *next = first;
        if first == END {
            self.last = index;
        }
        self.first = index;
    }

    /// Removes the first slot.
    pub(crate) fn pop(&mut self, table: &mut (impl Linked + ?Sized)) -> Option<u32> {
        let index = self.first;
        let next = self.next_of(table, index)?;
        let following = core::mem::replace(next, UNLISTED);
        self.first = following;
        Some(index)
    }

    fn next_of<'t>(&self, table: &'t mut (impl Linked + ?Sized), index: u32) -> Option<&'t mut u32> {
        table.links(index)?.0.get_mut(self.link)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fifo, Linked, Links};
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::vec::Vec;

    struct Table(Vec<Links>);

    impl Linked for Table {
        fn links(&mut self, index: u32) -> Option<&mut Links> {
            self.0.get_mut(index as usize)
        }
    }

    proptest! {
        #[test]
        fn behaves_as_two_deques_without_duplicates(steps in prop::collection::vec((0_u8..3, 0_usize..2, 0_u32..12), 0..200)) {
            let mut table = Table(std::vec![Links::new(); 10]);
            let mut lists = [Fifo::new(0), Fifo::new(1)];
            let mut models = [VecDeque::new(), VecDeque::new()];
            for (step, list, index) in steps {
                let (fifo, model) = (&mut lists[list], &mut models[list]);
                let fresh = index < 10 && !model.contains(&index);
                match step {
                    0 => {
                        prop_assert_eq!(fifo.push(&mut table, index), fresh);
                        if fresh { model.push_back(index); }
                    }
                    1 => {
                        fifo.push_front(&mut table, index);
                        if fresh { model.push_front(index); }
                    }
                    _ => prop_assert_eq!(fifo.pop(&mut table), model.pop_front()),
                }
                prop_assert_eq!(fifo.is_empty(), model.is_empty());
                prop_assert_eq!(fifo.first(), model.front().copied());
                let even = |index: &u32| index.is_multiple_of(2);
                prop_assert_eq!(fifo.count(&mut table, 2, |index| even(&index)), model.iter().copied().filter(even).count().min(2));
                prop_assert_eq!(fifo.count(&mut table, 5, |_| true), model.len().min(5));
            }
        }
    }
}
