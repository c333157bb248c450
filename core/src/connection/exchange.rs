//! One exchange: its state, its flags and its buffers.

use super::body::Body;
use super::window::Windows;
use super::{Deadline, flag, release};
use crate::answer::{ANSWER_BYTES_MAX, CONTINUE};
use crate::error::CloseReason;
use crate::handler::Flow;
use crate::parse::HeadScan;
use crate::pool::{Buf, BufferPool, Class};
use crate::state::{Event, State};
use crate::writer::{Facts, Stream};

/// Room that must be free in the send buffer before a handler is called: then an answer can always be given, and a
/// full buffer never makes a handler run twice.
const RESERVE: usize = ANSWER_BYTES_MAX + CONTINUE.len();

/// The largest send buffer a first call gets, however much was received: responses beyond it leave in several sends.
pub(super) const GATHER_MAX: usize = Class::Medium.size();

/// What was written and has not left, or the content that is being collected, or how the end goes: never two of them.
#[derive(Debug, Default)]
pub(super) enum Output<'p> {
    #[default]
    Empty,
    /// Goes out in this order.
    Unsent { head: Buf<'p>, body: &'p [u8] },
    /// The send in flight is that of a 100 (Continue): what follows it, `len` bytes in the same buffer and then `body`, must
    /// not leave together with it.
    HeldBack { len: u32, body: &'p [u8] },
    /// Content on its way to [`Handler::collected`].
    Collected(Buf<'p>),
    /// All responses are out: what the end behind them depends on.
    Lingering(Linger),
}

/// What a lingering connection knows. Times are the low 32 bits of milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linger {
    /// Bytes of the response that were on their way when it was last looked at; unknown before the first look.
    pub(super) unacknowledged: Option<u32>,
    /// When the last response left, or was found to be acknowledged.
    pub(super) since: u32,
    /// When the client was last heard of.
    pub(super) heard: u32,
    /// The client has all of the response, or may be taken to have it.
    pub(super) is_acknowledged: bool,
}

/// State of the exchange and of the connection around it, all but the received bytes.
pub(super) struct Exchange<'p, E> {
    pub(super) output: Output<'p>,
    /// What the handler waits for.
    pub(super) waiting: Option<Flow<E>>,
    /// What is left of the request's body.
    pub(super) body: Body,
    pub(super) stream: Stream,
    pub(super) scan: HeadScan,
    /// Bytes that stay in front of the received ones: the head for [`Flow::Collect`], or content that is out of its
    /// chunks, for a handler that waits for more of it.
    pub(super) front: u32,
    /// Where the response begins in the output, while no part of it has left.
    pub(super) response_at: u32,
    pub(super) served: u32,
    /// When the handler wants to be called, in the low 32 bits of milliseconds: see [`flag::TIMED`].
    pub(super) wake_at: u32,
    pub(super) windows: Windows,
    flags: u32,
    pub(super) facts: Facts,
    pub(super) state: State,
    pub(super) reason: Option<CloseReason>,
    /// The deadline that was last told.
    pub(super) armed: Option<Deadline>,
}

/// Why no handler can be called now.
#[derive(Clone, Copy)]
pub(super) enum NotReady {
    /// What was gathered must leave before there is room to answer.
    Flush,
    /// No buffer to answer in is free.
    Starved,
}

impl<E> Default for Exchange<'_, E> {
    fn default() -> Self {
        Self {
            output: Output::Empty,
            waiting: None,
            body: Body::Finished,
            stream: Stream::Unbegun,
            scan: HeadScan::default(),
            front: 0,
            response_at: 0,
            served: 0,
            wake_at: 0,
            windows: Windows::default(),
            flags: 0,
            facts: Facts::default(),
            state: State::New,
            reason: None,
            armed: None,
        }
    }
}

/// State, flags, buffers.
impl<'p, E> Exchange<'p, E> {
    #[inline]
    pub(super) const fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    #[inline]
    pub(super) const fn set(&mut self, flags: u32) {
        self.flags |= flags;
    }

    #[inline]
    pub(super) const fn clear(&mut self, flags: u32) {
        self.flags &= !flags;
    }

    /// The one place where the state changes.
    #[inline]
    pub(super) fn go(&mut self, event: Event) {
        let next = self.state.after(event);
        debug_assert!(next.is_some(), "{event:?} in {:?}", self.state);
        #[cfg(all(feature = "sim", target_has_atomic = "64", debug_assertions))]
        crate::state::reached::count(self.state, event);
        self.state = next.unwrap_or(State::Closing);
    }

    /// Whether the receive in flight has a buffer of its own, and was not told to end.
    pub(super) const fn pins_buffer(&self) -> bool {
        self.has(flag::RECV) && !self.has(flag::LENT | flag::RECV_CANCELED)
    }

    /// A part of a head was looked at.
    pub(super) const fn scan_has_begun(&self) -> bool {
        !self.scan.is_fresh()
    }

    /// Something was written, and no send is in flight.
    #[inline]
    pub(super) const fn wants_send(&self) -> bool {
        !self.has(flag::SEND) && matches!(self.output, Output::Unsent { .. })
    }

    /// While the last response goes out, what still arrives is received and dropped: the client may read nothing before
    /// it has written everything.
    #[inline]
    pub(super) const fn wants_to_drop(&self) -> bool {
        self.has(flag::DEAF) && !self.has(flag::RECV | flag::ENDED | flag::UNFED)
    }

