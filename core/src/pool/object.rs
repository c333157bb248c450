//! A table of objects with generations, so that stale handles are detected.

use core::fmt;

use crate::reactor::OpToken;

/// Means "no entry"; a table never has this many.
const NONE: u32 = u32::MAX;

/// Generations wrap at the number of bits that an [`OpToken`] has for them, so that a token identifies an entry as well
/// as a handle does.
const GENERATION_MASK: u32 = (1 << OpToken::GENERATION_BITS) - 1;

/// Identifies one object of an [`ObjectPool`] as long as it is in the pool.
///
/// Once the object has been removed the handle is stale and finds nothing, in release builds too, even if the entry is
/// in use again. The check has a limit: generations have 24 bits, so a handle that is kept while its entry is reused
/// 2²⁴ (16.7 million) times finds another object. Do not keep handles much longer than the objects.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Handle {
    /// Index into the table.
    pub index: u32,
    /// How often the entry had been vacated before, modulo 2²⁴; as in [`OpToken::generation`].
    pub generation: u32,
}

static_assertions::const_assert_eq!(size_of::<Handle>(), 8);

/// One entry in the table of an [`ObjectPool`].
pub struct Entry<T> {
    generation: u32,
    /// While the entry is vacant: the next vacant entry.
    link: u32,
    value: Option<T>,
}

static_assertions::const_assert_eq!(size_of::<Entry<&'static u8>>(), 8 + size_of::<&'static u8>());

impl<T> Entry<T> {
    /// A vacant entry.
    #[must_use]
    pub const fn new() -> Self {
        // The link of an entry that was never used is not read.
        Self { generation: 0, link: 0, value: None }
    }

    /// A vacant entry that counts as vacated this many times before: for tests of the wrap-around.
    #[cfg(feature = "sim")]
    #[must_use]
    pub const fn with_generation(generation: u32) -> Self {
        Self { generation: generation & GENERATION_MASK, link: 0, value: None }
    }

    /// Removes an object left behind by a pool that was forgotten (`mem::forget`) instead of dropped; handles to it
    /// become stale. Returns `None`, and changes nothing, if the entry is vacant, as it is unless a pool uses it or was
    /// forgotten.
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

/// The table of an [`ObjectPool`] for programs that know its size at compile time.
pub struct Slots<T, const COUNT: usize> {
    entries: [Entry<T>; COUNT],
}

impl<T, const COUNT: usize> Slots<T, COUNT> {
    /// A table of vacant entries.
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

/// Objects in a table of fixed size, looked up by [`Handle`] in O(1).
///
/// Dropping the pool drops its objects and leaves the table vacant. Generations continue, so handles of the old pool
/// stay stale in the next one.
///
/// ```
/// use aurora_http_core::pool::{ObjectPool, Slots};
///
/// let mut slots = Slots::<&str, 2>::new();
/// let mut pool = ObjectPool::new(slots.entries());
/// let handle = pool.insert("first")?;
/// assert_eq!(pool.remove(handle), Some("first"));
/// let next = pool.insert("second")?;
/// assert_eq!((pool.get(handle), pool.get(next)), (None, Some(&"second")));
/// # Ok::<(), &str>(())
/// ```
pub struct ObjectPool<'s, T> {
    entries: &'s mut [Entry<T>],
    /// The most recently vacated entry, which is the top of a stack through the links: its memory is most likely still
    /// in the cache.
    vacated: u32,
    /// Entries from this index on have never been used: they are not linked, and creating the pool does not touch them.
    fresh: u32,
    len: u32,
}

impl<'s, T> ObjectPool<'s, T> {
    /// An empty pool over a table of vacant entries, in O(1): no entry is touched before its first use. Entries of a
    /// pool that was forgotten instead of dropped must be [vacated](Entry::vacate) first.
    #[must_use]
    pub fn new(entries: &'s mut [Entry<T>]) -> Self {
        let capacity = entries.len().min(NONE as usize);
        Self { entries: &mut entries[..capacity], vacated: NONE, fresh: 0, len: 0 }
    }

    /// Inserts an object: into the entry that was vacated last, or else into the first unused one.
    ///
    /// # Errors
    /// Returns the object if the table is full.
    #[cfg_attr(not(feature = "small"), inline)]
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

    /// The object, mutably; `None` for a stale handle.
    #[inline]
    #[must_use]
    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let entry = self.entries.get_mut(handle.index as usize)?;
        if entry.generation == handle.generation { entry.value.as_mut() } else { None }
    }

    /// Removes the object and makes every handle to it stale. `None` for a stale handle, so removing twice is harmless.
    #[cfg_attr(not(feature = "small"), inline)]
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

    /// The object at an index of the table, whatever its generation.
    #[inline]
    #[must_use]
    pub fn by_index(&self, index: u32) -> Option<&T> {
        self.entries.get(index as usize)?.value.as_ref()
    }

    /// The object at an index of the table, mutably, whatever its generation.
    #[inline]
    #[must_use]
    pub fn by_index_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entries.get_mut(index as usize)?.value.as_mut()
    }

    /// The generation of a handle to this entry, or if it is vacant, of the next one; `None` beyond the table.
    #[inline]
    #[must_use]
    pub fn generation_of(&self, index: u32) -> Option<u32> {
        self.entries.get(index as usize).map(|entry| entry.generation)
    }

    /// The index of the first occupied entry after `index`, or of the first one for `None`. For rare scans that change
    /// the pool as they go, such as a graceful stop: O(capacity) for the whole table.
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

    /// The number of objects in the pool.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the pool has no objects.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of objects that fit.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Whether the next insertion will fail.
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
    fn generations_have_as_many_bits_as_in_tokens() {
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
