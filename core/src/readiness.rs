//! Makes a completion-style [`Reactor`] of non-blocking calls: try first, park on *would block*.
//!
//! Shared by epoll, kqueue and polled network stacks. What it knows about a handle is two flags, *maybe readable* and
//! *maybe writable*. Both are set for a new handle, and by events, and both may be wrong: the next attempt finds out.
//! An operation whose flag is set is queued for an attempt; any other one is parked, and costs nothing until an event
//! names its handle.
//!
//! - A short receive has drained the handle, a short send has filled it: the flag is cleared, and the next operation is
//!   parked without a call. In steady state a request takes one wait, one receive and one send. Once the end was
//!   reported (`ended`) no further event will come, so receives continue until they return 0 or an error.
//! - A send is tried before other connections receive: its response is in the cache, and its buffer is free again for the next.
//! - A turn lasts from one [`wait`](Reactor::wait) to the next. In each turn a handle gets one receive and one send,
//!   and a listener [`ACCEPTS_PER_TURN`] accepts; further ones are left to the next turn, whose wait then does not
//!   block.
//! - `Accept` completes once and is not armed (`more` is false): submitting the next one takes a few instructions, next
//!   to two system calls per connection, and a full engine holds newcomers back by not submitting it.
//! - `Recv { into: None }` takes a lent buffer only for an attempt that may succeed, and puts it back if it does not.

mod attempts;
mod batches;
mod held;
mod parked;

use core::time::Duration;

use crate::pool::Buf;
use crate::reactor::{
    Attempt, Completion, IoError, IoHandle, NonBlocking, Op, OpKind, OpToken, Outcome, Peer, Peers, Reactor, Ready,
    Security, Seen, Shutdown, Submission,
};
use crate::time::Instant;

use attempts::{try_recv, try_send};
pub use batches::Batches;
pub use held::Held;
use held::Records;
pub use parked::Parked;
use parked::{
    ACCEPT, CANCEL_RECV, CANCEL_SEND, CLOSE, ENDED, FORCED, FRESH, HAD, HAD_RECV, HAD_SEND, Lent, NONE, QUEUED_NOW,
    Queue, RARE, READABLE, RECV, SEND, Served, WRITABLE,
};

/// The most connections that one listener returns per turn, so that a flood of them does not starve the open ones.
pub const ACCEPTS_PER_TURN: u16 = 64;

/// A [`Reactor`] over a [`NonBlocking`], with a table of parked operations that the program provides.
pub struct Readiness<'s, 'p, T> {
    io: T,
    parked: &'s mut [Parked],
    held: Records<'s, 'p>,
    now: Queue,
    served: Served,
    lent: Lent<'s, 'p>,
    /// What the last wait has seen.
    seen: Seen,
    /// An operation that cannot be carried out, to be completed with an error.
    refused: Option<Completion<'p>>,
}

