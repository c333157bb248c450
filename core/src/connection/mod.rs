//! One connection: what it does with bytes that came in, what it wants next, when it gives up. No I/O.
//!
//! What a connection wants is a function of its state: [`Connection::next_action`] hands out one operation after the
//! other and [`Connection::handle_received`], [`Connection::handle_sent`] and [`Connection::handle_closed`] take their
//! outcome. The [`Engine`](crate::engine::Engine) drives many of them; a program with a single byte stream may drive
//! one itself.

mod content;
mod exchange;
mod window;

use core::fmt;

use crate::answer::Answer;
use crate::counters::Counters;
use crate::defer::Deferrals;
use crate::error::CloseReason;
use crate::handler::{ConnectionId, ConnectionInfo, Flow, Handler};
use crate::limits::{Limits, RateMin};
use crate::parse::{HeadScan, with_head};
use crate::pool::{Arena, Buf, BufferPool, Class};
use crate::preamble::Preamble;
use crate::reactor::{IoError, IoHandle, Op, Peers, Shutdown};
use crate::state::{Event, State};
use crate::time::Instant;
use crate::writer::{RETRY_AFTER_S, Stream};
use exchange::{Dispatched, Exchange, Output};
use window::{Direction, Progress};

/// What a connection needs from its surroundings during a call.
pub struct Context<'c, 's, 'p, H: Handler> {
    /// Answers requests.
    pub handler: &'c mut H,
    /// Where buffers come from and go to.
    pub pool: &'c mut BufferPool<'s, 'p>,
    /// Room to remember buffers lent to the handler for one call.
    pub loans: &'c mut [Option<Buf<'p>>],
    /// Scratch memory for one call.
    pub arena: &'c mut Arena<'s>,
    /// `Date` and `Server`.
    pub preamble: &'c Preamble,
    /// Policy.
    pub limits: &'c Limits,
    /// What happened so far.
    pub counters: &'c mut Counters,
    /// The current time.
    pub now: Instant,
    /// Where the connection is.
    pub place: &'c Place<'c>,
    /// Exchanges under way, on all connections of the engine.
    pub in_flight: &'c mut u32,
    /// Why the next response is the last one on its connection, if it is: a graceful stop, or a newcomer without a slot.
    pub last: Option<CloseReason>,
}

/// Where a connection is: for handlers that ask who is at the other end, and for deferred answers.
#[derive(Clone, Copy)]
pub struct Place<'c> {
    /// Knows the other ends.
    pub peers: &'c dyn Peers,
    /// The connection's handle.
    pub io: IoHandle,
    /// The connection's slot.
    pub id: ConnectionId,
    /// Cells for deferred answers.
    pub deferrals: Deferrals<'c>,
}

impl Place<'_> {
    pub(crate) const fn info(&self) -> ConnectionInfo<'_> {
        ConnectionInfo { peers: self.peers, io: self.io, id: self.id }
    }
}

/// One connection and its exchange.
pub struct Connection<'p, E> {
    /// Received and not yet consumed; `None` while a receive is in flight, and when idle.
    inbound: Option<Buf<'p>>,
    exchange: Exchange<'p, E>,
}

/// What a connection wants done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action<'p> {
    /// Receive into `into`, or into a lent buffer.
    Recv {
        /// The buffer that holds a part already.
        into: Option<Buf<'p>>,
    },
    /// Send both parts.
    Send {
        /// Sent first.
        head: Buf<'p>,
        /// Sent behind it.
        body: &'p [u8],
    },
    /// End one or both directions.
    Shutdown(Shutdown),
    /// Ask for the end of the receive in flight.
    CancelRecv,
    /// Ask for the end of the send in flight.
    CancelSend,
    /// Close the handle; nothing else is in flight.
    Close,
}

/// Classes of deadlines; within one, every timeout has the same length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Deadline {
    /// From accept to the first byte.
    FirstByte,
    /// The whole head.
    Head,
    /// Progress of content.
    Content,
    /// Progress of a send.
    Write,
    /// A deferred answer.
    Defer,
    /// Raw bytes of an upgraded connection.
    Upgraded,
    /// Idle between requests.
    Idle,
    /// Lingering.
    Linger,
}

impl Deadline {
    /// Number of classes.
    pub const COUNT: usize = 8;

