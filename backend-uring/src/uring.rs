//! The reactor: its fields, its construction, and its drop.

use core::marker::PhantomData;
use core::net::SocketAddr;
use core::time::Duration;

use aurora_http_core::budget::ops_max;
use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{Completion, IoError, IoHandle, Peer, Peers};
use aurora_http_sockets::{Eventfd, Waker, os_error};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use crate::held::{Held, Records, Tail};
use crate::lent::{GROUP, Lent, LentPlace};
use crate::messages::Messages;
use crate::nested::NestedFd;
use crate::ops::{self, Kind};
use crate::refusal::{Refusal, Rungs, refusal};
use crate::ring::Ring;
use crate::table::{
    ACCEPT, CLOSE, DONE_RECV, DONE_SEND, Entry, FIXED, LISTENER, NONE, OPEN, READY, RECV, SEND, SENDS_FILES, TRY,
};

/// Completion-style I/O on io_uring over the caller's table; an [`IoHandle`] is an index into that table.
///
/// It can be nested in another event loop, level-triggered or edge-triggered. Drive the reactor with a zero timeout and
/// [`flush`](aurora_http_core::reactor::Reactor::flush) it whenever that loop reports its descriptor ([`AsFd`]), and again
/// at once while it [has work](aurora_http_core::reactor::Reactor::has_work). The descriptor is an epoll instance over the
/// waker and an eventfd that the kernel writes to, created on first use. The ring's own descriptor would not become readable
/// for work that the kernel defers to us.
///
/// It is not `Send`, because the kernel ties a ring to the thread that made it:
///
/// ```compile_fail
/// fn moves_to_another_thread<T: Send>() {}
/// moves_to_another_thread::<aurora_http_uring::Uring<'static>>();
/// ```
///
/// Dropping it cancels everything in flight, waits for that, and closes its sockets. Operations that do not end within a
/// second keep their buffers forever, and so do those in flight in a reactor that is leaked.
pub struct Uring<'s> {
    // First, so that the ring is dropped before the memory it shares with the kernel.
    pub(crate) ring: Ring,
    pub(crate) table: &'s mut [Entry],
    pub(crate) held: Records<'s>,
    pub(crate) lent: Lent<'s>,
    pub(crate) messages: Messages,
    pub(crate) waker: Waker<Eventfd>,
    /// The poll on the waker's eventfd is in flight.
    pub(crate) waker_polled: bool,
    /// First free entry, or [`NONE`].
    pub(crate) free: u32,
    pub(crate) free_count: u32,
    /// Accepts in flight in the kernel; a free entry is reserved for each.
    pub(crate) armed: u32,
    /// Listeners of which none is in flight.
    pub(crate) unarmed: u32,
    /// A listener's accept waits for a free entry.
    pub(crate) short: bool,
    /// First and last entry with something to hand out.
    pub(crate) ready: u32,
    pub(crate) ready_last: u32,
    /// Completions of this turn that were not handed out yet.
    pub(crate) due: u32,
    /// Something could not be queued: scan the whole table for it.
    pub(crate) retry: bool,
    /// The kernel has more than it returned with the last call.
    pub(crate) behind: bool,
    pub(crate) nested: NestedFd,
    /// The completion, with an error, of an operation that could not be carried out.
    pub(crate) refused: Option<Completion<'static>>,
    /// Makes it `!Send`: a ring belongs to a thread.
    thread: PhantomData<*mut ()>,
}

