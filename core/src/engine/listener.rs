//! Taking connections, and when not to.

use super::{Control, Engine, Slot};
use crate::connection::{Connection, Deadline};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::handler::{ConnectionId, ConnectionInfo};
use crate::reactor::{IoError, IoHandle, Op, OpKind, OpToken, Peers, Submission};
use crate::stop::Mode;
use crate::time::Instant;

/// How long accepting rests after an error such as too many open files, unless a connection closes before.
const ACCEPT_PAUSE_MS: u32 = 100;

/// Connections that died in the backlog, one after another, before accepting rests for them too: more than a backlog
/// holds, so that it is the listener which is broken.
const ACCEPT_RESETS_MAX: u16 = 1024;

/// How old an incomplete head must be before its connection may be ended for a newcomer.
const STALE_MS: u32 = 2_000;

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) io: IoHandle,
    pub(super) state: Listening,
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

impl<'p, H: Handler> Engine<'_, 'p, H> {
    /// Accepts when there is room, ends it when stopping.
    pub(super) fn next_listener_control(&mut self) -> Option<Control<'p>> {
        let stopping = self.mode != Mode::Run;
        let accepts = !stopping && self.lobby.is_empty() && self.accept_paused_until.is_none();
        let first = self.slots.capacity() as u32;
        for (index, listener) in (first..).zip(self.listeners.iter_mut()) {
            let io = listener.io;
            let submit = |kind, op| Some(Control::Submit(Submission { token: OpToken::new(index, 0, kind), op }));
            match listener.state {
                Listening::Paused if stopping => {
                    listener.state = Listening::Closing;
                    return submit(OpKind::Close, Op::Close { io });
                }
                Listening::Paused if accepts => {
                    listener.state = Listening::Accepting;
                    return submit(OpKind::Accept, Op::Accept { listener: io });
                }
                Listening::Accepting if stopping => {
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
        if let Some(listener) = self.listener_mut(token)
            && !more
        {
            listener.state = Listening::Paused;
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
        let newcomer = if self.servable_slots() > 0 { self.insert_new(now, io, peers) } else { Err(io) };
        if let Err(io) = newcomer {
            let full = self.lobby.push_back(io);
            debug_assert!(full.is_ok(), "one place per listener, and no accept while someone waits");
            self.admit(now, peers);
        }
    }

    /// A new connection into a slot; one that nobody wants is closed there.
    fn insert_new(&mut self, now: Instant, io: IoHandle, peers: &dyn Peers) -> Result<(), IoHandle> {
        let mut connection = Connection::new();
        if self.mode != Mode::Run {
            // It came while the accept was being cancelled, or waited in the lobby: taken, then closed.
            connection.refuse_new(CloseReason::Stopped);
        }
        let id = self.insert(now, connection, io)?;
        self.stopping_idle += usize::from(self.mode != Mode::Run);
        if self.mode == Mode::Run && !self.handler.accepted(&ConnectionInfo { peers, io, id }) {
            if let Some(slot) = self.slots.get_mut(id) {
                slot.connection.refuse_new(CloseReason::Shed);
            }
            self.update_deadline(now, id.index);
        }
        Ok(())
    }

    fn free_slots(&self) -> usize {
        self.slots.capacity() - self.slots.len()
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
        let handle = self.slots.insert(Slot { connection, io }).map_err(|slot| slot.io)?;
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
        self.make_room(now);
        while self.refuses
            && self.mode == Mode::Run
            && self.lobby.len() > self.evicting
            && self.free_slots() > 0
            && let Some(io) = self.lobby.pop_back()
        {
            if let Ok(id) = self.insert(now, Connection::new(), io) {
                self.shed(now, id);
            }
        }
    }

    /// For each one in the lobby ends the connection that is missed least: the longest idle one, then the oldest head
    /// that is not complete after a while. With none of them, responses say `Connection: close` as long as someone
    /// waits, and the time is noted when a head will be old enough.
    fn make_room(&mut self, now: Instant) {
        self.lobby_due = None;
        while self.mode == Mode::Run && self.lobby.len() > self.evicting {
            let Some(index) = self.least_missed(now) else { return };
            self.evict(now, index);
        }
    }

    fn least_missed(&mut self, now: Instant) -> Option<u32> {
        if let Some(index) = self.deadlines.oldest(Deadline::Idle as usize) {
            return Some(index);
        }
        for class in [Deadline::FirstByte, Deadline::Head] {
            let Some(index) = self.deadlines.oldest(class as usize) else { continue };
            let Some(stale_at) = self.stale_at(class, index) else { continue };
            if stale_at <= now {
                return Some(index);
            }
            self.lobby_due = Some(self.lobby_due.map_or(stale_at, |due| due.min(stale_at)));
        }
        None
    }

    /// When a connection that waits for its head has waited long enough to be ended for a newcomer.
    pub(super) fn stale_at(&self, class: Deadline, index: u32) -> Option<Instant> {
        let deadline = self.nodes.get(index as usize)?.deadline.deadline()?;
        let began = deadline.0.saturating_sub(self.timeouts[class as usize]?);
        Some(Instant(began).plus_ms(STALE_MS))
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
        let index = (token.slot() as usize).checked_sub(self.slots.capacity())?;
        self.listeners.get_mut(index)
    }
}
