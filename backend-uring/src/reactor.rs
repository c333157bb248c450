//! The reactor: the caller's table, the kernel's queues, and what goes between them.

use core::marker::PhantomData;
use core::net::SocketAddr;
use core::time::Duration;

use aurora_http_core::budget::ops_max;
use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{
    Completion, IoError, IoHandle, Op, OpKind, OpToken, Outcome, Peer, Peers, Reactor, Shutdown, Submission,
};
use aurora_http_core::time::Instant;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use rustix_uring::cqueue::{Flags, buffer_select};
use rustix_uring::squeue;

use crate::accept::ACCEPTS_MAX;
use crate::lent::{GROUP, Lent};
use crate::messages::{Messages, SEND_MAX};
use crate::ops::{self, Kind};
use crate::probe::{Refusal, Rungs, refusal};
use crate::ring::{Full, Ring};
use crate::socket::{self, os_error};
use crate::table::{
    ACCEPT, CANCEL_RECV, CANCEL_SEND, CLOSE, CLOSING, DONE_CLOSE, DONE_RECV, DONE_SEND, Entry, LISTENER, NONE, OPEN,
    READY, RECV, SEND, TRY,
};
use crate::waker::Waker;

/// Completion-style I/O on io_uring over a caller's table; an [`IoHandle`] is an index into that table.
///
/// It stays on the thread that made it. Its descriptor ([`AsFd`]) is readable while completions are pending, so that it
/// can stand inside another event loop: drive the reactor with a zero timeout whenever that loop reports it.
///
/// Dropping it asks for the end of all that is in flight, waits for that, and closes its sockets. What does not end
/// within a second keeps its buffers for ever.
pub struct Uring<'s> {
    // First, so that the kernel's side is gone before the memory that it looks at.
    pub(crate) ring: Ring,
    pub(crate) table: &'s mut [Entry],
    lent: Lent<'s>,
    messages: Messages,
    waker: Waker,
    /// The kernel watches the waker.
    watched: bool,
    /// First free entry, or [`NONE`].
    pub(crate) free: u32,
    pub(crate) free_count: u32,
    /// Accepts in flight in the kernel; a free entry is kept for each.
    pub(crate) armed: u32,
    /// First and last entry with something to hand out.
    ready: u32,
    ready_last: u32,
    /// Completions of this turn that were not looked at yet.
    due: u32,
    /// Something could not be queued: look for it in the whole table.
    pub(crate) retry: bool,
    /// An operation that cannot be carried out; it completes with an error in its turn.
    refused: Option<Completion<'static>>,
    /// A ring belongs to a thread.
    thread: PhantomData<*mut ()>,
}

