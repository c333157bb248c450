//! Times that differ from slot to slot: a pairing heap through the nodes that the slots have for their deadlines.
//!
//! Inserting is O(1), removing O(log n) amortised, and it needs no memory other than the nodes (Fredman, Sedgewick,
//! Sleator, Tarjan: The pairing heap, 1986).

use super::{DeadlineNode, DeadlineSlots, NEVER, NONE, WAKE};
use crate::time::Instant;

/// In a node of the heap, `prev` is its parent or the previous sibling, `next` the next sibling, and `child` the first
/// of its children, none of which is earlier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wakes {
    /// The earliest time, cached so that reading it touches no slot.
    pub(super) first_at: Instant,
    root: u32,
}

impl Wakes {
    pub(super) const fn new() -> Self {
        Self { first_at: NEVER, root: NONE }
    }

    /// The slot with the earliest time.
    pub(super) const fn first(&self) -> Option<u32> {
        if self.root == NONE { None } else { Some(self.root) }
    }

    /// Inserts a slot whose node is in no list.
    pub(super) fn insert(&mut self, slots: &mut (impl DeadlineSlots + ?Sized), index: u32, at: Instant) {
        let Some(node) = slots.node(index) else { return };
        *node = DeadlineNode { at, prev: NONE, next: NONE, child: NONE, class: WAKE };
        let root = meld(slots, self.root, index);
        self.set_root(slots, root);
    }

    /// Removes a slot and resets its node.
    #[cold]
    pub(super) fn remove(&mut self, slots: &mut (impl DeadlineSlots + ?Sized), index: u32) {
        let Some(node) = slots.node(index) else { return };
        let node = core::mem::take(node);
        let below = merge_siblings(slots, node.child);
        let root = if self.root == index {
            below
        } else {
            if let Some(before) = slots.node(node.prev) {
                if before.child == index {
                    before.child = node.next;
                } else {
                    before.next = node.next;
                }
            }
            if let Some(next) = slots.node(node.next) {
                next.prev = node.prev;
            }
            meld(slots, self.root, below)
        };
        self.set_root(slots, root);
    }

    fn set_root(&mut self, slots: &mut (impl DeadlineSlots + ?Sized), root: u32) {
        self.root = root;
        self.first_at = slots.node(root).map_or(NEVER, |root| root.at);
    }
}

/// Merges two heaps, given by their roots, which have no siblings; returns the new root.
fn meld(slots: &mut (impl DeadlineSlots + ?Sized), one: u32, other: u32) -> u32 {
    let Some(one_at) = slots.node(one).map(|node| node.at) else { return other };
    let Some(other_at) = slots.node(other).map(|node| node.at) else { return one };
    let (above, below) = if other_at < one_at { (other, one) } else { (one, other) };
    let next = slots.node(above).map_or(NONE, |node| core::mem::replace(&mut node.child, below));
    if let Some(next) = slots.node(next) {
        next.prev = below;
    }
    if let Some(node) = slots.node(below) {
        (node.prev, node.next) = (above, next);
    }
    above
}

/// Merges a row of siblings: in pairs from front to back, then all of those from back to front, which bounds the cost.
fn merge_siblings(slots: &mut (impl DeadlineSlots + ?Sized), first: u32) -> u32 {
    // Roots of pairs, the last one first, linked by `next`.
    let mut pairs = NONE;
    let mut at = first;
    while at != NONE {
        let other = cut(slots, at);
        let following = if other == NONE { NONE } else { cut(slots, other) };
        let pair = meld(slots, at, other);
        if let Some(node) = slots.node(pair) {
            node.next = pairs;
        }
        pairs = pair;
        at = following;
    }
    let mut root = NONE;
    while pairs != NONE {
        let next = cut(slots, pairs);
        root = meld(slots, pairs, root);
        pairs = next;
    }
    root
}

/// Detaches a node from its parent and siblings; returns the next sibling.
fn cut(slots: &mut (impl DeadlineSlots + ?Sized), index: u32) -> u32 {
    let Some(node) = slots.node(index) else { return NONE };
    node.prev = NONE;
    core::mem::replace(&mut node.next, NONE)
}
