//! The network as a completion-style reactor, like io_uring.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use super::NONE;
use super::network::Network;
use super::wake::{SimWaker, Woken};
use crate::pool::Buf;
use crate::reactor::{
    Completion, FileRange, IoError, IoHandle, Op, OpKind, OpToken, Outcome, Peer, Peers, Reactor, Seen, Shutdown,
    Submission,
};
use crate::time::Instant;

/// How a [`Sim`] treats operations.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SimOptions {
    /// The most bytes that one receive returns.
    pub recv_bytes_max: usize,
    /// The most bytes that one send takes.
    pub send_bytes_max: usize,
    /// Virtual milliseconds until an operation that is submitted from now on can complete, unless it is cancelled.
    pub delay_ms: u32,
    /// The most submissions per turn; further ones are rejected.
    pub submissions_per_turn_max: usize,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            recv_bytes_max: usize::MAX,
            send_bytes_max: usize::MAX,
            delay_ms: 0,
            submissions_per_turn_max: usize::MAX,
        }
    }
}

/// A completion-style reactor over a [`Network`], to which it dereferences.
#[derive(Debug)]
pub struct Sim<'p> {
    network: Network,
    operations: Vec<Operations<'p>>,
    lent: Vec<Buf<'p>>,
    lent_max: usize,
    woken: Woken,
    /// A queue of sockets on which an operation may complete.
    ready: u32,
    ready_last: u32,
    /// A stack of sockets whose operations may complete, but not in this turn.
    later: u32,
    turn: u32,
    submissions: usize,
    /// Whether submissions since the last wait have been flushed.
    is_flushed: bool,
    /// Whether the last wait did not see everything.
    is_behind: bool,
    refused: Option<Completion<'p>>,
    refusals: u32,
    options: SimOptions,
}

/// An operation in flight.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    token: OpToken,
    /// The turn of its submission; it completes in a later one.
    turn: u32,
    due: Instant,
    cancelled: bool,
}

/// The operations in flight on one socket.
#[derive(Debug, Default)]
struct Operations<'p> {
    /// Indexed by [`OpKind`].
    stamps: [Option<Stamp>; 4],
    /// Whether the receive uses a lent buffer.
    lent: bool,
    into: Option<Buf<'p>>,
    head: Option<Buf<'p>>,
    body: &'p [u8],
    /// What a send of a file has in place of a body.
    file: Option<FileRange>,
    /// Whether it is in one of the reactor's two lists, linked by `next`.
    queued: bool,
    next: u32,
}

/// What can happen on a socket.
enum Look {
    /// This operation completes now.
    Now(OpKind),
    /// An operation can complete, but in a later turn.
    Later,
    /// Nothing, until something changes.
    Nothing,
}

/// In order of preference: a send frees the submitter's buffer, and a close comes last.
const KINDS: [OpKind; 4] = [OpKind::Send, OpKind::Recv, OpKind::Accept, OpKind::Close];

/// The most sockets that a completion can overtake.
const OVERTAKES_MAX: usize = 8;

impl<'p> Sim<'p> {
    /// A reactor over a network of `sockets` sockets, including listeners, with a window of `window` bytes in each
    /// direction of a connection.
    #[must_use]
    pub fn new(sockets: usize, window: usize) -> Self {
        Self::over(Network::new(sockets, window))
    }

    /// A reactor over a network.
    #[must_use]
    pub fn over(network: Network) -> Self {
        let sockets = network.sockets.len();
        let operations = core::iter::repeat_with(Operations::default).take(sockets).collect();
        Self {
            network,
            operations,
            lent: Vec::with_capacity(sockets),
            lent_max: sockets,
            woken: Woken::default(),
            ready: NONE,
            ready_last: NONE,
            later: NONE,
            turn: 1,
            submissions: 0,
            is_flushed: true,
            is_behind: false,
            refused: None,
            refusals: 0,
            options: SimOptions::default(),
        }
    }

    /// Returns the network, and every buffer that was in flight or lent. As at the end of a process, nothing completes.
    #[must_use]
    pub fn into_parts(self) -> (Network, Vec<Buf<'p>>) {
        let Self { network, mut operations, mut lent, .. } = self;
        lent.extend(
            operations.iter_mut().flat_map(|operations| [operations.into.take(), operations.head.take()]).flatten(),
        );
        (network, lent)
    }

    /// The options, which can be changed at any time.
    pub fn options_mut(&mut self) -> &mut SimOptions {
        &mut self.options
    }

