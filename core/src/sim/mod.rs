//! A deterministic [`Reactor`] in memory, with a virtual clock: sockets are pairs of pipes, and the test plays the
//! clients.
//!
//! - Nothing sleeps. A [`wait`](Reactor::wait) in which nothing can complete moves the clock to the end of its timeout, so
//!   that deadlines run in virtual time; without a timeout it returns at once, since only the caller could change
//!   anything.
//! - Completions are native: an operation completes in a turn after the one that submitted it, like on io_uring, and in
//!   the same order in every run.
//! - TCP's manners are kept where a server depends on them: bytes before FIN, bytes before a reset from the client, and
//!   above all that closing with unread input, or receiving after the close, resets the connection and takes what the
//!   client has not read yet with it.
//! - [`SimOptions`] cuts transfers into pieces, delays completions, and bounds the submission queue.
//!
//! ```
//! use aurora_http_core::pool::Buf;
//! use aurora_http_core::reactor::{Op, OpKind, OpToken, Outcome, Reactor, Submission};
//! use aurora_http_core::sim::{ClientRecv, SimStorage};
//!
//! let mut memory = [0; 64];
//! let mut storage = SimStorage::<4, 1024>::new();
//! let mut sim = storage.sim();
//! let listener = sim.listen().unwrap();
//! let client = sim.connect(listener).unwrap();
//! assert_eq!(sim.client_send(client, b"hello"), 5);
//!
//! let accept = Submission { token: OpToken::new(0, 0, OpKind::Accept), op: Op::Accept { listener } };
//! sim.submit(accept).unwrap();
//! sim.wait(None).unwrap();
//! let Some(Outcome::Accept(Ok(io))) = sim.next_completion().map(|completion| completion.outcome) else { panic!() };
//!
//! let recv = Op::Recv { io, into: Some(Buf::new(&mut memory)) };
//! sim.submit(Submission { token: OpToken::new(1, 0, OpKind::Recv), op: recv }).unwrap();
//! sim.wait(None).unwrap();
//! let Some(Outcome::Recv { result: Ok(5), buf: Some(buf) }) = sim.next_completion().map(|completion| completion.outcome)
//! else {
//!     panic!()
//! };
//! assert_eq!(buf.filled(), b"hello");
//! assert_eq!(sim.client_recv(client, &mut [0; 8]), ClientRecv::Nothing);
//! ```

mod client;
mod pipe;
mod socket;

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

pub use client::{Client, ClientRecv};
pub use socket::Socket;
use socket::{Server, Stamp};

use crate::pool::Buf;
use crate::reactor::{
    Completion, IoError, IoHandle, Op, OpKind, OpToken, Outcome, Peer, Peers, Reactor, Seen, Shutdown, Submission, Wake,
};
use crate::time::Instant;

/// "No socket" in a link.
const NONE: u32 = u32::MAX;

/// Storage for a [`Sim`] of `SOCKETS` listeners and connections, with `PIPE` bytes in each direction of each.
///
/// A connection occupies its socket until both ends have closed it. Large ones belong into a box or a static.
pub struct SimStorage<'p, const SOCKETS: usize, const PIPE: usize> {
    sockets: [Socket<'p>; SOCKETS],
    to_server: [[u8; PIPE]; SOCKETS],
    to_client: [[u8; PIPE]; SOCKETS],
    lent: [Option<Buf<'p>>; SOCKETS],
    woken: AtomicBool,
}

impl<'p, const SOCKETS: usize, const PIPE: usize> SimStorage<'p, SOCKETS, PIPE> {
    /// Storage without sockets.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(SOCKETS > 0 && PIPE > 0) }
        Self {
            sockets: [const { Socket::new() }; SOCKETS],
            to_server: [[0; PIPE]; SOCKETS],
            to_client: [[0; PIPE]; SOCKETS],
            lent: [const { None }; SOCKETS],
            woken: AtomicBool::new(false),
        }
    }

    /// A reactor at the instant 0, without sockets.
    pub fn sim(&mut self) -> Sim<'_, 'p> {
        self.sockets.fill_with(Socket::new);
        self.lent.fill_with(|| None);
        self.woken.store(false, Ordering::Release);
        Sim {
            sockets: &mut self.sockets,
            to_server: self.to_server.as_flattened_mut(),
            to_client: self.to_client.as_flattened_mut(),
            pipe_bytes: PIPE,
            lent: &mut self.lent,
            lent_count: 0,
            woken: &self.woken,
            ready: NONE,
            ready_last: NONE,
            later: NONE,
            turn: 1,
            submissions: 0,
            refused: None,
            refusals: 0,
            now: Instant(0),
            unix: None,
            accept_error: None,
            options: SimOptions::default(),
        }
    }
}