    /// All classes, by number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::FirstByte,
        Self::Head,
        Self::Content,
        Self::Write,
        Self::Defer,
        Self::Upgraded,
        Self::Idle,
        Self::Linger,
    ];

    /// The timeout of this class in milliseconds, `None` when it is switched off.
    #[must_use]
    pub fn timeout_ms(self, limits: &Limits) -> Option<u32> {
        let timeouts = &limits.timeouts;
        match self {
            Self::FirstByte => timeouts.first_byte_timeout_ms,
            Self::Head => timeouts.head_timeout_ms,
            Self::Content => progress_window(timeouts.content_timeout_ms, timeouts.rate_min).map(|rate| rate.window_ms),
            Self::Write => progress_window(timeouts.write_timeout_ms, timeouts.rate_min).map(|rate| rate.window_ms),
            Self::Defer => timeouts.defer_timeout_ms,
            Self::Upgraded => timeouts.upgraded_timeout_ms,
            Self::Idle => timeouts.idle_timeout_ms,
            Self::Linger => timeouts.linger_timeout_ms,
        }
    }
}

/// Progress timeout and minimum rate as one rule: so many bytes in each window. A window is never longer than the
/// progress timeout, so a transfer that stands still fails by its rate.
fn progress_window(timeout_ms: Option<u32>, rate: Option<RateMin>) -> Option<RateMin> {
    match (timeout_ms, rate) {
        (None, None) => None,
        (Some(window_ms), None) => Some(RateMin { bytes: 1, window_ms }),
        (None, Some(rate)) => Some(rate),
        (Some(timeout_ms), Some(rate)) if timeout_ms >= rate.window_ms => Some(rate),
        (Some(timeout_ms), Some(rate)) => {
            let bytes = u64::from(rate.bytes) * u64::from(timeout_ms) / u64::from(rate.window_ms.max(1));
            Some(RateMin { bytes: (bytes as u32).max(1), window_ms: timeout_ms })
        }
    }
}

/// Bits of [`Connection`]'s flag word.
mod flag {
    /// A receive is in flight.
    pub(super) const RECV: u16 = 1;
    /// A send is in flight.
    pub(super) const SEND: u16 = 1 << 1;
    /// The close is in flight.
    pub(super) const CLOSE: u16 = 1 << 2;
    /// The receive in flight was told to end.
    pub(super) const RECV_CANCELED: u16 = 1 << 3;
    /// The send in flight was told to end.
    pub(super) const SEND_CANCELED: u16 = 1 << 4;
    /// The sending direction was shut down.
    pub(super) const SHUT: u16 = 1 << 5;
    /// No buffer was free: waits in line.
    pub(super) const STARVED: u16 = 1 << 6;
    /// The peer's FIN was seen.
    pub(super) const ENDED: u16 = 1 << 7;
    /// The connection ends behind the current response.
    pub(super) const LAST: u16 = 1 << 8;
    /// A part of the current response has left the buffer.
    pub(super) const BEGUN: u16 = 1 << 9;
    /// The handler wants more bytes than there are before it consumes any.
    pub(super) const HUNGRY: u16 = 1 << 10;
    /// The receive in flight uses a lent buffer.
    pub(super) const LENT: u16 = 1 << 11;
    /// The deadline starts anew although its class is the same: a window is complete, or an exchange.
    pub(super) const PROGRESS: u16 = 1 << 12;
    /// The exchange counts as under way.
    pub(super) const COUNTED: u16 = 1 << 13;
    /// The deferred answer is there.
    pub(super) const RESOLVED: u16 = 1 << 14;
    /// The embedding program gets the connection.
    pub(super) const DETACHED: u16 = 1 << 15;
}

impl<E> Default for Connection<'_, E> {
    fn default() -> Self {
        Self { inbound: None, exchange: Exchange::default() }
    }
}