    /// A waker, for use from another thread. Since a simulated wait never blocks, it makes the next one return without
    /// moving the clock.
    #[must_use]
    pub fn waker(&self) -> SimWaker {
        self.woken.waker()
    }

    /// The number of submissions so far that broke the contract: invalid and stale handles, a second operation of a
    /// kind, …
    #[must_use]
    pub const fn refusals(&self) -> u32 {
        self.refusals
    }

    /// Whether a descriptor of this reactor would be readable: an operation can complete, or it was woken.
    pub fn is_readable(&mut self) -> bool {
        self.woken.is_set() || self.next_due().is_some_and(|at| at <= self.network.now())
    }

    /// When the next operation will complete, if nothing changes.
    pub fn next_due(&mut self) -> Option<Instant> {
        self.take_changes();
        self.promote_later();
        if self.front().is_some() { Some(self.network.now()) } else { self.earliest_due() }
    }

    fn take_changes(&mut self) {
        while let Some((IoHandle(index), _)) = self.network.take_change() {
            self.poke(index);
        }
    }

    /// Queues a socket on which something changed.
    fn poke(&mut self, index: u32) {
        let operations = &mut self.operations[index as usize];
        if operations.queued {
            return;
        }
        operations.queued = true;
        operations.next = NONE;
        if self.ready == NONE {
            self.ready = index;
        } else {
            self.operations[self.ready_last as usize].next = index;
        }
        self.ready_last = index;
    }

    fn pop_ready(&mut self) {
        let operations = &mut self.operations[self.ready as usize];
        self.ready = operations.next;
        operations.queued = false;
    }

    fn push_later(&mut self, index: u32) {
        let operations = &mut self.operations[index as usize];
        operations.queued = true;
        operations.next = self.later;
        self.later = index;
    }

    fn promote_later(&mut self) {
        while self.later != NONE {
            let index = self.later;
            let operations = &mut self.operations[index as usize];
            self.later = operations.next;
            operations.queued = false;
            self.poke(index);
        }
    }

    /// Drops sockets from the front of the queue until one has a completion for this turn.
    fn front(&mut self) -> Option<(u32, OpKind)> {
        while self.ready != NONE {
            let index = self.ready;
            match self.look(index) {
                Look::Now(kind) => return Some((index, kind)),
                Look::Later => {
                    self.pop_ready();
                    self.push_later(index);
                }
                Look::Nothing => self.pop_ready(),
            }
        }
        None
    }

    fn look(&self, index: u32) -> Look {
        let operations = &self.operations[index as usize];
        let mut later = false;
        for kind in KINDS {
            let Some(stamp) = &operations.stamps[kind as usize] else { continue };
            let can = self.can(index, kind);
            if stamp.cancelled || (stamp.turn != self.turn && stamp.due <= self.network.now() && can) {
                return Look::Now(kind);
            }
            later |= can;
        }
        if later { Look::Later } else { Look::Nothing }
    }

    /// Whether an operation of this kind would complete.
    fn can(&self, index: u32, kind: OpKind) -> bool {
        let io = IoHandle(index);
        let operations = &self.operations[index as usize];
        match kind {
            OpKind::Accept => self.network.can_accept(io),
            OpKind::Recv => self.network.sockets[index as usize].can_recv(),
            OpKind::Send => {
                let nothing = operations.body.is_empty()
                    && operations.file.is_none()
                    && operations.head.as_ref().is_none_or(Buf::is_empty);
                nothing || self.network.can_send(io)
            }
            OpKind::Close => true,
        }
    }