impl<const SOCKETS: usize, const PIPE: usize> Default for SimStorage<'_, SOCKETS, PIPE> {
    fn default() -> Self {
        Self::new()
    }
}

/// How a [`Sim`] treats operations.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SimOptions {
    /// Most bytes that one receive gets.
    pub recv_bytes_max: usize,
    /// Most bytes that one send passes on.
    pub send_bytes_max: usize,
    /// Virtual milliseconds before an operation submitted from now on can complete, except by being cancelled.
    pub delay_ms: u32,
    /// Submissions taken per turn; further ones are handed back.
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

/// The simulated reactor, and the clients' side of its connections. Made by [`SimStorage::sim`].
pub struct Sim<'s, 'p> {
    sockets: &'s mut [Socket<'p>],
    to_server: &'s mut [u8],
    to_client: &'s mut [u8],
    pipe_bytes: usize,
    lent: &'s mut [Option<Buf<'p>>],
    lent_count: usize,
    woken: &'s AtomicBool,
    /// A queue of sockets on which something may complete.
    ready: u32,
    ready_last: u32,
    /// A stack of sockets whose operations may complete, but not in this turn.
    later: u32,
    turn: u32,
    submissions: usize,
    refused: Option<Completion<'p>>,
    refusals: u32,
    now: Instant,
    /// The wall clock's seconds, and when it had them.
    unix: Option<(u64, Instant)>,
    accept_error: Option<IoError>,
    options: SimOptions,
}

/// What can be done for a socket.
enum Look {
    /// This operation completes now.
    Now(OpKind),
    /// Something completes, but in a later turn.
    Later,
    /// Nothing, until something changes.
    Nothing,
}

/// In this order: sent bytes free the submitter's buffer, and a close comes last.
const KINDS: [OpKind; 4] = [OpKind::Send, OpKind::Recv, OpKind::Accept, OpKind::Close];

impl<'s, 'p> Sim<'s, 'p> {
    /// Opens a listening socket; `None` when all sockets are in use.
    pub fn listen(&mut self) -> Option<IoHandle> {
        let index = self.sockets.iter().position(Socket::is_free)?;
        self.sockets[index].listen();
        Some(IoHandle(index as u32))
    }

    /// How operations are treated, to be changed at any time.
    pub fn options_mut(&mut self) -> &mut SimOptions {
        &mut self.options
    }

    /// Has the next accept of a waiting connection fail; the connection goes on waiting.
    pub fn fail_next_accept(&mut self, error: IoError) {
        self.accept_error = Some(error);
        for index in 0..self.sockets.len() {
            self.poke(index as u32);
        }
    }

    /// Moves the clock on.
    pub fn advance_ms(&mut self, milliseconds: u32) {
        self.now = self.now.plus_ms(milliseconds);
    }

    /// Sets the wall clock, which goes on with the monotonic one.
    pub fn set_unix_time(&mut self, seconds: u64) {
        self.unix = Some((seconds, self.now));
    }

