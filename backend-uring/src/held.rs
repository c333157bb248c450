//! What operations in flight hold, apart from the sockets: most sockets are those of idle connections, whose receives hold nothing.

use core::mem::replace;

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{FileId, FileRange};

use crate::table::{Entry, NONE};

/// What the operations in flight on one socket hold, in the caller's storage: 72 bytes on 64-bit targets.
///
/// It owns the buffers until the operations' own completions. It is in use only while there is such a buffer; so
/// [`held_max`](aurora_http_core::budget::held_max) is the length of a table of them that cannot become full. A buffer that the
/// kernel picks when bytes arrive is not in it.
pub struct Held {
    /// The buffer of the receive; `None` if there is no receive, or the kernel picks a lent one.
    pub(crate) into: Option<Buf<'static>>,
    /// The buffer of the send.
    pub(crate) head: Option<Buf<'static>>,
    pub(crate) tail: Tail,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Held>() == 72);

/// What a send has after its buffer. The fields of a [`FileRange`] are spread out, because the range as a whole would take
/// eight bytes more.
#[derive(Clone, Copy)]
pub(crate) enum Tail {
    Bytes(&'static [u8]),
    File {
        file: FileId,
        offset: u64,
        len: u32,
    },
    /// The record is free, and this is the next free one.
    Free {
        next: u32,
    },
    /// The reactor was dropped, and the kernel has no access to the buffers of the record any more.
    Released,
}

impl Tail {
    /// The bytes; none if it is a part of a file.
    #[inline(always)]
    pub(crate) const fn bytes(self) -> &'static [u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }

    pub(crate) const fn file(self) -> Option<FileRange> {
        if let Self::File { file, offset, len } = self { Some(FileRange { file, offset, len }) } else { None }
    }
}

impl Held {
    /// A record that holds nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { into: None, head: None, tail: Tail::Bytes(&[]) }
    }

    /// Takes the buffers that the kernel has given back, after the reactor over this table was dropped.
    ///
    /// Dropping the reactor waits for the kernel. Buffers that the kernel still has then, and all that were in flight when a
    /// reactor was leaked (`mem::forget`), are never returned: the kernel may still write to them.
    pub fn take_buffers(&mut self) -> impl Iterator<Item = Buf<'static>> + use<> {
        let is_released = matches!(self.tail, Tail::Released);
        let into = if is_released { self.into.take() } else { None };
        let head = if is_released { self.head.take() } else { None };
        into.into_iter().chain(head)
    }
}

impl Default for Held {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Held {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

/// The table of records.
pub(crate) struct Records<'s> {
    records: &'s mut [Held],
    /// The record that became free last, [`NONE`] if there is none: its memory is most likely still in the cache.
    free: u32,
}

impl<'s> Records<'s> {
    /// Frees all records, and drops what they hold.
    pub(crate) fn new(records: &'s mut [Held]) -> Self {
        let mut free = NONE;
        for (index, record) in (0..NONE).zip(records.iter_mut()).rev() {
            *record = Held { tail: Tail::Free { next: replace(&mut free, index) }, ..Held::new() };
        }
        Self { records, free }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record of a socket; `None` if its operations hold nothing.
    #[inline(always)]
    pub(crate) fn of(&mut self, entry: &Entry) -> Option<&mut Held> {
        self.records.get_mut(entry.held as usize)
    }

    /// The record of a socket, a free one if it has none; `None` if none is free.
    #[inline(always)]
    pub(crate) fn get_or_take(&mut self, entry: &mut Entry) -> Option<&mut Held> {
        let index = if entry.held == NONE { self.free } else { entry.held };
        let record = self.records.get_mut(index as usize)?;
        if let Tail::Free { next } = record.tail {
            record.tail = Tail::Bytes(&[]);
            self.free = next;
            entry.held = index;
        }
        Some(record)
    }

    /// Takes the buffer of the receive, and frees the record if there is no send.
    #[inline(always)]
    pub(crate) fn take_into(&mut self, entry: &mut Entry) -> Option<Buf<'static>> {
        let record = self.records.get_mut(entry.held as usize)?;
        let into = record.into.take();
        if record.head.is_none() {
            record.tail = Tail::Free { next: replace(&mut self.free, replace(&mut entry.held, NONE)) };
        }
        into
    }

    /// Takes the buffer of the send and what is sent after it, and frees the record if the receive has no buffer.
    #[inline(always)]
    pub(crate) fn take_head(&mut self, entry: &mut Entry) -> Option<(Buf<'static>, Tail)> {
        let record = self.records.get_mut(entry.held as usize)?;
        let head = record.head.take()?;
        let tail = record.tail;
        if record.into.is_none() {
            record.tail = Tail::Free { next: replace(&mut self.free, replace(&mut entry.held, NONE)) };
        }
        Some((head, tail))
    }
}