/// Construction, and access to its sockets.
impl<'s> Uring<'s> {
    /// A reactor that holds as many sockets, listeners included, as `table` has entries, and as many lent buffers as
    /// `lent` has places (at most 32 768). Sockets and buffers that the storage still holds are closed and dropped: take an
    /// earlier reactor's buffers out first, with [`Held::take_buffers`] and [`LentPlace::take_buffer`].
    ///
    /// `held` has a record for each socket whose operations hold a buffer that is not lent;
    /// [`held_max`](aurora_http_core::budget::held_max) says how many that can be. With fewer, further operations with a buffer
    /// have to wait: `submit` returns them. With none at all they fail.
    ///
    /// # Errors
    /// The reason why io_uring cannot be used here. There is no fallback.
    pub fn new(table: &'s mut [Entry], held: &'s mut [Held], lent: &'s mut [LentPlace]) -> Result<Self, Refusal> {
        let length = table.len().min(NONE as usize);
        let table = &mut table[..length];
        let ring = Ring::new(completions_max(length), length as u32)?;
        let waker = Waker::new(Eventfd::new().map_err(refusal)?);
        let mut lent = Lent::new(lent).map_err(refusal)?;
        register_lent(&ring, &mut lent).map_err(|error| match error {
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
            held: Records::new(held),
            lent,
            messages: Messages::new().map_err(refusal)?,
            waker,
            waker_polled: false,
            armed: 0,
            unarmed: 0,
            short: false,
            ready: NONE,
            ready_last: NONE,
            due: 0,
            retry: false,
            behind: false,
            nested: NestedFd::new(),
            refused: None,
            thread: PhantomData,
        })
    }

    /// Bytes that a reactor takes beyond its table of `handles` entries and `lent` places of the size of
    /// `Option<Buf<'static>>`: the queues and rings shared with the kernel, and the extra size of a [`LentPlace`].
    #[must_use]
    pub const fn queue_bytes(handles: usize, lent: usize) -> usize {
        let places = lent * (size_of::<LentPlace>() - size_of::<Option<Buf<'static>>>());
        crate::ring::bytes(completions_max(handles)) + Lent::bytes(lent) + places + Messages::BYTES
    }

    /// Which optional kernel features it uses.
    #[must_use]
    pub fn rungs(&self) -> Rungs {
        self.ring.rungs()
    }

    /// Adds a listening socket, opened here or inherited, and makes it non-blocking. That affects everyone who shares it:
    /// another server on the same socket must not block in accept(2).
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when the table is full; the socket is closed then.
    pub fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&listener, true).map_err(os_error)?;
        let index = self.insert(listener).ok_or(IoError::FileLimit)?;
        self.table[index as usize].flags = OPEN | LISTENER;
        self.unarmed += 1;
        Ok(IoHandle(index))
    }

    /// Adds a connected stream socket. Its blocking mode does not matter here and is left unchanged, since it affects
    /// everyone who shares the socket.
    ///
    /// # Errors
    /// As for [`add_listener`](Self::add_listener).
    pub fn add_stream(&mut self, stream: OwnedFd) -> Result<IoHandle, IoError> {
        self.insert(stream).map(IoHandle).ok_or(IoError::FileLimit)
    }

    /// Removes a socket and returns it, still open and non-blocking. `None` for an invalid handle, and while an operation is
    /// in flight on it. The handle is invalid afterwards and may be assigned to another socket.
    pub fn detach(&mut self, io: IoHandle) -> Option<OwnedFd> {
        let entry = self.table.get_mut(io.0 as usize)?;
        if entry.flags & (OPEN | RECV | SEND | ACCEPT | CLOSE) != OPEN || entry.armed > 0 || entry.waits != 0 {
            return None;
        }
        if entry.flags & FIXED != 0 && !self.ring.unregister_file(io.0) {
            return None;
        }
        let socket = entry.socket.take()?;
        // The other backends return it non-blocking, too. This does not fail for sockets.
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

    /// The local address of a socket.
    ///
    /// # Errors
    /// [`IoError::Unsupported`] for an invalid handle; [`IoError::Os`] when it is not an IP socket.
    pub fn local_addr(&self, io: IoHandle) -> Result<SocketAddr, IoError> {
        aurora_http_sockets::local_addr(self.descriptor(io).ok_or(IoError::Unsupported)?)
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// As for [`local_addr`](Self::local_addr), and [`IoError::ConnectionReset`] when it is not connected.
    pub fn peer_addr(&self, io: IoHandle) -> Result<SocketAddr, IoError> {
        aurora_http_sockets::peer_addr(self.descriptor(io).ok_or(IoError::Unsupported)?)
    }

    /// A waker, which ends a wait from any thread.
    ///
    /// # Errors
    /// As for [`Waker::try_clone`].
    pub fn waker(&self) -> Result<Waker<Eventfd>, IoError> {
        self.waker.try_clone()
    }

    /// Puts a socket into a free entry; closes it if there is none.
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
            if entry.flags & LISTENER != 0 {
                self.unarmed = self.unarmed.saturating_sub(1);
            }
            *entry = Entry { next: self.free, ..Entry::new() };
            self.free = index;
            self.free_count += 1;
            self.entry_freed();
        }
    }

    /// Appends the entry to the list of those with something to hand out.
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