    /// The earliest instant at which an operation that could complete is due. The queue must be empty, so that all of
    /// them are in the stack.
    fn earliest_due(&self) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        let mut index = self.later;
        while let Some(operations) = self.operations.get(index as usize) {
            for kind in KINDS {
                let Some(stamp) = &operations.stamps[kind as usize] else { continue };
                let is_known = stamp.turn != self.turn || self.is_flushed;
                if is_known && self.can(index, kind) && earliest.is_none_or(|at| stamp.due < at) {
                    earliest = Some(stamp.due);
                }
            }
            index = operations.next;
        }
        earliest
    }

    /// By chance, lets other sockets go first.
    fn reorder(&mut self) {
        if self.ready == NONE
            || self.ready == self.ready_last
            || !self.network.dice.per_mille(self.network.faults.reorder)
        {
            return;
        }
        for _ in 0..self.network.dice.below(OVERTAKES_MAX) {
            let index = self.ready;
            self.pop_ready();
            self.poke(index);
        }
    }

    fn complete(&mut self, index: u32, kind: OpKind) -> Option<Completion<'p>> {
        let stamp = self.operations[index as usize].stamps[kind as usize].take()?;
        let is_lost =
            stamp.cancelled && self.can(index, kind) && self.network.dice.per_mille(self.network.faults.lost_cancel);
        let cancelled = (stamp.cancelled && !is_lost).then_some(IoError::Canceled);
        let io = IoHandle(index);
        let outcome = match kind {
            OpKind::Accept => Outcome::Accept(cancelled.map_or_else(|| self.network.accept(io), Err)),
            OpKind::Recv => self.recv(index, cancelled),
            OpKind::Send => self.send(index, cancelled)?,
            OpKind::Close => {
                self.network.close(io);
                Outcome::Close
            }
        };
        Some(Completion { token: stamp.token, outcome, more: false })
    }

    fn recv(&mut self, index: u32, cancelled: Option<IoError>) -> Outcome<'p> {
        let operations = &mut self.operations[index as usize];
        if cancelled.is_none() && operations.lent {
            operations.into = self.lent.pop();
        }
        let mut buf = operations.into.take();
        let most = self.options.recv_bytes_max.max(1);
        let result = match (&mut buf, cancelled) {
            (_, Some(error)) => Err(error),
            (None, None) => Err(IoError::NoBuffers),
            (Some(buf), None) => self.network.recv(IoHandle(index), buf.spare(), most).map(|count| {
                buf.advance(count);
                count as u32
            }),
        };
        Outcome::Recv { result, buf }
    }

    fn send(&mut self, index: u32, cancelled: Option<IoError>) -> Option<Outcome<'p>> {
        let operations = &mut self.operations[index as usize];
        let head = operations.head.take()?;
        let body = core::mem::take(&mut operations.body);
        let file = operations.file.take();
        let most = self.options.send_bytes_max.max(1);
        let io = IoHandle(index);
        let result = match (cancelled, file) {
            (Some(error), _) => Err(error),
            (None, Some(range)) => self.network.send_file(io, head.filled(), range, most).map(|count| count as u32),
            (None, None) => self.network.send(io, [head.filled(), body], most).map(|count| count as u32),
        };
        Some(Outcome::Send { result, head, body })
    }

    /// Keeps an operation that cannot be carried out, to complete it with an error.
    #[allow(clippy::result_large_err)]
    fn refuse(&mut self, token: OpToken, op: Op<'p>) -> Result<(), Submission<'p>> {
        if self.refused.is_some() {
            return Err(Submission { token, op });
        }
        self.refusals += 1;
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

    /// Whether an operation may be started.
    fn admits(&self, io: IoHandle, token: OpToken, kind: OpKind) -> bool {
        let Some(socket) = self.network.handle(io) else { return false };
        let stamps = &self.operations[io.0 as usize].stamps;
        let same_owner = stamps.iter().flatten().all(|stamp| stamp.token.with_kind(kind) == token);
        let is_listener = socket.server == super::socket::Server::Listening;
        let fits = match kind {
            OpKind::Accept => is_listener,
            OpKind::Recv | OpKind::Send => !is_listener,
            OpKind::Close => true,
        };
        let closing = stamps[OpKind::Close as usize].is_some();
        fits && same_owner && !closing && stamps[kind as usize].is_none() && token.kind() == kind
    }

    /// When an operation that is submitted now will be able to complete.
    fn due(&mut self) -> Instant {
        let Network { faults, dice, .. } = &mut self.network;
        let chance = if dice.per_mille(faults.delay) { dice.below(faults.delay_ms_max as usize + 1) as u32 } else { 0 };
        self.network.now().plus_ms(self.options.delay_ms + chance)
    }
}

impl Deref for Sim<'_> {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.network
    }
}

impl DerefMut for Sim<'_> {
    fn deref_mut(&mut self) -> &mut Network {
        &mut self.network
    }
}

