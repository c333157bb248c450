//! Taking connections, and when not to.

use super::pressure::{receiving_until, stale_at};
use super::{Control, Engine, Slot, mark};
use crate::connection::{Connection, Deadline};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::handler::{ConnectionId, ConnectionInfo};
use crate::reactor::{IoError, IoHandle, Op, OpKind, OpToken, Peers, Submission};
use crate::state::State;
use crate::stop::Mode;
use crate::time::Instant;

/// How long accepting rests after an error such as too many open files, unless a connection closes before.
const ACCEPT_PAUSE_MS: u32 = 100;

/// Connections that died in the backlog, one after another, before accepting rests for them too: more than a backlog
/// holds, so that it is the listener which is broken.
const ACCEPT_RESETS_MAX: u16 = 1024;

/// How long newcomers wait for a slot that was promised to them before one more is.
const PROMISE_MS: u32 = 500;

/// How often it is asked what clients have received, while a newcomer waits.
const LOOK_MS: u32 = 20;

/// Those that wait for a buffer to receive into, or whose client is still receiving, are passed over, but no more of them
/// at once: they get theirs in order.
const PASSED_OVER_MAX: usize = 64;

/// Connections that a stop takes from one listener at most: those who were in its backlog, when others come all the time.
const DRAINED_MAX: u16 = 4_096;

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) io: IoHandle,
    pub(super) state: Listening,
    /// The turn in which an accept was submitted last.
    pub(super) turn: u16,
    /// Connections that came while stopping.
    pub(super) drained: u16,
    /// While stopping: nobody waits in its backlog any more.
    pub(super) is_empty: bool,
}

