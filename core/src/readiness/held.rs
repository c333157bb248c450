//! What operations hold, apart from the handles: most handles are those of idle connections, whose receives hold nothing.

use core::mem::replace;

use super::parked::{NONE, Parked};
use crate::pool::Buf;
use crate::reactor::{FileId, FileRange, Op};

/// What the operations on one handle hold: 72 bytes with 64-bit pointers.
///
/// It is in use only while they hold at least one buffer. So there are never more in use than there are buffers, nor more than
/// handles with operations: [`held_max`](crate::budget::held_max) is the length of a table of them that cannot become full.
pub struct Held<'p> {
    /// The buffer of the receive; `None` if there is no receive, or it takes a lent one.
    pub(super) into: Option<Buf<'p>>,
    /// The buffer of the send.
    pub(super) head: Option<Buf<'p>>,
    pub(super) tail: Tail<'p>,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Held<'static>>() == 72);

/// What a send has after its buffer. The fields of a [`FileRange`] are spread out, because the range as a whole would take
/// eight bytes more.
#[derive(Clone, Copy)]
pub(super) enum Tail<'p> {
    /// First, so that its number is 0: see [`Held::new`].
    File {
        file: FileId,
        offset: u64,
        len: u32,
    },
    Bytes(&'p [u8]),
    /// The record is free, and this is the next free one.
    Free {
        next: u32,
    },
}

impl<'p> Tail<'p> {
    /// The bytes; none if it is a part of a file.
    #[inline(always)]
    pub(super) const fn bytes(self) -> &'p [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::File { .. } | Self::Free { .. } => &[],
        }
    }
}

impl<'p> Held<'p> {
    /// A record for the table of a new reactor, which initialises it. It is all zeros, so that a `static` of them takes no
    /// flash.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            into: None,
            head: None,
            tail: Tail::File { file: FileId { index: 0, generation: 0 }, offset: 0, len: 0 },
        }
    }

    /// Removes the buffers of operations that were in flight when the reactor over this table was dropped.
    ///
    /// Normally a buffer comes back with the completion of its operation; after a reactor that was dropped early, as by
    /// a panic, this returns it. [`Readiness::new`](super::Readiness::new) drops buffers that are still there.
    pub fn take_buffers(&mut self) -> impl Iterator<Item = Buf<'p>> + use<'p> {
        self.into.take().into_iter().chain(self.head.take())
    }

    /// Keeps what a receive or a send holds.
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn hold(&mut self, op: Op<'p>) {
        match op {
            Op::Recv { into, .. } => self.into = into,
            Op::Send { head, body, .. } => {
                self.head = Some(head);
                self.tail = Tail::Bytes(body);
            }
            Op::SendFile { head, range: FileRange { file, offset, len }, .. } => {
                self.head = Some(head);
                self.tail = Tail::File { file, offset, len };
            }
            Op::Accept { .. } | Op::Close { .. } => {}
        }
    }

    /// Takes the buffer of the receive, and frees the record if there is no send.
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn take_into(&mut self, free: &mut u32, entry: &mut Parked) -> Option<Buf<'p>> {
        if self.head.is_none() {
            self.tail = Tail::Free { next: replace(free, replace(&mut entry.held, NONE)) };
        }
        self.into.take()
    }

    /// Takes the buffer of the send, and the bytes after it, and frees the record if the receive has no buffer.
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn take_head(&mut self, free: &mut u32, entry: &mut Parked) -> Option<(Buf<'p>, &'p [u8])> {
        let head = self.head.take()?;
        let body = self.tail.bytes();
        if self.into.is_none() {
            self.tail = Tail::Free { next: replace(free, replace(&mut entry.held, NONE)) };
        }
        Some((head, body))
    }
}

impl Default for Held<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// The table of records.
pub(super) struct Records<'s, 'p> {
    pub(super) records: &'s mut [Held<'p>],
    /// The record that became free last, [`NONE`] if there is none: its memory is most likely still in the cache.
    pub(super) free: u32,
}

impl<'s, 'p> Records<'s, 'p> {
    /// Frees all records, and drops what they hold.
    pub(super) fn new(records: &'s mut [Held<'p>]) -> Self {
        let mut free = NONE;
        for (index, record) in (0..NONE).zip(records.iter_mut()).rev() {
            *record = Held { tail: Tail::Free { next: replace(&mut free, index) }, ..Held::new() };
        }
        Self { records, free }
    }

    /// The record of a handle, a free one if it has none; `None` if none is free.
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn get_or_take(&mut self, entry: &mut Parked) -> Option<&mut Held<'p>> {
        let index = if entry.held == NONE { self.free } else { entry.held };
        let record = self.records.get_mut(index as usize)?;
        if let Tail::Free { next } = record.tail {
            record.tail = Tail::Bytes(&[]);
            self.free = next;
            entry.held = index;
        }
        Some(record)
    }

    /// As [`Held::take_into`], of the record of a handle.
    pub(super) fn take_into(&mut self, entry: &mut Parked) -> Option<Buf<'p>> {
        self.records.get_mut(entry.held as usize)?.take_into(&mut self.free, entry)
    }

    /// As [`Held::take_head`], of the record of a handle.
    pub(super) fn take_head(&mut self, entry: &mut Parked) -> Option<(Buf<'p>, &'p [u8])> {
        self.records.get_mut(entry.held as usize)?.take_head(&mut self.free, entry)
    }
}
