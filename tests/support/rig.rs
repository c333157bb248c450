//! Drives a harness and checks that every operation completes exactly once, and that its buffer comes back with it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{
    Completion, IoError, IoHandle, Op, OpKind, OpToken, Outcome, Reactor, Seen, Shutdown, Submission,
};
use aurora_http_core::sim::ClientRecv;

use super::Harness;

/// How many turns a test takes before it gives up; the wait of a turn lasts up to [`PATIENCE`].
const TURNS_MAX: usize = 10;
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest wait of a turn when one thread drives both ends of a connection.
const GLANCE: Duration = Duration::from_millis(1);

/// A send that has made no progress for so long is parked.
const GLANCES_AT_REST: usize = 50;

const GENERATION: u32 = 7;

/// An outcome, taken apart.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) result: Result<u32, IoError>,
    pub(crate) buf: Option<Buf<'static>>,
}

impl Done {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buf.as_ref().expect("a buffer").filled()
    }

    /// Whether no bytes were received. Then no lent buffer need have been picked, either.
    pub(crate) fn is_empty(&self) -> bool {
        self.buf.as_ref().is_none_or(Buf::is_empty)
    }
}

pub(crate) struct Rig<H: Harness> {
    pub(crate) harness: H,
    pub(crate) listener: IoHandle,
    /// The operations in flight, with the addresses of their buffers.
    in_flight: HashMap<u64, Option<usize>>,
    done: VecDeque<(OpToken, Done)>,
    lent: usize,
    /// What the last turn's wait has seen.
    pub(crate) seen: Seen,
}

pub(crate) fn token(io: IoHandle, kind: OpKind) -> OpToken {
    OpToken::new(io.0, GENERATION, kind)
}

pub(crate) fn buf(capacity: usize) -> Buf<'static> {
    Buf::new(vec![0; capacity].leak())
}

pub(crate) fn filled(bytes: &[u8]) -> Buf<'static> {
    let mut buf = buf(bytes.len().max(1));
    buf.append(bytes).unwrap();
    buf
}

/// A pattern in which every position is recognizable.
pub(crate) fn pattern(length: usize) -> &'static [u8] {
    let bytes: Vec<u8> = (0..length).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect();
    bytes.leak()
}

fn address(buf: &mut Buf<'static>) -> usize {
    // The end of its memory, which does not depend on how much is filled.
    buf.spare().as_ptr_range().end as usize
}

impl<H: Harness> Rig<H> {
    pub(crate) fn new() -> Self {
        Self::with_lent(4)
    }

    pub(crate) fn with_lent(lent: usize) -> Self {
        let mut harness = H::new(24, lent);
        let listener = harness.listen();
        Self { harness, listener, in_flight: HashMap::new(), done: VecDeque::new(), lent: 0, seen: Seen::Part }
    }

    pub(crate) fn submit(&mut self, token: OpToken, mut op: Op<'static>) {
        let address = match &mut op {
            Op::Recv { into: Some(buf), .. } | Op::Send { head: buf, .. } | Op::SendFile { head: buf, .. } => {
                Some(address(buf))
            }
            _ => None,
        };
        assert!(
            self.in_flight.insert(token.to_bits(), address).is_none(),
            "the test submits one token twice: {token:?}"
        );
        self.harness.reactor().submit(Submission { token, op }).expect("the queue has room");
    }

    pub(crate) fn accept(&mut self, listener: IoHandle) -> OpToken {
        let token = token(listener, OpKind::Accept);
        self.submit(token, Op::Accept { listener });
        token
    }

    pub(crate) fn recv(&mut self, io: IoHandle, into: Option<Buf<'static>>) -> OpToken {
        let token = token(io, OpKind::Recv);
        self.submit(token, Op::Recv { io, into });
        token
    }

    pub(crate) fn send(&mut self, io: IoHandle, head: Buf<'static>, body: &'static [u8]) -> OpToken {
        let token = token(io, OpKind::Send);
        self.submit(token, Op::Send { io, head, body });
        token
    }

    pub(crate) fn provide(&mut self, capacity: usize) {
        self.harness.reactor().provide(buf(capacity)).expect("room for a lent buffer");
        self.lent += 1;
    }

    pub(crate) fn cancel(&mut self, token: OpToken, io: IoHandle) {
        self.harness.reactor().cancel(token, io);
    }

