//! One connection: how it handles received bytes, which operation it needs next, and when it gives up. No I/O.
//!
//! The next operation is a function of the state: [`Connection::next_action`] returns one after another, and
//! [`Connection::handle_received`], [`Connection::handle_sent`] and [`Connection::handle_closed`] take their outcomes.
//! The [`Engine`](crate::engine::Engine) drives many connections; a program with a single byte stream can drive one
//! itself.
//!
//! ```
//! # use aurora_http_core::connection::{Action, Connection, Context, Place};
//! # use aurora_http_core::defer::Deferrals;
//! # use aurora_http_core::handler::handler_fn;
//! # use aurora_http_core::limits::Limits;
//! # use aurora_http_core::pool::{Arena, Buffers, BufferPool, Class, ClassCounts, Handle, LOANS_MAX};
//! # use aurora_http_core::preamble::Preamble;
//! # use aurora_http_core::reactor::{IoHandle, NoPeers};
//! # use aurora_http_core::request::Request;
//! # use aurora_http_core::time::Instant;
//! # use aurora_http_core::writer::{ResponseWriter, WriteError};
//! # let (mut memory, mut table) = (Buffers::<2, 1024>::new(), [const { None }; 2]);
//! # let mut pool = BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Tiny, 2))?;
//! # pool.add_buffers(&mut memory)?;
//! # let (mut scratch, mut loans) = ([0; 256], [const { None }; LOANS_MAX]);
//! # let mut arena = Arena::new(&mut scratch);
//! # let (id, deferrals) = (Handle { index: 0, generation: 0 }, Deferrals::NONE);
//! # let place = Place { peers: &NoPeers, io: IoHandle(0), id, deferrals };
//! let mut handler =
//!     handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| -> Result<(), WriteError> {
//! response.body("hi\n") });
//! let mut cx = Context {
//!     handler: &mut handler,
//!     pool: &mut pool,
//!     loans: &mut loans,
//!     arena: &mut arena,
//!     preamble: &Preamble::new("")?,
//!     limits: &Limits::default(),
//!     counters: &mut Default::default(),
//!     now: Instant(0),
//!     place: &place,
//!     in_flight: &mut 0,
//!     last: None,
//! };
//! let mut connection = Connection::new();
//!
//! // It asks for bytes, in a buffer of the driver's choice:
//! assert!(matches!(connection.next_action(cx.pool), Some(Action::Recv { into: None })));
//! let mut buf = cx.pool.acquire(Class::Tiny).ok_or("no buffer")?;
//! buf.append(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")?;
//! connection.handle_received(&mut cx, Ok(buf.len() as u32), Some(buf));
//!
//! // The handler was called, and its response is to be sent:
//! let Some(Action::Send { head, body }) = connection.next_action(cx.pool) else { return Err("no response".into()) };
//! assert_eq!(head.filled(), b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n");
//! connection.handle_sent(&mut cx, Ok((head.len() + body.len()) as u32), head, body);
//! assert!(matches!(connection.next_action(cx.pool), Some(Action::Recv { into: None })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod actions;
mod advance;
mod body;
mod calling;
mod content;
mod deadline;
mod exchange;
mod file;
mod flag;
mod later;
mod linger;
mod own_answers;
mod queries;
#[cfg(not(feature = "small"))]
mod resting;
#[cfg(not(feature = "small"))]
mod steady;
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
use crate::pool::{Arena, Buf, BufferPool};
use crate::preamble::Preamble;
use crate::reactor::{FileRange, IoError, Shutdown};
use crate::state::{Event, State};
use crate::time::Instant;
use crate::writer::{RETRY_AFTER_S, Stream};
pub(crate) use actions::ControlIsNext;
pub use deadline::Deadline;
use deadline::{content_rate, write_rate};
use exchange::Exchange;
#[cfg(not(feature = "small"))]
pub(crate) use resting::Resting;
use window::{Direction, Progress};

/// What a connection needs from its environment during a call.
pub struct Context<'c, 's, 'p, H: Handler> {
    /// The handler that answers requests.
    pub handler: &'c mut H,
    /// The pool that buffers come from and return to.
    pub pool: &'c mut BufferPool<'s, 'p>,
    /// A table for the buffers lent to the handler during one call.
    pub loans: &'c mut [Option<Buf<'p>>],
    /// Scratch memory for the duration of one call.
    pub arena: &'c mut Arena<'s>,
    /// `Date` and `Server`.
    pub preamble: &'c Preamble,
    /// Limits and timeouts.
    pub limits: &'c Limits,
    /// The counters to update.
    pub counters: &'c mut Counters,
    /// The current time.
    pub now: Instant,
    /// The connection's identity, peer and cell for deferred answers.
    pub place: &'c Place<'c>,
    /// The number of exchanges under way on all connections of the engine.
    pub in_flight: &'c mut u32,
    /// If the next response is to be the last one on its connection, the reason: a graceful stop, or a newcomer without
    /// a slot.
    pub last: Option<CloseReason>,
}

