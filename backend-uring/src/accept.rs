//! Accepting: several accepts are in flight per listener, so that a burst of connections does not take one turn each.
//!
//! These are single-shot accepts, not a multishot one. A multishot accept is bounded only by the system's descriptors, and
//! connections that the kernel accepts before the engine asks for them have to be kept here. A free table entry is reserved
//! for each accept in flight. A table of the budget's size has one entry per listener beyond the engine's slots, so with a
//! full engine no more connections wait here than its lobby may hold; all others stay in the kernel's backlog.
//!
//! However many listeners there are and however few entries, each has an accept in flight before any has a second one, and
//! gives up the others when a listener finds no entry for its first: otherwise the listeners that come first would keep all
//! entries, and the last ones never accept.

use aurora_http_core::reactor::{Completion, IoError, IoHandle, OpKind, Outcome};
use aurora_http_sockets::{os_error, passes};
use rustix::fd::{FromRawFd, OwnedFd};
use rustix::io::Errno;

use crate::ops::{self, Kind};
use crate::table::{ACCEPT, CLOSE, Entry, FAILED_ACCEPT, LISTENER, NONE, OPEN, TRY, WAIT_ACCEPT};
use crate::uring::{ACCEPTS_MAX, Uring};

/// Accepts in flight per listener.
const ACCEPTS_PER_LISTENER: u8 = 16;