impl Listener {
    pub(super) const fn new(io: IoHandle) -> Self {
        Self { io, state: Listening::Paused, turn: 0, drained: 0, is_empty: false }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Listening {
    /// No accept is in flight.
    Paused,
    /// An accept is in flight.
    Accepting,
    /// It was told to end.
    Canceled,
    /// The close is in flight.
    Closing,
    /// The handle is gone.
    Closed,
}

/// What there is among connections on which everything was answered.
enum Answered {
    /// One whose client has received everything.
    Received(u32),
    /// It is not known before this time whether something of the client's is unread.
    Unseen(Instant),
    /// None but those whose clients are still receiving: the oldest one, and since when.
    Receiving(Instant, u32),
}

impl<'p, H: Handler> Engine<'_, 'p, H> {
    /// Accepts when there is room; when stopping, until nobody is left in the backlog.
    pub(super) fn next_listener_control(&mut self) -> Option<Control<'p>> {
        let stopping = self.mode != Mode::Run;
        let accepts = self.mode != Mode::Abort && self.lobby.is_empty() && self.accept_paused_until.is_none();
        let first = self.held.slots.capacity() as u32;
        for (index, listener) in (first..).zip(self.listeners.iter_mut()) {
            let io = listener.io;
            let submit = |kind, op| Some(Control::Submit(Submission { token: OpToken::new(index, 0, kind), op }));
            let ends = self.mode == Mode::Abort || (stopping && listener.is_empty);
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
        let stopping = self.mode != Mode::Run;
        if let Some(listener) = self.listener_mut(token) {
            if !more {
                listener.state = Listening::Paused;
            }
            if stopping && result.is_ok() {
                // It came while the accept was being cancelled: there may be more.
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
                // One connection died; the next one may be alive.
                if error != IoError::ConnectionReset || self.accept_resets >= ACCEPT_RESETS_MAX {
                    self.accept_resets = 0;
                    self.accept_paused_until = Some(now.plus_ms(ACCEPT_PAUSE_MS));
                }
            }
        }
    }

    /// Serves a connection that the program accepted itself.
    ///
    /// # Errors
    /// Hands the handle back when no slot is free, or while stopping.
    pub fn adopt(&mut self, now: Instant, io: IoHandle) -> Result<(), IoHandle> {
        if self.mode != Mode::Run {
            return Err(io);
        }
        self.insert(now, Connection::new(), io)?;
        self.counters.accepted += 1;
        Ok(())
    }

    /// A connection came: into a slot, else into the lobby, for which room is made.
    fn adopt_accepted(&mut self, now: Instant, io: IoHandle, peers: &dyn Peers) {
        self.counters.accepted += 1;
        let newcomer = if self.servable_slots() > 0 {
            self.slot_pressure.ease(now);
            self.insert_new(now, io, peers)
        } else {
            Err(io)
        };
        if let Err(io) = newcomer {
            self.slot_pressure.press(now);
            if self.lobby.is_empty() {
                self.promise_due = now.plus_ms(PROMISE_MS);
            }
            let full = self.lobby.push_back(io);
            debug_assert!(full.is_ok(), "one place per listener, and no accept while someone waits");
            self.admit(now, peers);
        }
    }

    /// A new connection into a slot; one that nobody wants is closed there.
    fn insert_new(&mut self, now: Instant, io: IoHandle, peers: &dyn Peers) -> Result<(), IoHandle> {
        let mut connection = Connection::new();
        if self.mode == Mode::Abort {
            // It came while the accept was being cancelled, or waited in the lobby: taken, then closed.
            connection.refuse_new(CloseReason::Stopped);
        }
        let id = self.insert(now, connection, io)?;
        let Some(slot) = self.held.slots.get_mut(id) else { return Ok(()) };
        if self.mode == Mode::Abort {
            slot.marks |= mark::STOPPED_IDLE;
            return Ok(());
        }
        self.sweep_due |= self.mode == Mode::Drain;
        if !self.handler.accepted(&ConnectionInfo { peers, io, id }) {
            slot.connection.refuse_new(CloseReason::Shed);
            self.update_deadline(now, id.index);
        }
        Ok(())
    }

    fn free_slots(&self) -> usize {
        self.held.slots.capacity() - self.held.slots.len()
    }

    /// Free slots that newcomers may be served in.
    fn servable_slots(&self) -> usize {
        self.free_slots().saturating_sub(usize::from(self.refuses && self.mode == Mode::Run))
    }

    fn insert(
        &mut self,
        now: Instant,
        connection: Connection<'p, H::Exchange>,
        io: IoHandle,
    ) -> Result<ConnectionId, IoHandle> {
        let handle = self
            .held
            .slots
            .insert(Slot { connection, io, turn: self.turn, grace: 0, marks: 0 })
            .map_err(|slot| slot.io)?;
        self.counters.active += 1;
        self.update_deadline(now, handle.index);
        self.ready.push(self.nodes, handle.index);
        Ok(handle)
    }

    /// Serves those who wait in the lobby as far as there are slots, makes room for the others, and refuses them where
    /// there will be none.
    #[cold]
    pub(super) fn admit(&mut self, now: Instant, peers: &dyn Peers) {
        while self.servable_slots() > 0
            && let Some(io) = self.lobby.pop_front()
        {
            let refused = self.insert_new(now, io, peers);
            debug_assert!(refused.is_ok(), "a slot is free");
        }
        self.make_room(now, peers);
        while self.refuses
            && self.mode == Mode::Run
            && self.lobby.len() > self.leaving
            && self.free_slots() > 0
            && let Some(io) = self.lobby.pop_back()
        {
            if let Ok(id) = self.insert(now, Connection::new(), io) {
                self.refuse_overloaded(now, id);
            }
        }
        if self.lobby.is_empty() {
            (self.lobby_check_at, self.promised_more) = (None, 0);
        } else if self.promise_due <= now {
            self.promise_due = now.plus_ms(PROMISE_MS);
            self.promised_more = (self.promised_more + 1).min(self.held.slots.capacity());
        }
    }

    /// For each one in the lobby ends the connection that is missed least: one that lingers, else the longest idle one, both
    /// only when their client has received everything; else the oldest head that is not complete after a while; else, after
    /// a longer while, one whose client is still receiving. With none of them, as many responses as newcomers wait say
    /// `Connection: close`, and the time is noted when one of them will be old enough.
    fn make_room(&mut self, now: Instant, peers: &dyn Peers) {
        self.lobby_check_at = None;
        if !self.lobby.is_empty() {
            self.slot_pressure.press(now);
        }
        while self.mode == Mode::Run && self.lobby.len() > self.leaving {
            let Some(index) = self.least_missed(now, peers) else { return };
            self.evict(now, index);
        }
    }

    /// The one that goes now; else the time is noted when one will.
    fn least_missed(&mut self, now: Instant, peers: &dyn Peers) -> Option<u32> {
        let since = self.slot_pressure.since(self.looked_at);
        let mut receiving = None;
        for class in [Deadline::Linger, Deadline::Idle] {
            match self.oldest_answered(class, peers) {
                Some(Answered::Received(index)) => return Some(index),
                Some(Answered::Unseen(looked_at)) => {
                    self.lobby_check_at = Some(looked_at);
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
        let due = [head, receiving].into_iter().flatten().find(|(at, _)| *at <= self.looked_at);
        if due.is_none() {
            // Acknowledgements are no event.
            let look = receiving.map(|(at, _)| at.min(now.plus_ms(LOOK_MS)));
            self.lobby_check_at = [head.map(|(at, _)| at), look].into_iter().flatten().min();
        }
        due.map(|(_, index)| index)
    }

    /// Of those that linger, or idle, the oldest one whose client has received every response, or else the oldest of all.
    /// While the client is still receiving, the end could become a reset by whatever it sends next, and that destroys what
    /// is on its way.
    fn oldest_answered(&mut self, class: Deadline, peers: &dyn Peers) -> Option<Answered> {
        let oldest = self.deadlines.oldest(class as usize)?;
        let mut index = oldest;
        for _ in 0..PASSED_OVER_MAX {
            // What has arrived behind a last response is received first: with that unread, the end would be a reset.
            let looked_at = Instant(self.began(index)?.0 + 1);
            if class == Deadline::Linger && looked_at > self.looked_at {
                if index == oldest {
                    return Some(Answered::Unseen(looked_at));
                }
                break; // those behind it are younger still
            }
            let io = self.held.slots.by_index(index)?.io;
            if peers.unacknowledged(io).is_none_or(|count| count == 0 || planted!(NewcomerDestroys)) {
                return Some(Answered::Received(index));
            }
            match self.deadlines.next_due(self.nodes, class as usize, Some(index), Instant(u64::MAX)) {
                Some(next) => index = next,
                None => break,
            }
        }
        Some(Answered::Receiving(self.began(oldest)?, oldest))
    }

    /// The oldest of its class of which everything has been received that was sent, and since when it has been in it.
    fn oldest_heard(&mut self, class: Deadline) -> Option<(Instant, u32)> {
        let mut index = self.deadlines.oldest(class as usize)?;
        for _ in 0..PASSED_OVER_MAX {
            if self.held.slots.by_index(index).is_some_and(|slot| !slot.connection.is_starved()) {
                return Some((self.began(index)?, index));
            }
            index = self.deadlines.next_due(self.nodes, class as usize, Some(index), Instant(u64::MAX))?;
        }
        None
    }

    /// Marks a connection whose slot becomes free, so that no other one has to go for the newcomer who gets it.
    #[cold]
    pub(super) fn mark_leaving(&mut self, index: u32) {
        let Some(slot) = self.held.slots.by_index_mut(index) else { return };
        let before = slot.marks;
        if slot.connection.close_reason().is_some() {
            slot.marks |= mark::PROMISED;
        }
        if matches!(slot.connection.state(), State::Closing | State::Closed) {
            slot.marks |= mark::PROMISED | mark::LEAVING;
        }
        let new = slot.marks & !before;
        self.promised += usize::from(new & mark::PROMISED != 0);
        self.leaving += usize::from(new & mark::LEAVING != 0);
    }

    /// A slot is free.
    pub(super) fn unmark(&mut self, slot: &Slot<'p, H::Exchange>) {
        self.promised -= usize::from(slot.marks & mark::PROMISED != 0 && !planted!(PromiseKept));
        self.leaving -= usize::from(slot.marks & mark::LEAVING != 0 && !planted!(LeavingKept));
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

    /// A slot or a descriptor was freed, or the pause is over.
    pub(super) fn resume_accepting(&mut self) {
        self.accept_paused_until = None;
        self.listeners_due = true;
    }

    fn listener_mut(&mut self, token: OpToken) -> Option<&mut Listener> {
        let index = (token.slot() as usize).checked_sub(self.held.slots.capacity())?;
        self.listeners.get_mut(index)
    }
}
