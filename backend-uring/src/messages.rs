//! Message headers of sends in two parts, kept until they are submitted.
//!
//! The kernel copies a header when it takes the submission (`IORING_FEAT_SUBMIT_STABLE`). So a header is needed only from
//! queueing to the next submit, and a small number is enough for all connections.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::io_uring::{MsgHdr, RecvFlags, iovec};

use crate::pages::Pages;

/// Sends in two parts per submit; one more causes an early submit.
const MESSAGES: usize = 64;

/// The most bytes of one send: the kernel's own limit (`MAX_RW_COUNT`).
pub(crate) const SEND_MAX: usize = 0x7fff_f000;

// The header comes first, so that its address is the message's.
#[repr(C)]
struct Message {
    header: MsgHdr,
    parts: [iovec; 2],
}

pub(crate) struct Messages {
    pages: Pages,
    used: usize,
}

impl Messages {
    /// Bytes that they occupy.
    pub(crate) const BYTES: usize = MESSAGES * size_of::<Message>();

    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self { pages: Pages::new(Self::BYTES)?, used: 0 })
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.used == MESSAGES
    }

    /// To be called when the kernel has taken all queued submissions.
    pub(crate) const fn clear(&mut self) {
        self.used = 0;
    }

    /// A header for a send of two parts, valid until [`clear`](Self::clear); `None` when all are in use.
    pub(crate) fn put(&mut self, head: &[u8], body: &[u8]) -> Option<NonNull<MsgHdr>> {
        if self.is_full() {
            return None;
        }
        // SAFETY: `used` is below MESSAGES, so the place is inside the pages.
        let place = unsafe { self.pages.start().cast::<Message>().add(self.used) };
        self.used += 1;
        let part = |bytes: &[u8], max: usize| iovec {
            iov_base: bytes.as_ptr().cast_mut().cast::<c_void>(),
            iov_len: bytes.len().min(max),
        };
        let parts = [part(head, SEND_MAX), part(body, SEND_MAX - head.len().min(SEND_MAX))];
        let header = MsgHdr {
            msg_name: ptr::null_mut(),
            msg_namelen: 0,
            // SAFETY: the place is inside the pages; no reference is created.
            msg_iov: unsafe { &raw mut (*place.as_ptr()).parts }.cast(),
            msg_iovlen: 2,
            msg_control: ptr::null_mut(),
            msg_controllen: 0,
            msg_flags: RecvFlags::empty(),
        };
        // SAFETY: the place is aligned (pages are, and Message's size is a multiple of its alignment), exclusively ours, and
        // no queued submission references it.
        unsafe { place.write(Message { header, parts }) };
        Some(place.cast())
    }
}
