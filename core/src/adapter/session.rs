//! One connection over one stream: everything except the calls of the stream, for both drivers.

use core::mem;

use super::{Clock, Solo, io};
#[cfg(feature = "small")]
use crate::connection::Act;
use crate::connection::{Action, Connection, Context, Place};
use crate::defer::Deferrals;
use crate::error::CloseReason;
use crate::handler::{ConnectionId, ConnectionInfo, Handler};
use crate::pool::{Buf, return_loans};
use crate::reactor::{IoError, IoHandle, NoPeers, Op};
use crate::state::State;
use crate::time::Instant;

/// A stream that only returns "interrupted" is given up after this many calls in a row.
const INTERRUPTIONS_MAX: u16 = 10_000;

/// The most reads of bytes that have already arrived after a deadline: one may not return everything that arrived in
/// time.
const LOOKS_MAX: u8 = 64;

/// How often the wall clock is read.
const DATE_INTERVAL_MS: u32 = 250;

/// The handle of the only stream; there is no reactor to which it would mean anything.
const IO: IoHandle = IoHandle(0);

/// The next call of the stream; its outcome is passed to the method named after it.
pub(super) enum Step {
    /// Read into [`Session::spare`].
    Read,
    /// The deadline has passed: read bytes that have already arrived, or if there are none, call
    /// [`Session::handle_timeout`].
    Look,
    /// Write from [`Session::unsent`].
    Write,
    /// Flush.
    Flush,
    /// No further call: [`Session::outcome`] is the result.
    Ended,
}

/// The buffers of a call of the stream. They stay here during the call, so that dropping a future does not lose them.
#[derive(Default)]
enum Flight<'p> {
    #[default]
    Nothing,
    Read(Buf<'p>),
    Write {
        head: Buf<'p>,
        body: &'p [u8],
    },
    /// Everything has been written; the last `count` bytes have yet to be reported to the connection.
    Flush {
        head: Buf<'p>,
        body: &'p [u8],
        count: usize,
    },
}

/// A connection from its first byte to its end. Dropping it ends the connection, and returns all buffers to the pool.
pub(super) struct Session<'a, 's, 'p, H: Handler, C: Clock, E> {
    solo: &'a mut Solo<'s, 'p, H>,
    clock: C,
    connection: Connection<'p, H::Exchange>,
    id: ConnectionId,
    flight: Flight<'p>,
    now: Instant,
    deadline: Option<Instant>,
    /// The number of [`Step::Look`]s since the deadline was set.
    looks: u8,
    date_due: Option<Instant>,
    interruptions: u16,
    failed: Option<E>,
    reason: Option<CloseReason>,
    /// Why the next response is the last one, if it is.
    last: Option<CloseReason>,
}

impl<'a, 's, 'p, H: Handler, C: Clock, E: io::Error> Session<'a, 's, 'p, H, C, E> {
    /// Begins to serve a stream, which the handler may refuse.
    // With `small` this and the calls are functions of their own: what they need is not held while the program's loop runs.
    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn open(solo: &'a mut Solo<'s, 'p, H>, clock: C) -> Self {
        let id = solo.next_id();
        if let Some((_, Some(leftover))) = solo.take_detached() {
            solo.release(leftover);
        }
        solo.counters.accepted += 1;
        solo.counters.active += 1;
        let mut session = Self {
            solo,
            clock,
            connection: Connection::new(),
            id,
            flight: Flight::Nothing,
            now: Instant(0),
            deadline: None,
            looks: 0,
            date_due: None,
            interruptions: 0,
            failed: None,
            reason: None,
            last: None,
        };
        session.read_clock();
        if !session.solo.handler.accepted(&ConnectionInfo { peers: &NoPeers, io: IO, id }) {
            session.connection.refuse_new(CloseReason::Shed);
        }
        session.update_deadline();
        session
    }