    /// What ends a wait from another thread. As a simulated wait never blocks, it makes the next one return without
    /// moving the clock.
    #[must_use]
    pub fn waker(&self) -> SimWaker<'s> {
        SimWaker { woken: self.woken }
    }

    /// The server's open sockets, listeners included: what has to be closed.
    #[must_use]
    pub fn open_handles(&self) -> usize {
        self.sockets.iter().filter(|socket| socket.is_handle()).count()
    }

    /// Submissions so far that broke the contract: invalid and stale handles, a second operation of a kind, …
    #[must_use]
    pub fn refusals(&self) -> u32 {
        self.refusals
    }

    fn socket(&mut self, io: IoHandle) -> Option<&mut Socket<'p>> {
        self.sockets.get_mut(io.0 as usize).filter(|socket| socket.is_handle())
    }

    /// Queues a socket on which something changed.
    fn poke(&mut self, index: u32) {
        let socket = &mut self.sockets[index as usize];
        if socket.queued {
            return;
        }
        socket.queued = true;
        socket.next = NONE;
        if self.ready == NONE {
            self.ready = index;
        } else {
            self.sockets[self.ready_last as usize].next = index;
        }
        self.ready_last = index;
    }

    fn pop_ready(&mut self) {
        let socket = &mut self.sockets[self.ready as usize];
        self.ready = socket.next;
        socket.queued = false;
    }

    fn push_later(&mut self, index: u32) {
        let socket = &mut self.sockets[index as usize];
        socket.queued = true;
        socket.next = self.later;
        self.later = index;
    }

    fn promote_later(&mut self) {
        while self.later != NONE {
            let index = self.later;
            let socket = &mut self.sockets[index as usize];
            self.later = socket.next;
            socket.queued = false;
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
        let socket = &self.sockets[index as usize];
        let mut later = false;
        for kind in KINDS {
            let Some(stamp) = &socket.operations[kind as usize] else { continue };
            if stamp.cancelled || (stamp.turn != self.turn && stamp.due <= self.now && self.can(socket, kind)) {
                return Look::Now(kind);
            }
            later |= self.can(socket, kind);
        }
        if later { Look::Later } else { Look::Nothing }
    }

    /// Whether an operation of this kind would complete.
    fn can(&self, socket: &Socket<'p>, kind: OpKind) -> bool {
        match kind {
            OpKind::Accept => socket.first_waiting != NONE,
            OpKind::Recv => socket.can_recv(),
            OpKind::Send => socket.can_send(self.pipe_bytes),
            OpKind::Close => true,
        }
    }

    /// The earliest instant at which an operation that could complete is due, once the queue is empty: then all of them
    /// are in the stack.
    fn earliest_due(&self) -> Option<Instant> {
        let next = |socket: &&Socket<'p>| self.sockets.get(socket.next as usize);
        let sockets = core::iter::successors(self.sockets.get(self.later as usize), next);
        let due = sockets.flat_map(|socket| {
            KINDS.iter().filter_map(move |&kind| {
                let stamp = socket.operations[kind as usize].as_ref()?;
                self.can(socket, kind).then_some(stamp.due)
            })
        });
        due.min()
    }

    fn complete(&mut self, index: u32, kind: OpKind) -> Option<Completion<'p>> {
        let stamp = self.sockets[index as usize].operations[kind as usize].take()?;
        let cancelled = stamp.cancelled.then_some(IoError::Canceled);
        let outcome = match kind {
            OpKind::Accept => Outcome::Accept(self.accept(index, cancelled)),
            OpKind::Recv => self.recv(index, cancelled),
            OpKind::Send => self.send(index, cancelled)?,
            OpKind::Close => {
                self.close(index);
                Outcome::Close
            }
        };
        Some(Completion { token: stamp.token, outcome, more: false })
    }

    fn accept(&mut self, index: u32, cancelled: Option<IoError>) -> Result<IoHandle, IoError> {
        if let Some(error) = cancelled.or_else(|| self.accept_error.take()) {
            return Err(error);
        }
        let waiting = self.sockets[index as usize].first_waiting;
        let connection = &mut self.sockets[waiting as usize];
        connection.server = Server::Open;
        self.sockets[index as usize].first_waiting = connection.next_waiting;
        Ok(IoHandle(waiting))
    }

    fn recv(&mut self, index: u32, cancelled: Option<IoError>) -> Outcome<'p> {
        let memory = pipe_memory(self.to_server, self.pipe_bytes, index);
        let socket = &mut self.sockets[index as usize];
        if cancelled.is_none() && socket.lent {
            socket.into = self.lent_count.checked_sub(1).and_then(|last| self.lent[last].take());
            self.lent_count -= usize::from(socket.into.is_some());
        }
        let mut buf = socket.into.take();
        let result = match (&mut buf, cancelled) {
            (_, Some(error)) => Err(error),
            (None, None) => Err(IoError::NoBuffers),
            (Some(buf), None) => {
                let count = socket.to_server.read(memory, buf.spare(), self.options.recv_bytes_max.max(1));
                buf.advance(count);
                if count == 0 && socket.reset { Err(IoError::ConnectionReset) } else { Ok(count as u32) }
            }
        };
        Outcome::Recv { result, buf }
    }

    fn send(&mut self, index: u32, cancelled: Option<IoError>) -> Option<Outcome<'p>> {
        let memory = pipe_memory(self.to_client, self.pipe_bytes, index);
        let most = self.options.send_bytes_max.max(1);
        let socket = &mut self.sockets[index as usize];
        let head = socket.head.take()?;
        let body = core::mem::take(&mut socket.body);
        let result = match cancelled {
            Some(error) => Err(error),
            None if socket.reset || socket.server_fin => Err(IoError::ConnectionReset),
            None if socket.client_gone => {
                // The first bytes leave, and the answer to them is a reset.
                socket.break_up();
                Ok((head.len() + body.len()).min(most) as u32)
            }
            None => {
                let first = socket.to_client.write(memory, head.filled(), most);
                let second = if first == head.len() { socket.to_client.write(memory, body, most - first) } else { 0 };
                Ok((first + second) as u32)
            }
        };
        Some(Outcome::Send { result, head, body })
    }

    fn close(&mut self, index: u32) {
        while self.sockets[index as usize].first_waiting != NONE {
            let waiting = self.sockets[index as usize].first_waiting;
            let connection = &mut self.sockets[waiting as usize];
            self.sockets[index as usize].first_waiting = connection.next_waiting;
            let connection = &mut self.sockets[waiting as usize];
            connection.break_up();
            connection.close_server();
        }
        self.sockets[index as usize].close_server();
    }

    /// Takes an operation that cannot be carried out, to complete it with an error.
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
            Op::Close { .. } => Outcome::Close,
        };
        self.refused = Some(Completion { token, outcome, more: false });
        Ok(())
    }
}