/// Setting up, and looking in.
impl<'s> Uring<'s> {
    /// A reactor that holds as many sockets, listeners included, as `table` has entries, and as many lent buffers as
    /// `lent` has places (at most 32 768). What the storage held before is dropped, and sockets are closed.
    ///
    /// # Errors
    /// Why io_uring cannot be used here. There is no fall-back.
    pub fn new(table: &'s mut [Entry], lent: &'s mut [Option<Buf<'static>>]) -> Result<Self, Refusal> {
        let length = table.len().min(NONE as usize);
        let table = &mut table[..length];
        let ring = Ring::new(completions_max(length))?;
        let waker = Waker::new().map_err(refusal)?;
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
            refused: None,
            thread: PhantomData,
        })
    }

    /// Bytes that it takes besides a table of `handles` and `lent` places: the queues and rings that it shares with the
    /// kernel.
    #[must_use]
    pub const fn queue_bytes(handles: usize, lent: usize) -> usize {
        crate::ring::bytes(completions_max(handles)) + Lent::bytes(lent) + Messages::BYTES
    }

    /// Which parts of the ladder it stands on.
    #[must_use]
    pub fn rungs(&self) -> Rungs {
        self.ring.rungs()
    }

    /// Takes a listening socket in, inherited ones too; it is made blocking, so that the kernel waits for connections.
    ///
    /// # Errors
    /// [`IoError::FileLimit`] when the table is full; the socket is closed then.
    pub fn add_listener(&mut self, listener: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&listener, false).map_err(os_error)?;
        let index = self.insert(listener).ok_or(IoError::FileLimit)?;
        self.table[index as usize].flags = OPEN | LISTENER;
        Ok(IoHandle(index))
    }

    /// Takes a connected stream socket in; it is made blocking, so that the kernel waits for readiness.
    ///
    /// # Errors
    /// As for [`add_listener`](Self::add_listener).
    pub fn add_stream(&mut self, stream: OwnedFd) -> Result<IoHandle, IoError> {
        rustix::io::ioctl_fionbio(&stream, false).map_err(os_error)?;
        self.insert(stream).map(IoHandle).ok_or(IoError::FileLimit)
    }

    /// Gives a socket away, still open and blocking; its handle is free afterwards. `None` for an invalid handle, and
    /// while an operation is in flight on it.
    pub fn detach(&mut self, io: IoHandle) -> Option<OwnedFd> {
        let entry = self.table.get_mut(io.0 as usize)?;
        if entry.flags & (OPEN | RECV | SEND | ACCEPT | CLOSE) != OPEN || entry.armed > 0 {
            return None;
        }
        let socket = entry.socket.take();
        self.release(io.0);
        socket
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
        let socket = self.descriptor(io).ok_or(IoError::Unsupported)?;
        socket::to_socket_addr(rustix::net::getsockname(socket).map_err(os_error)?)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// As for [`local_addr`](Self::local_addr), and [`IoError::ConnectionReset`] when it is not connected.
    pub fn peer_addr(&self, io: IoHandle) -> Result<SocketAddr, IoError> {
        let socket = self.descriptor(io).ok_or(IoError::Unsupported)?;
        let address = rustix::net::getpeername(socket).map_err(os_error)?;
        socket::to_socket_addr(address.ok_or(IoError::Unsupported)?)
    }

    /// What ends a wait from another thread.
    ///
    /// # Errors
    /// As for [`Waker::try_clone`].
    pub fn waker(&self) -> Result<Waker, IoError> {
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

/// The most completions that can wait at once: of receives, sends and their cancels per handle, of the wake, and of the
/// accepts, which are more than one per listener.
const fn completions_max(handles: usize) -> u32 {
    let completions = ops_max(handles, 0).saturating_add(ACCEPTS_MAX as usize);
    if completions > u32::MAX as usize { u32::MAX } else { completions as u32 }
}

/// Lets the kernel take lent buffers.
fn show(ring: &Ring, lent: &mut Lent<'_>) -> Result<(), Errno> {
    let (start, entries) = lent.ring();
    lent.restart();
    // SAFETY: the pages are the reactor's own, which hides them before it takes a buffer back, and drops its ring before
    // them; the buffers that they name live as long as the process and are owned by `lent`.
    unsafe { ring.show_lent(start, entries, GROUP) }?;
    lent.registered = true;
    Ok(())
}

/// Asking the kernel.
impl Uring<'_> {
    /// Queues the receive of an entry.
    #[inline]
    fn push_recv(&mut self, index: u32) -> Result<(), Full> {
        let Some(entry) = self.table.get_mut(index as usize) else { return Ok(()) };
        let wait_first = entry.flags & TRY == 0;
        let socket = entry.descriptor();
        let into = entry.into.as_mut().map(Buf::spare);
        let sqe = ops::recv(socket, index, into, wait_first);
        // SAFETY: the buffer's memory lives as long as the process, and the entry owns it until the completion.
        unsafe { self.ring.push(&sqe) }
    }

    /// Queues the send of an entry.
    #[inline]
    fn push_send(&mut self, index: u32) -> Result<(), Full> {
        let Some(entry) = self.table.get(index as usize) else { return Ok(()) };
        let filled = entry.head.as_ref().map_or(&[][..], Buf::filled);
        let one = match (filled, entry.body) {
            (head, []) => head,
            ([], body) => body,
            _ => return self.push_send_both(index),
        };
        let sqe = ops::send(entry.descriptor(), index, &one[..one.len().min(SEND_MAX)]);
        // SAFETY: head and body live as long as the process, and the entry owns the head until the completion.
        unsafe { self.ring.push(&sqe) }
    }

    fn push_send_both(&mut self, index: u32) -> Result<(), Full> {
        if self.messages.is_full() {
            self.ring.submit();
            self.clear_messages();
        }
        let Some(entry) = self.table.get(index as usize) else { return Ok(()) };
        let filled = entry.head.as_ref().map_or(&[][..], Buf::filled);
        let message = self.messages.put(filled, entry.body).ok_or(Full)?;
        let sqe = ops::send_both(entry.descriptor(), index, message);
        // SAFETY: as for a send of one part, and the message stays until it was submitted.
        unsafe { self.ring.push(&sqe) }
    }

    /// Messages may be used again once the kernel took the submissions that name them.
    #[inline]
    fn clear_messages(&mut self) {
        if self.ring.queued() == 0 {
            self.messages.clear();
        }
    }

    /// Queues what names no memory; when there is no room, it is looked for again in the next turn.
    pub(crate) fn push_plain(&mut self, sqe: &squeue::Entry) {
        // SAFETY: it names no memory.
        if unsafe { self.ring.push(sqe) }.is_err() {
            self.retry = true;
        }
    }

    /// Asks for the end of what is in flight on `index`.
    fn push_cancel(&mut self, index: u32, kind: Kind) {
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        entry.flags |= if kind == Kind::Recv { CANCEL_RECV } else { CANCEL_SEND };
        self.push_plain(&ops::cancel(kind, index));
    }

    /// Queues again what found no room.
    #[cold]
    fn push_missing(&mut self) {
        self.retry = false;
        for index in 0..self.table.len() as u32 {
            let flags = self.table[index as usize].flags;
            if flags & (RECV | CANCEL_RECV | DONE_RECV) == RECV | CANCEL_RECV {
                self.push_cancel(index, Kind::Recv);
            }
            if flags & (SEND | CANCEL_SEND | DONE_SEND) == SEND | CANCEL_SEND {
                self.push_cancel(index, Kind::Send);
            }
            if flags & CLOSE != 0 {
                self.close_when_idle(index);
            }
            if flags & ACCEPT != 0 {
                self.arm(index);
            }
        }
    }

    /// Closes a handle once nothing is in flight on it; ends what is.
    #[cold]
    pub(crate) fn close_when_idle(&mut self, index: u32) {
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        let flags = entry.flags;
        if flags & CLOSE == 0 || flags & CLOSING != 0 {
            return;
        }
        if flags & (RECV | SEND | ACCEPT) != 0 || entry.armed > 0 {
            // Nothing should be in flight. If something is, its buffers come back before the handle goes.
            if flags & (RECV | CANCEL_RECV) == RECV {
                self.push_cancel(index, Kind::Recv);
            }
            if flags & (SEND | CANCEL_SEND) == SEND {
                self.push_cancel(index, Kind::Send);
            }
            return self.disarm(index);
        }
        let sqe = ops::close(entry.descriptor(), index);
        // SAFETY: it names no memory. The descriptor is forgotten when it was closed.
        if unsafe { self.ring.push(&sqe) }.is_ok() {
            self.table[index as usize].flags |= CLOSING;
        } else {
            self.retry = true;
        }
    }
}

/// What the kernel says.
impl Uring<'_> {
    /// Hands out the next thing that was kept.
    #[cold]
    fn next_ready(&mut self) -> Option<Completion<'static>> {
        let index = self.ready;
        let entry = self.table.get_mut(index as usize)?;
        self.ready = entry.next;
        entry.flags &= !READY;
        let flags = entry.flags;
        let completion = if flags & DONE_SEND != 0 {
            let result = entry.send_result;
            entry.flags &= !DONE_SEND;
            self.hand_out_send(index, result)
        } else if flags & DONE_RECV != 0 {
            let result = entry.recv_result;
            entry.flags &= !DONE_RECV;
            self.hand_out_recv(index, result, true)
        } else if flags & ACCEPT != 0 && entry.is_due() {
            self.hand_out_accept(index)
        } else if flags & DONE_CLOSE != 0 {
            let token = entry.owner.with_kind(OpKind::Close);
            self.release(index);
            Some(Completion { token, outcome: Outcome::Close, more: false })
        } else {
            None
        };
        if self.table[index as usize].is_due() {
            self.push_ready(index);
        }
        completion
    }

    #[inline]
    fn hand_out_recv(&mut self, index: u32, result: i32, more_there: bool) -> Option<Completion<'static>> {
        if result == -Errno::INTR.raw_os_error() && self.push_recv(index).is_ok() {
            return None;
        }
        let entry = self.table.get_mut(index as usize)?;
        let mut buf = entry.into.take();
        let result = match u32::try_from(result) {
            Ok(count) => {
                if let Some(buf) = &mut buf {
                    buf.advance(count as usize);
                }
                Ok(count)
            }
            Err(_) => Err(error_of(result)),
        };
        entry.flags = entry.flags & !(RECV | CANCEL_RECV | TRY) | if more_there { TRY } else { 0 };
        let token = entry.owner.with_kind(OpKind::Recv);
        if entry.flags & CLOSE != 0 {
            self.close_when_idle(index);
        }
        Some(Completion { token, outcome: Outcome::Recv { result, buf }, more: false })
    }

    #[inline]
    fn hand_out_send(&mut self, index: u32, result: i32) -> Option<Completion<'static>> {
        if result == -Errno::INTR.raw_os_error() && self.push_send(index).is_ok() {
            return None;
        }
        let entry = self.table.get_mut(index as usize)?;
        let result = u32::try_from(result).map_err(|_| error_of(result));
        let (head, body) = (entry.head.take()?, entry.body);
        entry.flags &= !(SEND | CANCEL_SEND);
        let token = entry.owner.with_kind(OpKind::Send);
        if entry.flags & CLOSE != 0 {
            self.close_when_idle(index);
        }
        Some(Completion { token, outcome: Outcome::Send { result, head, body }, more: false })
    }

    /// Keeps what a completion says in the table.
    #[cold]
    fn keep(&mut self, kind: Kind, index: u32, result: i32, flags: Flags) {
        match kind {
            Kind::Accept => return self.accepted(index, result),
            Kind::Wake => {
                self.watched = false;
                return self.waker.empty();
            }
            Kind::Nothing => return,
            Kind::Recv | Kind::Send | Kind::Close => {}
        }
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        match kind {
            Kind::Recv => {
                self.taken(index, flags);
                let entry = &mut self.table[index as usize];
                entry.recv_result = result;
                entry.flags |= DONE_RECV;
            }
            Kind::Send => {
                entry.send_result = result;
                entry.flags |= DONE_SEND;
            }
            _ => {
                entry.flags |= DONE_CLOSE;
                if result >= 0
                    && let Some(socket) = entry.socket.take()
                {
                    // The kernel has closed it, and the number may be somebody else's by now.
                    let _ = rustix::fd::IntoRawFd::into_raw_fd(socket);
                }
            }
        }
        self.push_ready(index);
    }

    /// Puts the lent buffer that a receive took into its place.
    #[inline]
    fn taken(&mut self, index: u32, flags: Flags) {
        if let Some(id) = buffer_select(flags)
            && let Some(entry) = self.table.get_mut(index as usize)
        {
            entry.into = self.lent.take(id);
        }
    }

    /// Takes an operation that cannot be carried out, to complete it with an error.
    #[cold]
    #[allow(clippy::result_large_err)]
    fn refuse(&mut self, token: OpToken, op: Op<'static>) -> Result<(), Submission<'static>> {
        if self.refused.is_some() {
            return Err(Submission { token, op });
        }
        let error = IoError::Unsupported;
        let outcome = match op {
            Op::Accept { .. } => Outcome::Accept(Err(error)),
            Op::Recv { into, .. } => Outcome::Recv { result: Err(error), buf: into },
            Op::Send { head, body, .. } => Outcome::Send { result: Err(error), head, body },
            Op::Close { .. } => Outcome::Close,
            // A kind of operation that this reactor has never heard of has no outcome either.
            op => return Err(Submission { token, op }),
        };
        self.refused = Some(Completion { token, outcome, more: false });
        Ok(())
    }

    #[cold]
    #[allow(clippy::result_large_err)]
    fn submit_rare(&mut self, token: OpToken, op: Op<'static>) -> Result<(), Submission<'static>> {
        let (index, listener) = match op {
            Op::Accept { listener } => (listener.0, true),
            Op::Close { io } => (io.0, false),
            op => return self.refuse(token, op),
        };
        let open = |entry: &&mut Entry| entry.flags & (OPEN | CLOSE) == OPEN;
        let Some(entry) = self.table.get_mut(index as usize).filter(open) else {
            return self.refuse(token, op);
        };
        if listener && entry.flags & (LISTENER | ACCEPT) != LISTENER {
            return self.refuse(token, op);
        }
        entry.owner = token;
        entry.flags |= if listener { ACCEPT } else { CLOSE };
        if listener {
            self.arm(index)
        } else {
            self.close_when_idle(index)
        }
        Ok(())
    }
}

#[cold]
fn error_of(result: i32) -> IoError {
    os_error(Errno::from_raw_os_error(result.saturating_neg()))
}

impl Peers for Uring<'_> {
    fn peer(&self, io: IoHandle) -> Option<Peer> {
        let socket = self.descriptor(io)?;
        let address = rustix::net::getpeername(socket).ok()??;
        if address.address_family() == rustix::net::AddressFamily::UNIX {
            return Some(Peer::Unix);
        }
        socket::to_socket_addr(address).ok().map(Peer::Ip)
    }
}

