//! Operations in flight: submissions to the kernel, and their completions.

use core::mem::replace;

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{Completion, IoError, OpKind, Outcome};
use aurora_http_sockets::os_error;
use rustix::fd::IntoRawFd;
use rustix::io::Errno;
use rustix_uring::cqueue::{Flags, buffer_select};
use rustix_uring::squeue;

use crate::file::file_error;
use crate::held::Tail;
use crate::messages::SEND_MAX;
use crate::ops::{self, Kind};
use crate::ring::Full;
use crate::table::{
    ACCEPT, AGAIN_RECV, AGAIN_SEND, CANCEL_RECV, CANCEL_SEND, CLOSE, CLOSING, DONE_CLOSE, DONE_RECV, DONE_SEND, Entry,
    FIXED, NOT_LENT, READY, RECV, SEND, TRY, WAIT_ACCEPT, WAIT_RECV, WAIT_SEND,
};
use crate::uring::Uring;

/// Submissions.
impl Uring<'_> {
    /// Queues the receive of an entry.
    #[inline]
    pub(crate) fn push_recv(&mut self, index: u32) -> Result<(), Full> {
        let Some(mut entry) = self.table.get_mut(index as usize) else { return Ok(()) };
        let wait_first = entry.flags & TRY == 0;
        if wait_first && entry.flags & FIXED == 0 && self.ring.has_file_table {
            self.register_file(index);
            let Some(same) = self.table.get_mut(index as usize) else { return Ok(()) };
            entry = same;
        }
        let socket = entry.target(index);
        let into = self.held.of(entry).and_then(|record| record.into.as_mut()).map(Buf::spare);
        let sqe = ops::recv(socket, index, into, wait_first);
        // SAFETY: the buffer's memory is 'static, and the entry's record owns it until the completion.
        unsafe { self.ring.push(&sqe) }
    }

    /// Registers a persistent connection's socket as a fixed file. Registering is a system call, which does not pay off for a
    /// connection that is served once and closed.
    #[cold]
    fn register_file(&mut self, index: u32) {
        if let Some(entry) = self.table.get_mut(index as usize)
            && self.ring.register_file(index, entry.descriptor())
        {
            entry.flags |= FIXED;
        }
    }

    /// Queues the send of an entry.
    #[inline]
    pub(crate) fn push_send(&mut self, index: u32) -> Result<(), Full> {
        let Some(entry) = self.table.get(index as usize) else { return Ok(()) };
        let Some(record) = self.held.of(entry) else { return Ok(()) };
        let filled = record.head.as_ref().map_or(&[][..], Buf::filled);
        let body = match record.tail {
            Tail::File { .. } => return self.push_file(index),
            tail => tail.bytes(),
        };
        let one = match (filled, body) {
            (head, []) => head,
            ([], body) => body,
            _ => return self.push_send_both(index),
        };
        let sqe = ops::send(entry.target(index), index, &one[..one.len().min(SEND_MAX)]);
        // SAFETY: head and body are 'static, and the entry's record owns the head until the completion.
        unsafe { self.ring.push(&sqe) }
    }

    pub(crate) fn push_send_both(&mut self, index: u32) -> Result<(), Full> {
        if self.messages.is_full() {
            self.ring.submit();
            self.clear_messages();
        }
        let Some(entry) = self.table.get(index as usize) else { return Ok(()) };
        let Some(record) = self.held.of(entry) else { return Ok(()) };
        let filled = record.head.as_ref().map_or(&[][..], Buf::filled);
        let message = self.messages.put(filled, record.tail.bytes()).ok_or(Full)?;
        let sqe = ops::send_both(entry.target(index), index, message);
        // SAFETY: as for a send of one part; the message stays valid until it is submitted.
        unsafe { self.ring.push(&sqe) }
    }

    /// Reuses the messages once the kernel has taken all submissions that reference them.
    #[inline]
    pub(crate) fn clear_messages(&mut self) {
        if self.ring.queued() == 0 {
            self.messages.clear();
        }
    }

    /// Queues a submission that references no memory. If the queue is full, the next turn's scan of the table finds out that
    /// it is missing.
    pub(crate) fn push_plain(&mut self, sqe: &squeue::Entry) {
        // SAFETY: it references no memory.
        if unsafe { self.ring.push(sqe) }.is_err() {
            self.retry = true;
        }
    }

    /// Cancels the receive or send in flight on `index`.
    pub(crate) fn push_cancel(&mut self, index: u32, kind: Kind) {
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        let (cancel, wait, waits, again) = if kind == Kind::Recv {
            (CANCEL_RECV, WAIT_RECV, Kind::WaitRecv, AGAIN_RECV)
        } else {
            (CANCEL_SEND, WAIT_SEND, Kind::WaitSend, AGAIN_SEND)
        };
        entry.flags |= cancel;
        if entry.waits & again != 0 {
            // It was never queued again, so the kernel has nothing to cancel.
            entry.waits &= !again;
            return self.record(kind, index, -Errno::CANCELED.raw_os_error(), Flags::empty());
        }
        let kind = if entry.waits & wait != 0 { waits } else { kind };
        self.push_plain(&ops::cancel(kind, index));
    }

    /// Queues an operation again that failed only because it was interrupted, or because the kernel did not wait for the
    /// socket; returns whether it did. A cancelled operation is not queued again.
    #[cold]
    fn requeue_if_transient(&mut self, kind: Kind, index: u32, result: i32) -> bool {
        let Some(entry) = self.table.get_mut(index as usize) else { return false };
        let cancel = if kind == Kind::Recv { CANCEL_RECV } else { CANCEL_SEND };
        if entry.flags & cancel != 0 {
            return false;
        }
        match Errno::from_raw_os_error(result.saturating_neg()) {
            Errno::INTR => self.push_again(kind, index),
            Errno::AGAIN => self.push_poll(if kind == Kind::Recv { Kind::WaitRecv } else { Kind::WaitSend }, index),
            _ => return false,
        }
        true
    }

    /// Queues a receive or a send again; if the queue is full, the next turn tries again.
    #[cold]
    fn push_again(&mut self, kind: Kind, index: u32) {
        let (pushed, again) = match kind {
            Kind::Recv => (self.push_recv(index), AGAIN_RECV),
            _ => (self.push_send(index), AGAIN_SEND),
        };
        if pushed.is_err()
            && let Some(entry) = self.table.get_mut(index as usize)
        {
            entry.waits |= again;
            self.retry = true;
        }
    }

    /// Queues a poll to wait for the socket, since the kernel would not let the operation itself wait.
    #[cold]
    pub(crate) fn push_poll(&mut self, kind: Kind, index: u32) {
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        let (wait, again) = match kind {
            Kind::WaitRecv => (WAIT_RECV, AGAIN_RECV),
            Kind::WaitSend => (WAIT_SEND, AGAIN_SEND),
            _ => (WAIT_ACCEPT, 0),
        };
        if entry.waits & wait != 0 {
            return;
        }
        // SAFETY: it references no memory.
        if unsafe { self.ring.push(&ops::ready(entry.target(index), kind, index)) }.is_ok() {
            entry.waits |= wait;
        } else {
            entry.waits |= again;
            self.retry = true;
        }
    }

    /// Handles the end of a poll by queueing its operation again.
    #[cold]
    fn poll_ended(&mut self, kind: Kind, index: u32) {
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        let (wait, cancel, kind) = match kind {
            Kind::WaitRecv => (WAIT_RECV, CANCEL_RECV, Kind::Recv),
            Kind::WaitSend => (WAIT_SEND, CANCEL_SEND, Kind::Send),
            _ => {
                entry.waits &= !WAIT_ACCEPT;
                if entry.wants_accept() {
                    self.arm(index);
                } else {
                    self.close_when_idle(index);
                }
                return;
            }
        };
        entry.waits &= !wait;
        if entry.flags & cancel != 0 {
            self.record(kind, index, -Errno::CANCELED.raw_os_error(), Flags::empty());
        } else if kind == Kind::Send && self.held.of(entry).is_some_and(|record| record.tail.file().is_some()) {
            self.send_file(index);
        } else {
            self.push_again(kind, index);
        }
    }

    /// Retries everything that did not fit in the submission queue.
    #[cold]
    pub(crate) fn retry_pushes(&mut self) {
        (self.retry, self.short) = (false, false);
        for index in 0..self.table.len() as u32 {
            let Entry { flags, waits, .. } = self.table[index as usize];
            self.table[index as usize].waits &= !(AGAIN_RECV | AGAIN_SEND);
            if waits & AGAIN_RECV != 0 {
                self.push_again(Kind::Recv, index);
            }
            if waits & AGAIN_SEND != 0 {
                self.push_again(Kind::Send, index);
            }
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

    /// Closes a handle once nothing is in flight on it; cancels operations that are.
    #[cold]
    pub(crate) fn close_when_idle(&mut self, index: u32) {
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        let flags = entry.flags;
        if flags & CLOSE == 0 || flags & CLOSING != 0 {
            return;
        }
        if flags & (RECV | SEND | ACCEPT) != 0 || entry.armed > 0 || entry.waits != 0 {
            // By contract nothing is in flight. If something is, its buffers come back before the handle is freed.
            if flags & (RECV | CANCEL_RECV) == RECV {
                self.push_cancel(index, Kind::Recv);
            }
            if flags & (SEND | CANCEL_SEND) == SEND {
                self.push_cancel(index, Kind::Send);
            }
            return self.disarm(index);
        }
        if flags & FIXED != 0 {
            // SAFETY: it references no memory.
            if unsafe { self.ring.push(&ops::unregister_file(index)) }.is_err() {
                self.retry = true;
                return;
            }
            entry.flags &= !FIXED;
        }
        let sqe = ops::close(entry.descriptor(), index);
        // SAFETY: it references no memory. `record` gives up the descriptor when the kernel has closed it.
        if unsafe { self.ring.push(&sqe) }.is_ok() {
            self.table[index as usize].flags |= CLOSING;
        } else {
            self.retry = true;
        }
    }
}

/// Completions.
impl Uring<'_> {
    /// Hands out the next outcome that was recorded in the table.
    #[cold]
    pub(crate) fn next_ready(&mut self) -> Option<Completion<'static>> {
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
            let lent = self.lent.take(replace(&mut entry.lent, NOT_LENT));
            self.hand_out_recv(index, result, true, lent)
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

    /// Completes a receive, which has picked the buffer `lent` if it is `Some`.
    #[inline]
    pub(crate) fn hand_out_recv(
        &mut self,
        index: u32,
        result: i32,
        has_more: bool,
        mut lent: Option<Buf<'static>>,
    ) -> Option<Completion<'static>> {
        if result < 0 {
            if let Some(unused) = lent.take() {
                let lent = self.lent.push(unused);
                debug_assert!(lent.is_ok(), "its id has become free");
            }
            if self.requeue_if_transient(Kind::Recv, index, result) {
                return None;
            }
        }
        let entry = self.table.get_mut(index as usize)?;
        let mut buf = if lent.is_some() { lent } else { self.held.take_into(entry) };
        let result = match u32::try_from(result) {
            Ok(count) => {
                if let Some(buf) = &mut buf {
                    buf.advance(count as usize);
                }
                Ok(count)
            }
            Err(_) => Err(error_of(result)),
        };
        entry.flags = entry.flags & !(RECV | CANCEL_RECV | TRY) | if has_more { TRY } else { 0 };
        let token = entry.owner.with_kind(OpKind::Recv);
        if entry.flags & CLOSE != 0 {
            self.close_when_idle(index);
        }
        Some(Completion { token, outcome: Outcome::Recv { result, buf }, more: false })
    }

    #[inline]
    pub(crate) fn hand_out_send(&mut self, index: u32, result: i32) -> Option<Completion<'static>> {
        if result < 0 && self.requeue_if_transient(Kind::Send, index, result) {
            return None;
        }
        let entry = self.table.get_mut(index as usize)?;
        let (head, tail) = self.held.take_head(entry)?;
        let (is_file, body) = (tail.file().is_some(), tail.bytes());
        let result = u32::try_from(result).map_err(|_| if is_file { file_error(result) } else { error_of(result) });
        entry.flags &= !(SEND | CANCEL_SEND);
        let token = entry.owner.with_kind(OpKind::Send);
        if entry.flags & CLOSE != 0 {
            self.close_when_idle(index);
        }
        Some(Completion { token, outcome: Outcome::Send { result, head, body }, more: false })
    }

    /// Records a completion in the table, to be handed out later.
    #[cold]
    pub(crate) fn record(&mut self, kind: Kind, index: u32, result: i32, flags: Flags) {
        match kind {
            Kind::Accept => return self.accepted(index, result),
            Kind::Wake => {
                self.waker_polled = false;
                return self.waker.get_ref().empty();
            }
            Kind::WaitRecv | Kind::WaitSend | Kind::WaitAccept => return self.poll_ended(kind, index),
            Kind::Poll | Kind::Nothing => return,
            Kind::Recv | Kind::Send | Kind::Close => {}
        }
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        match kind {
            Kind::Recv => {
                if let Some(id) = buffer_select(flags) {
                    self.lent.pick(id);
                    entry.lent = id;
                }
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
                    // The kernel has closed it, and its number may have been reused: do not close it again.
                    let _ = socket.into_raw_fd();
                }
            }
        }
        self.push_ready(index);
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;

#[cold]
fn error_of(result: i32) -> IoError {
    match Errno::from_raw_os_error(result.saturating_neg()) {
        // Only a cancelled operation ends like this: any other would have been queued again.
        Errno::INTR | Errno::AGAIN => IoError::Canceled,
        error => os_error(error),
    }
}
