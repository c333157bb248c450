//! One exchange: its state, flags and buffers.

use super::body::Body;
use super::window::{Direction, Progress, Running, Windows};
use super::{Deadline, flag, release};
use crate::answer::RESERVE;
use crate::error::CloseReason;
use crate::handler::Flow;
use crate::limits::RateMin;
use crate::pool::{Buf, BufferPool, Class};
use crate::reactor::FileId;
use crate::state::{Event, State};
use crate::time::Instant;
use crate::writer::{Facts, Stream};

/// The largest send buffer for a first call in bytes, however much was received: more responses leave in several sends.
pub(super) const GATHER_MAX: usize = 16 * 1024;

/// How much announced content is much, in bytes: for more, a large buffer is worth looking for.
const BULK_BYTES_MIN: u64 = 4 * 1024;

/// The output that is to be sent, or the content that is being collected, or the state of lingering: never two of them.
#[derive(Debug, Default)]
pub(super) enum Output<'p> {
    #[default]
    Empty,
    /// To be sent in this order.
    Unsent { head: Buf<'p>, body: &'p [u8] },
    /// The send in flight has only a 100 (Continue). What follows it, `len` bytes in the same buffer and then `body`,
    /// must not leave together with it.
    HeldBack { len: u32, body: &'p [u8] },
    /// To be sent: a buffer, then a part of a file.
    File { head: Buf<'p>, file: FileId, offset: u64, len: u32 },
    /// The send in flight has this part of a file after its buffer.
    FileInFlight { file: FileId, offset: u64, len: u32 },
    /// Content for [`Handler::collected`](crate::handler::Handler::collected).
    Collected(Buf<'p>),
    /// All responses have been sent: the state that determines when the connection is closed.
    Lingering(Linger),
}

/// The state of a lingering connection. Times are the low 32 bits of milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linger {
    /// Unacknowledged bytes at the last check; `None` before the first.
    pub(super) unacknowledged: Option<u32>,
    /// When the last response was sent, or later, when it was found to be acknowledged.
    pub(super) since: u32,
    /// When input last arrived.
    pub(super) heard: u32,
    /// The client has acknowledged the whole response, or is assumed to have.
    pub(super) is_acknowledged: bool,
}

/// The state of the exchange and of the connection around it, except for the received bytes.
pub(super) struct Exchange<'p, E> {
    pub(super) output: Output<'p>,
    /// What the handler waits for; `None` when there is nothing more to call it for.
    pub(super) waiting: Option<Flow<E>>,
    /// The rest of the request's body, or a part of the next head.
    pub(super) body: Body,
    pub(super) stream: Stream,
    /// Bytes that are kept at the front of the received ones: the head for [`Flow::Collect`], or content that has been
    /// taken out of its chunks, for a handler that waits for more of it.
    pub(super) kept_len: u32,
    /// Where the current response begins in the output, as long as no part of it has been passed to a send.
    pub(super) response_at: u32,
    pub(super) served: u32,
    /// The time that the handler set, as the low 32 bits of milliseconds: see [`flag::TIMED`].
    pub(super) wake_at: u32,
    windows: Windows,
    flags: u32,
    pub(super) facts: Facts,
    pub(super) state: State,
    pub(super) reason: Option<CloseReason>,
    /// The deadline that was last reported.
    pub(super) armed: Option<Deadline>,
    /// The direction whose window runs.
    running: Running,
}

/// Why a handler cannot be called now.
#[derive(Clone, Copy)]
pub(super) enum NotReady {
    /// Earlier responses must be sent before there is room for an answer.
    Flush,
    /// No buffer for an answer is free.
    Starved,
}

impl<E> Default for Exchange<'_, E> {
    fn default() -> Self {
        Self {
            output: Output::Empty,
            waiting: None,
            body: Body::Finished,
            stream: Stream::Unbegun,
            kept_len: 0,
            response_at: 0,
            served: 0,
            wake_at: 0,
            windows: Windows::default(),
            flags: 0,
            facts: Facts::default(),
            state: State::New,
            reason: None,
            armed: None,
            running: None,
        }
    }
}