    /// The next call of the stream: the same as before if its last call did nothing.
    pub(super) fn next_step(&mut self) -> Step {
        self.read_clock();
        loop {
            let step = match self.flight {
                Flight::Nothing => self.next_call(),
                Flight::Read(_) => Step::Read,
                Flight::Write { .. } => Step::Write,
                Flight::Flush { .. } => Step::Flush,
            };
            if self.deadline.is_none_or(|at| at > self.now) {
                return step;
            }
            // The program itself may have been late, because of a long call of a handler or a suspended machine.
            let may_look = self.may_look();
            match step {
                Step::Ended => return step,
                Step::Read if may_look => return Step::Look,
                Step::Flush if may_look => return step,
                Step::Read | Step::Look | Step::Write | Step::Flush => self.end_call(),
            }
        }
    }

    /// Whether bytes that have already arrived may be read once more after the deadline; counts the attempt.
    pub(super) const fn may_look(&mut self) -> bool {
        let may_look = self.looks < LOOKS_MAX;
        self.looks = self.looks.saturating_add(1);
        may_look
    }

    /// Carries out actions of the connection up to its next call of the stream.
    #[cfg_attr(feature = "small", inline(never))]
    fn next_call(&mut self) -> Step {
        loop {
            match self.connection.next_action(&mut self.solo.pool) {
                Some(Action::Recv { into }) => match self.solo.receive_buffer(into) {
                    Some(buf) => {
                        self.flight = Flight::Read(buf);
                        return Step::Read;
                    }
                    None => self.with(|connection, cx| connection.handle_received(cx, Err(IoError::NoBuffers), None)),
                },
                Some(Action::Send { head, body }) => {
                    self.flight = Flight::Write { head, body };
                    return Step::Write;
                }
                // Nothing says that a stream can do this, so no handler asks for it.
                Some(Action::SendFile { head, .. }) => {
                    self.with(|connection, cx| connection.handle_sent(cx, Err(IoError::Unsupported), head, &[]));
                }
                // A stream cannot be half-closed, and may never signal its end: lingering after the last response is up
                // to the program. The reason stays that of the response.
                Some(Action::Shutdown(_)) => self.close(CloseReason::PeerAsked),
                // Nothing is in flight between two calls.
                Some(Action::CancelRecv | Action::CancelSend) => {}
                Some(Action::Close) => {
                    self.connection.handle_closed();
                    self.end(self.close_reason());
                    return Step::Ended;
                }
                None if H::NEEDS.upgrades && self.connection.is_detached() => {
                    self.detach();
                    return Step::Ended;
                }
                None => self.refuse_overloaded(),
            }
        }
    }

    /// The room for a read; not empty.
    pub(super) fn spare(&mut self) -> &mut [u8] {
        match &mut self.flight {
            Flight::Read(buf) => buf.spare(),
            _ => &mut [],
        }
    }

    /// The bytes for a write; not empty.
    pub(super) fn unsent(&self) -> &[u8] {
        match &self.flight {
            Flight::Write { head, .. } if !head.is_empty() => head.filled(),
            Flight::Write { body, .. } => body,
            _ => &[],
        }
    }

    /// When to give up the current call: see [`handle_timeout`](Self::handle_timeout).
    #[cfg(feature = "embedded-io-async")]
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The outcome of a read.
    pub(super) fn handle_read(&mut self, result: Result<usize, E>) {
        let Some(result) = self.translate(result) else { return };
        let Flight::Read(mut buf) = mem::take(&mut self.flight) else { return };
        let result = result.map(|count| {
            let count = count.min(buf.spare_len());
            buf.advance(count);
            count as u32
        });
        self.with(|connection, cx| connection.handle_received(cx, result, Some(buf)));
    }

    /// The outcome of a write. A partial write is reported to the connection at once, the last one after the flush.
    pub(super) fn handle_written(&mut self, result: Result<usize, E>) {
        let Some(result) = self.translate(result) else { return };
        let offered = self.unsent().len();
        let Flight::Write { head, body } = mem::take(&mut self.flight) else { return };
        let result = match result.map(|count| count.min(offered)) {
            // A stream must not return 0 here; retrying would loop forever.
            Ok(0) => Err(IoError::ConnectionReset),
            Ok(count) if count == head.len() + body.len() => {
                self.flight = Flight::Flush { head, body, count };
                return;
            }
            result => result.map(|count| count as u32),
        };
        self.with(|connection, cx| connection.handle_sent(cx, result, head, body));
    }

