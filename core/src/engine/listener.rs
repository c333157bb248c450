//! Accepting connections, and when not to.

use super::pressure::{receiving_until, stale_at};
use super::{Control, Engine, mark};
use crate::connection::Deadline;
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::handler::{ConnectionId, ConnectionInfo};
use crate::reactor::{IoError, IoHandle, Op, OpKind, OpToken, Peers, Submission};
use crate::state::State;
use crate::stop::Mode;
use crate::time::Instant;

/// How long accepting is paused after an error such as too many open files, unless a connection closes earlier.
const ACCEPT_PAUSE_MS: u32 = 100;

/// After this many failed connections in a row accepting is paused for them, too. They are more than a backlog holds,
/// so the listener itself must be broken.
const ACCEPT_RESETS_MAX: u16 = 1024;

/// How long newcomers wait for the slots that were promised to them before one more is promised.
const PROMISE_MS: u32 = 500;

/// How often the unacknowledged bytes of clients are checked while a newcomer waits.
const LOOK_MS: u32 = 20;

/// The most connections that are skipped in one search, because they wait for a buffer to receive into or because their
/// clients are still receiving.
const PASSED_OVER_MAX: usize = 64;

/// The most connections that a stop still accepts from one listener: enough for all that were in its backlog, even if
/// others keep coming.
const DRAINED_MAX: u16 = 4_096;

/// The place of a listener in [`Storage::listeners`](super::Storage::listeners).
#[derive(Debug)]
pub struct Listener {
    io: IoHandle,
    /// A place of the [`Lobby`], for the newcomers of any listener.
    pub(super) newcomer: IoHandle,
    /// The turn of the last submitted accept.
    pub(super) turn: u16,
    /// The number of connections accepted while stopping.
    drained: u16,
    pub(super) state: Listening,
    /// While stopping: its backlog is empty.
    pub(super) is_empty: bool,
}

impl Listener {
    /// A free place. It is all zeros, so that a `static` of them takes no flash.
    #[must_use]
    pub const fn new() -> Self {
        let io = IoHandle(0);
        Self { io, newcomer: io, turn: 0, drained: 0, state: Listening::Closed, is_empty: false }
    }

    /// The place of a listener that has not accepted yet.
    pub(super) const fn paused(io: IoHandle, newcomer: IoHandle) -> Self {
        Self { io, newcomer, state: Listening::Paused, ..Self::new() }
    }
}

impl Default for Listener {
    fn default() -> Self {
        Self::new()
    }
}

/// Accepted connections that wait for a slot, in order: a ring in the places of the listeners, which has one for each.
#[derive(Debug)]
pub(super) struct Lobby {
    first: u16,
    len: u16,
}