impl<'p> Reactor<'p> for Sim<'p> {
    fn submit(&mut self, submission: Submission<'p>) -> Result<(), Submission<'p>> {
        let is_full = self.submissions >= self.options.submissions_per_turn_max;
        if is_full || self.network.dice.per_mille(self.network.faults.full_queue) {
            return Err(submission);
        }
        let Submission { token, op } = submission;
        let (io, kind) = match &op {
            Op::Accept { listener } => (*listener, OpKind::Accept),
            Op::Recv { io, .. } => (*io, OpKind::Recv),
            Op::Send { io, .. } | Op::SendFile { io, .. } => (*io, OpKind::Send),
            Op::Close { io } => (*io, OpKind::Close),
        };
        let room = !matches!(&op, Op::Recv { into: Some(buf), .. } if buf.spare_len() == 0);
        if !room || !self.admits(io, token, kind) {
            return self.refuse(token, op);
        }
        let stamp = Stamp { token, turn: self.turn, due: self.due(), cancelled: false };
        let operations = &mut self.operations[io.0 as usize];
        match op {
            Op::Recv { into, .. } => {
                operations.lent = into.is_none();
                operations.into = into;
            }
            Op::Send { head, body, .. } => {
                operations.head = Some(head);
                operations.body = body;
            }
            Op::SendFile { head, range, .. } => {
                operations.head = Some(head);
                operations.file = Some(range);
            }
            Op::Accept { .. } => {}
            // Nothing may be in flight. If something is, its buffers come back before the handle is closed.
            Op::Close { .. } => {
                let in_flight = operations.stamps.iter().any(Option::is_some);
                self.refusals = self.refusals.saturating_add(u32::from(in_flight));
                operations.stamps.iter_mut().flatten().for_each(|stamp| stamp.cancelled = true);
            }
        }
        operations.stamps[kind as usize] = Some(stamp);
        self.submissions += 1;
        self.is_flushed = false;
        self.poke(io.0);
        Ok(())
    }

    fn provide(&mut self, buf: Buf<'p>) -> Result<(), Buf<'p>> {
        if self.lent.len() == self.lent_max || buf.spare_len() == 0 {
            return Err(buf);
        }
        self.lent.push(buf);
        Ok(())
    }

    fn reclaim(&mut self) -> Option<Buf<'p>> {
        self.lent.pop()
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        if self.network.handle(io).is_some() {
            self.network.shutdown(io, how);
            self.poke(io.0);
        }
    }

    fn cancel(&mut self, token: OpToken, io: IoHandle) {
        let Some(operations) = self.operations.get_mut(io.0 as usize) else { return };
        if let Some(stamp) = &mut operations.stamps[token.kind() as usize]
            && stamp.token == token
            && token.kind() != OpKind::Close
        {
            stamp.cancelled = true;
            self.poke(io.0);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<Seen, IoError> {
        self.turn = self.turn.wrapping_add(1);
        self.submissions = 0;
        self.is_flushed = true;
        self.take_changes();
        self.promote_later();
        let woken = self.woken.take();
        let partial = self.network.dice.per_mille(self.network.faults.partial_wait);
        // A wait that was interrupted leaves nothing behind.
        self.is_behind = partial && self.network.dice.once_in(2);
        if self.front().is_some() || self.refused.is_some() || woken || partial {
            return Ok(if partial { Seen::Part } else { Seen::All });
        }
        let end = timeout.map(|timeout| super::end_of_wait(self.network.now(), timeout));
        // An operation that is due and has not completed cannot complete in this turn: see above.
        if let Some(until) = end.into_iter().chain(self.earliest_due()).min() {
            self.network.advance_to(until);
            self.promote_later();
        }
        Ok(Seen::All)
    }

    fn flush(&mut self) {
        self.is_flushed = true;
    }

    /// Operations that can complete are signalled by the [descriptor](Self::is_readable).
    fn has_work(&self) -> bool {
        self.refused.is_some() || self.is_behind
    }

    fn next_completion(&mut self) -> Option<Completion<'p>> {
        self.reorder();
        let Some((index, kind)) = self.front() else { return self.refused.take() };
        self.pop_ready();
        let completion = self.complete(index, kind);
        self.poke(index);
        completion
    }

    fn now(&self) -> Instant {
        self.network.now()
    }

    fn unix_time(&self) -> Option<u64> {
        self.network.unix_time()
    }

    fn peers(&self) -> &dyn Peers {
        self
    }
}

/// Peers have no addresses here.
impl Peers for Sim<'_> {
    fn peer(&self, _io: IoHandle) -> Option<Peer> {
        None
    }

    /// The bytes in the pipe to the client; none on a broken connection.
    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        self.network.unacknowledged(io)
    }

    fn sends_files(&self) -> bool {
        self.network.has_files()
    }
}