/// Something to do with a connection, for code that is compiled once for all of them.
#[cfg(feature = "small")]
pub(crate) type Act<'a, 'p, H> =
    dyn FnMut(&mut Connection<'p, <H as Handler>::Exchange>, &mut Context<'_, '_, 'p, H>) + 'a;

/// One connection and its exchange.
pub struct Connection<'p, E> {
    /// Bytes received and not yet consumed; `None` while a receive is in flight, and when idle.
    inbound: Option<Buf<'p>>,
    exchange: Exchange<'p, E>,
}

/// An operation that a connection asks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action<'p> {
    /// Receive into `into`, or if it is `None`, into a lent buffer.
    Recv {
        /// The buffer, which may hold earlier bytes.
        into: Option<Buf<'p>>,
    },
    /// Send both parts.
    Send {
        /// The first part.
        head: Buf<'p>,
        /// The second part.
        body: &'p [u8],
    },
    /// Send a buffer, then a part of a file. Its completion is that of a send without a body.
    SendFile {
        /// The first part.
        head: Buf<'p>,
        /// The second part.
        range: FileRange,
    },
    /// Shut down one or both directions.
    Shutdown(Shutdown),
    /// Cancel the receive in flight.
    CancelRecv,
    /// Cancel the send in flight.
    CancelSend,
    /// Close the handle; nothing else is in flight.
    Close,
}

impl<E> Default for Connection<'_, E> {
    fn default() -> Self {
        Self { inbound: None, exchange: Exchange::default() }
    }
}