impl Lobby {
    pub(super) const fn new() -> Self {
        Self { first: 0, len: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) const fn len(&self) -> usize {
        self.len as usize
    }

    /// The place that is so many after the first one.
    fn place<'l>(&self, places: &'l mut [Listener], after: u16) -> Option<&'l mut IoHandle> {
        let index = usize::from(self.first) + usize::from(after);
        let beyond = index.checked_sub(places.len());
        places.get_mut(beyond.unwrap_or(index)).map(|place| &mut place.newcomer)
    }

    /// Returns a newcomer for whom there is no place.
    fn push_back(&mut self, places: &mut [Listener], io: IoHandle) -> Result<(), IoHandle> {
        if self.len() >= places.len().min(usize::from(u16::MAX)) {
            return Err(io);
        }
        *self.place(places, self.len).ok_or(io)? = io;
        self.len += 1;
        Ok(())
    }

    fn pop_front(&mut self, places: &mut [Listener]) -> Option<IoHandle> {
        let len = self.len.checked_sub(1)?;
        let io = *self.place(places, 0)?;
        let is_last = usize::from(self.first) + 1 == places.len();
        (self.first, self.len) = (if is_last { 0 } else { self.first + 1 }, len);
        Some(io)
    }

    fn pop_back(&mut self, places: &mut [Listener]) -> Option<IoHandle> {
        self.len = self.len.checked_sub(1)?;
        self.place(places, self.len).copied()
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Listening {
    /// The handle has been closed, or there was none: the place is free.
    Closed,
    /// No accept is in flight.
    Paused,
    /// An accept is in flight.
    Accepting,
    /// The accept in flight was cancelled.
    Canceled,
    /// The close is in flight.
    Closing,
}

/// The outcome of a search among connections on which everything has been answered.
enum Answered {
    /// A connection whose client has received everything.
    Received(u32),
    /// Before this time it is unknown whether the client has sent something that has not been received.
    Unseen(Instant),
    /// Only connections whose clients are still receiving: since when the oldest one is in its phase, and its index.
    Receiving(Instant, u32),
}

impl<'p, H: Handler> Engine<'_, 'p, H> {
    /// Accepts when there is room; when stopping, until the backlog is empty.
    pub(super) fn next_listener_control(&mut self) -> Option<Control<'p>> {
        let mode = self.mode();
        let stopping = mode != Mode::Run;
        let accepts = mode != Mode::Abort && self.lobby.is_empty() && self.accept_paused_until == Instant::NEVER;
        let first = self.held.seats.capacity() as u32;
        for (index, listener) in (first..).zip(self.listeners.iter_mut()) {
            let io = listener.io;
            let submit = |kind, op| Some(Control::Submit(Submission { token: OpToken::new(index, 0, kind), op }));
            let ends = mode == Mode::Abort || (stopping && listener.is_empty);
            match listener.state {
                Listening::Paused if ends => {
                    listener.state = Listening::Closing;
                    return submit(OpKind::Close, Op::Close { io });
                }
                Listening::Paused if accepts => {
                    listener.state = Listening::Accepting;
                    listener.turn = self.turn;
                    return submit(OpKind::Accept, Op::Accept { listener: io });
                }
                Listening::Accepting if ends => {
                    listener.state = Listening::Canceled;
                    return Some(Control::Cancel { token: OpToken::new(index, 0, OpKind::Accept), io });
                }
                _ => {}
            }
        }
        self.listeners_due = false;
        None
    }

    pub(super) fn handle_accepted(
        &mut self,
        now: Instant,
        token: OpToken,
        result: Result<IoHandle, IoError>,
        more: bool,
        peers: &dyn Peers,
    ) {
        self.listeners_due = true;
        let stopping = self.mode() != Mode::Run;
        if let Some(listener) = self.listener_mut(token) {
            if !more {
                listener.state = Listening::Paused;
            }
            if stopping && result.is_ok() {
                // It arrived before the stop was complete: there may be more.
                listener.drained += 1;
                listener.is_empty = listener.drained >= DRAINED_MAX;
            }
        }
        match result {
            Ok(io) => {
                self.accept_resets = 0;
                self.adopt_accepted(now, io, peers);
            }
            Err(IoError::Canceled) => {}
            Err(error) => {
                self.counters.accept_errors += 1;
                self.accept_resets += 1;
                // This connection failed; the next one may be fine.
                if error != IoError::ConnectionReset || self.accept_resets >= ACCEPT_RESETS_MAX {
                    self.accept_resets = 0;
                    self.accept_paused_until = now.plus_ms(ACCEPT_PAUSE_MS);
                }
            }
        }
    }

    /// Takes over a connection that the program accepted itself.
    ///
    /// # Errors
    /// Returns the handle if no slot is free, or when stopping.
    pub fn adopt(&mut self, now: Instant, io: IoHandle) -> Result<(), IoHandle> {
        if self.mode() != Mode::Run {
            return Err(io);
        }
        self.insert(now, io)?;
        self.counters.accepted += 1;
        Ok(())
    }

    /// Puts an accepted connection into a slot, or else into the lobby, and makes room for it.
    fn adopt_accepted(&mut self, now: Instant, io: IoHandle, peers: &dyn Peers) {
        self.counters.accepted += 1;
        let newcomer = if self.servable_slots() > 0 {
            self.slot_pressure.ease(now);
            self.insert_new(now, io, peers)
        } else {
            Err(io)
        };
        if let Err(io) = newcomer {
            if H::NEEDS.eviction {
                self.slot_pressure.press(now);
            }
            if self.lobby.is_empty() {
                self.promise_due = now.plus_ms(PROMISE_MS);
            }
            let full = self.lobby.push_back(self.listeners, io);
            debug_assert!(
                full.is_ok(),
                "the lobby has a place per listener, and nothing is accepted while one is taken"
            );
            self.admit(now, peers);
        }
    }

    /// Puts a new connection into a slot, where it is closed if it is not wanted.
    fn insert_new(&mut self, now: Instant, io: IoHandle, peers: &dyn Peers) -> Result<(), IoHandle> {
        let mode = self.mode();
        let id = self.insert(now, io)?;
        if mode == Mode::Abort {
            // It arrived before the accept was cancelled, or waited in the lobby: accepted, then closed.
            self.refuse_new(now, id, CloseReason::Stopped);
            if let Some(slot) = self.held.seats.slot_mut(id.index) {
                slot.marks |= mark::STOPPED_IDLE;
            }
            return Ok(());
        }
        self.sweep_due |= mode == Mode::Drain;
        if !self.handler.accepted(&ConnectionInfo { peers, io, id }) {
            self.refuse_new(now, id, CloseReason::Shed);
        }
        Ok(())
    }

    /// Closes a new connection of which nothing has been read.
    #[cold]
    fn refuse_new(&mut self, now: Instant, id: ConnectionId, reason: CloseReason) {
        if let Some((connection, _)) = self.held.seats.sit(id.index) {
            connection.refuse_new(reason);
            self.update_deadline(now, id.index);
        }
    }

    fn free_slots(&self) -> usize {
        self.held.seats.capacity() - self.held.seats.len()
    }

    /// The number of free slots in which newcomers can be served.
    fn servable_slots(&self) -> usize {
        self.free_slots().saturating_sub(usize::from(self.refuses && self.mode() == Mode::Run))
    }

    fn insert(&mut self, now: Instant, io: IoHandle) -> Result<ConnectionId, IoHandle> {
        let handle = self.held.seats.insert(io, self.turn)?;
        self.counters.active += 1;
        self.update_deadline(now, handle.index);
        self.ready.push(self.nodes, handle.index);
        Ok(handle)
    }

    /// Moves connections from the lobby into free slots, makes room for the others, and refuses those for which there
    /// will be none.
    #[cold]
    pub(super) fn admit(&mut self, now: Instant, peers: &dyn Peers) {
        while self.servable_slots() > 0
            && let Some(io) = self.lobby.pop_front(self.listeners)
        {
            let refused = self.insert_new(now, io, peers);
            debug_assert!(refused.is_ok(), "a free slot was counted");
        }
        if !H::NEEDS.eviction {
            return;
        }
        self.make_room(now, peers);
        while self.refuses
            && self.mode() == Mode::Run
            && self.lobby.len() > self.leaving
            && self.free_slots() > 0
            && let Some(io) = self.lobby.pop_back(self.listeners)
        {
            if let Ok(id) = self.insert(now, io) {
                self.refuse_overloaded(now, id.index, peers);
            }
        }
        if self.lobby.is_empty() {
            (self.lobby_check_at, self.promised_more) = (Instant::NEVER, 0);
            self.slot_pressure.rest(now);
        } else if self.promise_due <= now {
            self.promise_due = now.plus_ms(PROMISE_MS);
            self.promised_more = (self.promised_more + 1).min(self.held.seats.capacity());
        }
    }

    /// For each connection in the lobby ends the one that is missed least: one that lingers, or else the one that has
    /// been idle the longest, both only if their client has acknowledged everything; else the oldest head that has been
    /// incomplete for too long; else, after newcomers have waited longer, one whose client is still receiving. If there
    /// is none, as many responses as newcomers wait say `Connection: close`, and `lobby_check_at` is when the first one
    /// will be old enough.
    fn make_room(&mut self, now: Instant, peers: &dyn Peers) {
        self.lobby_check_at = Instant::NEVER;
        // First, so that connections that are sending are no longer in the list of idle ones.
        self.arm_sends(now);
        if !self.lobby.is_empty() {
            self.slot_pressure.press(now);
        }
        while self.mode() == Mode::Run && self.lobby.len() > self.leaving {
            let Some(index) = self.next_to_end(now, peers) else { return };
            self.evict(now, index);
        }
    }

    /// The connection to end now; otherwise sets the time of the next check.
    fn next_to_end(&mut self, now: Instant, peers: &dyn Peers) -> Option<u32> {
        let since = self.slot_pressure.since(self.seen_until);
        let mut receiving = None;
        for class in [Deadline::Linger, Deadline::Idle] {
            match self.oldest_answered(class, peers) {
                Some(Answered::Received(index)) => return Some(index),
                Some(Answered::Unseen(known_at)) => {
                    self.lobby_check_at = known_at;
                    return None;
                }
                Some(Answered::Receiving(began, index)) => {
                    receiving = receiving.or(Some((receiving_until(began, since), index)));
                }
                None => {}
            }
        }
        let heads = [Deadline::FirstByte, Deadline::Head].map(|class| self.oldest_heard(class));
        let head = heads.into_iter().flatten().min_by_key(|(began, _)| *began);
        let head = head.map(|(began, index)| (stale_at(began, since), index));
        let due = [head, receiving].into_iter().flatten().find(|(at, _)| *at <= self.seen_until);
        if due.is_none() {
            // There is no event for acknowledgements.
            let look = receiving.map(|(at, _)| at.min(now.plus_ms(LOOK_MS)));
            self.lobby_check_at =
                [head.map(|(at, _)| at), look].into_iter().flatten().fold(Instant::NEVER, Instant::min);
        }
        due.map(|(_, index)| index)
    }

    /// The oldest of the lingering or idle connections whose client has received every response, or if there is none,
    /// the oldest of all. While the client is still receiving, ending the connection could cause a reset when the
    /// client sends anything, and a reset destroys what is on its way.
    fn oldest_answered(&mut self, class: Deadline, peers: &dyn Peers) -> Option<Answered> {
        let oldest = self.deadlines.oldest(class as usize)?;
        let mut index = oldest;
        for _ in 0..PASSED_OVER_MAX {
            // Input after a last response is received first: while some is unread, closing would cause a reset.
            let known_at = Instant(self.began(index)?.0 + 1);
            if class == Deadline::Linger && known_at > self.seen_until {
                if index == oldest {
                    return Some(Answered::Unseen(known_at));
                }
                break; // the following ones are even younger
            }
            let io = self.held.seats.slot(index)?.io;
            if peers.unacknowledged(io).is_none_or(|count| count == 0 || planted!(NewcomerDestroys)) {
                return Some(Answered::Received(index));
            }
            match self.deadlines.next_due(self.nodes, class as usize, Some(index), Instant::NEVER) {
                Some(next) => index = next,
                None => break,
            }
        }
        Some(Answered::Receiving(self.began(oldest)?, oldest))
    }

    /// The oldest connection of the class from which everything that arrived has been received, and since when it has
    /// been in the class.
    fn oldest_heard(&mut self, class: Deadline) -> Option<(Instant, u32)> {
        let mut index = self.deadlines.oldest(class as usize)?;
        for _ in 0..PASSED_OVER_MAX {
            if self.held.seats.look(index).is_some_and(|connection| !connection.is_starved()) {
                return Some((self.began(index)?, index));
            }
            index = self.deadlines.next_due(self.nodes, class as usize, Some(index), Instant::NEVER)?;
        }
        None
    }

    /// Marks a connection whose slot will become free, so that no other one is ended for the newcomer that gets it.
    #[cold]
    pub(super) fn mark_leaving(&mut self, index: u32) {
        if !H::NEEDS.eviction {
            return;
        }
        let Some(connection) = self.held.seats.look(index) else { return };
        let mut marks = 0;
        if connection.close_reason().is_some() {
            marks |= mark::PROMISED;
        }
        if matches!(connection.state(), State::Closing | State::Closed) {
            marks |= mark::PROMISED | mark::LEAVING;
        }
        let Some(slot) = self.held.seats.slot_mut(index) else { return };
        let before = slot.marks;
        slot.marks |= marks;
        let new = slot.marks & !before;
        self.promised += usize::from(new & mark::PROMISED != 0);
        self.leaving += usize::from(new & mark::LEAVING != 0);
    }

    /// Updates the counts for a slot with these marks, which has become free.
    pub(super) fn unmark(&mut self, marks: u8) {
        self.promised -= usize::from(marks & mark::PROMISED != 0 && !planted!(PromiseKept));
        self.leaving -= usize::from(marks & mark::LEAVING != 0 && !planted!(LeavingKept));
        self.promised_more = 0;
    }

    pub(super) fn handle_closed_listener(&mut self, token: OpToken) {
        if let Some(listener) = self.listener_mut(token) {
            listener.state = Listening::Closed;
        }
    }

    #[cold]
    pub(super) fn handle_rejected_listener(&mut self, token: OpToken) {
        if let Some(listener) = self.listener_mut(token) {
            listener.state = Listening::Paused;
            self.listeners_due = true;
        }
    }

    /// Accepts again: a slot or a descriptor was freed, or the pause is over.
    pub(super) fn resume_accepting(&mut self) {
        self.accept_paused_until = Instant::NEVER;
        self.listeners_due = true;
    }

    fn listener_mut(&mut self, token: OpToken) -> Option<&mut Listener> {
        let index = (token.slot() as usize).checked_sub(self.held.seats.capacity())?;
        self.listeners.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lobby_keeps_the_order_of_newcomers_all_around_its_places() {
        let (mut places, mut lobby) = ([const { Listener::new() }; 3], Lobby::new());
        assert_eq!((lobby.pop_front(&mut places), lobby.pop_back(&mut places)), (None, None));
        for start in 0..7 {
            let [a, b, c, d] = [0, 1, 2, 3].map(|io| IoHandle(10 * start + io));
            for io in [a, b, c] {
                assert_eq!(lobby.push_back(&mut places, io), Ok(()));
            }
            assert_eq!(lobby.push_back(&mut places, d), Err(d), "there is a place for each listener");
            assert_eq!((lobby.pop_front(&mut places), lobby.len()), (Some(a), 2));
            assert_eq!(lobby.push_back(&mut places, d), Ok(()));
            assert_eq!((lobby.pop_back(&mut places), lobby.pop_front(&mut places)), (Some(d), Some(b)));
            assert_eq!((lobby.pop_back(&mut places), lobby.is_empty()), (Some(c), true));
        }
        assert_eq!(Lobby::new().push_back(&mut [], IoHandle(1)), Err(IoHandle(1)));
    }
}