impl Uring<'_> {
    /// Starts accepts on listener `index`, and queues a connection that was accepted earlier to be handed out.
    pub(crate) fn arm(&mut self, index: u32) {
        while let Some(entry) = self.table.get_mut(index as usize)
            && entry.armed < ACCEPTS_PER_LISTENER
            && entry.waits & WAIT_ACCEPT == 0
            && if entry.armed == 0 {
                self.armed < self.free_count
            } else {
                // What the other listeners need for their first.
                self.armed.saturating_add(self.unarmed) < ACCEPTS_MAX.min(self.free_count)
            }
        {
            let sqe = ops::accept(entry.descriptor(), index);
            // SAFETY: it references no memory: no peer address is requested.
            if unsafe { self.ring.push(&sqe) }.is_err() {
                self.retry = true;
                break;
            }
            if entry.armed == 0 {
                self.unarmed = self.unarmed.saturating_sub(1);
            }
            entry.armed += 1;
            self.armed += 1;
        }
        let retry = self.retry;
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        let is_stuck = entry.armed == 0 && entry.waits == 0 && entry.accepted == NONE && !retry;
        if is_stuck && !self.waits_for_entry() {
            // The table is full.
            let entry = &mut self.table[index as usize];
            entry.flags |= FAILED_ACCEPT;
            entry.recv_result = -Errno::MFILE.raw_os_error();
        }
        if self.table[index as usize].is_due() {
            self.push_ready(index);
        }
    }

    /// Where there is no entry for a listener's only accept, has another listener give up one of its accepts; returns whether the
    /// accept can wait until an entry is free. That is so, too, while another one has connections that were accepted ahead of
    /// time: they come first.
    #[cold]
    fn waits_for_entry(&mut self) -> bool {
        let mut listeners = (0..).zip(&*self.table).filter(|(_, entry)| entry.flags & LISTENER != 0);
        let has_spare = |entry: &Entry| entry.armed > 1;
        let spare = listeners.clone().find(|(_, entry)| has_spare(entry)).map(|(index, _)| index);
        let waits = spare.is_some() || listeners.any(|(_, entry)| entry.accepted != NONE);
        self.short |= waits;
        if let Some(index) = spare {
            self.push_plain(&ops::cancel(Kind::Accept, index));
        }
        waits
    }

    /// Has listeners without an entry for their accept look again, now that one is free.
    pub(crate) fn entry_freed(&mut self) {
        self.retry |= self.short;
    }

    /// Cancels the engine's accept. A connection that the kernel accepts before it sees the cancel is still handed out; the
    /// accept completes as cancelled once none is in flight in the kernel.
    pub(crate) fn cancel_accept(&mut self, index: u32) {
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        if entry.accepted == NONE {
            // SAFETY: it references no memory.
            if entry.armed > 0 && unsafe { self.ring.push(&ops::cancel_accepts(index)) }.is_ok() {
                return;
            }
            entry.flags |= FAILED_ACCEPT;
            entry.recv_result = -Errno::CANCELED.raw_os_error();
        }
        self.push_ready(index);
    }

    /// Cancels all accepts on `index`, and closes accepted connections that were not handed out.
    pub(crate) fn disarm(&mut self, index: u32) {
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        let (armed, waits) = (entry.armed, entry.waits);
        let mut waiting = core::mem::replace(&mut entry.accepted, NONE);
        if entry.flags & ACCEPT != 0 {
            self.cancel_accept(index);
        } else if armed > 0 {
            self.push_plain(&ops::cancel_accepts(index));
        }
        if waits & WAIT_ACCEPT != 0 {
            self.push_plain(&ops::cancel(Kind::WaitAccept, index));
        }
        while let Some(entry) = self.table.get(waiting as usize) {
            let next = entry.next;
            self.release(waiting);
            waiting = next;
        }
    }

    /// Handles the completion of an accept on `index`.
    pub(crate) fn accepted(&mut self, index: u32, result: i32) {
        self.armed -= 1;
        if let Some(entry) = self.table.get_mut(index as usize) {
            entry.armed -= 1;
            self.unarmed += u32::from(entry.armed == 0);
        }
        if result < 0 {
            self.entry_freed();
        }
        if result == -Errno::AGAIN.raw_os_error() && self.table.get(index as usize).is_some_and(Entry::wants_accept) {
            self.push_poll(Kind::WaitAccept, index);
        }
        let result = match result {
            0.. => {
                // SAFETY: the kernel has just created it for this accept; nothing else owns it.
                let socket = unsafe { OwnedFd::from_raw_fd(result) };
                self.queue_accepted(index, socket)
            }
            _ => Err(Errno::from_raw_os_error(-result)),
        };
        let Some(entry) = self.table.get_mut(index as usize) else { return };
        if let Err(error) = result
            && entry.wants_accept()
            && (error != Errno::CANCELED || entry.armed == 0)
        {
            if !matches!(error, Errno::INTR | Errno::AGAIN) {
                let error = if passes(error) { Errno::CONNRESET } else { error };
                entry.flags |= FAILED_ACCEPT;
                entry.recv_result = -error.raw_os_error();
            } else if entry.armed == 0 && entry.waits == 0 {
                return self.arm(index);
            }
        }
        let flags = entry.flags;
        if entry.is_due() {
            self.push_ready(index);
        }
        if flags & CLOSE != 0 {
            self.close_when_idle(index);
        }
    }

    /// Appends a connection to those that wait to be handed out.
    fn queue_accepted(&mut self, listener: u32, socket: OwnedFd) -> Result<(), Errno> {
        if self.table.get(listener as usize).is_none_or(|entry| entry.flags & (OPEN | CLOSE) != OPEN) {
            // The listener is being closed: drop the connection.
            return Ok(());
        }
        // It fails if the program added a socket, which took the reserved entry.
        let index = self.insert(socket).ok_or(Errno::MFILE)?;
        let mut last = None;
        let mut next = self.table[listener as usize].accepted;
        while let Some(entry) = self.table.get(next as usize) {
            last = Some(next);
            next = entry.next;
        }
        // Not OPEN until it is handed out: its handle is invalid before that.
        let entry = &mut self.table[index as usize];
        (entry.flags, entry.next) = (TRY, NONE);
        match last {
            Some(last) => self.table[last as usize].next = index,
            None => self.table[listener as usize].accepted = index,
        }
        Ok(())
    }

    /// Completes the accept that the engine submitted.
    pub(crate) fn hand_out_accept(&mut self, index: u32) -> Option<Completion<'static>> {
        let entry = self.table.get_mut(index as usize)?;
        let token = entry.owner.with_kind(OpKind::Accept);
        let accepted = entry.accepted;
        let result = if accepted == NONE {
            Err(os_error(Errno::from_raw_os_error(-entry.recv_result)))
        } else {
            Ok(IoHandle(accepted))
        };
        entry.flags &= !(ACCEPT | FAILED_ACCEPT);
        let flags = entry.flags;
        if let Some(entry) = self.table.get_mut(accepted as usize) {
            entry.flags |= OPEN;
            let next = entry.next;
            self.table[index as usize].accepted = next;
        }
        if flags & CLOSE != 0 {
            self.close_when_idle(index);
        }
        debug_assert!(result != Err(IoError::Unsupported), "the socket listens");
        Some(Completion { token, outcome: Outcome::Accept(result), more: false })
    }
}
