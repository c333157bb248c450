//! The reactor's parts, setting it up, and taking it down.

use core::marker::PhantomData;
use core::net::SocketAddr;
use core::time::Duration;

use aurora_http_core::budget::ops_max;
use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{Completion, IoError, IoHandle, Peer, Peers};
use aurora_http_sockets::{Eventfd, Waker, os_error};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use crate::bell::Bell;
use crate::lent::{GROUP, Lent, LentPlace};
use crate::messages::Messages;
use crate::ops::{self, Kind};
use crate::refusal::{Refusal, Rungs, refusal};
use crate::ring::Ring;
use crate::table::{ACCEPT, CLOSE, DONE_RECV, DONE_SEND, Entry, FIXED, LISTENER, NONE, OPEN, READY, RECV, SEND, TRY};

/// Completion-style I/O on io_uring over a caller's table; an [`IoHandle`] is an index into that table.
///
/// It stays on the thread that made it. It can stand inside another event loop, level-triggered or edge-triggered: drive
/// the reactor with a zero timeout, and [`flush`](aurora_http_core::reactor::Reactor::flush) it, whenever that loop reports
/// its descriptor ([`AsFd`]), and at once while it [has work](aurora_http_core::reactor::Reactor::has_work). The
/// descriptor stands for an eventfd that the kernel writes to and for the waker, and is made when it is first asked for; a
/// ring's own would not become readable by work that the kernel keeps for us.
///
/// ```compile_fail
/// fn moves_to_another_thread<T: Send>() {}
/// moves_to_another_thread::<aurora_http_uring::Uring<'static>>();
/// ```
///
/// Dropping it asks for the end of all that is in flight, waits for that, and closes its sockets. What does not end
/// within a second keeps its buffers for ever, and so does what was in flight in a reactor that is leaked.
pub struct Uring<'s> {
    // First, so that the kernel's side is gone before the memory that it looks at.
    pub(crate) ring: Ring,
    pub(crate) table: &'s mut [Entry],
    pub(crate) lent: Lent<'s>,
    pub(crate) messages: Messages,
    pub(crate) waker: Waker<Eventfd>,
    /// The kernel watches the waker.
    pub(crate) watched: bool,
    /// First free entry, or [`NONE`].
    pub(crate) free: u32,
    pub(crate) free_count: u32,
    /// Accepts in flight in the kernel; a free entry is kept for each.
    pub(crate) armed: u32,
    /// First and last entry with something to hand out.
    pub(crate) ready: u32,
    pub(crate) ready_last: u32,
    /// Completions of this turn that were not looked at yet.
    pub(crate) due: u32,
    /// Something could not be queued: look for it in the whole table.
    pub(crate) retry: bool,
    /// The kernel has more than the last call took.
    pub(crate) behind: bool,
    /// Waits in a row that left something to the kernel.
    pub(crate) parts: u8,
    pub(crate) bell: Bell,
    /// An operation that cannot be carried out; it completes with an error in its turn.
    pub(crate) refused: Option<Completion<'static>>,
    /// A ring belongs to a thread.
    thread: PhantomData<*mut ()>,
}

/// Setting up, and looking in.
impl<'s> Uring<'s> {
    /// A reactor that holds as many sockets, listeners included, as `table` has entries, and as many lent buffers as
    /// `lent` has places (at most 32 768). What the storage held before is dropped, and sockets are closed: take the buffers
    /// of an earlier reactor out before, by [`Entry::take_buffers`] and [`LentPlace::take_buffer`].
    ///
    /// # Errors
    /// Why io_uring cannot be used here. There is no fall-back.
    pub fn new(table: &'s mut [Entry], lent: &'s mut [LentPlace]) -> Result<Self, Refusal> {
        let length = table.len().min(NONE as usize);
        let table = &mut table[..length];
        let ring = Ring::new(completions_max(length), length as u32)?;
        let waker = Waker::new(Eventfd::new().map_err(refusal)?);
        let mut lent = Lent::new(lent).map_err(refusal)?;
        show(&ring, &mut lent).map_err(|error| match error {
            Errno::INVAL => Refusal::TooOld("rings of provided buffers"),
            error => refusal(error),
        })?;
        for (next, entry) in (1..).zip(table.iter_mut()) {
            *entry = Entry { next, ..Entry::new() };
        }
        if let Some(last) = table.last_mut() {
            last.next = NONE;
        }
        Ok(Self {
            ring,
            free: if length == 0 { NONE } else { 0 },
            free_count: length as u32,
            table,
            lent,
            messages: Messages::new().map_err(refusal)?,
            waker,
            watched: false,
            armed: 0,
            ready: NONE,
            ready_last: NONE,
            due: 0,
            retry: false,
            behind: false,
            parts: 0,
            bell: Bell::new(),
            refused: None,
            thread: PhantomData,
        })
    }