    pub(crate) fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        self.harness.reactor().shutdown(io, how);
    }

    /// One turn; returns how many completions it had.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> usize {
        self.seen = self.harness.reactor().wait(timeout).expect("a reactor in working order");
        let before = self.done.len();
        while let Some(completion) = self.harness.reactor().next_completion() {
            self.enter(completion);
        }
        self.done.len() - before
    }

    /// Records a completion.
    pub(crate) fn enter(&mut self, completion: Completion<'static>) {
        let Completion { token, outcome, more } = completion;
        let address_before = match more {
            true => *self.in_flight.get(&token.to_bits()).expect("an operation in flight"),
            false => self.in_flight.remove(&token.to_bits()).expect("an operation in flight"),
        };
        let (kind, mut done) = match outcome {
            Outcome::Accept(result) => (OpKind::Accept, Done { result: result.map(|io| io.0), buf: None }),
            Outcome::Recv { result, buf } => (OpKind::Recv, Done { result, buf }),
            Outcome::Send { result, head, .. } => (OpKind::Send, Done { result, buf: Some(head) }),
            Outcome::Close => (OpKind::Close, Done { result: Ok(0), buf: None }),
            other => panic!("{other:?}"),
        };
        assert_eq!(token.kind(), kind);
        let address_now = done.buf.as_mut().map(address);
        match address_before {
            Some(_) => assert_eq!(address_now, address_before, "the buffer came back"),
            None => self.lent -= usize::from(address_now.is_some()),
        }
        self.done.push_back((token, done));
    }

    /// Whether the operation is in flight.
    pub(crate) fn busy(&self, token: OpToken) -> bool {
        self.in_flight.contains_key(&token.to_bits())
    }

    /// Buffers lent to the reactor.
    pub(crate) fn lent(&self) -> usize {
        self.lent
    }

    /// Drops completions that were not taken.
    pub(crate) fn forget_done(&mut self) {
        self.done.clear();
    }

    /// The completion of `token`, if there is one.
    pub(crate) fn take(&mut self, token: OpToken) -> Option<Done> {
        let at = self.done.iter().position(|(done, _)| *done == token)?;
        self.done.remove(at).map(|(_, done)| done)
    }

    /// Takes turns until `token` completes.
    pub(crate) fn until(&mut self, token: OpToken) -> Done {
        for _ in 0..TURNS_MAX {
            if let Some(done) = self.take(token) {
                return done;
            }
            self.turn(Some(PATIENCE));
        }
        panic!("{token:?} does not complete")
    }

    /// Takes short turns, with `step` between them, until `step` returns a value.
    pub(crate) fn pump<T>(&mut self, mut step: impl FnMut(&mut Self) -> Option<T>) -> T {
        for _ in 0..20_000 {
            if let Some(value) = step(self) {
                return value;
            }
            self.turn(Some(GLANCE));
        }
        panic!("`step` never returned a value")
    }

    /// A connected and accepted connection.
    pub(crate) fn connected(&mut self) -> (H::Client, IoHandle) {
        let client = self.harness.connect(self.listener);
        let token = self.accept(self.listener);
        (client, IoHandle(self.until(token).result.expect("a connection")))
    }

    /// Closes a handle and waits for it.
    pub(crate) fn close(&mut self, io: IoHandle) {
        let token = token(io, OpKind::Close);
        self.submit(token, Op::Close { io });
        self.until(token);
    }

    /// Cancels `token` and waits for it.
    pub(crate) fn cancelled(&mut self, token: OpToken, io: IoHandle) -> Done {
        self.cancel(token, io);
        self.until(token)
    }

    pub(crate) fn client_send(&mut self, client: &mut H::Client, bytes: &[u8]) {
        assert_eq!(self.harness.client_send(client, bytes), bytes.len());
    }

    /// What the client receives next, after waiting for it.
    pub(crate) fn client_recv(&mut self, client: &mut H::Client, into: &mut [u8]) -> ClientRecv {
        self.pump(|rig| match rig.harness.client_recv(client, into) {
            ClientRecv::Nothing => None,
            received => Some(received),
        })
    }

    /// Checks that the client receives exactly this.
    pub(crate) fn client_expects(&mut self, client: &mut H::Client, expected: &[u8]) {
        let mut received = Vec::new();
        while received.len() < expected.len() {
            let mut bytes = vec![0; expected.len() - received.len()];
            match self.client_recv(client, &mut bytes) {
                ClientRecv::Bytes(count) => received.extend_from_slice(&bytes[..count]),
                other => panic!("{other:?} after {} of {} bytes", received.len(), expected.len()),
            }
        }
        assert!(received == expected, "the bytes differ");
    }

    /// Sends until a send stays parked, and returns its token.
    pub(crate) fn fill(&mut self, io: IoHandle) -> OpToken {
        self.harness.shrink(io);
        let body = pattern(1 << 20);
        loop {
            let token = self.send(io, filled(b"head"), body);
            let parked = (0..GLANCES_AT_REST).all(|_| {
                self.turn(Some(GLANCE));
                self.take(token).is_none_or(|done| {
                    done.result.expect("room for some bytes");
                    false
                })
            });
            if parked {
                return token;
            }
        }
    }

    /// Checks that nothing is in flight and that all lent buffers come back.
    pub(crate) fn finish(mut self) {
        assert!(self.in_flight.is_empty(), "in flight: {:?}", self.in_flight);
        while self.harness.reactor().reclaim().is_some() {
            self.lent -= 1;
        }
        assert_eq!(self.lent, 0, "lent buffers are missing");
        assert_eq!(self.turn(Some(Duration::ZERO)), 0);
    }
}