/// State, flags and buffers.
impl<'p, E> Exchange<'p, E> {
    #[inline]
    pub(super) const fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    /// Whether no flags besides `flags` are set.
    #[cfg(not(feature = "small"))]
    #[inline]
    pub(super) const fn has_only(&self, flags: u32) -> bool {
        self.flags & !flags == 0
    }

    #[cfg(not(feature = "small"))]
    #[inline]
    pub(super) const fn flags(&self) -> u32 {
        self.flags
    }

    /// What is remembered of a connection at rest.
    #[cfg(not(feature = "small"))]
    #[inline]
    pub(super) const fn wake(&mut self, served: u32, flags: u32, state: State, armed: Option<Deadline>) {
        #[cfg(debug_assertions)]
        self.spoil();
        (self.served, self.flags, self.state, self.armed, self.reason) = (served, flags, state, armed, None);
    }

    /// Makes nonsense of whatever may be left of another connection on the same record, so that tests find it when it is used.
    #[cfg(all(not(feature = "small"), debug_assertions))]
    const fn spoil(&mut self) {
        (self.kept_len, self.response_at, self.wake_at) = (u32::MAX, u32::MAX, u32::MAX);
        (self.stream, self.facts) = (Stream::Done, Facts::SPOILT);
        (self.windows, self.running) = (Windows::SPOILT, Some(Direction::Write));
    }

    #[inline]
    pub(super) const fn set(&mut self, flags: u32) {
        self.flags |= flags;
    }

    #[inline]
    pub(super) const fn clear(&mut self, flags: u32) {
        self.flags &= !flags;
    }

    /// From `now` on, an operation of this direction is in flight, or none.
    #[inline]
    pub(super) fn run_window(&mut self, now: Instant, direction: Running) {
        self.windows.run(&mut self.running, now, direction);
    }

    /// Counts transferred bytes.
    #[inline]
    pub(super) fn count(&mut self, now: Instant, direction: Direction, bytes: u32, rate: Option<RateMin>) -> Progress {
        self.windows.count(self.running, now, direction, bytes, rate)
    }

    /// Begins new windows.
    #[inline]
    pub(super) fn reset_windows(&mut self) {
        (self.windows, self.running) = (Windows::default(), None);
    }

    /// The only place where the state changes.
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn go(&mut self, event: Event) {
        let next = self.state.after(event);
        debug_assert!(next.is_some(), "{event:?} in {:?}", self.state);
        #[cfg(all(feature = "sim", target_has_atomic = "64", debug_assertions))]
        crate::state::reached::count(self.state, event);
        self.state = next.unwrap_or(State::Closing);
    }

    /// The connection ends before what is being sent is complete: notes it if a FIN would seem to complete it. What another
    /// protocol sends is incomplete if its handler has failed, or if something that it has written was not sent.
    pub(super) fn mark_cut_off(&mut self) {
        let would_seem_complete = match self.stream {
            Stream::DoneByClose => true,
            Stream::CloseDelimited => self.has(flag::BEGUN),
            _ if self.body.is_raw() => {
                let has_failed = matches!(self.reason, Some(CloseReason::ResponseFailed | CloseReason::HandlerStalled));
                has_failed || self.has(flag::SEND) || self.has_output()
            }
            _ => false,
        };
        if would_seem_complete && !planted!(CutOffSeemsComplete) {
            self.set(flag::CUT_OFF);
        }
    }

    /// Whether the receive in flight uses a buffer of the connection (not a lent one), and was not cancelled.
    pub(super) const fn pins_buffer(&self) -> bool {
        self.has(flag::RECV) && !self.has(flag::LENT | flag::RECV_CANCELED)
    }

    /// Whether a part of a head has been scanned.
    pub(super) fn scan_has_begun(&self) -> bool {
        !self.body.scan().is_fresh()
    }

