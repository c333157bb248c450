//! The `Reactor` implementation: what the engine calls.

use core::time::Duration;

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{
    Completion, IoError, IoHandle, Op, OpKind, OpToken, Outcome, Peers, Reactor, Seen, Shutdown, Submission,
};
use aurora_http_core::time::Instant;
use aurora_http_sockets::os_error;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use rustix_uring::cqueue::{Flags, buffer_select};

use crate::held::Tail;
use crate::lent::GROUP;
use crate::ops::{self, Kind};
use crate::ring::EVERYTHING;
use crate::table::{ACCEPT, CANCEL_RECV, CANCEL_SEND, CLOSE, Entry, LISTENER, NONE, OPEN, RECV, SEND, TRY};
use crate::uring::{Uring, register_lent};

impl Reactor<'static> for Uring<'_> {
    #[inline]
    fn submit(&mut self, submission: Submission<'static>) -> Result<(), Submission<'static>> {
        let Submission { token, op } = submission;
        match op {
            Op::Recv { io, into } => match self.table.get_mut(io.0 as usize) {
                Some(entry) if entry.admits(RECV, token) && into.as_ref().is_none_or(|into| into.spare_len() > 0) => {
                    if into.is_some() {
                        let Some(record) = self.held.get_or_take(entry) else {
                            return self.put_off(token, Op::Recv { io, into });
                        };
                        record.into = into;
                    }
                    entry.owner = token;
                    if self.push_recv(io.0).is_err() {
                        let into = self.held.take_into(&mut self.table[io.0 as usize]);
                        return Err(Submission { token, op: Op::Recv { io, into } });
                    }
                    self.table[io.0 as usize].flags |= RECV;
                    Ok(())
                }
                _ => self.refuse(token, Op::Recv { io, into }),
            },
            Op::Send { io, head, body } => match self.table.get_mut(io.0 as usize) {
                Some(entry) if entry.admits(SEND, token) => {
                    let Some(record) = self.held.get_or_take(entry) else {
                        return self.put_off(token, Op::Send { io, head, body });
                    };
                    record.head = Some(head);
                    record.tail = Tail::Bytes(body);
                    entry.owner = token;
                    let pushed = self.push_send(io.0);
                    let entry = &mut self.table[io.0 as usize];
                    if pushed.is_err()
                        && let Some((head, _)) = self.held.take_head(entry)
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
        if buf.spare_len() == 0 || (!self.lent.registered && register_lent(&self.ring, &mut self.lent).is_err()) {
            return Err(buf);
        }
        self.lent.push(buf)
    }

    fn reclaim(&mut self) -> Option<Buf<'static>> {
        if self.lent.is_empty() {
            return None;
        }
        if self.lent.registered {
            self.ring.unregister_buf_ring(GROUP).ok()?;
            self.lent.registered = false;
            // Buffers that receives have picked are in their completions, which may still be outside the queue.
            loop {
                let entered = self.ring.enter(EVERYTHING, Some(Duration::ZERO));
                debug_assert!(matches!(entered, Ok(()) | Err(Errno::TIME | Errno::INTR | Errno::BUSY)), "{entered:?}");
                let behind = self.ring.has_overflowed();
                self.record_all();
                if !behind {
                    break;
                }
            }
            self.due = 0;
        }
        self.lent.reclaim()
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        // The connection is ending; do not register its file. The peer's FIN may have arrived already, so the next receive
        // tries before it waits.
        if let Some(entry) = self.table.get_mut(io.0 as usize).filter(|entry| entry.flags & OPEN != 0) {
            entry.flags |= TRY;
        }
        if let Some(socket) = self.descriptor(io) {
            aurora_http_sockets::shutdown(socket, how);
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
    fn wait(&mut self, timeout: Option<Duration>) -> Result<Seen, IoError> {
        if self.retry {
            self.retry_pushes();
        }
        self.poll_waker();
        let pending = self.ready != NONE || self.refused.is_some() || self.ring.completed() > 0 || self.retry;
        let seen = self.ring.wait(pending, timeout).map_err(os_error)?;
        // What could not be queued may complete later.
        let seen = if self.retry { Seen::Part } else { seen };
        self.clear_messages();
        self.due = self.ring.completed();
        self.behind = seen == Seen::Part;
        Ok(seen)
    }

    fn has_work(&self) -> bool {
        let held = self.ready != NONE || self.refused.is_some() || self.due > 0 || self.retry;
        held || self.behind || self.nested.is_broken()
    }

    fn flush(&mut self) {
        if self.retry {
            self.retry_pushes();
        }
        self.poll_waker();
        // Reset before the call: whatever the call finds ends up in the queue, and anything later signals again.
        self.nested.reset();
        let entered = self.ring.enter(0, Some(Duration::ZERO));
        self.clear_messages();
        // An error is reported by the next wait.
        let taken = matches!(entered, Ok(()) | Err(Errno::TIME)) && self.ring.queued() == 0;
        self.behind = !taken || self.ring.completed() > 0 || self.ring.is_behind();
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
            let completion = match ops::parse_user_data(completion.user_data_u64()) {
                (Kind::Recv, index) => {
                    let lent = buffer_select(flags).and_then(|id| self.lent.take(id));
                    self.hand_out_recv(index, result, flags.contains(Flags::SOCK_NONEMPTY), lent)
                }
                (Kind::Send, index) => self.hand_out_send(index, result),
                (kind, index) => {
                    self.record(kind, index, result, flags);
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
        aurora_http_sockets::now()
    }

    #[inline]
    fn unix_time(&self) -> Option<u64> {
        aurora_http_sockets::unix_time()
    }

    fn peers(&self) -> &dyn Peers {
        self
    }
}

/// Off the hot path.
impl Uring<'_> {
    /// Queues the poll on the waker's eventfd unless one is in flight.
    fn poll_waker(&mut self) {
        if !self.waker_polled {
            let sqe = ops::wake(self.waker.get_ref().as_fd().as_raw_fd());
            // SAFETY: it references no memory; the waker lives as long as the ring.
            self.waker_polled = unsafe { self.ring.push(&sqe) }.is_ok();
        }
    }

    /// Accepts an operation that cannot be carried out, to complete it with an error.
    #[cold]
    #[allow(clippy::result_large_err)]
    pub(crate) fn refuse(&mut self, token: OpToken, op: Op<'static>) -> Result<(), Submission<'static>> {
        if self.refused.is_some() {
            return Err(Submission { token, op });
        }
        let error = IoError::Unsupported;
        let outcome = match op {
            Op::Accept { .. } => Outcome::Accept(Err(error)),
            Op::Recv { into, .. } => Outcome::Recv { result: Err(error), buf: into },
            Op::Send { head, body, .. } => Outcome::Send { result: Err(error), head, body },
            Op::SendFile { head, .. } => Outcome::Send { result: Err(error), head, body: &[] },
            Op::Close { .. } => Outcome::Close,
            // `Op` is non-exhaustive: this reactor has no outcome for kinds of operation that it does not know.
            op => return Err(Submission { token, op }),
        };
        self.refused = Some(Completion { token, outcome, more: false });
        Ok(())
    }

    /// Returns an operation for which no record is free, or fails it if there never will be one.
    #[cold]
    #[allow(clippy::result_large_err)]
    pub(crate) fn put_off(&mut self, token: OpToken, op: Op<'static>) -> Result<(), Submission<'static>> {
        if self.held.is_empty() { self.refuse(token, op) } else { Err(Submission { token, op }) }
    }

    #[cold]
    #[allow(clippy::result_large_err)]
    fn submit_rare(&mut self, token: OpToken, op: Op<'static>) -> Result<(), Submission<'static>> {
        let (index, listener) = match op {
            Op::Accept { listener } => (listener.0, true),
            Op::Close { io } => (io.0, false),
            Op::SendFile { io, head, range } => return self.submit_file(token, io, head, range),
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
            self.arm(index);
        } else {
            self.close_when_idle(index);
        }
        Ok(())
    }
}
