//! A network, a clock, a pool and a peer that do anything that the contract allows.

use aurora_http_core::connection::{Action, Connection, Context, Deadline, Place};
use aurora_http_core::counters::Counters;
use aurora_http_core::defer::{DeferCell, Deferrals};
use aurora_http_core::error::CloseReason;
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{Arena, Buf, BufferPool, Class, ClassCounts, Handle};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::reactor::{IoError, IoHandle, NoPeers, Op, Shutdown};
use aurora_http_core::state::State;
use aurora_http_core::time::Instant;

use super::handler::{Anything, Script};
use super::replies::{self, Asked};
use super::requests;
use super::rng::Rng;

struct Receiving {
    into: Option<Buf<'static>>,
    canceled: bool,
}

struct Sending {
    head: Buf<'static>,
    body: &'static [u8],
    canceled: bool,
}

pub(crate) struct Network {
    seed: u64,
    connection: Connection<'static, Script>,
    handler: Anything,
    pool: BufferPool<'static, 'static>,
    loans: Vec<Option<Buf<'static>>>,
    arena: Arena<'static>,
    preamble: Preamble,
    limits: Limits,
    counters: Counters,
    now: Instant,
    last: Option<CloseReason>,
    in_flight: u32,
    deferrals: Deferrals<'static>,
    due: Option<(Deadline, Instant)>,
    receiving: Option<Receiving>,
    sending: Option<Sending>,
    closing: bool,
    shut: bool,
    gone: bool,
    /// Buffers that other connections have.
    taken: Vec<Buf<'static>>,
    asked: Vec<Asked>,
    input: Vec<u8>,
    at: usize,
    output: Vec<u8>,
}

fn limits(rng: &mut Rng) -> Limits {
    Limits {
        requests_per_connection_max: rng.pick(&[None, Some(3)]),
        response_bytes_max: rng.pick(&[1_024, 16_384, 65_536]),
        content_collected_max: rng.pick(&[100, 4_096, 262_144]),
        content_bytes_max: rng.pick(&[10, 10_000, 1 << 20]),
        discard_bytes_max: rng.pick(&[10, 65_536]),
        ..Limits::default()
    }
}

impl Network {
    pub(crate) fn new(seed: u64, counts: ClassCounts, handler: Anything) -> Self {
        let mut rng = Rng::new(!seed);
        let table = Vec::leak((0..counts.total()).map(|_| None).collect());
        let mut pool = BufferPool::new(table, counts).unwrap();
        pool.carve(vec![0; counts.slab_bytes() + 63].leak()).unwrap();
        let (input, asked) = requests::some(&mut rng, 0);
        Self {
            seed,
            connection: Connection::new(),
            handler,
            pool,
            loans: (0..4).map(|_| None).collect(),
            arena: Arena::new(vec![0; 256].leak()),
            preamble: Preamble::new("x").unwrap(),
            limits: limits(&mut rng),
            counters: Counters::default(),
            now: Instant(0),
            last: None,
            in_flight: 0,
            deferrals: Deferrals::new(0, vec![DeferCell::new()].leak(), Box::leak(Box::default())),
            due: None,
            receiving: None,
            sending: None,
            closing: false,
            shut: false,
            gone: false,
            taken: Vec::new(),
            asked,
            input,
            at: 0,
            output: Vec::new(),
        }
    }

    fn with<R>(
        &mut self,
        f: impl FnOnce(&mut Connection<'static, Script>, &mut Context<'_, 'static, 'static, Anything>) -> R,
    ) -> R {
        let id = Handle { index: 0, generation: 0 };
        let mut cx = Context {
            place: &Place { peers: &NoPeers, io: IoHandle(0), id, deferrals: self.deferrals },
            in_flight: &mut self.in_flight,
            handler: &mut self.handler,
            pool: &mut self.pool,
            loans: &mut self.loans,
            arena: &mut self.arena,
            preamble: &self.preamble,
            limits: &self.limits,
            counters: &mut self.counters,
            now: self.now,
            last: self.last,
        };
        f(&mut self.connection, &mut cx)
    }

    fn is_over(&self) -> bool {
        self.gone || self.connection.is_closed()
    }