/// Accepts in flight on all listeners, beyond one for each.
pub(crate) const ACCEPTS_MAX: u32 = 128;

/// The most completions that can be pending at once: receives, sends and their cancels for each handle, the wake, and the
/// accepts, of which a listener has several.
const fn completions_max(handles: usize) -> u32 {
    let completions = ops_max(handles, 0).saturating_add(ACCEPTS_MAX as usize);
    if completions > u32::MAX as usize { u32::MAX } else { completions as u32 }
}

impl Uring<'_> {
    /// Records all completions of the queue in the table.
    pub(crate) fn record_all(&mut self) {
        while let Some(completion) = self.ring.pop() {
            let (kind, index) = ops::parse_user_data(completion.user_data_u64());
            self.record(kind, index, completion.raw_result(), completion.flags());
        }
    }
}

/// Registers the ring of lent buffers with the kernel.
pub(crate) fn register_lent(ring: &Ring, lent: &mut Lent<'_>) -> Result<(), Errno> {
    let (start, entries) = lent.ring();
    lent.restart();
    // SAFETY: the reactor owns the pages; it unregisters the ring before it takes a buffer back, and drops `ring` before the
    // pages. The buffers are 'static, and `lent` owns them.
    unsafe { ring.register_buf_ring(start, entries, GROUP) }?;
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

    fn sends_files(&self) -> bool {
        SENDS_FILES
    }
}

impl AsFd for Uring<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.nested.descriptor(&self.ring, self.waker.get_ref().as_fd())
    }
}

/// Dropping waits at most `DROP_LOOKS` times `DROP_WAIT` for operations in flight.
const DROP_WAIT: Duration = Duration::from_millis(50);
const DROP_LOOKS: u32 = 20;

impl Drop for Uring<'_> {
    fn drop(&mut self) {
        // First of all, so that no receive picks another lent buffer.
        let hidden = !self.lent.registered || self.ring.unregister_buf_ring(GROUP).is_ok();
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
            self.record_all();
            if !busy || !matches!(entered, Ok(()) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN)) {
                break;
            }
        }
        // Fixed files would stay open until the kernel has torn down the ring.
        self.ring.unregister_files();
        let mut taken = false;
        for entry in &mut *self.table {
            // The kernel may still use the buffers of operations in flight: they are never given out, and lost.
            let receives = entry.flags & (RECV | DONE_RECV) == RECV;
            let sends = entry.flags & (SEND | DONE_SEND) == SEND;
            let mut has_lent = receives;
            if let Some(record) = self.held.of(entry) {
                if receives {
                    has_lent = record.into.take().is_none();
                }
                if sends {
                    record.head = None;
                }
                record.tail = Tail::Released;
            }
            // A receive that picks a lent buffer might have any of them.
            taken |= has_lent;
            // The table outlives the reactor and would keep the socket open.
            entry.socket = None;
        }
        self.lent.release(hidden && !taken);
    }
}
