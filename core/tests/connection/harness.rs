//! Drives one [`Connection`] as an engine and a perfect network would.

// Each test uses only a part of this.
#![allow(dead_code)]

use aurora_http_core::connection::{Action, Connection, Context, Deadline, Place};
use aurora_http_core::counters::Counters;
use aurora_http_core::defer::{DeferCell, Deferrals};
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::Handler;
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{Arena, Buf, BufferPool, Class, ClassCounts, Handle};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::reactor::{IoError, IoHandle, Op, Peer, Peers, Shutdown};
use aurora_http_core::state::State;
use aurora_http_core::time::Instant;

pub(crate) struct Bench<H: Handler> {
    pub(crate) connection: Connection<'static, H::Exchange>,
    pub(crate) handler: H,
    pub(crate) pool: BufferPool<'static, 'static>,
    loans: Vec<Option<Buf<'static>>>,
    arena: Arena<'static>,
    preamble: Preamble,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) now: Instant,
    pub(crate) last: Option<CloseReason>,
    pub(crate) in_flight: u32,
    pub(crate) deferrals: Deferrals<'static>,
    receiving: Option<Option<Buf<'static>>>,
    /// Sends wait for [`complete_send`](Self::complete_send) instead of completing at once.
    pub(crate) hold_sends: bool,
    /// A cancelled operation completes as it would have, if it can.
    pub(crate) hold_cancels: bool,
    sending: Option<(Buf<'static>, &'static [u8])>,
    /// The current deadline, and when it expires.
    due: Option<(Deadline, Instant)>,
    pub(crate) sends: usize,
    pub(crate) shut: Option<Shutdown>,
    pub(crate) output: Vec<u8>,
    /// The most bytes that one send takes.
    pub(crate) send_max: usize,
    pub(crate) link: Link,
}

/// What the system knows about the connection.
pub(crate) struct Link {
    /// Bytes on their way to the client.
    pub(crate) unacknowledged: Option<u32>,
}

impl Peers for Link {
    fn peer(&self, _: IoHandle) -> Option<Peer> {
        None
    }

    fn unacknowledged(&self, _: IoHandle) -> Option<u32> {
        self.unacknowledged
    }

    fn sends_files(&self) -> bool {
        true
    }
}

pub(crate) const COUNTS: ClassCounts = ClassCounts::new([8, 8, 4, 2, 2]);

impl<H: Handler> Bench<H> {
    pub(crate) fn new(handler: H) -> Self {
        Self::with_buffers(handler, COUNTS)
    }

    pub(crate) fn with_buffers(handler: H, counts: ClassCounts) -> Self {
        let table = Vec::leak((0..counts.total()).map(|_| None).collect());
        let mut pool = BufferPool::new(table, counts).unwrap();
        pool.carve(vec![0; counts.slab_bytes() + 63].leak()).unwrap();
        let mut bench = Self {
            connection: Connection::new(),
            handler,
            pool,
            loans: (0..8).map(|_| None).collect(),
            arena: Arena::new(vec![0; 1024].leak()),
            preamble: Preamble::new("").unwrap(),
            limits: Limits::default(),
            counters: Counters::default(),
            now: Instant(0),
            last: None,
            in_flight: 0,
            deferrals: Deferrals::new(0, vec![DeferCell::new()].leak(), Box::leak(Box::default())),
            receiving: None,
            hold_sends: false,
            hold_cancels: false,
            sending: None,
            due: None,
            sends: 0,
            shut: None,
            output: Vec::new(),
            send_max: usize::MAX,
            link: Link { unacknowledged: Some(0) },
        };
        bench.act();
        bench
    }

    /// Starts a new connection on the same memory; the previous one must be closed.
    pub(crate) fn reopen(&mut self) {
        assert_eq!(self.state(), State::Closed);
        assert_eq!(self.pool.in_use(), 0);
        self.connection = Connection::new();
        self.due = None;
        self.shut = None;
        self.sends = 0;
        self.output.clear();
        self.act();
    }