/// The part of `memory` that belongs to the socket `index`.
fn pipe_memory(memory: &mut [u8], pipe_bytes: usize, index: u32) -> &mut [u8] {
    &mut memory[index as usize * pipe_bytes..][..pipe_bytes]
}

impl<'p> Reactor<'p> for Sim<'_, 'p> {
    fn submit(&mut self, submission: Submission<'p>) -> Result<(), Submission<'p>> {
        if self.submissions >= self.options.submissions_per_turn_max {
            return Err(submission);
        }
        let Submission { token, op } = submission;
        let (io, kind) = match &op {
            Op::Accept { listener } => (*listener, OpKind::Accept),
            Op::Recv { io, .. } => (*io, OpKind::Recv),
            Op::Send { io, .. } => (*io, OpKind::Send),
            Op::Close { io } => (*io, OpKind::Close),
        };
        let room = !matches!(&op, Op::Recv { into: Some(buf), .. } if buf.spare_len() == 0);
        let stamp = Stamp { token, turn: self.turn, due: self.now.plus_ms(self.options.delay_ms), cancelled: false };
        let Some(socket) = self.socket(io).filter(|socket| room && socket.admits(token, kind)) else {
            return self.refuse(token, op);
        };
        match op {
            Op::Recv { into, .. } => {
                socket.lent = into.is_none();
                socket.into = into;
            }
            Op::Send { head, body, .. } => {
                socket.head = Some(head);
                socket.body = body;
            }
            Op::Accept { .. } => {}
            // Nothing should be in flight. If something is, its buffers come back before the handle goes.
            Op::Close { .. } => socket.cancel_all(),
        }
        socket.operations[kind as usize] = Some(stamp);
        self.submissions += 1;
        self.poke(io.0);
        Ok(())
    }

    fn provide(&mut self, buf: Buf<'p>) -> Result<(), Buf<'p>> {
        match self.lent.get_mut(self.lent_count) {
            Some(place) if buf.spare_len() > 0 => {
                *place = Some(buf);
                self.lent_count += 1;
                Ok(())
            }
            _ => Err(buf),
        }
    }

    fn reclaim(&mut self) -> Option<Buf<'p>> {
        self.lent_count = self.lent_count.checked_sub(1)?;
        self.lent[self.lent_count].take()
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        let Some(socket) = self.socket(io) else { return };
        socket.server_fin |= how != Shutdown::Read;
        socket.read_ended |= how != Shutdown::Write;
        self.poke(io.0);
    }

    fn cancel(&mut self, token: OpToken, io: IoHandle) {
        let Some(socket) = self.socket(io) else { return };
        if let Some(stamp) = &mut socket.operations[token.kind() as usize]
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
        self.promote_later();
        let woken = self.woken.load(Ordering::Acquire);
        if woken {
            self.woken.store(false, Ordering::Release);
        }
        if self.front().is_some() || self.refused.is_some() || woken {
            return Ok(Seen::All);
        }
        let timeout_ms = timeout.map(|timeout| timeout.as_nanos().div_ceil(1_000_000) as u64);
        let end = timeout_ms.map(|timeout_ms| Instant(self.now.0.saturating_add(timeout_ms)));
        // What is due and has not completed yet was found out of reach above.
        let due = self.earliest_due();
        if let Some(until) = end.into_iter().chain(due).min() {
            self.now = self.now.max(until);
            self.promote_later();
        }
        Ok(Seen::All)
    }

    fn has_work(&self) -> bool {
        self.ready != NONE || self.refused.is_some()
    }

    fn next_completion(&mut self) -> Option<Completion<'p>> {
        let Some((index, kind)) = self.front() else { return self.refused.take() };
        self.pop_ready();
        let completion = self.complete(index, kind);
        self.poke(index);
        completion
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn unix_time(&self) -> Option<u64> {
        let (seconds, since) = self.unix?;
        Some(seconds + self.now.ms_since(since) / 1000)
    }

    fn peers(&self) -> &dyn Peers {
        self
    }
}

/// Nobody has an address here.
impl Peers for Sim<'_, '_> {
    fn peer(&self, _io: IoHandle) -> Option<Peer> {
        None
    }

    /// What is in the pipe to the client; nothing on a connection that is broken.
    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        let socket = self.sockets.get(io.0 as usize).filter(|socket| socket.server == Server::Open)?;
        u32::try_from(socket.to_client.filled()).ok()
    }
}

/// Makes the next wait of a [`Sim`] return without moving the clock.
#[derive(Clone, Copy, Debug)]
pub struct SimWaker<'s> {
    woken: &'s AtomicBool,
}

impl Wake for SimWaker<'_> {
    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
