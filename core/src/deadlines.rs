//! Deadlines of connections: one list per class, all operations O(1).
//!
//! All deadlines of a class (idle, head, write, …) have the same timeout, so the one that is armed last expires last:
//! each class is a doubly linked list through nodes in the slots, and new ones are appended at its tail. It is exact,
//! and needs no timer wheel. Times that handlers choose differ, so they are in a heap through the same nodes.

mod wakes;

use crate::time::Instant;
use wakes::Wakes;

/// Means "no neighbour"; a table never has this many slots.
const NONE: u32 = u32::MAX;

/// The class of a node that is in no list.
const UNARMED: u8 = u8::MAX;

/// The class of a node in the heap.
const WAKE: u8 = UNARMED - 1;

/// The head of an empty list; a deadline at this time never expires.
const NEVER: Instant = Instant::NEVER;

/// A slot's node in the lists of a [`Deadlines`]: a slot has at most one deadline at a time.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineNode {
    at: Instant,
    prev: u32,
    next: u32,
    /// Used only in the heap.
    child: u32,
    class: u8,
}

static_assertions::const_assert!(size_of::<DeadlineNode>() <= 24);

impl DeadlineNode {
    /// All zeros, for tables that are initialised later: it is not a node yet.
    pub(crate) const ZEROS: Self = Self { at: Instant(0), prev: 0, next: 0, child: 0, class: 0 };

    /// A node that is in no list.
    #[must_use]
    pub const fn new() -> Self {
        Self { at: NEVER, prev: NONE, next: NONE, child: NONE, class: UNARMED }
    }

    /// The slot's deadline; `None` if it has none.
    #[inline]
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        if self.class == UNARMED { None } else { Some(self.at) }
    }

    /// The class of the slot's deadline; `None` if it has none, or is in the heap.
    #[inline]
    #[must_use]
    pub const fn class(&self) -> Option<usize> {
        if self.class >= WAKE { None } else { Some(self.class as usize) }
    }
}

impl Default for DeadlineNode {
    fn default() -> Self {
        Self::new()
    }
}

/// Access to the nodes, which are in a separate table or in the slots.
pub trait DeadlineSlots {
    /// The node of slot `index`; `None` if there is no such slot.
    fn node(&mut self, index: u32) -> Option<&mut DeadlineNode>;
}

impl DeadlineSlots for [DeadlineNode] {
    #[inline]
    fn node(&mut self, index: u32) -> Option<&mut DeadlineNode> {
        self.get_mut(index as usize)
    }
}

/// The deadlines of all slots, in `CLASSES` lists (at most 254), each ordered by time, and a heap for times that
/// handlers choose.
///
/// Nodes belong to one `Deadlines` for their whole lifetime: pass the same slots to every call. A slot or a class that does
/// not exist has no deadline, and cannot get one.
#[derive(Debug)]
pub struct Deadlines<const CLASSES: usize> {
    lists: [List; CLASSES],
    /// The earliest deadline of all lists, [`NEVER`] if there is none: it is asked for more often than it changes.
    earliest: Instant,
    wakes: Wakes,
}

#[derive(Clone, Copy, Debug)]
struct List {
    /// The head's deadline, [`NEVER`] if empty: cached, so that finding the earliest deadline touches no slot.
    head_at: Instant,
    head: u32,
    tail: u32,
}

impl<const CLASSES: usize> Deadlines<CLASSES> {
    const CLASSES_FIT: () = assert!(CLASSES <= WAKE as usize, "at most 254 classes");

    /// No deadlines.
    #[must_use]
    pub const fn new() -> Self {
        let () = Self::CLASSES_FIT;
        let list = List { head_at: NEVER, head: NONE, tail: NONE };
        Self { lists: [list; CLASSES], earliest: NEVER, wakes: Wakes::new() }
    }