impl<'s, 'p, T: NonBlocking> Readiness<'s, 'p, T> {
    /// A reactor for handles below `parked.len()` that can hold `lent.len()` lent buffers.
    ///
    /// `held` has a record for each handle whose operations hold a buffer; [`held_max`](crate::budget::held_max) says how many
    /// that can be. With fewer, further operations with a buffer have to wait: `submit` returns them. With none at all they
    /// fail.
    ///
    /// The previous contents of the storage are dropped. If a reactor was dropped with operations in flight, their
    /// buffers are still in it: take them out of `lent`, and of `held` with [`Held::take_buffers`], before using it
    /// again.
    #[must_use]
    pub fn new(io: T, parked: &'s mut [Parked], held: &'s mut [Held<'p>], lent: &'s mut [Option<Buf<'p>>]) -> Self {
        parked.fill_with(Parked::idle);
        lent.fill_with(|| None);
        let now = Queue { first: NONE, last: NONE };
        Self {
            io,
            parked,
            held: Records::new(held),
            now,
            served: Served { top: NONE },
            lent: Lent { places: lent, count: 0 },
            seen: Seen::All,
            refused: None,
        }
    }

    /// The underlying [`NonBlocking`].
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// The underlying [`NonBlocking`], mutably, to add or remove listeners and streams.
    ///
    /// Remove a socket only while no operation is in flight on it.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// Returns the underlying [`NonBlocking`]. Operations in flight do not complete; their buffers stay in the table,
    /// for [`Held::take_buffers`].
    #[must_use]
    pub fn into_inner(self) -> T {
        self.io
    }

    #[inline(always)]
    fn push_now(&mut self, index: u32) {
        self.now.push(self.parked, index);
    }

    /// Queues a receive or accept that can be tried. An entry that had its share is queued when the next turn begins.
    #[cfg_attr(not(feature = "small"), inline(always))]
    fn schedule_recv(&mut self, index: u32) {
        if self.parked.get(index as usize).is_some_and(Parked::may_recv) {
            self.push_now(index);
        }
    }

    /// Queues a send that can be tried, before everything else: it is tried before other connections receive. So a response leaves
    /// while it is in the cache, and its buffer is free again for the next one.
    #[cfg_attr(not(feature = "small"), inline(always))]
    fn schedule_send(&mut self, index: u32) {
        if self.parked.get(index as usize).is_some_and(|entry| entry.flags & HAD_SEND == 0) {
            self.now.push_first(self.parked, index);
        }
    }

    /// Queues the entry if any of its operations can be tried.
    #[cold]
    fn schedule(&mut self, index: u32) {
        let Some(entry) = self.parked.get_mut(index as usize) else { return };
        let due = entry.due();
        if entry.flags & FORCED != 0
            || (due & READABLE != 0 && entry.may_recv())
            || (due & WRITABLE != 0 && entry.flags & HAD_SEND == 0)
        {
            self.push_now(index);
        }
    }

    /// Starts the next turn: resets the shares, and queues the entries that waited for that.
    #[cfg_attr(not(feature = "small"), inline(always))]
    fn next_turn(&mut self) {
        let mut next = core::mem::replace(&mut self.served.top, NONE);
        while let Some(entry) = self.parked.get_mut(next as usize) {
            let index = next;
            next = entry.next_served;
            entry.flags &= !HAD;
            if entry.due() != 0 && !planted!(TurnLost) {
                self.push_now(index);
            }
        }
    }

    /// Tries the accept of `index`; `None` parks it.
    fn try_accept(&mut self, index: u32) -> Option<Completion<'p>> {
        let result = match self.io.accept(IoHandle(index)) {
            Attempt::WouldBlock => {
                self.parked.get_mut(index as usize)?.flags &= !READABLE;
                return None;
            }
            Attempt::Failed(error) => Err(error),
            Attempt::Done(handle) => match self.parked.get_mut(handle as usize) {
                Some(entry) => {
                    // The index may have been another socket's.
                    entry.flags = entry.flags & !ENDED | FRESH;
                    Ok(IoHandle(handle))
                }
                None => {
                    self.io.close(IoHandle(handle));
                    Err(IoError::FileLimit)
                }
            },
        };
        let entry = self.parked.get_mut(index as usize)?;
        entry.accepted = if entry.flags & HAD_RECV == 0 { 1 } else { entry.accepted + 1 };
        self.served.push(entry, index, RECV | ACCEPT, HAD_RECV);
        let outcome = Outcome::Accept(result);
        Some(Completion { token: entry.owner.with_kind(OpKind::Accept), outcome, more: false })
    }

    /// Completes cancelled operations, a close, and operations of a listener, one at a time.
    #[cold]
    fn complete_rare(&mut self, index: u32) -> Option<Completion<'p>> {
        let entry = self.parked.get_mut(index as usize)?;
        let error = IoError::Canceled;
        let outcome = if entry.flags & CANCEL_RECV != 0 {
            let accept = entry.flags & ACCEPT != 0;
            entry.flags &= !(CANCEL_RECV | RECV | ACCEPT);
            if accept {
                Outcome::Accept(Err(error))
            } else {
                Outcome::Recv { result: Err(error), buf: self.held.take_into(entry) }
            }
        } else if entry.flags & CANCEL_SEND != 0 {
            entry.flags &= !(CANCEL_SEND | SEND);
            let (head, body) = self.held.take_head(entry)?;
            Outcome::Send { result: Err(error), head, body }
        } else if entry.flags & CLOSE != 0 {
            entry.flags = entry.flags & (QUEUED_NOW | HAD) | FRESH;
            self.io.close(IoHandle(index));
            Outcome::Close
        } else {
            return self.complete_listener(index);
        };
        let kind = match outcome {
            Outcome::Accept(_) => OpKind::Accept,
            Outcome::Recv { .. } => OpKind::Recv,
            Outcome::Send { .. } => OpKind::Send,
            Outcome::Close => OpKind::Close,
        };
        let token = entry.owner.with_kind(kind);
        self.schedule(index);
        Some(Completion { token, outcome, more: false })
    }

