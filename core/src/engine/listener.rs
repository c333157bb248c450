//! Taking connections, and when not to.

use super::{Control, Engine, Slot};
use crate::connection::Connection;
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::reactor::{IoError, IoHandle, Op, OpKind, OpToken, Submission};
use crate::stop::Mode;
use crate::time::Instant;

/// How long accepting rests after an error such as too many open files, unless a connection closes before.
const ACCEPT_PAUSE_MS: u32 = 100;

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
        let accepts = !stopping && !self.slots.is_full() && self.accept_paused_until.is_none();
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
    ) {
        self.listeners_due = true;
        if let Some(listener) = self.listener_mut(token)
            && !more
        {
            listener.state = Listening::Paused;
        }
        match result {
            Ok(io) => self.adopt_accepted(now, io),
            Err(IoError::Canceled) => {}
            Err(_) => {
                self.counters.accept_errors += 1;
                self.accept_paused_until = Some(now.plus_ms(ACCEPT_PAUSE_MS));
            }
        }
    }

    fn adopt_accepted(&mut self, now: Instant, io: IoHandle) {
        let mut connection = Connection::new();
        if self.mode != Mode::Run {
            // It came while the accept was being cancelled: taken, then closed.
            connection.refuse_new(CloseReason::Stopped);
        }
        let Ok(handle) = self.slots.insert(Slot { connection, io }) else { return };
        self.counters.accepted += 1;
        self.counters.active += 1;
        self.update_deadline(now, handle.index);
        self.ready.push(self.nodes, handle.index);
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