impl Reactor<'static> for Uring<'_> {
    #[inline]
    fn submit(&mut self, submission: Submission<'static>) -> Result<(), Submission<'static>> {
        let Submission { token, op } = submission;
        match op {
            Op::Recv { io, into } => match self.table.get_mut(io.0 as usize) {
                Some(entry) if entry.admits(RECV, token) && into.as_ref().is_none_or(|into| into.spare_len() > 0) => {
                    entry.into = into;
                    entry.owner = token;
                    if self.push_recv(io.0).is_err() {
                        let into = self.table[io.0 as usize].into.take();
                        return Err(Submission { token, op: Op::Recv { io, into } });
                    }
                    self.table[io.0 as usize].flags |= RECV;
                    Ok(())
                }
                _ => self.refuse(token, Op::Recv { io, into }),
            },
            Op::Send { io, head, body } => match self.table.get_mut(io.0 as usize) {
                Some(entry) if entry.admits(SEND, token) => {
                    entry.head = Some(head);
                    entry.body = body;
                    entry.owner = token;
                    let pushed = self.push_send(io.0);
                    let entry = &mut self.table[io.0 as usize];
                    if pushed.is_err()
                        && let Some(head) = entry.head.take()
                    {
                        return Err(Submission { token, op: Op::Send { io, head, body } });
                    }
                    entry.flags |= SEND;
                    Ok(())
                }
                _ => self.refuse(token, Op::Send { io, head, body }),
            },
            op => self.submit_rare(token, op),
        }
    }

    #[inline]
    fn provide(&mut self, buf: Buf<'static>) -> Result<(), Buf<'static>> {
        if buf.spare_len() == 0 || (!self.lent.registered && show(&self.ring, &mut self.lent).is_err()) {
            return Err(buf);
        }
        self.lent.push(buf)
    }

    fn reclaim(&mut self) -> Option<Buf<'static>> {
        if self.lent.is_empty() {
            return None;
        }
        if self.lent.registered {
            self.ring.hide_lent(GROUP).ok()?;
            self.lent.registered = false;
            // What receives took before is in their completions, which may still wait outside the queue.
            let entered = self.ring.enter(0, Some(Duration::ZERO));
            debug_assert!(entered.is_ok() || entered == Err(Errno::TIME), "{entered:?}");
            while let Some(completion) = self.ring.pop() {
                let (kind, index) = ops::named(completion.user_data_u64());
                self.keep(kind, index, completion.raw_result(), completion.flags());
            }
            self.due = 0;
        }
        self.lent.reclaim()
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        let how = match how {
            Shutdown::Both => rustix::net::Shutdown::Both,
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
        };
        if let Some(socket) = self.descriptor(io) {
            // It fails when the connection is gone, and then there is nothing left to end.
            let _ = rustix::net::shutdown(socket, how);
        }
    }

    fn cancel(&mut self, token: OpToken, io: IoHandle) {
        let Some(entry) = self.table.get_mut(io.0 as usize) else { return };
        if !entry.is_owned_by(token) {
            return;
        }
        match token.kind() {
            OpKind::Accept if entry.flags & ACCEPT != 0 => self.cancel_accept(io.0),
            OpKind::Recv if entry.flags & (RECV | CANCEL_RECV) == RECV => self.push_cancel(io.0, Kind::Recv),
            OpKind::Send if entry.flags & (SEND | CANCEL_SEND) == SEND => self.push_cancel(io.0, Kind::Send),
            _ => {}
        }
    }

    #[inline]
    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), IoError> {
        if self.retry {
            self.push_missing();
        }
        if !self.watched {
            let sqe = ops::wake(self.waker.descriptor().as_raw_fd());
            // SAFETY: it names no memory; the waker lives as long as the ring.
            self.watched = unsafe { self.ring.push(&sqe) }.is_ok();
        }
        let pending = self.ready != NONE || self.refused.is_some() || self.ring.completed() > 0 || self.retry;
        let waits = !pending && timeout != Some(Duration::ZERO);
        let entered = self.ring.enter(waits.into(), if waits { timeout } else { None });
        self.clear_messages();
        self.due = self.ring.completed();
        match entered {
            // Too much at once: what is there comes first.
            Ok(()) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => Ok(()),
            Err(error) => Err(os_error(error)),
        }
    }