    /// A while in which everything may happen.
    pub(crate) fn live(&mut self, rng: &mut Rng) {
        for _ in 0..400 {
            self.take_actions(rng);
            if self.is_over() {
                return;
            }
            match rng.below(40) {
                0..=14 => self.complete_receive(rng),
                15..=26 => self.complete_send(rng),
                27 | 28 => self.complete_close(),
                29..=31 => self.feed(),
                32..=34 => self.resolve(rng),
                35 => self.press(rng),
                36 => self.taken.clear_into(&mut self.pool),
                37 => self.elapse(rng.pick(&[1, 50, 3_000])),
                38 if rng.once_in(10) => self.elapse(70_000),
                39 if rng.once_in(20) => {
                    self.last = Some(CloseReason::Stopped);
                    self.with(|connection, cx| connection.stop(cx, CloseReason::Stopped));
                }
                39 if rng.once_in(40) => self.with(|connection, cx| connection.close(cx, CloseReason::Aborted)),
                _ => {}
            }
        }
    }

    /// The peer says the rest, takes everything, and goes; buffers are free. That must be the end.
    pub(crate) fn die(&mut self, rng: &mut Rng) {
        self.taken.clear_into(&mut self.pool);
        for _ in 0..20_000 {
            self.take_actions(rng);
            if self.is_over() {
                return;
            }
            if self.connection.is_starved() {
                self.feed();
            }
            let before = (self.at, self.output.len());
            self.complete_receive(rng);
            self.complete_send(rng);
            self.complete_close();
            if (self.at, self.output.len()) == before {
                // Nothing moves but time.
                self.elapse(11_000);
            }
        }
        panic!("seed {}: it never ends: {:?} {:?}", self.seed, self.connection, self.due);
    }

    /// The deadline first, then what it wants: the order of an engine.
    fn take_actions(&mut self, rng: &mut Rng) {
        while !self.is_over() {
            if let Some(change) = self.connection.deadline_change(self.now) {
                self.due = change.and_then(|class| Some((class, self.now.plus_ms(class.timeout_ms(&self.limits)?))));
            }
            if self.connection.is_detached() {
                let (_, leftover) = self.connection.take_detached().expect("it is there to be taken");
                self.taken.extend(leftover);
                self.taken.clear_into(&mut self.pool);
                self.gone = true;
                return;
            }
            let wanted = self.connection.has_action();
            let action = self.connection.next_action(&mut self.pool);
            assert_eq!(wanted, action.is_some(), "seed {}: {:?}", self.seed, self.connection);
            let Some(action) = action else { return };
            if rng.once_in(30) {
                self.reject(action);
                return;
            }
            self.take(action);
        }
    }

    fn reject(&mut self, action: Action<'static>) {
        let io = IoHandle(0);
        match action {
            Action::Recv { into } => self.connection.handle_rejected(&mut self.pool, Op::Recv { io, into }),
            Action::Send { head, body } => {
                self.connection.handle_rejected(&mut self.pool, Op::Send { io, head, body });
            }
            Action::Close => self.connection.handle_rejected(&mut self.pool, Op::Close { io }),
            action => self.take(action),
        }
    }

    fn take(&mut self, action: Action<'static>) {
        assert!(!self.closing, "nothing behind a close");
        match action {
            Action::Recv { into } => {
                assert!(self.receiving.is_none(), "one receive at a time");
                assert!(into.as_ref().is_none_or(|buf| buf.spare_len() > 0), "never a receive without room");
                self.receiving = Some(Receiving { into, canceled: false });
            }
            Action::Send { head, body } => {
                assert!(self.sending.is_none(), "one send at a time");
                assert!(!head.is_empty() || !body.is_empty(), "seed {}: nothing to send", self.seed);
                assert!(!self.shut, "no send behind a FIN");
                self.sending = Some(Sending { head, body, canceled: false });
            }
            Action::Shutdown(how) => self.shut |= how != Shutdown::Read,
            Action::CancelRecv => self.receiving.as_mut().expect("a receive is in flight").canceled = true,
            Action::CancelSend => self.sending.as_mut().expect("a send is in flight").canceled = true,
            Action::Close => {
                assert!(self.receiving.is_none() && self.sending.is_none(), "no close with an operation in flight");
                self.closing = true;
            }
            _ => unreachable!("{action:?}"),
        }
    }