    /// Sets the deadline of slot `index` to `at` in `class`, in place of its previous one in any class.
    ///
    /// O(1) as long as no deadline in the class is later than `at`; otherwise (the clock or the timeout of the class
    /// changed) it walks over the later ones to keep the order.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn arm(&mut self, slots: &mut (impl DeadlineSlots + ?Sized), index: u32, class: usize, at: Instant) {
        let (Some(list), Some(node)) = (self.lists.get_mut(class), slots.node(index)) else { return };
        if usize::from(node.class) == class {
            if node.at == at {
                return;
            }
            if node.next == NONE && at > node.at {
                node.at = at;
                if node.prev == NONE {
                    let before = core::mem::replace(&mut list.head_at, at);
                    self.head_left(before, at);
                }
                return;
            }
        }
        if node.class == WAKE {
            self.wakes.remove(slots, index);
        } else if node.class != UNARMED {
            let node = *node;
            self.unlink(slots, &node);
        }
        self.append(slots, index, class, at);
    }

    /// Puts slot `index` into the heap with the time `at`, in place of its previous deadline or time. O(1), or O(log n)
    /// amortised if it was in the heap.
    pub fn arm_wake(&mut self, slots: &mut (impl DeadlineSlots + ?Sized), index: u32, at: Instant) {
        let Some(node) = slots.node(index) else { return };
        if node.class == WAKE && node.at == at {
            return;
        }
        self.cancel(slots, index);
        self.wakes.insert(slots, index, at);
    }

    /// Whether [`pop_wake`](Self::pop_wake) would return a slot.
    #[inline]
    #[must_use]
    pub fn has_wake(&self, now: Instant) -> bool {
        self.wakes.first_at <= now
    }

    /// Removes and returns the slot with the earliest time in the heap, unless that is after `now`.
    pub fn pop_wake(&mut self, slots: &mut (impl DeadlineSlots + ?Sized), now: Instant) -> Option<u32> {
        if !self.has_wake(now) {
            return None;
        }
        let index = self.wakes.first()?;
        self.cancel(slots, index);
        Some(index)
    }

    /// Removes the slot's deadline, if it has one.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn cancel(&mut self, slots: &mut (impl DeadlineSlots + ?Sized), index: u32) {
        let Some(node) = slots.node(index) else { return };
        match node.class {
            UNARMED => {}
            WAKE => self.wakes.remove(slots, index),
            _ => {
                let node = core::mem::take(node);
                self.unlink(slots, &node);
            }
        }
    }

    /// Removes the earliest deadline that is not after `now`, and returns its slot and class. Of equal deadlines, a
    /// lower class comes first, and within a class the one that was armed first.
    ///
    /// Call it until it returns `None`. A deadline of `Instant(u64::MAX)` never expires.
    #[inline]
    pub fn pop_expired(&mut self, slots: &mut (impl DeadlineSlots + ?Sized), now: Instant) -> Option<(u32, usize)> {
        let earliest = self.first_at()?;
        if earliest > now { None } else { self.pop_at(slots, earliest) }
    }

    /// The slot of `class` whose deadline follows that of `after`, which must be in the class, or for `None` the first
    /// one. `None` if that deadline is later than `now`. For callers that decide for each due slot whether to end it.
    pub fn next_due(
        &self,
        slots: &mut (impl DeadlineSlots + ?Sized),
        class: usize,
        after: Option<u32>,
        now: Instant,
    ) -> Option<u32> {
        let list = self.lists.get(class)?;
        let index = match after {
            None if list.head_at > now => NONE,
            None => list.head,
            Some(after) => slots.node(after)?.next,
        };
        // None has the index NONE.
        if slots.node(index)?.at <= now { Some(index) } else { None }
    }

    /// The earliest deadline or time in the heap; `None` if there is none. Touches no slot.
    #[inline]
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        not_never(self.earliest.min(self.wakes.first_at))
    }

    /// The earliest deadline of any class.
    #[inline]
    #[must_use]
    pub fn first_at(&self) -> Option<Instant> {
        not_never(self.earliest)
    }

    /// The slot with the earliest deadline of the class: of idle connections, the one that has been idle the longest.
    /// `None` if the class is empty.
    #[inline]
    #[must_use]
    pub fn oldest(&self, class: usize) -> Option<u32> {
        let head = self.lists.get(class)?.head;
        if head == NONE { None } else { Some(head) }
    }

    /// Whether the slot has a deadline of any class, or is in the heap.
    #[inline]
    #[must_use]
    pub fn is_armed(&self, slots: &mut (impl DeadlineSlots + ?Sized), index: u32) -> bool {
        slots.node(index).is_some_and(|node| node.class != UNARMED)
    }

    /// Removes the first head whose deadline is `earliest`.
    #[cold]
    fn pop_at(&mut self, slots: &mut (impl DeadlineSlots + ?Sized), earliest: Instant) -> Option<(u32, usize)> {
        let (class, list) = self.lists.iter().enumerate().find(|(_, list)| list.head_at == earliest)?;
        let index = list.head;
        self.cancel(slots, index);
        Some((index, class))
    }

    /// Closes the gap that a slot leaves, given a copy of its node.
    #[cfg_attr(not(feature = "small"), inline)]
    fn unlink(&mut self, slots: &mut (impl DeadlineSlots + ?Sized), node: &DeadlineNode) {
        let Some(list) = self.lists.get_mut(usize::from(node.class)) else { return };
        // None has the index NONE.
        let next_at = if let Some(next) = slots.node(node.next) {
            next.prev = node.prev;
            next.at
        } else {
            list.tail = node.prev;
            NEVER
        };
        if let Some(prev) = slots.node(node.prev) {
            prev.next = node.next;
        } else {
            list.head = node.next;
            let before = core::mem::replace(&mut list.head_at, next_at);
            self.head_left(before, next_at);
        }
    }

    /// The head of a list had the deadline `before`, and has a later one now.
    #[cfg_attr(not(feature = "small"), inline(always))]
    fn head_left(&mut self, before: Instant, now: Instant) {
        if before == self.earliest && before != now {
            self.find_earliest();
        }
    }

    #[inline(never)]
    fn find_earliest(&mut self) {
        let heads = self.lists.iter().map(|list| list.head_at);
        self.earliest = heads.fold(NEVER, Instant::min);
    }

    /// Links the slot's node, which is in no list, after the last one that is not later.
    #[cfg_attr(not(feature = "small"), inline)]
    fn append(&mut self, slots: &mut (impl DeadlineSlots + ?Sized), index: u32, class: usize, at: Instant) {
        let Some(list) = self.lists.get_mut(class) else { return };
        let prev = list.tail;
        if let Some(last) = slots.node(prev) {
            if at < last.at {
                return self.insert_before_later(slots, index, class, at);
            }
            last.next = index;
        } else {
            list.head = index;
            list.head_at = at;
            self.earliest = self.earliest.min(at);
        }
        list.tail = index;
        if let Some(node) = slots.node(index) {
            *node = DeadlineNode { at, prev, next: NONE, child: NONE, class: class as u8 };
        }
    }

    /// Links the slot's node before all that are later, of which there is at least one.
    #[cold]
    fn insert_before_later(
        &mut self,
        slots: &mut (impl DeadlineSlots + ?Sized),
        index: u32,
        class: usize,
        at: Instant,
    ) {
        let Some(list) = self.lists.get_mut(class) else { return };
        let (mut prev, mut next) = (list.tail, NONE);
        while let Some(node) = slots.node(prev)
            && node.at > at
        {
            next = prev;
            prev = node.prev;
        }
        if let Some(node) = slots.node(next) {
            node.prev = index;
        }
        if let Some(node) = slots.node(prev) {
            node.next = index;
        } else {
            list.head = index;
            list.head_at = at;
            self.earliest = self.earliest.min(at);
        }
        if let Some(node) = slots.node(index) {
            *node = DeadlineNode { at, prev, next, child: NONE, class: class as u8 };
        }
    }
}

#[inline]
fn not_never(at: Instant) -> Option<Instant> {
    if at == NEVER { None } else { Some(at) }
}

impl<const CLASSES: usize> Default for Deadlines<CLASSES> {
    fn default() -> Self {
        Self::new()
    }
}
