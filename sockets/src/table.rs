//! The table of sockets that a poller stands on: places with generations.

use aurora_http_core::reactor::IoHandle;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bits of [`Entry::link`], and of a [`Key`], that hold an index; the others hold the generation.
const INDEX_BITS: u32 = 24;
const NO_INDEX: u32 = (1 << INDEX_BITS) - 1;
/// In place of the index in an entry that is in use: it is a listener.
const LISTENER: u32 = 1;

/// One place for a socket in the caller's storage: 8 bytes with the feature `std`, else 12.
///
/// A generation tells late events of a closed socket from those of its successor. It has 8 bits, so that it travels with
/// the index where a system's events carry 32: an event that survives 256 successors only causes attempts in vain.
#[derive(Debug)]
pub struct Entry {
    socket: Option<OwnedFd>,
    /// Generation, and in a free entry the index of the next free one; in others whether it is a [`LISTENER`].
    link: u32,
}

#[cfg(feature = "std")]
const _: () = assert!(size_of::<Entry>() == 8);

impl Entry {
    /// A free entry.
    #[must_use]
    pub const fn new() -> Self {
        Self { socket: None, link: NO_INDEX }
    }

    fn key(&self, index: u32) -> Key {
        Key(self.link & !NO_INDEX | index)
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self::new()
    }
}

/// What an event carries to name its socket: an index, and the generation that the entry had when it was registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key(pub u32);

impl Key {
    /// Names no socket of any table, for a waker's events: the highest index means "none".
    pub const NONE: Self = Self(u32::MAX);
}

/// What a socket is there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Connections are accepted from it.
    Listener,
    /// It is a connection.
    Stream,
}

/// The caller's storage, in which an [`IoHandle`] is an index.
#[derive(Debug)]
pub(crate) struct Table<'s> {
    entries: &'s mut [Entry],
    /// First free entry, or [`NO_INDEX`].
    free: u32,
}

impl<'s> Table<'s> {
    /// An empty table of at most [`NO_INDEX`] entries. Sockets that the storage still holds are closed.
    pub(crate) fn new(entries: &'s mut [Entry]) -> Self {
        let length = entries.len().min(NO_INDEX as usize);
        let entries = &mut entries[..length];
        let last = length.saturating_sub(1);
        for (index, entry) in entries.iter_mut().enumerate() {
            *entry = Entry { socket: None, link: if index == last { NO_INDEX } else { index as u32 + 1 } };
        }
        Self { entries, free: if length == 0 { NO_INDEX } else { 0 } }
    }

    /// How many sockets it has room for.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// What the next socket will be called; `None` when the table is full.
    #[inline]
    pub(crate) fn next_key(&self) -> Option<Key> {
        Some(self.entries.get(self.free as usize)?.key(self.free))
    }

    /// Puts a socket where [`next_key`](Self::next_key) said; `None` when the table is full, and the socket is closed then.
    #[inline]
    pub(crate) fn insert(&mut self, socket: OwnedFd, role: Role) -> Option<IoHandle> {
        let index = self.free;
        let entry = self.entries.get_mut(index as usize)?;
        entry.socket = Some(socket);
        self.free = entry.link & NO_INDEX;
        let mark = if role == Role::Listener { LISTENER } else { 0 };
        entry.link = entry.link & !NO_INDEX | mark;
        Some(IoHandle(index))
    }

    /// Frees an entry; its generation moves on.
    #[inline]
    pub(crate) fn remove(&mut self, io: IoHandle) -> Option<OwnedFd> {
        let entry = self.entries.get_mut(io.0 as usize)?;
        let socket = entry.socket.take()?;
        let generation = (entry.link >> INDEX_BITS).wrapping_add(1);
        entry.link = generation << INDEX_BITS | self.free;
        self.free = io.0;
        Some(socket)
    }

    /// The socket behind a handle.
    #[inline]
    pub(crate) fn get(&self, io: IoHandle) -> Option<BorrowedFd<'_>> {
        Some(self.entries.get(io.0 as usize)?.socket.as_ref()?.as_fd())
    }

    /// The socket behind a handle, and what its events carry.
    #[inline]
    pub(crate) fn get_with_key(&self, io: IoHandle) -> Option<(BorrowedFd<'_>, Key)> {
        let entry = self.entries.get(io.0 as usize)?;
        Some((entry.socket.as_ref()?.as_fd(), entry.key(io.0)))
    }

    /// Whether it is the handle of a listener.
    #[inline]
    pub(crate) fn is_listener(&self, io: IoHandle) -> bool {
        self.entries.get(io.0 as usize).is_some_and(|entry| entry.socket.is_some() && entry.link & LISTENER != 0)
    }

    /// The handle of the socket that an event is about; `None` when that one is closed, and for [`Key::NONE`].
    #[inline]
    pub(crate) fn named(&self, key: Key) -> Option<IoHandle> {
        let index = key.0 & NO_INDEX;
        let entry = self.entries.get(index as usize)?;
        (entry.socket.is_some() && entry.key(index) == key).then_some(IoHandle(index))
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        // The storage is the caller's and would keep them open.
        for entry in &mut *self.entries {
            entry.socket = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::AddressFamily;

    use super::*;

    fn socket() -> OwnedFd {
        crate::make::stream_socket(AddressFamily::UNIX).unwrap()
    }

    #[test]
    fn a_full_table_takes_no_more_until_one_leaves() {
        let mut entries = [const { Entry::new() }; 2];
        let mut table = Table::new(&mut entries);
        let listener = table.insert(socket(), Role::Listener).unwrap();
        let stream = table.insert(socket(), Role::Stream).unwrap();
        assert!(table.is_listener(listener) && !table.is_listener(stream));
        assert_eq!((table.next_key(), table.insert(socket(), Role::Stream)), (None, None));
        assert!(table.remove(listener).is_some() && table.remove(listener).is_none());
        assert!(!table.is_listener(listener), "nobody is there");
        assert_eq!(table.insert(socket(), Role::Stream), Some(listener), "the place is free again");
        assert!(!table.is_listener(listener), "its successor is a stream");
    }

    #[test]
    fn the_key_of_a_closed_socket_does_not_name_its_successors() {
        let mut entries = [const { Entry::new() }; 1];
        let mut table = Table::new(&mut entries);
        let first = table.next_key().unwrap();
        for successor in 0..256 {
            let key = table.next_key().unwrap();
            assert_eq!(table.named(key), None, "nobody has it yet");
            let io = table.insert(socket(), Role::Stream).unwrap();
            assert_eq!(table.get_with_key(io).map(|(_, key)| key), Some(key));
            assert_eq!((table.named(key), table.named(first).is_some()), (Some(io), successor == 0));
            table.remove(io);
        }
        assert_eq!(table.next_key(), Some(first), "256 of them have passed");
        assert_eq!(table.named(Key::NONE), None);
    }

    #[test]
    fn a_table_that_goes_closes_its_sockets() {
        let mut entries = [const { Entry::new() }; 2];
        let mut table = Table::new(&mut entries);
        table.insert(socket(), Role::Stream).unwrap();
        drop(table);
        assert!(entries.iter().all(|entry| entry.socket.is_none()));
        assert_eq!(Table::new(&mut []).next_key(), None);
    }
}
