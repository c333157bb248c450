//! Lent buffers, in a ring from which the kernel picks them (`IORING_REGISTER_PBUF_RING`).

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};

use aurora_http_core::pool::Buf;
use rustix::io::Errno;
use rustix::io_uring::io_uring_buf;

use crate::pages::Pages;

/// The buffer group from which receives select.
pub(crate) const GROUP: u16 = 0;

/// The offset of the ring's tail, which overlays the reserved field of the first entry.
const TAIL_OFFSET: usize = 14;

/// The longest ring that the kernel accepts.
const LENT_MAX: usize = 1 << 15;

/// An `io_uring_buf` without its reserved field, which in the first entry is the tail.
#[repr(C, packed)]
struct BufEntry {
    address: u64,
    len: u32,
    id: u16,
}

const _: () = assert!(size_of::<BufEntry>() == TAIL_OFFSET && size_of::<io_uring_buf>() == 16);

/// One place for a lent buffer in the caller's storage: 32 bytes on 64-bit targets.
///
/// The kernel may write into the buffer at any time. So only the reactor can access it, even when the reactor was leaked
/// (`mem::forget`). After the reactor was dropped, [`take_buffer`](Self::take_buffer) returns it:
///
/// ```no_run
/// use aurora_http_core::pool::Buf;
/// use aurora_http_core::reactor::Reactor;
/// use aurora_http_uring::{Entry, Held, LentPlace, Uring};
///
/// let mut table = [const { Entry::new() }; 16];
/// let (mut held, mut places) = ([const { Held::new() }; 12], [const { LentPlace::new() }; 4]);
/// let mut uring = Uring::new(&mut table, &mut held, &mut places)?;
/// assert!(uring.provide(Buf::new(vec![0; 4096].leak())).is_ok());
/// drop(uring);
/// let returned: Vec<Buf<'static>> = places.iter_mut().filter_map(LentPlace::take_buffer).collect();
/// assert_eq!(returned.len(), 1);
/// # Ok::<_, aurora_http_uring::Refusal>(())
/// ```
#[derive(Default)]
pub struct LentPlace {
    buf: Option<Buf<'static>>,
    /// A receive that has completed has picked it, but was not handed out.
    picked: bool,
    /// The kernel no longer has access to it.
    released: bool,
}

impl LentPlace {
    /// An empty place.
    #[must_use]
    pub const fn new() -> Self {
        Self { buf: None, picked: false, released: false }
    }

    /// Takes the buffer that a dropped reactor left here. `None` when there is none, and forever when the kernel might still
    /// write into it.
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
    /// The ring, shared with the kernel, followed by the stack of free ids.
    pages: Pages,
    /// The buffers in the ring, indexed by id.
    places: &'s mut [LentPlace],
    /// How many ids are on the stack.
    free: usize,
    /// The length of the ring, a power of two.
    entries: u16,
    tail: u16,
    /// The ring is registered with the kernel.
    pub(crate) registered: bool,
}

impl<'s> Lent<'s> {
    /// Bytes for so many places, without the places themselves.
    pub(crate) const fn bytes(places: usize) -> usize {
        places.next_power_of_two() * size_of::<io_uring_buf>() + places * size_of::<u16>()
    }

    /// Room for one buffer per place (at most 32 768); buffers that the places hold are dropped.
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

    /// The ring's address and length, to register it.
    pub(crate) fn ring(&self) -> (NonNull<u8>, u16) {
        (self.pages.start(), self.entries)
    }

    /// Appends a buffer to the ring; returns it when the ring is full.
    #[inline]
    pub(crate) fn push(&mut self, mut buf: Buf<'static>) -> Result<(), Buf<'static>> {
        let Some(id) = self.pop_free() else { return Err(buf) };
        let spare = buf.spare();
        let (address, len) = (spare.as_mut_ptr(), spare.len() as u32);
        let at = usize::from(self.tail & (self.entries - 1)) * size_of::<io_uring_buf>();
        // SAFETY: the mask keeps it inside the ring's entries.
        let entry = unsafe { self.pages.start().add(at) };
        let buffer = BufEntry { address: address.expose_provenance() as u64, len, id };
        // SAFETY: the ring has room, because it has at least as many entries as there are ids and this id was free. So the
        // kernel does not read this entry before the tail has moved.
        unsafe { entry.cast::<BufEntry>().write_unaligned(buffer) };
        self.places[usize::from(id)].buf = Some(buf);
        self.tail = self.tail.wrapping_add(1);
        self.tail_word().store(self.tail, Ordering::Release);
        Ok(())
    }

    /// The buffer that the kernel picked for a receive.
    #[inline]
    pub(crate) fn take(&mut self, id: u16) -> Option<Buf<'static>> {
        let place = self.places.get_mut(usize::from(id))?;
        let buf = place.buf.take()?;
        place.picked = false;
        self.push_free(id);
        Some(buf)
    }

    /// The kernel has picked this buffer for a receive, which is to be handed out later: until then it stays here.
    pub(crate) fn pick(&mut self, id: u16) {
        if let Some(place) = self.places.get_mut(usize::from(id)) {
            place.picked = true;
        }
    }

    /// Takes back one buffer that is left. The ring must not be registered any more.
    pub(crate) fn reclaim(&mut self) -> Option<Buf<'static>> {
        debug_assert!(!self.registered, "the kernel may still pick it");
        let id = self.places.iter().position(|place| place.buf.is_some() && !place.picked)?;
        self.take(id as u16)
    }

    /// Whether no buffer is in the ring, and none was picked by a receive that was not handed out.
    pub(crate) fn is_empty(&self) -> bool {
        self.free == self.places.len()
    }

    /// Resets the ring, keeping the buffers that are left. It must not be registered.
    pub(crate) fn restart(&mut self) {
        self.tail = 0;
        self.tail_word().store(0, Ordering::Release);
        for id in 0..self.places.len() {
            if !self.places[id].picked
                && let Some(buf) = self.take(id as u16)
            {
                let pushed = self.push(buf);
                debug_assert!(pushed.is_ok(), "an id was freed for it");
            }
        }
    }

    /// Makes buffers available to the owner of the places: those of receives that have completed, and those that are left if
    /// `unpicked` says that no receive can have picked one of them. For that the ring must not be registered.
    pub(crate) fn release(&mut self, unpicked: bool) {
        debug_assert!(!self.registered || !unpicked, "the kernel may still pick it");
        for place in &mut *self.places {
            place.released = unpicked || place.picked;
        }
    }

    fn tail_word(&self) -> &AtomicU16 {
        // SAFETY: the offset is inside the pages.
        let tail = unsafe { self.pages.start().add(TAIL_OFFSET) };
        // SAFETY: aligned to 2 and initially zero; the kernel only reads it, and this crate accesses it only as an atomic.
        unsafe { tail.cast().as_ref() }
    }

    fn free_ids(&mut self) -> &mut [u16] {
        let offset = usize::from(self.entries) * size_of::<io_uring_buf>();
        // SAFETY: after the ring's entries, the pages have room for one id per place.
        let ids = unsafe { self.pages.start().add(offset) };
        // SAFETY: aligned to 2, initially zero and not shared with the kernel; the returned reference borrows `self`
        // exclusively.
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
