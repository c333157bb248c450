//! A poller's table of sockets: entries with generations.

use aurora_http_core::reactor::IoHandle;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// How many low bits of [`Entry::link`], and of a [`Key`], hold an index; the rest hold the generation.
const INDEX_BITS: u32 = 24;
const NO_INDEX: u32 = (1 << INDEX_BITS) - 1;
/// Set in the index bits of an entry that is in use and holds a listener.
const LISTENER: u32 = 1;

/// One entry for a socket in the caller's storage: 8 bytes with the feature `std`, else 12.
///
/// A generation distinguishes late events of a closed socket from those of its successor. It has 8 bits, so that it fits
/// beside the index where a system's events carry 32 bits. An event that survives 256 successors does no harm: it only
/// causes calls that would block.
#[derive(Debug)]
pub struct Entry {
    socket: Option<OwnedFd>,
    /// The generation; in the index bits the next free entry, or for an entry in use, whether it is a [`LISTENER`].
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

/// The user data of an event, which identifies its socket: an index, and the generation of the entry at registration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key(pub u32);

impl Key {
    /// Identifies no socket of any table; for a waker's events. The highest index means "none".
    pub const NONE: Self = Self(u32::MAX);
}

/// What a socket is used for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Connections are accepted from it.
    Listener,
    /// A connection.
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
    /// An empty table of at most [`NO_INDEX`] entries. Closes sockets that the storage still holds.
    pub(crate) fn new(entries: &'s mut [Entry]) -> Self {
        let length = entries.len().min(NO_INDEX as usize);
        let entries = &mut entries[..length];
        let last = length.saturating_sub(1);
        for (index, entry) in entries.iter_mut().enumerate() {
            *entry = Entry { socket: None, link: if index == last { NO_INDEX } else { index as u32 + 1 } };
        }
        Self { entries, free: if length == 0 { NO_INDEX } else { 0 } }
    }

    /// How many sockets it can hold.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// The key that the next inserted socket gets; `None` when the table is full.
    #[inline]
    pub(crate) fn next_key(&self) -> Option<Key> {
        Some(self.entries.get(self.free as usize)?.key(self.free))
    }

    /// Inserts a socket under [`next_key`](Self::next_key). `None` when the table is full; the socket is closed then.
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

    /// Frees an entry and advances its generation.
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

    /// The socket behind a handle, and the key that its events carry.
    #[inline]
    pub(crate) fn get_with_key(&self, io: IoHandle) -> Option<(BorrowedFd<'_>, Key)> {
        let entry = self.entries.get(io.0 as usize)?;
        Some((entry.socket.as_ref()?.as_fd(), entry.key(io.0)))
    }

    /// Whether the handle is a listener's.
    #[inline]
    pub(crate) fn is_listener(&self, io: IoHandle) -> bool {
        self.entries.get(io.0 as usize).is_some_and(|entry| entry.socket.is_some() && entry.link & LISTENER != 0)
    }

    /// The socket that an event belongs to, with its handle; `None` when it was closed, and for [`Key::NONE`].
    #[inline]
    pub(crate) fn named(&self, key: Key) -> Option<(IoHandle, BorrowedFd<'_>)> {
        let index = key.0 & NO_INDEX;
        let entry = self.entries.get(index as usize)?;
        let socket = entry.socket.as_ref()?;
        (entry.key(index) == key).then_some((IoHandle(index), socket.as_fd()))
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        // The storage outlives this table and would keep them open.
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
    fn a_full_table_accepts_no_socket_until_one_is_removed() {
        let mut entries = [const { Entry::new() }; 2];
        let mut table = Table::new(&mut entries);
        let listener = table.insert(socket(), Role::Listener).unwrap();
        let stream = table.insert(socket(), Role::Stream).unwrap();
        assert!(table.is_listener(listener) && !table.is_listener(stream));
        assert_eq!((table.next_key(), table.insert(socket(), Role::Stream)), (None, None));
        assert!(table.remove(listener).is_some() && table.remove(listener).is_none());
        assert!(!table.is_listener(listener), "the entry is free");
        assert_eq!(table.insert(socket(), Role::Stream), Some(listener), "the free entry is used again");
        assert!(!table.is_listener(listener), "its successor is a stream");
    }

    #[test]
    fn the_key_of_a_closed_socket_does_not_identify_its_successors() {
        let mut entries = [const { Entry::new() }; 1];
        let mut table = Table::new(&mut entries);
        let first = table.next_key().unwrap();
        for successor in 0..256 {
            let key = table.next_key().unwrap();
            let named = |table: &Table<'_>, key| table.named(key).map(|(io, _)| io);
            assert_eq!(named(&table, key), None, "the key is not in use yet");
            let io = table.insert(socket(), Role::Stream).unwrap();
            assert_eq!(table.get_with_key(io).map(|(_, key)| key), Some(key));
            assert_eq!((named(&table, key), named(&table, first).is_some()), (Some(io), successor == 0));
            table.remove(io);
        }
        assert_eq!(table.next_key(), Some(first), "the generation wraps after 256 sockets");
        assert!(table.named(Key::NONE).is_none());
    }

    #[test]
    fn dropping_a_table_closes_its_sockets() {
        let mut entries = [const { Entry::new() }; 2];
        let mut table = Table::new(&mut entries);
        table.insert(socket(), Role::Stream).unwrap();
        drop(table);
        assert!(entries.iter().all(|entry| entry.socket.is_none()));
        assert_eq!(Table::new(&mut []).next_key(), None);
    }
}