    /// Whether there is output to send, and no send is in flight.
    #[inline]
    pub(super) const fn wants_send(&self) -> bool {
        !self.has(flag::SEND) && matches!(self.output, Output::Unsent { .. } | Output::File { .. })
    }

    /// Whether input is to be received and dropped while the last response is being sent: the client may read nothing
    /// before it has written everything.
    #[inline]
    pub(super) const fn wants_to_drop(&self) -> bool {
        self.has(flag::IGNORES_INPUT) && !self.has(flag::RECV | flag::FIN_RECEIVED | flag::NO_DROP_BUFFER)
    }

    /// Whether the handler is to be called, but the receive in flight holds bytes that arrived earlier.
    pub(super) const fn wants_inbound_back(&self) -> bool {
        self.is_woken() && self.pins_buffer()
    }

    /// Whether the receive in flight uses a buffer of the connection, which may hold bytes that arrived earlier.
    pub(super) const fn holds_input_in_flight(&self) -> bool {
        self.has(flag::RECV) && !self.has(flag::LENT)
    }

    /// Whether the handler waits for content, and more is to come.
    pub(super) const fn waits_for_content(&self) -> bool {
        matches!(self.waiting, Some(Flow::Receive(_) | Flow::ReceiveOrResume(_) | Flow::Collect(_)))
            && !self.body.is_finished()
            && !self.body.is_raw()
    }

    #[inline]
    pub(super) fn has_output(&self) -> bool {
        match &self.output {
            Output::Unsent { head, body } => !head.is_empty() || !body.is_empty(),
            Output::File { .. } => true,
            _ => false,
        }
    }

    /// The output is passed to a send: from now on, a response that is not complete can no longer be replaced.
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) const fn leave(&mut self, head_len: usize, body_len: usize) {
        if self.waiting.is_some() && head_len + body_len > self.response_at as usize {
            self.set(flag::BEGUN);
        }
        self.response_at = 0;
    }

    /// After a partial send: what is left of earlier responses is still before the current one.
    pub(super) const fn keep_rest(&mut self, rest_len: usize) {
        if !self.has(flag::BEGUN) {
            self.response_at = rest_len as u32;
        }
    }

    /// Restricts the send to the 100 (Continue), without the beginning of the response after it: some clients and
    /// proxies take what arrives in one segment with it for a part of it.
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

    /// Undoes [`hold_back`](Self::hold_back) after the first `sent` bytes have been sent.
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
            Output::Empty | Output::HeldBack { .. } | Output::FileInFlight { .. } | Output::Lingering(_) => {}
            Output::Unsent { head: buf, .. } | Output::File { head: buf, .. } | Output::Collected(buf) => {
                release(pool, buf);
            }
        }
    }

    /// Makes sure that there is room for an answer after earlier responses. The buffer is as large as the input, so
    /// that pipelined responses leave together.
    #[cfg_attr(not(feature = "small"), inline)]
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

    /// Moves the earlier responses to a larger buffer while more heads are waiting, so that a batch of requests that
    /// arrived in one receive is answered in one send.
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

    /// Arranges for what [`reserve`](Self::reserve) needs; returns whether the connection can continue with that at
    /// once.
    pub(super) fn await_room(&mut self, not_ready: NotReady) -> bool {
        match not_ready {
            NotReady::Flush => self.go(Event::Respond),
            NotReady::Starved => self.set(flag::STARVED),
        }
        matches!(not_ready, NotReady::Flush)
    }

    /// A large buffer for the next receive, if much content is still to come and large buffers abound.
    #[cold]
    pub(super) fn bulk_buffer(&self, pool: &mut BufferPool<'_, 'p>) -> Option<Buf<'p>> {
        if self.state != State::ReadingContent || self.body.announced() <= BULK_BYTES_MIN {
            return None;
        }
        [Class::Large, Class::Medium]
            .into_iter()
            .find(|class| pool.available(*class) > pool.capacity(*class) / 4)
            .and_then(|class| pool.acquire(class))
    }
}