    /// Bytes that it takes besides a table of `handles` and `lent` places of a buffer's own size: the queues and rings
    /// that it shares with the kernel, and what a [`LentPlace`] is longer.
    #[must_use]
    pub const fn queue_bytes(handles: usize, lent: usize) -> usize {
        let places = lent * (size_of::<LentPlace>() - size_of::<Option<Buf<'static>>>());
        crate::ring::bytes(completions_max(handles)) + Lent::bytes(lent) + places + Messages::BYTES
    }

    /// Which parts of the ladder it stands on.
    #[must_use]
    pub fn rungs(&self) -> Rungs {
        self.ring.rungs()
    }

    /// Takes a listening socket in, inherited ones too; it is made non-blocking, for all that share it: another server on
    /// the same socket must not block in accept(2).
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when the table is full; the socket is closed then.
    pub fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&listener, true).map_err(os_error)?;
        let index = self.insert(listener).ok_or(IoError::FileLimit)?;
        self.table[index as usize].flags = OPEN | LISTENER;
        Ok(IoHandle(index))
    }

    /// Takes a connected stream socket in. Whether it blocks makes no difference here and is left as it is, since that
    /// belongs to all who share it.
    ///
    /// # Errors
    /// As for [`add_listener`](Self::add_listener).
    pub fn add_stream(&mut self, stream: OwnedFd) -> Result<IoHandle, IoError> {
        self.insert(stream).map(IoHandle).ok_or(IoError::FileLimit)
    }

    /// Gives a socket away, still open and made non-blocking; its handle is free afterwards. `None` for an invalid handle, and
    /// while an operation is in flight on it.
    pub fn detach(&mut self, io: IoHandle) -> Option<OwnedFd> {
        let entry = self.table.get_mut(io.0 as usize)?;
        if entry.flags & (OPEN | RECV | SEND | ACCEPT | CLOSE) != OPEN || entry.armed > 0 || entry.waits != 0 {
            return None;
        }
        if entry.flags & FIXED != 0 && !self.ring.fix(io.0, -1) {
            return None;
        }
        let socket = entry.socket.take()?;
        // As from the other backends. It fails for no socket.
        let _ = rustix::io::ioctl_fionbio(&socket, true);
        self.release(io.0);
        Some(socket)
    }

    /// The socket behind a handle, to read or set options.
    #[must_use]
    pub fn descriptor(&self, io: IoHandle) -> Option<BorrowedFd<'_>> {
        let entry = self.table.get(io.0 as usize).filter(|entry| entry.flags & (OPEN | CLOSE) == OPEN)?;
        Some(entry.socket.as_ref()?.as_fd())
    }

    /// The address that a socket is bound to.
    ///
    /// # Errors
    /// [`IoError::Unsupported`] for an invalid handle; [`IoError::Os`] when the socket is no IP socket.
    pub fn local_addr(&self, io: IoHandle) -> Result<SocketAddr, IoError> {
        aurora_http_sockets::local_addr(self.descriptor(io).ok_or(IoError::Unsupported)?)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// As for [`local_addr`](Self::local_addr), and [`IoError::ConnectionReset`] when it is not connected.
    pub fn peer_addr(&self, io: IoHandle) -> Result<SocketAddr, IoError> {
        aurora_http_sockets::peer_addr(self.descriptor(io).ok_or(IoError::Unsupported)?)
    }

    /// What ends a wait from another thread.
    ///
    /// # Errors
    /// As for [`Waker::try_clone`].
    pub fn waker(&self) -> Result<Waker<Eventfd>, IoError> {
        self.waker.try_clone()
    }

    /// Puts a socket into a free entry; closes it when there is none.
    pub(crate) fn insert(&mut self, socket: OwnedFd) -> Option<u32> {
        let index = self.free;
        let entry = self.table.get_mut(index as usize)?;
        self.free = entry.next;
        self.free_count -= 1;
        *entry = Entry { socket: Some(socket), flags: OPEN | TRY, ..Entry::new() };
        Some(index)
    }

    /// Frees an entry; its socket is closed if it still has one.
    pub(crate) fn release(&mut self, index: u32) {
        if let Some(entry) = self.table.get_mut(index as usize) {
            *entry = Entry { next: self.free, ..Entry::new() };
            self.free = index;
            self.free_count += 1;
        }
    }

    /// Queues the entry to have something handed out.
    pub(crate) fn push_ready(&mut self, index: u32) {
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        if entry.flags & READY != 0 {
            return;
        }
        entry.flags |= READY;
        entry.next = NONE;
        if self.ready == NONE {
            self.ready = index;
        } else if let Some(last) = self.table.get_mut(self.ready_last as usize) {
            last.next = index;
        }
        self.ready_last = index;
    }
}