    fn complete_receive(&mut self, rng: &mut Rng) {
        let Some(Receiving { into, canceled }) = self.receiving.take() else { return };
        let received = |network: &mut Self, result, buf| {
            network.with(|connection, cx| connection.handle_received(cx, result, buf));
        };
        if canceled && !rng.once_in(4) {
            return received(self, Err(IoError::Canceled), into);
        }
        if rng.once_in(100) {
            return received(self, Err(IoError::ConnectionReset), into);
        }
        if self.at == self.input.len() && !rng.once_in(8) {
            self.receiving = Some(Receiving { into, canceled });
            return;
        }
        let Some(mut buf) = into.or_else(|| self.pool.acquire(Class::Small)) else {
            return received(self, Err(IoError::NoBuffers), None);
        };
        let most = rng.pick(&[1, 7, 100, usize::MAX]);
        let count = buf.spare_len().min(self.input.len() - self.at).min(most);
        buf.append(&self.input[self.at..self.at + count]).unwrap();
        self.at += count;
        received(self, Ok(count as u32), Some(buf));
    }

    fn complete_send(&mut self, rng: &mut Rng) {
        let Some(Sending { head, body, canceled }) = self.sending.take() else { return };
        let result = if canceled && rng.once_in(2) {
            Err(IoError::Canceled)
        } else if rng.once_in(100) {
            Err(IoError::ConnectionReset)
        } else {
            let all = [head.filled(), body].concat();
            let most = rng.pick(&[1, 100, 5_000, usize::MAX, usize::MAX]);
            let count = all.len().min(most);
            self.output.extend_from_slice(&all[..count]);
            Ok(count as u32)
        };
        self.with(|connection, cx| connection.handle_sent(cx, result, head, body));
    }

    fn complete_close(&mut self) {
        if self.closing {
            self.closing = false;
            self.connection.handle_closed();
        }
    }

    fn feed(&mut self) {
        if self.connection.is_starved() {
            self.with(|connection, cx| connection.handle_buffers(cx));
        }
    }

    fn resolve(&mut self, rng: &mut Rng) {
        if self.handler.tokens.is_empty() {
            return;
        }
        let token = rng.pick(&self.handler.tokens);
        if self.deferrals.resolve(token) {
            self.with(|connection, cx| connection.handle_resolved(cx));
        }
    }

    /// Others take buffers.
    fn press(&mut self, rng: &mut Rng) {
        for _ in 0..rng.below(8) {
            self.taken.extend(self.pool.acquire(rng.pick(&Class::ALL)));
        }
    }

    fn elapse(&mut self, ms: u32) {
        self.now = self.now.plus_ms(ms);
        if let Some((class, _)) = self.due.take_if(|(_, at)| *at <= self.now) {
            self.with(|connection, cx| connection.handle_timeout(cx, class));
        }
    }

    /// The books, once it is over.
    pub(crate) fn check(&self) {
        let seed = self.seed;
        assert_eq!(self.pool.in_use(), 0, "seed {seed}: {:?}", self.connection);
        assert_eq!(self.in_flight, 0, "seed {seed}");
        assert_eq!(self.counters.requests, self.handler.called.len() as u64, "seed {seed}");
        assert!(
            self.handler.called.iter().copied().eq(0..self.handler.called.len()),
            "seed {seed}: once each, in order"
        );
        assert!(self.gone || self.connection.close_reason().is_some(), "seed {seed}");
        assert!(self.loans.iter().all(Option::is_none), "seed {seed}");
        let is_cut = !self.gone && !self.connection.close_reason().is_some_and(CloseReason::is_orderly);
        replies::check(seed, &self.output, &self.asked, 0, self.handler.called.len(), is_cut);
        assert!(self.gone || self.connection.state() == State::Closed);
    }
}

/// Gives buffers back.
trait ClearInto {
    fn clear_into(&mut self, pool: &mut BufferPool<'static, 'static>);
}

impl ClearInto for Vec<Buf<'static>> {
    fn clear_into(&mut self, pool: &mut BufferPool<'static, 'static>) {
        for buf in self.drain(..) {
            pool.release(buf).expect("it came from there");
        }
    }
}