/// What a connection tells about itself.
impl<E> Connection<'_, E> {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where it stands.
    #[inline]
    #[must_use]
    pub fn state(&self) -> State {
        self.exchange.state
    }

    /// Whether the handle is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.exchange.state == State::Closed
    }

    /// Whether it waits for a buffer; [`handle_buffers`](Self::handle_buffers) when there are some.
    #[inline]
    #[must_use]
    pub fn is_starved(&self) -> bool {
        self.exchange.has(flag::STARVED)
    }

    /// Whether it waits for a lent buffer to receive into, and holds none meanwhile.
    #[must_use]
    pub fn is_starved_to_receive(&self) -> bool {
        self.is_starved() && self.inbound.is_none()
    }

    /// Whether the receive in flight took a lent buffer or waits for one.
    #[inline]
    #[must_use]
    pub fn is_receiving_lent(&self) -> bool {
        self.exchange.has(flag::LENT)
    }

    /// Whether an exchange is under way: a head was answered to, and not all of the answer is out.
    #[must_use]
    pub fn is_exchanging(&self) -> bool {
        matches!(self.exchange.state, State::Processing | State::Writing | State::ReadingContent | State::Switched)
    }

    /// Requests served so far.
    #[must_use]
    pub fn requests_served(&self) -> u32 {
        self.exchange.served
    }

    /// Whether the embedding program can have it: [`take_detached`](Self::take_detached).
    #[inline]
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.exchange.state == State::Switched
            && self.exchange.has(flag::DETACHED)
            && !self.exchange.has(flag::RECV | flag::SEND)
    }

    /// Why it ends, once it does.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.exchange.reason
    }

    /// The deadline that runs now, as a function of the state: the same before and after
    /// [`next_action`](Self::next_action) hands out the operation that it limits.
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        let exchange = &self.exchange;
        let sends = || exchange.has(flag::SEND) || matches!(exchange.output, Output::Unsent { .. });
        let receives = |unless| exchange.has(flag::RECV) || !exchange.has(unless);
        match exchange.state {
            State::New => Some(Deadline::FirstByte),
            State::ReadingHead => Some(Deadline::Head),
            State::ReadingContent if receives(flag::STARVED) => Some(Deadline::Content),
            State::Writing if sends() => Some(Deadline::Write),
            State::KeepAlive => Some(Deadline::Idle),
            State::Processing if exchange.is_deferred() => Some(Deadline::Defer),
            State::Switched if receives(flag::STARVED | flag::ENDED | flag::DETACHED) => Some(Deadline::Upgraded),
            State::Lingering => Some(Deadline::Linger),
            _ => None,
        }
    }

    /// Whether the deadline changed since the last call: `Some(None)` when none runs any more, `Some(Some(class))` when
    /// one of that class begins now, or begins anew.
    #[inline]
    pub fn deadline_change(&mut self, now: Instant) -> Option<Option<Deadline>> {
        let wanted = self.deadline();
        let exchange = &mut self.exchange;
        let armed = exchange.armed;
        if wanted == armed && !exchange.has(flag::PROGRESS) {
            return None;
        }
        exchange.clear(flag::PROGRESS);
        exchange.armed = wanted;
        let direction = match wanted {
            Some(Deadline::Content) => Some(Direction::Content),
            Some(Deadline::Write) => Some(Direction::Write),
            _ => None,
        };
        exchange.windows.run(now, direction);
        Some(wanted)
    }
}

