//! Lent buffers, in a ring that the kernel takes them from (`IORING_REGISTER_PBUF_RING`).

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};

use aurora_http_core::pool::Buf;
use rustix::io::Errno;
use rustix::io_uring::io_uring_buf;

use crate::pages::Pages;

/// The group that receives select from.
pub(crate) const GROUP: u16 = 0;

/// Where the tail stands: in what would be the reserved field of the first entry.
const TAIL_OFFSET: usize = 14;

/// The longest ring that the kernel takes.
const LENT_MAX: usize = 1 << 15;

/// What an entry says: an `io_uring_buf` without its reserved field, which is the tail in the first one.
#[repr(C, packed)]
struct Named {
    address: u64,
    len: u32,
    id: u16,
}

const _: () = assert!(size_of::<Named>() == TAIL_OFFSET && size_of::<io_uring_buf>() == 16);

/// One place for a lent buffer in the caller's storage: 32 bytes where pointers have 64 bits.
///
/// The kernel may write into the buffer at any time. Therefore nobody but the reactor gets at it, not even when the
/// reactor was leaked (`mem::forget`); when it was dropped, [`take_buffer`](Self::take_buffer) hands it out.
#[derive(Default)]
pub struct LentPlace {
    buf: Option<Buf<'static>>,
    /// The kernel has forgotten it.
    released: bool,
}

impl LentPlace {
    /// An empty place.
    #[must_use]
    pub const fn new() -> Self {
        Self { buf: None, released: false }
    }

    /// Takes out the buffer that a reactor left here when it was dropped. `None` when there is none, and for ever when the
    /// kernel did not let go of it.
    pub fn take_buffer(&mut self) -> Option<Buf<'static>> {
        if self.released { self.buf.take() } else { None }
    }
}

impl core::fmt::Debug for LentPlace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LentPlace").field("released", &self.released).finish_non_exhaustive()
    }
}

pub(crate) struct Lent<'s> {
    /// The kernel's ring, and behind it the stack of free ids.
    pages: Pages,
    /// The buffers that the ring names, by their ids.
    places: &'s mut [LentPlace],
    /// Ids on the stack.
    free: usize,
    /// A power of two.
    entries: u16,
    tail: u16,
    /// The kernel knows the ring.
    pub(crate) registered: bool,
}

impl<'s> Lent<'s> {
    /// What so many places take besides themselves.
    pub(crate) const fn bytes(places: usize) -> usize {
        places.next_power_of_two() * size_of::<io_uring_buf>() + places * size_of::<u16>()
    }

    /// For as many buffers as there are places (at most 32 768); what they hold is dropped.
    pub(crate) fn new(places: &'s mut [LentPlace]) -> Result<Self, Errno> {
        let len = places.len().min(LENT_MAX);
        let places = &mut places[..len];
        places.fill_with(LentPlace::new);
        let entries = len.next_power_of_two();
        let pages = Pages::new(Self::bytes(len))?;
        let mut lent = Self { pages, places, free: 0, entries: entries as u16, tail: 0, registered: false };
        for id in (0..len).rev() {
            lent.push_free(id as u16);
        }
        Ok(lent)
    }

    /// Where the ring is and how many entries it has, to be registered.
    pub(crate) fn ring(&self) -> (NonNull<u8>, u16) {
        (self.pages.start(), self.entries)
    }

    /// Puts a buffer at the end of the ring.
    #[inline]
    pub(crate) fn push(&mut self, mut buf: Buf<'static>) -> Result<(), Buf<'static>> {
        let Some(id) = self.pop_free() else { return Err(buf) };
        let spare = buf.spare();
        let (address, len) = (spare.as_mut_ptr(), spare.len() as u32);
        let at = usize::from(self.tail & (self.entries - 1)) * size_of::<io_uring_buf>();
        // SAFETY: the mask keeps it inside the ring's entries.
        let entry = unsafe { self.pages.start().add(at) };
        let named = Named { address: address.expose_provenance() as u64, len, id };
        // SAFETY: the ring has room, because it has no fewer entries than there are ids and this one was free; so the
        // kernel does not look at this entry before the tail has moved.
        unsafe { entry.cast::<Named>().write_unaligned(named) };
        self.places[usize::from(id)].buf = Some(buf);
        self.tail = self.tail.wrapping_add(1);
        self.tail_word().store(self.tail, Ordering::Release);
        Ok(())
    }

    /// The buffer that the kernel took for a receive.
    #[inline]
    pub(crate) fn take(&mut self, id: u16) -> Option<Buf<'static>> {
        let buf = self.places.get_mut(usize::from(id))?.buf.take()?;
        self.push_free(id);
        Some(buf)
    }

    /// Takes back one buffer that is left. The kernel must not know the ring any more.
    pub(crate) fn reclaim(&mut self) -> Option<Buf<'static>> {
        debug_assert!(!self.registered, "the kernel may take it");
        let id = self.places.iter().position(|place| place.buf.is_some())?;
        self.take(id as u16)
    }

    /// Whether any buffer is in the ring, or was taken from it by a receive whose completion has not been seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.free == self.places.len()
    }

    /// Starts over with the buffers that are left. The kernel must not know the ring.
    pub(crate) fn restart(&mut self) {
        self.tail = 0;
        self.tail_word().store(0, Ordering::Release);
        for id in 0..self.places.len() {
            if let Some(buf) = self.take(id as u16) {
                let pushed = self.push(buf);
                debug_assert!(pushed.is_ok(), "an id was freed for it");
            }
        }
    }

    /// Gives the buffers that are left to the owner of the places. The kernel must not know the ring, and no receive may
    /// have taken one.
    pub(crate) fn release(&mut self) {
        debug_assert!(!self.registered, "the kernel may take it");
        for place in &mut *self.places {
            place.released = true;
        }
    }

    fn tail_word(&self) -> &AtomicU16 {
        // SAFETY: the pages are longer.
        let tail = unsafe { self.pages.start().add(TAIL_OFFSET) };
        // SAFETY: aligned to 2 and zeroed at first; the kernel only reads it, and here it is an atomic everywhere.
        unsafe { tail.cast().as_ref() }
    }

    fn free_ids(&mut self) -> &mut [u16] {
        let offset = usize::from(self.entries) * size_of::<io_uring_buf>();
        // SAFETY: behind the ring's entries the pages have one id per place.
        let ids = unsafe { self.pages.start().add(offset) };
        // SAFETY: aligned to 2, zeroed at first and never shown to the kernel; the reference lasts no longer than the
        // exclusive one to self.
        unsafe { core::slice::from_raw_parts_mut(ids.cast().as_ptr(), self.places.len()) }
    }

    #[inline]
    fn push_free(&mut self, id: u16) {
        let free = self.free;
        if let Some(top) = self.free_ids().get_mut(free) {
            *top = id;
            self.free += 1;
        }
    }

    #[inline]
    fn pop_free(&mut self) -> Option<u16> {
        let top = self.free.checked_sub(1)?;
        let id = *self.free_ids().get(top)?;
        self.free = top;
        Some(id)
    }
}