    /// An accept, or a send that was submitted to a listener and fails in the call.
    fn complete_listener(&mut self, index: u32) -> Option<Completion<'p>> {
        let entry = self.parked.get_mut(index as usize)?;
        if entry.due_now() & WRITABLE != 0 {
            let completion = try_send(&mut self.io, &mut self.held, &mut self.served, index, entry);
            if completion.is_some() {
                self.schedule(index);
                return completion;
            }
        }
        let entry = self.parked.get_mut(index as usize)?;
        if entry.due() & READABLE != 0 && entry.may_recv() { self.try_accept(index) } else { None }
    }

    /// Submits any operation.
    #[inline(never)]
    #[allow(clippy::result_large_err)]
    fn submit_any(&mut self, token: OpToken, op: Op<'p>) -> Result<(), Submission<'p>> {
        let (index, seat) = match op {
            Op::Accept { listener } => (listener.0, RECV),
            Op::Close { io } => (io.0, CLOSE),
            Op::Recv { .. } | Op::Send { .. } | Op::SendFile { .. } => return self.submit_transfer(token, op),
        };
        let Some(entry) = self.parked.get_mut(index as usize).filter(|entry| entry.admits(seat, token)) else {
            return self.refuse(token, op);
        };
        entry.owner = token;
        entry.flags |= if seat == RECV {
            RECV | ACCEPT
        } else {
            // Nothing should be in flight. If something is, its buffers come back before the handle is closed.
            let recv = if entry.flags & RECV != 0 { CANCEL_RECV } else { 0 };
            let send = if entry.flags & SEND != 0 { CANCEL_SEND } else { 0 };
            CLOSE | recv | send
        };
        self.schedule(index);
        Ok(())
    }

    /// Submits a receive or a send.
    #[cfg_attr(not(feature = "small"), inline(always))]
    #[allow(clippy::result_large_err)]
    fn submit_transfer(&mut self, token: OpToken, op: Op<'p>) -> Result<(), Submission<'p>> {
        let (index, seat) = match op {
            Op::Recv { io, .. } => (io.0, RECV),
            Op::Send { io, .. } | Op::SendFile { io, .. } => (io.0, SEND),
            Op::Accept { .. } | Op::Close { .. } => return self.refuse(token, op),
        };
        let Some(entry) = self.parked.get_mut(index as usize).filter(|entry| entry.admits(seat, token)) else {
            return self.refuse(token, op);
        };
        if !matches!(op, Op::Recv { into: None, .. }) {
            let Some(record) = self.held.get_or_take(entry) else { return self.put_off(token, op) };
            record.hold(op);
        }
        entry.owner = token;
        entry.flags |= seat;
        let flags = entry.flags;
        if seat == SEND {
            if flags & WRITABLE != 0 {
                self.schedule_send(index);
            }
        } else if flags & READABLE != 0 && !planted!(ReceiveForgotten) {
            self.schedule_recv(index);
        }
        Ok(())
    }

    /// Returns an operation for which no record is free, or fails it if there never will be one.
    #[cold]
    #[inline(never)]
    #[allow(clippy::result_large_err)]
    fn put_off(&mut self, token: OpToken, op: Op<'p>) -> Result<(), Submission<'p>> {
        if self.held.records.is_empty() { self.refuse(token, op) } else { Err(Submission { token, op }) }
    }

    /// Keeps an operation that cannot be carried out, to complete it with an error.
    #[cold]
    #[allow(clippy::result_large_err)]
    fn refuse(&mut self, token: OpToken, op: Op<'p>) -> Result<(), Submission<'p>> {
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
        };
        self.refused = Some(Completion { token, outcome, more: false });
        Ok(())
    }
}

impl<T: NonBlocking> Peers for Readiness<'_, '_, T> {
    fn peer(&self, io: IoHandle) -> Option<Peer> {
        self.io.peer(io)
    }

    fn security(&self, io: IoHandle) -> Option<Security<'_>> {
        self.io.security(io)
    }

    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        self.io.unacknowledged(io)
    }

    fn sends_files(&self) -> bool {
        self.io.sends_files()
    }
}