/// Accepts in flight on all listeners.
pub(crate) const ACCEPTS_MAX: u32 = 128;

/// The most completions that can wait at once: of receives, sends and their cancels per handle, of the wake, and of the
/// accepts, which are more than one per listener.
const fn completions_max(handles: usize) -> u32 {
    let completions = ops_max(handles, 0).saturating_add(ACCEPTS_MAX as usize);
    if completions > u32::MAX as usize { u32::MAX } else { completions as u32 }
}

impl Uring<'_> {
    /// Keeps what all completions that are there say in the table.
    pub(crate) fn keep_all(&mut self) {
        while let Some(completion) = self.ring.pop() {
            let (kind, index) = ops::named(completion.user_data_u64());
            self.keep(kind, index, completion.raw_result(), completion.flags());
        }
    }
}

/// Lets the kernel take lent buffers.
pub(crate) fn show(ring: &Ring, lent: &mut Lent<'_>) -> Result<(), Errno> {
    let (start, entries) = lent.ring();
    lent.restart();
    // SAFETY: the pages are the reactor's own, which hides them before it takes a buffer back, and drops its ring before
    // them; the buffers that they name live as long as the process and are owned by `lent`.
    unsafe { ring.show_lent(start, entries, GROUP) }?;
    lent.registered = true;
    Ok(())
}

impl Peers for Uring<'_> {
    fn peer(&self, io: IoHandle) -> Option<Peer> {
        aurora_http_sockets::peer(self.descriptor(io)?)
    }

    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        aurora_http_sockets::unacknowledged(self.descriptor(io)?)
    }
}

impl AsFd for Uring<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.descriptor(&self.ring, self.waker.get_ref().as_fd())
    }
}

/// How long dropping waits for what is in flight, and how often it looks.
const DROP_WAIT: Duration = Duration::from_millis(50);
const DROP_LOOKS: u32 = 20;

impl Drop for Uring<'_> {
    fn drop(&mut self) {
        // First of all: a receive that goes on takes none any more.
        let hidden = !self.lent.registered || self.ring.hide_lent(GROUP).is_ok();
        self.lent.registered &= !hidden;
        for index in 0..self.table.len() as u32 {
            let entry = &self.table[index as usize];
            let (recv, send) = (entry.flags & (RECV | DONE_RECV) == RECV, entry.flags & (SEND | DONE_SEND) == SEND);
            if recv {
                self.push_cancel(index, Kind::Recv);
            }
            if send {
                self.push_cancel(index, Kind::Send);
            }
            self.disarm(index);
        }
        for _ in 0..DROP_LOOKS {
            let busy = self.table.iter().any(Entry::is_busy);
            let entered = self.ring.enter(busy.into(), Some(DROP_WAIT));
            self.keep_all();
            if !busy || !matches!(entered, Ok(()) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN)) {
                break;
            }
        }
        // It would keep them open until the kernel gets round to taking the ring down.
        self.ring.fix_nothing();
        let mut taken = false;
        for entry in &mut *self.table {
            // The kernel may still use what is in flight: `take_buffers` does not hand it out, and the next reactor on the
            // table forgets it. Which lent buffer such a receive has taken, nobody knows.
            taken |= entry.flags & (RECV | DONE_RECV) == RECV && entry.into.is_none();
            // The table is the caller's and would keep it open.
            entry.socket = None;
        }
        if hidden && !taken {
            self.lent.release();
        }
    }
}
