//! A table of objects with generations: a stale handle finds nothing.

use core::fmt;

use crate::reactor::OpToken;

/// No entry. A table never has so many.
const NONE: u32 = u32::MAX;

/// Generations wrap where an [`OpToken`] stops carrying them, so that a token names an entry as well as a handle does.
const GENERATION_MASK: u32 = (1 << OpToken::GENERATION_BITS) - 1;

/// Names one object of an [`ObjectPool`] for as long as it is in there.
///
/// After the object was removed, the handle is stale and finds nothing, in release builds too, even when the entry is
/// in use again. The check has a limit: generations have 24 bits, so a handle that is kept while its own entry is
/// used 2²⁴ (16.7 million) more times names a stranger. Keep handles no longer than the objects.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Handle {
    /// Place in the table.
    pub index: u32,
    /// How often the entry was vacated before, modulo 2²⁴; as in [`OpToken::generation`].
    pub generation: u32,
}

static_assertions::const_assert_eq!(size_of::<Handle>(), 8);

/// One place in the table of an [`ObjectPool`].
pub struct Entry<T> {
    generation: u32,
    /// While vacant: the next vacant entry.
    link: u32,
    value: Option<T>,
}

static_assertions::const_assert_eq!(size_of::<Entry<&'static u8>>(), 8 + size_of::<&'static u8>());

impl<T> Entry<T> {
    /// A vacant entry.
    #[must_use]
    pub const fn new() -> Self {
        Self { generation: 0, link: NONE, value: None }
    }

    /// A vacant entry that was vacated so often before: to come near the end of what a generation counts.
    #[cfg(feature = "sim")]
    #[must_use]
    pub const fn with_generation(generation: u32) -> Self {
        Self { generation: generation & GENERATION_MASK, link: NONE, value: None }
    }

    /// Takes out what a pool left that was forgotten instead of dropped; handles to it are stale then. `None`, and nothing
    /// changed, when the entry is vacant, as every entry is that no pool uses and that was not forgotten.
    pub fn vacate(&mut self) -> Option<T> {
        let value = self.value.take()?;
        self.generation = (self.generation + u32::from(!planted!(GenerationKept))) & GENERATION_MASK;
        Some(value)
    }
}

impl<T> Default for Entry<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The table of an [`ObjectPool`] for programs that know its size when they are compiled.
pub struct Slots<T, const COUNT: usize> {
    entries: [Entry<T>; COUNT],
}

impl<T, const COUNT: usize> Slots<T, COUNT> {
    /// All vacant.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: [const { Entry::new() }; COUNT] }
    }

    /// The table.
    pub fn entries(&mut self) -> &mut [Entry<T>] {
        &mut self.entries
    }
}

impl<T, const COUNT: usize> Default for Slots<T, COUNT> {
    fn default() -> Self {
        Self::new()
    }
}

/// Objects in a table of fixed size, found by [`Handle`] in O(1).
///
/// What is left in the pool when it is dropped is dropped with it, and the table is vacant again; its generations go
/// on, so that handles of the old pool stay stale in the next one.
pub struct ObjectPool<'s, T> {
    entries: &'s mut [Entry<T>],
    /// Most recently vacated entry, the head of a stack through the links: its memory is most likely still cached.
    vacated: u32,
    /// Entries at this index and above were never used: not linked, and not touched by creating the pool.
    fresh: u32,
    len: u32,
}

impl<'s, T> ObjectPool<'s, T> {
    /// An empty pool over a table of vacant entries, in O(1): no entry is touched before its first use. Entries of a pool
    /// that was forgotten instead of dropped have to be [vacated](Entry::vacate) before.
    #[must_use]
    pub fn new(entries: &'s mut [Entry<T>]) -> Self {
        let capacity = entries.len().min(NONE as usize);
        Self { entries: &mut entries[..capacity], vacated: NONE, fresh: 0, len: 0 }
    }

