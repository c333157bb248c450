//! One connection: what it does with bytes that came in, what it wants next, when it gives up. No I/O.
//!
//! What a connection wants is a function of its state: [`Connection::next_action`] hands out one operation after the
//! other and [`Connection::handle_received`], [`Connection::handle_sent`] and [`Connection::handle_closed`] take their
//! outcome. The [`Engine`](crate::engine::Engine) drives many of them; a program with a single byte stream may drive
//! one itself.

mod actions;
mod advance;
mod body;
mod calling;
mod content;
mod deadline;
mod exchange;
mod later;
mod linger;
mod own_answers;
mod unread;
mod window;

use core::fmt;

use crate::answer::Answer;
use crate::counters::Counters;
use crate::error::CloseReason;
use crate::handler::{Flow, Handler, RefusalCause};
use crate::limits::Limits;
use crate::parse::{is_head_request, target_in};
pub use crate::peer::Place;
use crate::pool::{Arena, Buf, BufferPool, Class};
use crate::preamble::Preamble;
use crate::reactor::{IoError, Shutdown};
use crate::state::{Event, State};
use crate::time::Instant;
use crate::writer::RETRY_AFTER_S;
pub use deadline::Deadline;
use deadline::{content_rate, write_rate};
use exchange::{Exchange, Output};
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

/// Bits of [`Connection`]'s flag word.
mod flag {
    /// A receive is in flight.
    pub(super) const RECV: u32 = 1;
    /// A send is in flight.
    pub(super) const SEND: u32 = 1 << 1;
    /// The close is in flight.
    pub(super) const CLOSE: u32 = 1 << 2;
    /// The receive in flight was told to end.
    pub(super) const RECV_CANCELED: u32 = 1 << 3;
    /// The send in flight was told to end.
    pub(super) const SEND_CANCELED: u32 = 1 << 4;
    /// The sending direction was shut down.
    pub(super) const SHUT: u32 = 1 << 5;
    /// No buffer was free: waits in line.
    pub(super) const STARVED: u32 = 1 << 6;
    /// The peer's FIN was seen.
    pub(super) const ENDED: u32 = 1 << 7;
    /// The connection ends behind the current response.
    pub(super) const LAST: u32 = 1 << 8;
    /// A part of the current response has left the buffer.
    pub(super) const BEGUN: u32 = 1 << 9;
    /// The handler wants more bytes than there are before it consumes any.
    pub(super) const HUNGRY: u32 = 1 << 10;
    /// The receive in flight uses a lent buffer.
    pub(super) const LENT: u32 = 1 << 11;
    /// The deadline starts anew although its class is the same: a window is complete, or an exchange.
    pub(super) const PROGRESS: u32 = 1 << 12;
    /// The exchange counts as under way.
    pub(super) const COUNTED: u32 = 1 << 13;
    /// The token of the exchange was resolved.
    pub(super) const RESOLVED: u32 = 1 << 14;
    /// The embedding program gets the connection.
    pub(super) const DETACHED: u32 = 1 << 15;
    /// Nobody will look at what still arrives: it is dropped.
    pub(super) const DEAF: u32 = 1 << 16;
    /// No buffer was free to drop input into: not asked for again before the next send completes.
    pub(super) const UNFED: u32 = 1 << 17;
    /// The carriage return of an empty line in front of the next head was taken.
    pub(super) const BLANK_CR: u32 = 1 << 18;
    /// An empty line in front of the next head was taken: there must not be another one.
    pub(super) const BLANK_LINE: u32 = 1 << 19;
    /// The handler set a time.
    pub(super) const TIMED: u32 = 1 << 20;
    /// That time has come.
    pub(super) const TIME: u32 = 1 << 21;
    /// A stop has begun, and the handler is to be told.
    pub(super) const STOPPING: u32 = 1 << 22;
    /// The handler was told of the stop.
    pub(super) const TOLD: u32 = 1 << 23;
    /// A 100 (Continue) is in front of the response that is written.
    pub(super) const CONTINUE: u32 = 1 << 25;
    /// What the send in flight left out, the response behind a 100 (Continue), stays in its buffer.
    pub(super) const HELD_BACK: u32 = 1 << 24;