    /// The outcome of a flush.
    pub(super) fn handle_flushed(&mut self, result: Result<(), E>) {
        let Some(result) = self.translate(result) else { return };
        let Flight::Flush { head, body, count } = mem::take(&mut self.flight) else { return };
        let result = result.map(|()| count as u32);
        self.with(|connection, cx| connection.handle_sent(cx, result, head, body));
    }

    /// The current call was given up at the [`deadline`](Self::deadline), or no bytes had arrived by then.
    pub(super) fn handle_timeout(&mut self) {
        self.read_clock();
        self.end_call();
    }

    /// The deadline has passed, by the program's clock or the stream's.
    fn end_call(&mut self) {
        self.deadline = None;
        self.undo_call();
        match self.connection.deadline() {
            Some(deadline) => self.with(|connection, cx| connection.handle_timeout(cx, deadline)),
            None => self.close(CloseReason::PeerReset),
        }
    }

    /// Undoes the call: the connection either ends, or calls its handler before it reads on.
    fn undo_call(&mut self) {
        let op = match mem::take(&mut self.flight) {
            Flight::Nothing => None,
            Flight::Read(buf) => Some(Op::Recv { io: IO, into: Some(buf) }),
            Flight::Write { head, body } | Flight::Flush { head, body, .. } => Some(Op::Send { io: IO, head, body }),
        };
        if let Some(op) = op {
            self.connection.handle_rejected(&mut self.solo.pool, op);
        }
    }

    /// A stop was asked for: the next response is the last one.
    #[cfg(feature = "embedded-io-async")]
    pub(super) const fn begin_stop(&mut self) {
        self.last = Some(CloseReason::Stopped);
    }

    /// Whether a stop would change what a read is waited for.
    #[cfg(feature = "embedded-io-async")]
    pub(super) fn hears_stop(&self) -> bool {
        self.last.is_none() || self.is_idle() || self.wants_stop_notice()
    }

    /// Never of a handler that is compiled without it: it would be told again and again.
    #[cfg(feature = "embedded-io-async")]
    const fn wants_stop_notice(&self) -> bool {
        H::NEEDS.stop && self.connection.wants_stop_notice()
    }

    #[cfg(feature = "embedded-io-async")]
    fn is_idle(&self) -> bool {
        matches!(self.connection.state(), State::New | State::KeepAlive)
    }

    /// A stop was asked for, and nothing is there to be read: who is idle ends, and a handler that waits is told.
    #[cfg(feature = "embedded-io-async")]
    pub(super) fn end_idle(&mut self) {
        self.begin_stop();
        self.read_clock();
        if self.wants_stop_notice() {
            self.undo_call();
            self.with(|connection, cx| connection.handle_stopping(cx));
        } else if self.is_idle() {
            self.undo_call();
            self.with(|connection, cx| connection.stop(cx, CloseReason::Stopped));
        }
    }

    /// The result for the caller of `serve`.
    pub(super) fn outcome(&mut self) -> Result<CloseReason, E> {
        let reason = self.reason.unwrap_or(CloseReason::Aborted);
        self.failed.take().map_or(Ok(reason), Err)
    }

    fn read_clock(&mut self) {
        self.now = self.clock.now();
        if self.date_due.is_none_or(|at| at <= self.now) {
            self.date_due = Some(self.now.plus_ms(DATE_INTERVAL_MS));
            self.solo.preamble.set_unix_time(self.clock.unix_time());
        }
    }

    /// Translates the outcome of a call for the connection; `None` if the call has to be repeated, or timed out.
    fn translate<T>(&mut self, result: Result<T, E>) -> Option<Result<T, IoError>> {
        self.read_clock();
        let error = match result {
            Ok(value) => {
                self.interruptions = 0;
                return Some(Ok(value));
            }
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::Interrupted if self.interruptions < INTERRUPTIONS_MAX => {
                self.interruptions += 1;
                None
            }
            io::ErrorKind::TimedOut => {
                self.end_call();
                None
            }
            _ => {
                self.failed = Some(error);
                Some(Err(IoError::ConnectionReset))
            }
        }
    }