/// What happens to a connection.
impl<'p, E> Connection<'p, E> {
    /// The receive in flight has completed.
    pub fn handle_received<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        result: Result<u32, IoError>,
        buf: Option<Buf<'p>>,
    ) {
        self.exchange.clear(flag::RECV | flag::RECV_CANCELED | flag::LENT);
        match buf {
            Some(buf) if self.exchange.state == State::Closing => return release(cx.pool, buf),
            Some(buf) if !buf.is_empty() => self.inbound = Some(buf),
            Some(buf) => release(cx.pool, buf),
            None => {}
        }
        match result {
            Ok(0) => self.handle_fin(cx),
            Ok(count) => {
                cx.counters.bytes_received += u64::from(count);
                self.handle_bytes(cx, count);
            }
            Err(IoError::NoBuffers) => self.exchange.set(flag::STARVED),
            Err(IoError::Canceled) if self.exchange.has(flag::DETACHED) => {}
            Err(IoError::Canceled) if self.exchange.state == State::Lingering => self.drop_inbound(cx),
            Err(_) => self.close(cx, CloseReason::PeerReset),
        }
    }

    #[inline]
    fn handle_bytes<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, count: u32) {
        let exchange = &mut self.exchange;
        exchange.clear(flag::HUNGRY);
        match exchange.state {
            State::ReadingContent => {
                match exchange.windows.count(cx.now, Direction::Content, count, content_rate(cx.limits)) {
                    Progress::Going => {}
                    Progress::Complete => exchange.set(flag::PROGRESS),
                    Progress::TooSlow => return self.refuse(cx, Answer::new(408), CloseReason::ContentTimeout),
                }
            }
            State::Switched => exchange.set(flag::PROGRESS),
            // A receive that was armed while the answer was deferred: the bytes of the next request wait.
            State::Writing if !exchange.has(flag::LAST) => return,
            State::Writing | State::Lingering | State::Closing | State::Closed => return self.drop_late(cx, count),
            _ => {}
        }
        self.advance(cx);
    }

    /// What arrives behind the last response is counted and dropped.
    fn drop_late<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, count: u32) {
        self.drop_inbound(cx);
        self.exchange.dropped = self.exchange.dropped.saturating_add(count);
        if self.exchange.state == State::Lingering && self.exchange.dropped > cx.limits.linger_bytes_max {
            self.close(cx, CloseReason::ContentUnread);
        }
    }

    fn handle_fin<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        self.exchange.set(flag::ENDED);
        match self.exchange.state {
            State::New | State::KeepAlive => self.close(cx, CloseReason::PeerClosed),
            State::Writing => {} // half-closed: what is being answered goes out first
            State::Switched => self.advance(cx),
            State::Lingering => self.close(cx, CloseReason::PeerClosed),
            State::Processing if self.exchange.is_deferred() => self.client_vanished(cx),
            _ => self.close(cx, CloseReason::PeerClosedEarly),
        }
    }

    fn client_vanished<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let Some(Flow::Defer(state)) = self.exchange.waiting.take() else { return };
        match cx.handler.vanished(state) {
            Some(state) => self.exchange.waiting = Some(Flow::Defer(state)),
            None => {
                self.exchange.end_deferral(cx);
                self.close(cx, CloseReason::PeerClosedEarly);
            }
        }
    }

    /// The token of the deferred answer was resolved.
    pub fn handle_resolved<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if self.exchange.is_deferred() {
            self.exchange.set(flag::RESOLVED);
            self.advance(cx);
        }
    }

    /// The send in flight has completed.
    pub fn handle_sent<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        result: Result<u32, IoError>,
        mut head: Buf<'p>,
        mut body: &'p [u8],
    ) {
        self.exchange.clear(flag::SEND | flag::SEND_CANCELED);
        let count = match result {
            Ok(count) if self.exchange.state == State::Writing => count,
            Ok(_) | Err(IoError::Canceled) => return release(cx.pool, head), // closing
            Err(_) => {
                release(cx.pool, head);
                return self.close(cx, CloseReason::PeerReset);
            }
        };
        cx.counters.bytes_sent += u64::from(count);
        let of_head = (count as usize).min(head.len());
        body = body.get(count as usize - of_head..).unwrap_or_default();
        head.consume(of_head);
        if !head.is_empty() || !body.is_empty() {
            self.exchange.output = Output::Unsent { head, body };
            self.count_sent(cx, count);
            return;
        }
        release(cx.pool, head);
        if self.exchange.waiting.is_some() && !self.count_sent(cx, count) {
            return;
        }
        self.advance(cx);
    }

    /// Counts what was sent of a response that goes on; `false` when that was too slow, and the connection is closed.
    fn count_sent<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, count: u32) -> bool {
        match self.exchange.windows.count(cx.now, Direction::Write, count, write_rate(cx.limits)) {
            Progress::Going => {}
            Progress::Complete => self.exchange.set(flag::PROGRESS),
            Progress::TooSlow => {
                self.close(cx, CloseReason::WriteTimeout);
                return false;
            }
        }
        true
    }

    /// The close in flight has completed.
    pub fn handle_closed(&mut self) {
        self.exchange.clear(flag::CLOSE);
        self.exchange.go(Event::Closed);
    }

    /// Buffers may be free again: tries what [`is_starved`](Self::is_starved) waited for.
    pub fn handle_buffers<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        self.exchange.clear(flag::STARVED);
        self.advance(cx);
    }

    /// A deadline has passed.
    pub fn handle_timeout<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, deadline: Deadline) {
        self.exchange.armed = None;
        if self.deadline() != Some(deadline) {
            return;
        }
        match deadline {
            Deadline::FirstByte => self.close(cx, CloseReason::FirstByteTimeout),
            Deadline::Idle => self.close(cx, CloseReason::IdleTimeout),
            Deadline::Linger => self.close(cx, self.exchange.reason.unwrap_or(CloseReason::PeerClosed)),
            Deadline::Head => self.refuse(cx, Answer::new(408), CloseReason::HeadTimeout),
            Deadline::Content => self.refuse(cx, Answer::new(408), CloseReason::ContentTimeout),
            Deadline::Write => self.close(cx, CloseReason::WriteTimeout),
            Deadline::Defer => {
                self.exchange.abandon(cx);
                let answer = Answer { retry_after_s: Some(RETRY_AFTER_S), ..Answer::new(503) };
                self.refuse(cx, answer, CloseReason::DeferTimeout);
            }
            Deadline::Upgraded => self.close(cx, CloseReason::IdleTimeout),
        }
    }

    /// Answers a newcomer 503 before it has said anything.
    pub(crate) fn shed<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let answer = Answer { retry_after_s: Some(RETRY_AFTER_S), ..Answer::new(503) };
        self.refuse(cx, answer, CloseReason::Shed);
    }

    /// Gives state and leftover bytes away; the connection is over without a close.
    pub fn take_detached(&mut self) -> Option<(E, Option<Buf<'p>>)> {
        if !self.is_detached() {
            return None;
        }
        match self.exchange.waiting.take() {
            Some(Flow::Detach(state)) => Some((state, self.inbound.take())),
            _ => None,
        }
    }

    /// Ends the connection without an answer. Operations in flight are told to end; the handler's state is dropped.
    pub fn close<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, reason: CloseReason) {
        if matches!(self.exchange.state, State::Closing | State::Closed) {
            return;
        }
        // A reason that was set with the response counts once the response is out; what cuts it counts instead of it.
        if self.exchange.state != State::Lingering || self.exchange.reason.is_none() {
            self.exchange.reason = Some(reason);
        }
        self.exchange.go(Event::Close);
        self.exchange.abandon(cx);
        self.exchange.clear(flag::STARVED);
        self.exchange.release_output(cx.pool);
        self.drop_inbound(cx);
    }

    /// Answers the request at hand with an error and ends the connection behind it; without an answer when a part of
    /// a response has left already, the whole response is written, or no buffer is free.
    pub fn refuse<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        answer: Answer<'_>,
        reason: CloseReason,
    ) {
        let answered = self.exchange.state == State::ReadingContent && self.exchange.waiting.is_none();
        if !answered {
            cx.counters.refused += 1;
            if !self.exchange.write_refusal(cx, answer) {
                return self.close(cx, reason);
            }
        }
        self.exchange.reason.get_or_insert(reason);
        self.exchange.abandon(cx);
        self.exchange.set(flag::LAST);
        self.exchange.clear(flag::STARVED);
        // What is left of the input is never looked at again, so nothing can be answered twice.
        self.exchange.unread = true;
        self.drop_inbound(cx);
        self.exchange.go(Event::Respond);
        if !self.exchange.has_output() {
            // The response has left; only what came behind it was wrong.
            self.exchange.release_output(cx.pool);
            self.end(cx);
        }
    }

    /// Ends it before anything was read.
    pub(crate) fn refuse_new(&mut self, reason: CloseReason) {
        self.exchange.reason.get_or_insert(reason);
        self.exchange.go(Event::Close);
    }

    /// Ends it as soon as nothing is lost: at once when idle or new, behind the response otherwise.
    pub fn stop<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, reason: CloseReason) {
        match self.exchange.state {
            State::New | State::KeepAlive => self.close(cx, reason),
            _ => {}
        }
    }
}