impl<'p, T: NonBlocking> Reactor<'p> for Readiness<'_, 'p, T> {
    #[cfg_attr(not(feature = "small"), inline)]
    fn submit(&mut self, submission: Submission<'p>) -> Result<(), Submission<'p>> {
        let Submission { token, op } = submission;
        // The operations of a plain request have code of their own.
        match op {
            Op::Recv { io, into: None } if cfg!(not(feature = "small")) => {
                self.submit_transfer(token, Op::Recv { io, into: None })
            }
            Op::Send { io, head, body } if cfg!(not(feature = "small")) => {
                self.submit_transfer(token, Op::Send { io, head, body })
            }
            op => self.submit_any(token, op),
        }
    }

    #[cfg_attr(not(feature = "small"), inline)]
    fn provide(&mut self, buf: Buf<'p>) -> Result<(), Buf<'p>> {
        if buf.spare_len() == 0 {
            return Err(buf);
        }
        self.lent.push(buf)
    }

    fn reclaim(&mut self) -> Option<Buf<'p>> {
        self.lent.pop()
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        self.io.shutdown(io, how);
        let Some(entry) = self.parked.get_mut(io.0 as usize) else { return };
        // Not every stack reports the effects of its own shutdown, so parked operations are tried again.
        entry.flags |= match how {
            Shutdown::Both => READABLE | WRITABLE | ENDED,
            Shutdown::Read => READABLE | ENDED,
            Shutdown::Write => WRITABLE,
            Shutdown::Reset => return,
        };
        self.schedule(io.0);
    }

    fn cancel(&mut self, token: OpToken, io: IoHandle) {
        let Some(entry) = self.parked.get_mut(io.0 as usize) else { return };
        if !entry.is_owned_by(token) {
            return;
        }
        entry.flags |= match (token.kind(), entry.flags & ACCEPT != 0) {
            (OpKind::Accept, true) | (OpKind::Recv, false) if entry.flags & RECV != 0 => CANCEL_RECV,
            (OpKind::Send, _) if entry.flags & SEND != 0 => CANCEL_SEND,
            _ => return,
        };
        self.push_now(io.0);
    }

    #[cfg_attr(not(feature = "small"), inline)]
    fn wait(&mut self, timeout: Option<Duration>) -> Result<Seen, IoError> {
        self.next_turn();
        let pending = self.now.first != NONE || self.refused.is_some();
        let timeout = if pending { Some(Duration::ZERO) } else { timeout };
        let Self { io, parked, now, .. } = self;
        self.seen = io.wait(timeout, &mut |IoHandle(index), ready: Ready| {
            let Some(entry) = parked.get_mut(index as usize) else { return };
            let readable = if ready.readable | ready.ended { READABLE } else { 0 };
            let writable = if ready.writable { WRITABLE } else { 0 };
            let ended = if ready.ended { ENDED } else { 0 };
            entry.flags |= readable | writable | ended;
            // In a new turn nothing has had its share yet: what can be tried can be tried now.
            if entry.due() != 0 {
                now.push(parked, index);
            }
        })?;
        Ok(self.seen)
    }

    #[cfg_attr(not(feature = "small"), inline)]
    fn next_completion(&mut self) -> Option<Completion<'p>> {
        loop {
            let index = self.now.first;
            let Some(entry) = self.parked.get_mut(index as usize) else {
                return if self.refused.is_none() { None } else { self.refused.take() };
            };
            self.now.first = entry.next_now;
            entry.flags &= !QUEUED_NOW;
            if entry.flags & RARE != 0 {
                match self.complete_rare(index) {
                    None => continue,
                    completion => return completion,
                }
            }
            let due = entry.due_now();
            if due & WRITABLE != 0
                && let Some(completion) = try_send(&mut self.io, &mut self.held, &mut self.served, index, entry)
            {
                if due & READABLE != 0 {
                    self.push_now(index);
                }
                return Some(completion);
            }
            if due & READABLE != 0
                && let Some(completion) =
                    try_recv(&mut self.io, &mut self.held, &mut self.lent, &mut self.served, index, entry)
            {
                return Some(completion);
            }
        }
    }

    fn flush(&mut self) {
        self.io.flush();
    }

    fn has_work(&self) -> bool {
        let waits = self.seen == Seen::Part || self.io.has_more();
        waits
            || self.now.first != NONE
            || self.refused.is_some()
            || self.served.is_due(self.parked) && !planted!(WorkUntold)
    }

    #[inline]
    fn now(&self) -> Instant {
        self.io.now()
    }

    #[inline]
    fn unix_time(&self) -> Option<u64> {
        self.io.unix_time()
    }

    fn peers(&self) -> &dyn Peers {
        self
    }
}

#[cfg(test)]
#[path = "readiness_tests.rs"]
mod tests;