    /// Ends a connection that waits for a buffer: all buffers in use are its own, so it would wait forever.
    fn refuse_overloaded(&mut self) {
        match self.connection.state() {
            State::ReadingHead | State::ReadingContent => self.with(|connection, cx| connection.refuse_overloaded(cx)),
            _ => self.close(CloseReason::Shed),
        }
    }
}

impl<'p, H: Handler, C: Clock, E> Session<'_, '_, 'p, H, C, E> {
    fn close(&mut self, reason: CloseReason) {
        self.with(|connection, cx| connection.close(cx, reason));
    }

    /// Calls `f` with the context of the connection.
    fn with(&mut self, f: impl FnOnce(&mut Connection<'p, H::Exchange>, &mut Context<'_, '_, 'p, H>)) {
        #[cfg(feature = "small")]
        let mut once = Some(f);
        // With this, the rest is compiled once, and not for each kind of event.
        #[cfg(feature = "small")]
        let f: &mut Act<'_, 'p, H> = &mut |connection, cx| {
            if let Some(f) = once.take() {
                f(connection, cx);
            }
        };
        self.with_context(f);
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn with_context(&mut self, f: impl FnOnce(&mut Connection<'p, H::Exchange>, &mut Context<'_, '_, 'p, H>)) {
        let solo = &mut *self.solo;
        let mut cx = Context {
            handler: &mut solo.handler,
            pool: &mut solo.pool,
            loans: solo.loans,
            arena: &mut solo.arena,
            preamble: &solo.preamble,
            limits: &solo.limits,
            counters: &mut solo.counters,
            now: self.now,
            place: &Place { peers: &NoPeers, io: IO, id: self.id, deferrals: Deferrals::NONE },
            in_flight: &mut solo.in_flight,
            last: self.last,
        };
        f(&mut self.connection, &mut cx);
        // Time that the handler took does not count against the client.
        self.now = self.clock.now();
        self.update_deadline();
    }

    fn update_deadline(&mut self) {
        if let Some(due) = self.connection.due_change(self.now, &self.solo.limits) {
            self.looks = 0;
            self.deadline = due.map(|(at, _)| at);
        }
    }

    fn close_reason(&self) -> CloseReason {
        self.connection.close_reason().unwrap_or(CloseReason::PeerClosed)
    }

    /// Hands the connection to the program; the stream stays open.
    fn detach(&mut self) {
        let Some((state, leftover)) = self.connection.take_detached() else { return };
        let leftover = match leftover {
            Some(buf) if buf.is_empty() => {
                self.solo.release(buf);
                None
            }
            leftover => leftover,
        };
        self.solo.detached = Some((state, leftover));
        self.solo.counters.detached += 1;
        self.end(CloseReason::Detached);
    }

    /// Counts the end of the connection, and tells the handler.
    fn end(&mut self, reason: CloseReason) {
        self.reason = Some(reason);
        self.solo.counters.active -= 1;
        self.solo.counters.closed.count(reason);
        self.solo.handler.closed(self.id, reason, self.connection.requests_served());
    }
}

impl<H: Handler, C: Clock, E> Drop for Session<'_, '_, '_, H, C, E> {
    fn drop(&mut self) {
        if self.reason.is_some() {
            return;
        }
        self.close(CloseReason::Aborted);
        let failed = Err(IoError::ConnectionReset);
        match mem::take(&mut self.flight) {
            Flight::Nothing => {}
            Flight::Read(buf) => self.with(|connection, cx| connection.handle_received(cx, failed, Some(buf))),
            Flight::Write { head, body } | Flight::Flush { head, body, .. } => {
                self.with(|connection, cx| connection.handle_sent(cx, failed, head, body));
            }
        }
        // A handler that panicked may have left loans behind.
        return_loans(&mut self.solo.pool, self.solo.loans);
        while let Some(action) = self.connection.next_action(&mut self.solo.pool) {
            if matches!(action, Action::Close) {
                self.connection.handle_closed();
            }
        }
        self.end(self.close_reason());
    }
}