/// What a connection wants.
impl<'p, E> Connection<'p, E> {
    /// The next thing to do, `None` when there is nothing to be done until something happens. Ask again afterwards.
    #[inline]
    pub fn next_action(&mut self, pool: &mut BufferPool<'_, 'p>) -> Option<Action<'p>> {
        let exchange = &mut self.exchange;
        match exchange.state {
            State::Writing if !exchange.has(flag::SEND) => {
                let Output::Unsent { head, body } = core::mem::take(&mut exchange.output) else { return None };
                exchange.set(flag::SEND);
                exchange.leave(head.len(), body.len());
                Some(Action::Send { head, body })
            }
            State::New | State::KeepAlive | State::ReadingHead | State::ReadingContent
                if !exchange.has(flag::RECV | flag::STARVED) =>
            {
                self.next_recv(pool)
            }
            State::Processing | State::Switched => self.next_parked(pool),
            State::Lingering => self.next_lingering(),
            State::Closing => self.next_closing(pool),
            _ => None,
        }
    }

    #[inline]
    fn next_recv(&mut self, pool: &mut BufferPool<'_, 'p>) -> Option<Action<'p>> {
        let into = match self.inbound.take() {
            Some(mut buf) if !buf.is_empty() => {
                if buf.spare_len() == 0 {
                    buf.compact();
                }
                Some(buf)
            }
            Some(buf) => {
                release(pool, buf);
                self.exchange.bulk_buffer(pool)
            }
            None if self.exchange.state == State::ReadingContent => self.exchange.bulk_buffer(pool),
            None => None,
        };
        self.exchange.set(if into.is_some() { flag::RECV } else { flag::RECV | flag::LENT });
        Some(Action::Recv { into })
    }

    /// While an answer is deferred, one receive notices that the client goes away; while another protocol is spoken,
    /// it brings the bytes.
    #[cold]
    fn next_parked(&mut self, pool: &mut BufferPool<'_, 'p>) -> Option<Action<'p>> {
        if !self.has_action() {
            return None;
        }
        if self.exchange.has(flag::DETACHED) {
            self.exchange.set(flag::RECV_CANCELED);
            return Some(Action::CancelRecv);
        }
        self.next_recv(pool)
    }

    #[cold]
    fn next_lingering(&mut self) -> Option<Action<'p>> {
        if !self.exchange.has(flag::SHUT) {
            self.exchange.set(flag::SHUT);
            return Some(Action::Shutdown(Shutdown::Write));
        }
        if self.exchange.pins_buffer() {
            // What arrives is dropped; a lent buffer will do for that.
            self.exchange.set(flag::RECV_CANCELED);
            return Some(Action::CancelRecv);
        }
        if self.exchange.has(flag::RECV | flag::STARVED) {
            return None;
        }
        self.exchange.set(flag::RECV | flag::LENT);
        Some(Action::Recv { into: None })
    }

    /// Shutdown, join, close: never a close with an operation in flight.
    fn next_closing(&mut self, pool: &mut BufferPool<'_, 'p>) -> Option<Action<'p>> {
        if let Some(buf) = self.inbound.take() {
            release(pool, buf); // pipelined requests behind a response that broke off
        }
        let exchange = &mut self.exchange;
        let in_flight = exchange.has(flag::RECV | flag::SEND);
        if exchange.has(flag::CLOSE) {
            return None;
        }
        if !in_flight {
            exchange.set(flag::CLOSE);
            return Some(Action::Close);
        }
        if !exchange.has(flag::SHUT) {
            exchange.set(flag::SHUT);
            return Some(Action::Shutdown(Shutdown::Both));
        }
        for (operation, canceled, action) in [
            (flag::RECV, flag::RECV_CANCELED, Action::CancelRecv),
            (flag::SEND, flag::SEND_CANCELED, Action::CancelSend),
        ] {
            if exchange.has(operation) && !exchange.has(canceled) {
                exchange.set(canceled);
                return Some(action);
            }
        }
        None
    }

    /// Whether what [`next_action`](Self::next_action) would answer is no operation.
    #[inline]
    #[must_use]
    pub fn has_control(&self) -> bool {
        let exchange = &self.exchange;
        match exchange.state {
            State::Lingering => !exchange.has(flag::SHUT) || exchange.pins_buffer(),
            State::Closing => exchange.has(flag::RECV | flag::SEND) && self.has_action(),
            State::Switched => exchange.has(flag::DETACHED) && self.has_action(),
            _ => false,
        }
    }

    /// An action's operation was not taken: everything is as before it.
    #[cold]
    pub fn handle_rejected(&mut self, pool: &mut BufferPool<'_, 'p>, op: Op<'p>) {
        match op {
            Op::Recv { into, .. } => {
                self.exchange.clear(flag::RECV | flag::LENT);
                match into {
                    Some(buf) if buf.is_empty() => release(pool, buf),
                    into => self.inbound = into,
                }
            }
            Op::Send { head, body, .. } => {
                self.exchange.clear(flag::SEND);
                self.exchange.output = Output::Unsent { head, body };
            }
            Op::Close { .. } => self.exchange.clear(flag::CLOSE),
            Op::Accept { .. } => {}
        }
    }

    /// Whether [`next_action`](Self::next_action) would answer with something: for a caller that can take one only.
    #[inline]
    #[must_use]
    pub fn has_action(&self) -> bool {
        let exchange = &self.exchange;
        match exchange.state {
            State::Writing => !exchange.has(flag::SEND) && matches!(exchange.output, Output::Unsent { .. }),
            State::New | State::KeepAlive | State::ReadingHead | State::ReadingContent => {
                !exchange.has(flag::RECV | flag::STARVED)
            }
            State::Processing => {
                exchange.is_deferred()
                    && !exchange.has(flag::RECV | flag::STARVED | flag::ENDED)
                    && self.inbound.as_ref().is_none_or(|inbound| inbound.is_empty())
            }
            State::Switched if exchange.has(flag::DETACHED) => {
                exchange.has(flag::RECV) && !exchange.has(flag::RECV_CANCELED)
            }
            State::Switched => !exchange.has(flag::RECV | flag::STARVED | flag::ENDED),
            State::Lingering => {
                !exchange.has(flag::SHUT) || exchange.pins_buffer() || !exchange.has(flag::RECV | flag::STARVED)
            }
            State::Closing => {
                let lacks = |operation, canceled| exchange.has(operation) && !exchange.has(canceled);
                !exchange.has(flag::CLOSE)
                    && (!exchange.has(flag::RECV | flag::SEND)
                        || !exchange.has(flag::SHUT)
                        || lacks(flag::RECV, flag::RECV_CANCELED)
                        || lacks(flag::SEND, flag::SEND_CANCELED))
            }
            _ => false,
        }
    }
}