    /// The handler is to be called, and the receive in flight has what had arrived before.
    pub(super) const fn wants_inbound_back(&self) -> bool {
        self.is_woken() && self.pins_buffer()
    }

    /// The receive in flight has a buffer of its own, which may hold what arrived before.
    pub(super) const fn holds_input_in_flight(&self) -> bool {
        self.has(flag::RECV) && !self.has(flag::LENT)
    }

    /// The handler goes on when more content is there, and there is more to come.
    pub(super) const fn waits_for_content(&self) -> bool {
        matches!(self.waiting, Some(Flow::Receive(_) | Flow::ReceiveOrResume(_) | Flow::Collect(_)))
            && !self.body.is_finished()
            && !self.body.is_raw()
    }

    #[inline]
    pub(super) fn has_output(&self) -> bool {
        matches!(&self.output, Output::Unsent { head, body } if !head.is_empty() || !body.is_empty())
    }

    /// What was written leaves the buffer: a response that is not complete can no longer be replaced.
    #[inline]
    pub(super) const fn leave(&mut self, head_len: usize, body_len: usize) {
        if self.waiting.is_some() && head_len + body_len > self.response_at as usize {
            self.set(flag::BEGUN);
        }
        self.response_at = 0;
    }

    /// A part was sent: what is left of the bytes in front of the response that is not complete still is in front.
    pub(super) const fn keep_rest(&mut self, rest_len: usize) {
        if !self.has(flag::BEGUN) {
            self.response_at = rest_len as u32;
        }
    }

    /// A 100 (Continue) leaves alone, without the beginning of the response behind it: there are clients and proxies that
    /// take what comes in one segment with it for a part of it.
    #[cold]
    pub(super) fn hold_back(&mut self, head: &mut Buf<'p>, body: &mut &'p [u8]) {
        self.clear(flag::CONTINUE);
        let interim_len = self.response_at as usize;
        let rest_len = head.len() - interim_len;
        if rest_len > 0 || !body.is_empty() {
            head.truncate(interim_len);
            self.set(flag::HELD_BACK);
            self.output = Output::HeldBack { len: rest_len as u32, body: core::mem::take(body) };
        }
    }

    /// Puts together again what [`hold_back`](Self::hold_back) took apart, when the first `sent` bytes have left.
    #[cold]
    pub(super) fn join_held_back(&mut self, head: &mut Buf<'p>, body: &mut &'p [u8], sent: usize) {
        if let Output::HeldBack { len, body: rest } = core::mem::take(&mut self.output) {
            let interim_len = head.len();
            head.set_len(interim_len + len as usize);
            head.consume(sent);
            *body = rest;
            self.clear(flag::HELD_BACK);
            if sent < interim_len {
                self.set(flag::CONTINUE);
            }
            self.response_at = interim_len.saturating_sub(sent) as u32;
        }
    }

    pub(super) fn release_output(&mut self, pool: &mut BufferPool<'_, 'p>) {
        match core::mem::take(&mut self.output) {
            Output::Empty | Output::HeldBack { .. } | Output::Lingering(_) => {}
            Output::Unsent { head: buf, .. } | Output::Collected(buf) => release(pool, buf),
        }
    }

    /// Makes sure that an answer fits behind what was gathered. The buffer is as large as what came in, so that
    /// pipelined responses leave together.
    #[inline]
    pub(super) fn reserve(&mut self, pool: &mut BufferPool<'_, 'p>, available: usize) -> Result<(), NotReady> {
        match &self.output {
            Output::Unsent { head, body } if body.is_empty() && head.spare_len() >= RESERVE => Ok(()),
            Output::Empty => {
                let wanted = available.clamp(RESERVE, GATHER_MAX);
                let head = pool.acquire_for(wanted).or_else(|| pool.acquire_for(RESERVE));
                self.output = Output::Unsent { head: head.ok_or(NotReady::Starved)?, body: &[] };
                Ok(())
            }
            Output::Unsent { head, body } if body.is_empty() && head.capacity() < GATHER_MAX => self.grow(pool),
            _ => Err(NotReady::Flush),
        }
    }

    /// Makes room behind what was gathered while more heads are waiting: a batch of requests that came in one receive is
    /// answered in one send.
    #[cold]
    fn grow(&mut self, pool: &mut BufferPool<'_, 'p>) -> Result<(), NotReady> {
        let Output::Unsent { head, body } = core::mem::take(&mut self.output) else { return Err(NotReady::Flush) };
        let (head, result) = match pool.grow(head) {
            Ok(head) => (head, Ok(())),
            Err(head) => (head, Err(NotReady::Flush)),
        };
        self.output = Output::Unsent { head, body };
        result
    }

    /// What has to happen before there is room to answer; whether the connection goes on with that at once.
    pub(super) fn await_room(&mut self, not_ready: NotReady) -> bool {
        match not_ready {
            NotReady::Flush => self.go(Event::Respond),
            NotReady::Starved => self.set(flag::STARVED),
        }
        matches!(not_ready, NotReady::Flush)
    }

    /// A large buffer for the next receive, when much content is still to come and buffers abound.
    #[cold]
    pub(super) fn bulk_buffer(&self, pool: &mut BufferPool<'_, 'p>) -> Option<Buf<'p>> {
        if self.state != State::ReadingContent || self.body.announced() <= Class::Small.size() as u64 {
            return None;
        }
        [Class::Large, Class::Medium]
            .into_iter()
            .find(|class| pool.available(*class) > pool.capacity(*class) / 4)
            .and_then(|class| pool.acquire(class))
    }
}