    pub(crate) fn with<R>(
        &mut self,
        f: impl FnOnce(&mut Connection<'static, H::Exchange>, &mut Context<'_, 'static, 'static, H>) -> R,
    ) -> R {
        let id = Handle { index: 0, generation: 0 };
        let mut cx = Context {
            place: &Place { peers: &self.link, io: IoHandle(0), id, deferrals: self.deferrals },
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

    /// Carries out the connection's actions, until it has none or waits for input.
    ///
    /// In the same order as an engine: the deadline is read after an event, before the next operation begins.
    pub(crate) fn act(&mut self) {
        loop {
            self.settle();
            let has_action = self.connection.has_action();
            let action = self.connection.next_action(&mut self.pool);
            assert_eq!(has_action, action.is_some(), "{action:?}");
            let Some(action) = action else { return };
            match action {
                Action::Recv { into } => self.receiving = Some(into),
                Action::Send { head, body } if self.hold_sends => {
                    self.sends += 1;
                    self.sending = Some((head, body));
                }
                Action::Send { head, body } => {
                    self.sends += 1;
                    let all = [head.filled(), body].concat();
                    let count = all.len().min(self.send_max);
                    self.output.extend_from_slice(&all[..count]);
                    self.with(|connection, cx| connection.handle_sent(cx, Ok(count as u32), head, body));
                }
                Action::SendFile { head, .. } => {
                    // The file ends where the part begins.
                    self.output.extend_from_slice(head.filled());
                    let result = Err(IoError::FileUnreadable);
                    self.with(|connection, cx| connection.handle_sent(cx, result, head, &[]));
                }
                Action::Shutdown(how) => self.shut = Some(how),
                Action::CancelRecv if self.hold_cancels => {}
                Action::CancelRecv => {
                    let buf = self.receiving.take().expect("a receive is in flight");
                    self.with(|connection, cx| connection.handle_received(cx, Err(IoError::Canceled), buf));
                }
                Action::CancelSend if self.hold_cancels => {}
                Action::CancelSend => {
                    let (head, body) = self.sending.take().expect("a send is in flight");
                    self.with(|connection, cx| connection.handle_sent(cx, Err(IoError::Canceled), head, body));
                }
                Action::Close => {
                    assert!(self.receiving.is_none(), "no close with a receive in flight");
                    assert!(self.sending.is_none(), "no close with a send in flight");
                    self.connection.handle_closed();
                }
                _ => unreachable!("{action:?}"),
            }
        }
    }

    /// Delivers bytes as far as the connection takes them; returns how many it took.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let Some(into) = self.receiving.take() else { break };
            let mut buf = into.unwrap_or_else(|| self.pool.acquire(Class::Small).expect("a lent buffer"));
            let count = buf.spare_len().min(bytes.len() - taken);
            assert!(count > 0, "a receive must have room");
            buf.append(&bytes[taken..taken + count]).unwrap();
            taken += count;
            self.with(|connection, cx| connection.handle_received(cx, Ok(count as u32), Some(buf)));
            self.act();
        }
        taken
    }

    /// The send in flight takes at most `count_max` bytes; returns how many it took.
    pub(crate) fn complete_send(&mut self, count_max: usize) -> usize {
        let (head, body) = self.sending.take().expect("a send is in flight");
        let all = [head.filled(), body].concat();
        let count = all.len().min(count_max);
        self.output.extend_from_slice(&all[..count]);
        self.with(|connection, cx| connection.handle_sent(cx, Ok(count as u32), head, body));
        self.act();
        count
    }

    /// A token has been resolved.
    pub(crate) fn resolved(&mut self) {
        self.with(|connection, cx| connection.handle_resolved(cx));
        self.act();
    }

    /// The server begins to stop.
    pub(crate) fn stopping(&mut self) {
        self.with(|connection, cx| connection.handle_stopping(cx));
        self.act();
    }

    /// The reactor rejects the send.
    pub(crate) fn reject_send(&mut self) {
        let (head, body) = self.sending.take().expect("a send is in flight");
        let op = Op::Send { io: IoHandle(0), head, body };
        self.connection.handle_rejected(&mut self.pool, op);
        self.act();
    }

    /// The reactor rejects the receive.
    pub(crate) fn reject_receive(&mut self) {
        let into = self.receiving.take().expect("a receive is in flight");
        let op = Op::Recv { io: IoHandle(0), into };
        self.connection.handle_rejected(&mut self.pool, op);
        self.act();
    }

    /// The receive in flight fails.
    pub(crate) fn fail_receive(&mut self, error: IoError) {
        let into = self.receiving.take().expect("a receive is in flight");
        self.with(|connection, cx| connection.handle_received(cx, Err(error), into));
        self.act();
    }

    /// Buffers are free again.
    pub(crate) fn fed(&mut self) {
        self.with(|connection, cx| connection.handle_buffers(cx));
        self.act();
    }

    pub(crate) fn fin(&mut self) {
        if let Some(into) = self.receiving.take() {
            self.with(|connection, cx| connection.handle_received(cx, Ok(0), into));
            self.act();
        }
    }

    /// A FIN, for which the reactor has used a lent buffer.
    pub(crate) fn fin_with_buffer(&mut self) {
        let into = self.receiving.take().expect("a receive is in flight");
        let buf = into.unwrap_or_else(|| self.pool.acquire(Class::Small).expect("a lent buffer"));
        self.with(|connection, cx| connection.handle_received(cx, Ok(0), Some(buf)));
        self.act();
    }

    /// Lets time pass until the current deadline expires.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = Instant(self.now.0 + ms);
        let deadline = self.connection.deadline().expect("a deadline runs");
        self.with(|connection, cx| connection.handle_timeout(cx, deadline));
        self.act();
    }

    /// Records when the current deadline expires.
    fn settle(&mut self) {
        let now = self.now;
        if let Some(due) = self.connection.due_change(now, &self.limits) {
            self.due = due.map(|(at, class)| (class, at));
        }
    }

    /// Lets time pass; deadlines expire when they are due.
    pub(crate) fn elapse(&mut self, ms: u64) {
        let end = Instant(self.now.0 + ms);
        while let Some((class, at)) = self.due.filter(|(_, at)| *at <= end) {
            self.now = at;
            self.due = None;
            self.with(|connection, cx| connection.handle_timeout(cx, class));
            self.act();
        }
        self.now = end;
    }

    pub(crate) fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    pub(crate) fn take_output(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.output)).unwrap()
    }

    pub(crate) fn state(&self) -> State {
        self.connection.state()
    }

    pub(crate) fn is_receiving(&self) -> bool {
        self.receiving.is_some()
    }

    /// The capacity of the connection's own buffer in the receive in flight; `None` if a lent one is used.
    pub(crate) fn receives_into(&self) -> Option<usize> {
        self.receiving.as_ref().expect("a receive is in flight").as_ref().map(Buf::capacity)
    }
}