    #[inline]
    fn next_completion(&mut self) -> Option<Completion<'static>> {
        loop {
            while self.ready != NONE {
                if let Some(completion) = self.next_ready() {
                    return Some(completion);
                }
            }
            let Some(due) = self.due.checked_sub(1) else { return self.refused.take() };
            let Some(completion) = self.ring.pop() else { return self.refused.take() };
            self.due = due;
            let (result, flags) = (completion.raw_result(), completion.flags());
            let completion = match ops::named(completion.user_data_u64()) {
                (Kind::Recv, index) => {
                    self.taken(index, flags);
                    self.hand_out_recv(index, result, flags.contains(Flags::SOCK_NONEMPTY))
                }
                (Kind::Send, index) => self.hand_out_send(index, result),
                (kind, index) => {
                    self.keep(kind, index, result, flags);
                    None
                }
            };
            if completion.is_some() {
                return completion;
            }
        }
    }

    #[inline]
    fn now(&self) -> Instant {
        let time = clock_gettime(ClockId::Monotonic);
        Instant(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000)
    }

    #[inline]
    fn unix_time(&self) -> Option<u64> {
        // Whole seconds: the clock of the last tick will do, and is cheaper.
        u64::try_from(clock_gettime(ClockId::RealtimeCoarse).tv_sec).ok()
    }

    fn peers(&self) -> &dyn Peers {
        self
    }
}

impl AsFd for Uring<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

/// How long dropping waits for what is in flight, and how often it looks.
const DROP_WAIT: Duration = Duration::from_millis(50);
const DROP_LOOKS: u32 = 20;

impl Drop for Uring<'_> {
    fn drop(&mut self) {
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
            while let Some(completion) = self.ring.pop() {
                let (kind, index) = ops::named(completion.user_data_u64());
                self.keep(kind, index, completion.raw_result(), completion.flags());
            }
            if !busy || !matches!(entered, Ok(()) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN)) {
                break;
            }
        }
        for entry in &mut *self.table {
            if entry.is_busy() {
                // The kernel may still use them: they are lost.
                core::mem::forget((entry.into.take(), entry.head.take()));
            }
            // The table is the caller's and would keep it open.
            entry.socket = None;
        }
    }
}