/// The way from one state to the next.
impl<'p, E> Connection<'p, E> {
    /// Goes on until something outside has to happen first.
    fn advance<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        loop {
            let goes_on = match self.exchange.state {
                State::New | State::KeepAlive | State::ReadingHead => self.read_head(cx),
                State::ReadingContent => self.read_content(cx),
                State::Writing => self.write(cx),
                State::Processing => self.exchange.resume(cx),
                State::Switched => self.read_raw(cx),
                State::Lingering | State::Closing | State::Closed => false,
            };
            if !goes_on {
                break;
            }
        }
    }

    /// Parses the next head and dispatches it. Bytes that are there are parsed before more are asked for.
    #[inline]
    fn read_head<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        let Some(inbound) = self.inbound.as_ref().filter(|buf| !buf.is_empty()) else {
            return self.finish_input(cx);
        };
        let exchange = &mut self.exchange;
        if exchange.state != State::ReadingHead {
            exchange.go(Event::Bytes);
        }
        let mut scan = exchange.scan;
        let limits = cx.limits;
        let available = inbound.len();
        let dispatched = with_head(inbound.filled(), limits, &mut scan, |head| match head {
            Ok(Some(request)) => exchange.dispatch(cx, &request, available),
            Ok(None) => Dispatched::Partial,
            Err(error) => Dispatched::Refused(error),
        });
        match dispatched {
            Dispatched::Answered { head_len } => {
                self.exchange.scan = HeadScan::default();
                if let Some(inbound) = &mut self.inbound {
                    inbound.consume(head_len);
                }
                true
            }
            Dispatched::Flush => {
                self.exchange.go(Event::Respond);
                true
            }
            Dispatched::Starved => {
                self.exchange.set(flag::STARVED);
                false
            }
            Dispatched::Partial => {
                self.exchange.scan = scan;
                self.await_head(cx)
            }
            Dispatched::Refused(error) => {
                let status = error.status();
                let reason = if matches!(status, 414 | 431) { CloseReason::TooLarge } else { CloseReason::BadRequest };
                self.refuse(cx, Answer::new(status), reason);
                true
            }
        }
    }

    /// Nothing is left to parse: sends what was gathered, or goes idle without a buffer.
    #[inline]
    fn finish_input<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        self.drop_inbound(cx);
        if self.exchange.has_output() {
            self.exchange.go(Event::Respond);
            return true;
        }
        if self.exchange.has(flag::ENDED) {
            self.close(cx, CloseReason::PeerClosed);
        } else if let Some(reason) = cx.last.filter(|_| self.exchange.served > 0) {
            self.close(cx, reason);
        } else if self.exchange.state == State::ReadingHead {
            self.exchange.go(Event::Idle);
        }
        false
    }

    /// A part of a head is there: what was gathered goes first, then there must be room for the rest.
    #[cold]
    fn await_head<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        if self.exchange.has_output() {
            self.exchange.go(Event::Respond);
            return true;
        }
        if self.exchange.has(flag::ENDED) {
            self.close(cx, CloseReason::PeerClosedEarly);
            return false;
        }
        if !self.make_room(cx, cx.limits.head_bytes_max as usize) {
            self.exchange.set(flag::STARVED);
        }
        false
    }

    /// Makes room behind what was received: moves it to the front, and grows at 90 % of the class, while `bytes_max`
    /// allows. Without a larger buffer it goes on until the last byte; `false` when there is none left.
    fn make_room<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, bytes_max: usize) -> bool {
        let Some(mut buf) = self.inbound.take() else { return true };
        if buf.spare_len() < buf.capacity() / 10 {
            buf.compact();
        }
        if buf.spare_len() < buf.capacity() / 10 && buf.capacity() < bytes_max {
            buf = match cx.pool.grow(buf) {
                Ok(buf) | Err(buf) => buf,
            };
        }
        let has_room = buf.spare_len() > 0;
        self.inbound = Some(buf);
        has_room
    }

    /// Sends what is there; then whatever the exchange wants next.
    #[inline]
    fn write<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) -> bool {
        let exchange = &mut self.exchange;
        if exchange.has(flag::SEND) || exchange.has_output() {
            return false;
        }
        exchange.release_output(cx.pool);
        match &exchange.waiting {
            Some(Flow::Produce(_)) => exchange.produce(cx),
            Some(Flow::Defer(_)) => {
                exchange.go(Event::CallHandler);
                true
            }
            Some(_) if exchange.stream == Stream::Raw => {
                exchange.go(Event::Switch);
                true
            }
            Some(_) => {
                exchange.go(Event::NeedContent);
                true
            }
            None if exchange.has(flag::LAST) => {
                self.end(cx);
                false
            }
            None if !exchange.body.is_finished() => {
                exchange.go(Event::NeedContent);
                true
            }
            None => {
                exchange.go(Event::Bytes);
                true
            }
        }
    }

    /// The last response is out: closes at once when the peer knows and nothing of it is unread, else lingers, or the
    /// reset that close(2) on unread input causes would eat the answer.
    fn end<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let exchange = &mut self.exchange;
        let unread = exchange.unread
            || !exchange.body.is_finished()
            || self.inbound.as_ref().is_some_and(|inbound| !inbound.is_empty());
        let reason = exchange.reason.unwrap_or(CloseReason::PeerAsked);
        let known = matches!(reason, CloseReason::PeerAsked | CloseReason::PeerClosed);
        if exchange.has(flag::ENDED) || (known && !unread) {
            return self.close(cx, reason);
        }
        exchange.reason = Some(reason);
        exchange.go(Event::Linger);
        self.drop_inbound(cx);
    }

    #[inline]
    fn drop_inbound<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if let Some(buf) = self.inbound.take() {
            release(cx.pool, buf);
        }
    }
}

/// Gives a buffer back. The pool refuses only what is not its own, and that is the reactor's to keep.
#[inline]
fn release<'p>(pool: &mut BufferPool<'_, 'p>, buf: Buf<'p>) {
    let foreign = pool.release(buf);
    debug_assert!(foreign.is_ok(), "every buffer comes from the pool");
}

fn content_rate(limits: &Limits) -> Option<RateMin> {
    progress_window(limits.timeouts.content_timeout_ms, limits.timeouts.rate_min)
}

fn write_rate(limits: &Limits) -> Option<RateMin> {
    progress_window(limits.timeouts.write_timeout_ms, limits.timeouts.rate_min)
}

/// The class that a receive starts with: what a reactor is lent.
pub(crate) fn receive_class(limits: &Limits) -> Class {
    if limits.head_bytes_max as usize <= Class::Tiny.size() { Class::Tiny } else { Class::Small }
}

impl<E> fmt::Debug for Connection<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.exchange.state)
            .field("inbound", &self.inbound)
            .field("served", &self.exchange.served)
            .field("reason", &self.exchange.reason)
            .finish_non_exhaustive()
    }
}