    /// Puts an object in: where one was removed last, else where none ever was, in the order of the table.
    ///
    /// # Errors
    /// Hands the object back when the table is full.
    #[inline]
    pub fn insert(&mut self, value: T) -> Result<Handle, T> {
        let index = if self.vacated == NONE { self.fresh } else { self.vacated };
        let Some(entry) = self.entries.get_mut(index as usize) else { return Err(value) };
        if self.vacated == NONE {
            self.fresh += 1;
        } else {
            self.vacated = entry.link;
        }
        entry.value = Some(value);
        self.len += 1;
        Ok(Handle { index, generation: entry.generation })
    }

    /// The object; `None` for a stale handle.
    #[inline]
    #[must_use]
    pub fn get(&self, handle: Handle) -> Option<&T> {
        let entry = self.entries.get(handle.index as usize)?;
        if entry.generation == handle.generation { entry.value.as_ref() } else { None }
    }

    /// The object, to be changed; `None` for a stale handle.
    #[inline]
    #[must_use]
    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let entry = self.entries.get_mut(handle.index as usize)?;
        if entry.generation == handle.generation { entry.value.as_mut() } else { None }
    }

    /// Takes the object out, and makes every handle to it stale; `None` for a stale handle, so a second removal is
    /// harmless.
    #[inline]
    pub fn remove(&mut self, handle: Handle) -> Option<T> {
        let entry = self.entries.get_mut(handle.index as usize)?;
        if entry.generation != handle.generation {
            return None;
        }
        let value = entry.vacate()?;
        entry.link = self.vacated;
        self.vacated = handle.index;
        self.len -= 1;
        Some(value)
    }

    /// The object at a place in the table, whatever its generation.
    #[inline]
    #[must_use]
    pub fn by_index(&self, index: u32) -> Option<&T> {
        self.entries.get(index as usize)?.value.as_ref()
    }

    /// The object at a place in the table, to be changed, whatever its generation.
    #[inline]
    #[must_use]
    pub fn by_index_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entries.get_mut(index as usize)?.value.as_mut()
    }

    /// The generation that a handle to this place has, or will have when it is vacant now; `None` beyond the table.
    #[inline]
    #[must_use]
    pub fn generation_of(&self, index: u32) -> Option<u32> {
        self.entries.get(index as usize).map(|entry| entry.generation)
    }

    /// The first occupied place behind `index`, or of the whole table for `None`. For rare scans that change the pool
    /// on their way, such as a graceful stop: O(capacity) over the whole table.
    #[must_use]
    pub fn next_occupied_after(&self, index: Option<u32>) -> Option<u32> {
        let start = index.map_or(0, |index| index.saturating_add(1));
        (start..self.fresh).find(|&index| self.by_index(index).is_some())
    }

    /// All objects with their handles, in the order of the table. O(capacity).
    pub fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        (0..).zip(self.entries.iter().take(self.fresh as usize)).filter_map(|(index, entry)| {
            let handle = Handle { index, generation: entry.generation };
            entry.value.as_ref().map(|value| (handle, value))
        })
    }

    /// Drops all objects and makes all handles stale. O(capacity).
    pub fn clear(&mut self) {
        let mut next = self.next_occupied_after(None);
        while let Some(index) = next {
            let generation = self.generation_of(index).unwrap_or_default();
            drop(self.remove(Handle { index, generation }));
            next = self.next_occupied_after(Some(index));
        }
    }

    /// Objects in the pool.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The most objects that fit.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Whether the next insertion fails.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }
}

impl<T> Drop for ObjectPool<'_, T> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<T: fmt::Debug> fmt::Debug for ObjectPool<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_wrap_where_tokens_stop_carrying_them() {
        let mut slots = Slots::<(), 1>::new();
        slots.entries[0].generation = GENERATION_MASK;
        let mut pool = ObjectPool::new(slots.entries());
        let last = pool.insert(()).unwrap();
        assert_eq!(last.generation, 0x00ff_ffff);
        assert_eq!(pool.remove(last), Some(()));
        let first = pool.insert(()).unwrap();
        assert_eq!((first.generation, pool.get(last)), (0, None));
    }
}