    /// What calls a handler that waits for no bytes.
    pub(super) const WOKEN: u32 = RESOLVED | TIME | STOPPING;
}

impl<E> Default for Connection<'_, E> {
    fn default() -> Self {
        Self { inbound: None, exchange: Exchange::default() }
    }
}

/// What a connection tells about itself.
impl<'p, E> Connection<'p, E> {
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
        self.is_starved() && self.inbound.is_none() && !self.exchange.is_woken()
    }

    /// Whether the receive in flight took a lent buffer or waits for one.
    #[inline]
    #[must_use]
    pub fn is_receiving_lent(&self) -> bool {
        self.exchange.has(flag::LENT)
    }

    /// Whether a buffer of the pool is in its hands, or in those of its operations.
    pub(crate) fn holds_buffer(&self) -> bool {
        let exchange = &self.exchange;
        self.inbound.is_some()
            || !matches!(exchange.output, Output::Empty | Output::HeldBack { .. } | Output::Lingering(_))
            || exchange.has(flag::SEND)
            || (exchange.has(flag::RECV) && !exchange.has(flag::LENT))
    }

    /// Gives back what is in its hands. It is good for nothing afterwards but to be dropped.
    pub(crate) fn release_buffers(&mut self, pool: &mut BufferPool<'_, 'p>) {
        let output = match core::mem::take(&mut self.exchange.output) {
            Output::Unsent { head: buf, .. } | Output::Collected(buf) => Some(buf),
            Output::Empty | Output::HeldBack { .. } | Output::Lingering(_) => None,
        };
        for buf in self.inbound.take().into_iter().chain(output) {
            // Refused where the pool has all of its buffers, and then it is none of them.
            let _ = pool.release(buf);
        }
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
        cx.counters.bytes_received += u64::from(result.unwrap_or(0)) * u64::from(!planted!(ReceivedUncounted));
        match buf {
            Some(buf) if self.exchange.state == State::Closing => return release(cx.pool, buf),
            Some(buf) if !buf.is_empty() => self.inbound = Some(buf),
            Some(buf) => release(cx.pool, buf),
            None => {}
        }
        match result {
            Ok(0) => self.handle_fin(cx),
            Ok(count) => self.handle_bytes(cx, count),
            Err(IoError::Canceled | IoError::NoBuffers) if self.exchange.has(flag::DETACHED) => {}
            // Asked for again when it is wanted again: what it does meanwhile does not wait for buffers to receive into.
            Err(IoError::NoBuffers) if matches!(self.exchange.state, State::Writing | State::Closing) => {
                self.exchange.set(flag::UNFED);
            }
            Err(IoError::NoBuffers) => self.exchange.set(flag::STARVED),
            Err(IoError::Canceled) if self.exchange.has(flag::DEAF) => self.drop_inbound(cx),
            // The handler is to be called, and what had arrived before is needed back.
            Err(IoError::Canceled) if self.exchange.is_woken() => self.advance(cx),
            Err(_) => self.close(cx, CloseReason::PeerReset),
        }
    }

    #[inline]
    fn handle_bytes<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, count: u32) {
        let exchange = &mut self.exchange;
        if !planted!(HungerKept) {
            exchange.clear(flag::HUNGRY);
        }
        match exchange.state {
            State::ReadingContent => {
                match exchange.windows.count(cx.now, Direction::Content, count, content_rate(cx.limits)) {
                    Progress::Going => {}
                    Progress::Complete => exchange.set(flag::PROGRESS),
                    // As much as there was room for: more may have arrived in time.
                    Progress::TooSlow if self.inbound.as_ref().is_some_and(|inbound| inbound.spare_len() == 0) => {}
                    Progress::TooSlow => return self.handle_slow_bytes(cx),
                }
            }
            State::Switched => exchange.set(flag::PROGRESS),
            _ if exchange.has(flag::DEAF) => return self.drop_late(cx, count),
            // A receive that was armed before the handler was woken: the bytes wait.
            State::Writing => {
                if exchange.waits_for_content() {
                    let _ = exchange.windows.count(cx.now, Direction::Content, count, content_rate(cx.limits));
                }
                return;
            }
            State::Closing | State::Closed => return self.drop_inbound(cx),
            _ => {}
        }
        self.advance(cx);
    }

    /// These were too slow, unless they were the last ones: who knows how long they have been there.
    #[cold]
    fn handle_slow_bytes<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let request = self.exchange.served;
        self.advance(cx);
        if self.exchange.served != request || self.is_starved() {
            return;
        }
        if self.exchange.state == State::Writing && self.exchange.waits_for_content() {
            // What the handler wrote for them makes them no faster.
            self.exchange.go(Event::NeedContent);
        }
        if self.exchange.state == State::ReadingContent {
            self.refuse(cx, Answer::new(408), CloseReason::ContentTimeout);
        }
    }

    fn handle_fin<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        self.exchange.set(flag::ENDED);
        match self.exchange.state {
            State::New | State::KeepAlive => self.close(cx, CloseReason::PeerClosed),
            State::Writing if !planted!(HalfCloseEnds) => {} // half-closed: what is being answered goes out first
            State::Switched => self.advance(cx),
            State::Lingering => self.close(cx, CloseReason::PeerClosed),
            State::Processing if self.exchange.is_deferred() && !planted!(FinVanishes) => {
                self.exchange.client_vanished(cx);
                // The answer may be there already, and has waited for this receive to give back what it holds.
                if !planted!(AnswerForgotten) {
                    self.advance(cx);
                }
            }
            _ => self.close(cx, CloseReason::PeerClosedEarly),
        }
    }

    /// Whether it waits for a token.
    pub(crate) const fn waits_for_token(&self) -> bool {
        self.exchange.waits_for_token()
    }

    /// The token was resolved.
    pub fn handle_resolved<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if self.exchange.waits_for_token() {
            self.exchange.set(flag::RESOLVED);
            self.advance(cx);
        }
    }

    /// Whether a handler that may wait for long has to be told of a stop.
    pub(crate) const fn wants_to_be_told(&self) -> bool {
        self.exchange.wants_to_be_told()
    }

    /// A stop has begun: tells a handler that waits for something else than the content of its request.
    pub fn handle_stopping<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if self.exchange.wants_to_be_told() {
            self.exchange.set(flag::STOPPING | flag::TOLD);
            self.advance(cx);
        }
    }

    /// The send in flight has completed.
    pub fn handle_sent<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        result: Result<u32, IoError>,
        head: Buf<'p>,
        body: &'p [u8],
    ) {
        self.exchange.clear(flag::SEND | flag::SEND_CANCELED | flag::UNFED);
        // Also when it was told to end and was faster.
        cx.counters.bytes_sent += u64::from(result.unwrap_or(0));
        let count = match result {
            Ok(count) if self.exchange.state == State::Writing => count,
            Ok(_) | Err(IoError::Canceled) => return release(cx.pool, head), // closing
            Err(_) => {
                release(cx.pool, head);
                return self.close(cx, CloseReason::PeerReset);
            }
        };
        let is_partial = (count as usize) < head.len() + body.len() && !planted!(RestForgotten);
        if is_partial || self.exchange.has(flag::HELD_BACK) {
            self.put_back(head, body, count as usize);
            // Of all that was to be sent, the client may have had room for more all the time.
            if self.count_sent(cx, count) == Progress::TooSlow && is_partial {
                self.close(cx, CloseReason::WriteTimeout);
            }
            return;
        }
        release(cx.pool, head);
        if self.exchange.waiting.is_some() {
            // All of it: the client may have had room for more all the time.
            self.count_sent(cx, count);
        }
        self.advance(cx);
    }

    /// Counts what was sent of a response that goes on.
    fn count_sent<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, count: u32) -> Progress {
        let progress = self.exchange.windows.count(cx.now, Direction::Write, count, write_rate(cx.limits));
        if progress == Progress::Complete {
            self.exchange.set(flag::PROGRESS);
        }
        progress
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
            Deadline::Linger => self.look_at_linger(cx),
            Deadline::Head => self.refuse(cx, Answer::new(408), CloseReason::HeadTimeout),
            Deadline::Content => self.refuse(cx, Answer::new(408), CloseReason::ContentTimeout),
            Deadline::Famine => self.shed(cx),
            Deadline::Write => self.close(cx, CloseReason::WriteTimeout),
            Deadline::Defer => {
                self.exchange.abandon(cx, CloseReason::DeferTimeout);
                let answer = Answer { retry_after_s: Some(RETRY_AFTER_S), ..Answer::new(503) };
                self.refuse(cx, answer, CloseReason::DeferTimeout);
            }
            Deadline::Upgraded => self.close(cx, CloseReason::IdleTimeout),
            Deadline::Wake => {
                self.exchange.clear(flag::TIMED);
                self.exchange.set(flag::TIME);
                self.advance(cx);
            }
        }
    }

    /// Answers 503 to a newcomer before it has said anything, or to what waits for a buffer and holds others.
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
        self.exchange.abandon(cx, reason);
        self.exchange.clear(flag::STARVED);
        self.exchange.release_output(cx.pool);
        self.drop_inbound(cx);
    }

    /// Answers the request at hand with an error and ends the connection behind it; without an answer when a part of
    /// a response has left already, or no buffer is free.
    pub fn refuse<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        answer: Answer<'_>,
        reason: CloseReason,
    ) {
        if !self.exchange.is_answered() {
            cx.counters.refused += 1;
            let answer =
                Answer { head_request: self.refuses_head_request() && !planted!(HeadAnsweredWithBody), ..answer };
            let target = match self.exchange.state {
                State::New | State::ReadingHead => {
                    self.inbound.as_ref().and_then(|inbound| target_in(inbound.filled()))
                }
                _ => None,
            };
            if !self.exchange.write_refusal(cx, answer, RefusalCause::Connection(reason), target) {
                if !self.exchange.shows_its_end() {
                    return self.close(cx, reason);
                }
                self.exchange.release_output(cx.pool);
            }
        }
        self.exchange.reason.get_or_insert(reason);
        self.exchange.abandon(cx, reason);
        // What is left of the input is never looked at again, so nothing can be answered twice.
        self.exchange.set(flag::LAST | flag::DEAF);
        self.exchange.clear(flag::STARVED);
        self.drop_inbound(cx);
        self.exchange.go(Event::Respond);
        if !self.exchange.has_output() {
            // The response has left; only what came behind it was wrong.
            self.exchange.release_output(cx.pool);
            self.end(cx);
        }
    }

    /// Whether a head that no handler is called for is known to be that of a HEAD request. A head that goes on arriving
    /// lies in the receive in flight: then what was seen of it is remembered.
    fn refuses_head_request(&self) -> bool {
        match &self.inbound {
            Some(inbound) => is_head_request(inbound.filled()),
            None => self.exchange.scan.is_head_request(),
        }
    }

    /// Ends it before anything was read.
    pub(crate) fn refuse_new(&mut self, reason: CloseReason) {
        self.exchange.reason.get_or_insert(reason);
        self.exchange.go(Event::Close);
    }

    /// Ends it as soon as nothing is lost: at once when new, or idle with a client that has every response; by lingering
    /// when the client is still receiving; behind the response otherwise.
    pub fn stop<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, reason: CloseReason) {
        match self.exchange.state {
            State::KeepAlive
                if cx
                    .place
                    .peers
                    .unacknowledged(cx.place.io)
                    .is_some_and(|count| count > 0 && !planted!(StopDestroys)) =>
            {
                self.exchange.reason.get_or_insert(reason);
                self.exchange.set(flag::LAST);
                self.end(cx);
            }
            State::New | State::KeepAlive => self.close(cx, reason),
            _ => {}
        }
    }
}

/// Gives a buffer back. The pool refuses only what is not its own, and that is the reactor's to keep.
#[inline]
fn release<'p>(pool: &mut BufferPool<'_, 'p>, buf: Buf<'p>) {
    let foreign = pool.release(buf);
    debug_assert!(foreign.is_ok(), "every buffer comes from the pool");
}

/// The largest class that the pool has any buffers of.
fn largest_class(pool: &BufferPool<'_, '_>) -> Class {
    Class::ALL.into_iter().rfind(|class| pool.capacity(*class) > 0).unwrap_or(Class::Tiny)
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