impl<E> Connection<'_, E> {
    /// A newly accepted connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Events.
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
            Err(IoError::Canceled | IoError::NoBuffers) if H::NEEDS.upgrades && self.exchange.has(flag::DETACHED) => {}
            // Retried when it is needed again: sending and closing do not wait for buffers to receive into.
            Err(IoError::NoBuffers) if matches!(self.exchange.state, State::Writing | State::Closing) => {
                self.exchange.set(flag::NO_DROP_BUFFER);
            }
            Err(IoError::NoBuffers) => self.exchange.set(flag::STARVED),
            Err(IoError::Canceled) if self.exchange.has(flag::IGNORES_INPUT) => self.drop_inbound(cx),
            // Cancelled to get back the earlier bytes for a call of the handler.
            Err(IoError::Canceled) if self.exchange.is_woken_in::<H>() => self.advance(cx),
            Err(_) => self.close(cx, CloseReason::PeerReset),
        }
    }

    #[cfg_attr(not(feature = "small"), inline)]
    fn handle_bytes<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, count: u32) {
        let exchange = &mut self.exchange;
        if !planted!(HungerKept) {
            exchange.clear(flag::HUNGRY);
        }
        match exchange.state {
            State::ReadingContent => {
                match exchange.count(cx.now, Direction::Content, count, content_rate(cx.limits)) {
                    Progress::Going => {}
                    Progress::Complete => exchange.set(flag::PROGRESS),
                    // The buffer is full, so more bytes may have arrived in time.
                    Progress::TooSlow if self.inbound.as_ref().is_some_and(|inbound| inbound.spare_len() == 0) => {}
                    Progress::TooSlow => return self.handle_slow_bytes(cx),
                }
            }
            State::Switched => exchange.set(flag::PROGRESS),
            _ if exchange.has(flag::IGNORES_INPUT) => return self.drop_late(cx, count),
            // From a receive that was armed before the handler was woken: the bytes wait.
            State::Writing => {
                if exchange.waits_for_content() {
                    let _ = exchange.count(cx.now, Direction::Content, count, content_rate(cx.limits));
                }
                return;
            }
            State::Closing | State::Closed => return self.drop_inbound(cx),
            _ => {}
        }
        self.advance(cx);
    }

    /// The bytes came too slowly. If they complete the content that is no error, because they may have been there for
    /// long.
    #[cold]
    fn handle_slow_bytes<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let request = self.exchange.served;
        self.advance(cx);
        if self.exchange.served != request || self.is_starved() {
            return;
        }
        if self.exchange.state == State::Writing && self.exchange.waits_for_content() {
            // The handler's output does not make up for the slow content.
            self.exchange.go(Event::NeedContent);
        }
        if self.exchange.state == State::ReadingContent {
            self.refuse(cx, Answer::new(408), CloseReason::ContentTimeout);
        }
    }

    fn handle_fin<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        self.exchange.set(flag::FIN_RECEIVED);
        match self.exchange.state {
            State::New | State::KeepAlive => self.close(cx, CloseReason::PeerClosed),
            State::Writing if !planted!(HalfCloseEnds) => {} // half-closed: the response is sent first
            State::Switched if H::NEEDS.upgrades => self.advance(cx),
            State::Lingering if self.exchange.has(flag::CUT_OFF) && self.exchange.is_missed(cx) => {}
            State::Lingering => self.close(cx, CloseReason::PeerClosed),
            State::Processing if H::NEEDS.deferral && self.exchange.is_deferred() && !planted!(FinVanishes) => {
                self.exchange.client_vanished(cx);
                // The answer may have been resolved already, and waited for this receive to return the bytes that it
                // held.
                if !planted!(AnswerForgotten) {
                    self.advance(cx);
                }
            }
            _ => self.close(cx, CloseReason::PeerClosedEarly),
        }
    }

    /// Whether it waits for a token to be resolved.
    pub(crate) const fn waits_for_token(&self) -> bool {
        self.exchange.waits_for_token()
    }

    /// The token has been resolved.
    pub fn handle_resolved<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if H::NEEDS.deferral && self.exchange.waits_for_token() {
            self.exchange.set(flag::RESOLVED);
            self.advance(cx);
        }
    }

    /// Whether the handler may wait for long and has yet to be told of a stop.
    pub(crate) const fn wants_stop_notice(&self) -> bool {
        self.exchange.wants_stop_notice()
    }

    /// A stop has begun: tells a handler that waits for anything other than the content of its request.
    pub fn handle_stopping<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        if H::NEEDS.stop && self.exchange.wants_stop_notice() {
            self.exchange.set(flag::STOPPING | flag::TOLD_OF_STOP);
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
        self.exchange.clear(flag::SEND | flag::SEND_CANCELED | flag::NO_DROP_BUFFER);
        // Even if it was cancelled, but completed first.
        cx.counters.bytes_sent += u64::from(result.unwrap_or(0));
        let count = match result {
            Ok(count) if self.exchange.state == State::Writing => count,
            Ok(_) | Err(IoError::Canceled) => return release(cx.pool, head), // closing
            Err(IoError::FileUnreadable) if H::NEEDS.files && self.exchange.state == State::Writing => {
                return self.break_off_file(cx, head);
            }
            Err(_) => {
                release(cx.pool, head);
                return self.close(cx, CloseReason::PeerReset);
            }
        };
        if H::NEEDS.files && self.exchange.has(flag::FILE) {
            return self.handle_file_sent(cx, count, head);
        }
        let is_partial = (count as usize) < head.len() + body.len() && !planted!(RestForgotten);
        if is_partial || self.exchange.has(flag::HELD_BACK) {
            self.put_back(head, body, count as usize);
            // Only a partial send can be too slow: otherwise the client may have had room for more all the time.
            if self.count_sent(cx, count) == Progress::TooSlow && is_partial {
                self.close(cx, CloseReason::WriteTimeout);
            }
            return;
        }
        release(cx.pool, head);
        if self.exchange.waiting.is_some() {
            // A complete send is never too slow: the client may have had room for more all the time.
            self.count_sent(cx, count);
        }
        self.advance(cx);
    }

    /// Counts the bytes sent of a response that is not complete.
    fn count_sent<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, count: u32) -> Progress {
        let progress = self.exchange.count(cx.now, Direction::Write, count, write_rate(cx.limits));
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

    /// Buffers may be free again: retries what [`is_starved`](Self::is_starved) waits for.
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
            Deadline::Linger => self.check_lingering(cx),
            Deadline::Head => self.refuse(cx, Answer::new(408), CloseReason::HeadTimeout),
            Deadline::Content => self.refuse(cx, Answer::new(408), CloseReason::ContentTimeout),
            Deadline::Famine => self.refuse_overloaded(cx),
            Deadline::Write => self.close(cx, CloseReason::WriteTimeout),
            // Nothing of this kind is ever armed.
            Deadline::Defer | Deadline::Wake if !H::NEEDS.deferral => {}
            Deadline::Defer => {
                self.exchange.abandon(cx, CloseReason::DeferTimeout);
                let answer = Answer { retry_after_s: Some(RETRY_AFTER_S), ..Answer::new(503) };
                self.refuse(cx, answer, CloseReason::DeferTimeout);
            }
            Deadline::Upgraded => self.close(cx, CloseReason::IdleTimeout),
            Deadline::Wake => {
                self.exchange.clear(flag::TIMED);
                self.exchange.set(flag::DUE);
                self.advance(cx);
            }
        }
    }

    /// Answers 503 and ends the connection: that of a newcomer from which nothing has been read, or one that waits for
    /// a buffer while it holds others.
    pub(crate) fn refuse_overloaded<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let answer = Answer { retry_after_s: Some(RETRY_AFTER_S), ..Answer::new(503) };
        self.refuse(cx, answer, CloseReason::Shed);
    }

    /// Hands out the handler's state and the leftover bytes. The connection is over, without a close.
    pub fn take_detached(&mut self) -> Option<(E, Option<Buf<'p>>)> {
        if !self.is_detached() {
            return None;
        }
        match self.exchange.waiting.take() {
            Some(Flow::Detach(state)) => Some((state, self.inbound.take())),
            _ => None,
        }
    }

    /// Ends the connection without an answer. Operations in flight are cancelled; the handler's state goes to
    /// [`Handler::abandoned`].
    pub fn close<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, reason: CloseReason) {
        if matches!(self.exchange.state, State::Closing | State::Closed) {
            return;
        }
        // A reason that was set with the response takes effect once the response has been sent; if the response is cut
        // off, the cause of that replaces it.
        if self.exchange.state != State::Lingering || self.exchange.reason.is_none() {
            self.exchange.reason = Some(reason);
        }
        match self.exchange.state {
            State::KeepAlive => self.exchange.set(flag::ORDERLY),
            // Everything has been sent, or it was cut off before.
            State::Lingering => {}
            _ if self.exchange.has(flag::ORDERLY) => {}
            _ => self.exchange.mark_cut_off(),
        }
        self.exchange.go(Event::Close);
        self.exchange.abandon(cx, reason);
        self.exchange.clear(flag::STARVED);
        self.exchange.release_output(cx.pool);
        self.drop_inbound(cx);
    }

    /// Answers the current request with an error, and ends the connection after it; without an answer if there is no
    /// request to answer, a part of a response is on its way, or no buffer is free.
    pub fn refuse<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        answer: Answer<'_>,
        reason: CloseReason,
    ) {
        if self.exchange.state.after(Event::Respond).is_none() {
            return self.close(cx, reason);
        }
        let is_answered = self.exchange.is_answered();
        // Before the handler is told of the refusal, as everywhere: what wraps it then knows whose answer that is.
        self.exchange.abandon(cx, reason);
        if !is_answered {
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
                if self.exchange.stream == Stream::Raw {
                    return self.close(cx, reason);
                }
                self.exchange.reason = Some(reason);
                self.exchange.mark_cut_off();
                self.exchange.release_output(cx.pool);
            }
        }
        self.exchange.reason.get_or_insert(reason);
        // The rest of the input is never interpreted, so nothing can be answered twice.
        self.exchange.set(flag::LAST | flag::IGNORES_INPUT);
        self.exchange.clear(flag::STARVED);
        self.drop_inbound(cx);
        self.exchange.go(Event::Respond);
        if !self.exchange.has_output() {
            // The response has been sent; only the input after it was wrong.
            self.exchange.release_output(cx.pool);
            self.end(cx);
        }
    }

    /// Whether a refused head is known to be that of a HEAD request. If it is in the buffer of the receive in flight,
    /// the scan remembers its method.
    fn refuses_head_request(&self) -> bool {
        match &self.inbound {
            Some(inbound) => is_head_request(inbound.filled()),
            None => self.exchange.body.scan().is_head_request(),
        }
    }

    /// Ends it before anything has been read.
    pub(crate) fn refuse_new(&mut self, reason: CloseReason) {
        self.exchange.reason.get_or_insert(reason);
        self.exchange.go(Event::Close);
    }

    /// Ends it as soon as nothing can be lost: at once if it is new, or idle with a client that has acknowledged every
    /// response; by lingering if the client is still receiving; otherwise after the response.
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

/// Returns a buffer to the pool, which refuses only buffers that are not its own.
#[inline]
fn release<'p>(pool: &mut BufferPool<'_, 'p>, buf: Buf<'p>) {
    let foreign = pool.release(buf);
    debug_assert!(foreign.is_ok(), "every buffer must come from the pool");
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
