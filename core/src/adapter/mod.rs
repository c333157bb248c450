//! One connection at a time over a byte stream of `embedded-io` or `embedded-io-async`: a serial line, a USB endpoint,
//! a socket of any network stack. No engine and no reactor: the stream's own calls move the bytes.
//!
//! [`Solo`] serves a stream until its connection ends, with as many requests as the client sends and the limits allow,
//! and then the next stream with the same memory. `Solo::serve` is for blocking streams (feature `embedded-io`),
//! `Solo::serve_async` for asynchronous ones (feature `embedded-io-async`); each has an example.
//!
//! # Memory
//! Two buffers of 1 KiB are enough: one to receive into and one to send from. A third one is needed to collect content
//! that does not fit after its head, or is chunked ([`Flow::Collect`](crate::handler::Flow::Collect)); without it such
//! requests are answered with 503. A head cannot be longer than one buffer (431), and without loans neither can a
//! response that is written as a whole (500). Between two streams all buffers are in the pool, however the last stream
//! ended.
//!
//! # Time
//! Streams have no clock, and their calls may block forever. Which [`Timeouts`](crate::limits::Timeouts) take effect
//! depends on what the program has:
//!
//! | the program has | deadlines take effect |
//! |---|---|
//! | a [`Clock`] | between two calls: against a client that trickles bytes, but not against a silent one |
//! | a stream whose calls end after a while with `ErrorKind::TimedOut` | at the latest then: `TimedOut` counts as the
//! deadline
//! |
//! | a stream with `ReadReady`, and a clock | while reading: `Solo::serve_ready` |
//! | a timer | always: `Solo::serve_async_timed`, `Solo::serve_async_until` |
//!
//! If a deadline expires during a long call of a handler, or while the machine is suspended, bytes that have arrived
//! still count: they are read first, if that does not block (`serve_ready`, `serve_async`). A blocking stream that
//! cannot tell is not read any more after a deadline.
//!
//! A connection that ends because of a deadline is not an error: the client gets its 408 if one is due, and the call
//! returns the reason. A late request on an idle connection is answered, unless its deadline was noticed in time.
//!
//! # Flushing
//! A stream is flushed before it is read, since the client may be waiting for what is in its buffer. Where a flush waits for
//! the other side, as embassy-net's does for its acknowledgement, that costs a delay for each buffer of a long exchange: give
//! such a stream a wrapper whose flush does nothing, if it sends what was written anyhow.
//!
//! # The stream's end
//! This module never closes a stream or one of its directions: that is up to the program, after serving it has
//! returned. With TCP, closing would answer bytes that the client is still sending with a reset, which can destroy the
//! last response (RFC 9112 §9.6). So after [`BadRequest`](crate::error::CloseReason::BadRequest),
//! [`TooLarge`](crate::error::CloseReason::TooLarge), [`ContentUnread`](crate::error::CloseReason::ContentUnread) and
//! the timeouts, shut down the sending direction, and read and drop for a moment before closing. A serial line has no
//! connections that both sides know of: after any end that is not [orderly](crate::error::CloseReason::is_orderly),
//! input belongs to the request that failed, so wait until the line is quiet before serving it again.
//!
//! After [`ResponseFailed`](crate::error::CloseReason::ResponseFailed),
//! [`HandlerStalled`](crate::error::CloseReason::HandlerStalled) and
//! [`WriteTimeout`](crate::error::CloseReason::WriteTimeout) a response has been cut off. With TCP, reset the connection
//! (`SO_LINGER` of 0, smoltcp's and embassy-net's `abort`): where only the end of the connection ends a response, a FIN
//! would make the client take the part for the whole. Over TLS, close without a close_notify. A serial line cannot say that:
//! its client sees it only by `Content-Length` or chunks, so serve such clients responses with one of them.
//!
//! # What is not supported
//! Answers cannot be deferred, because nothing would end a read when they are ready. The
//! [peer](crate::handler::ConnectionInfo::peer) of a stream is unknown. A blocking stream has no graceful stop: it can
//! fail, or report its end. An asynchronous one has: `Solo::serve_async_until`.

#[cfg(feature = "embedded-io-async")]
mod asynch;
#[cfg(feature = "embedded-io")]
mod blocking;
mod session;

// Both crates have the same error types.
#[cfg(feature = "embedded-io")]
use embedded_io as io;
#[cfg(not(feature = "embedded-io"))]
use embedded_io_async as io;

use crate::counters::Counters;
use crate::handler::{ConnectionId, Handler};
use crate::limits::Limits;
use crate::pool::{Arena, Buf, BufferPool, Class};
use crate::preamble::Preamble;
use crate::time::Instant;

/// The program's clock, passed by value for each stream. A closure that returns an [`Instant`] is one, without the time
/// of day. For the time of day, define a small type that implements this trait.
pub trait Clock {
    /// The monotonic clock. Without one, return a constant: then no deadline ever expires.
    fn now(&mut self) -> Instant;

    /// The wall clock, in seconds since 1970-01-01 00:00:00 UTC, for `Date`; `None` without one, which leaves out
    /// `Date` (RFC 9110 §6.6.1). Called when a connection begins, and then at most every 250 ms.
    fn unix_time(&mut self) -> Option<u64> {
        None
    }
}

impl<F: FnMut() -> Instant> Clock for F {
    fn now(&mut self) -> Instant {
        self()
    }
}

/// What a handler detached: its state, and bytes that had arrived.
type DetachedState<'p, E> = (E, Option<Buf<'p>>);

/// Serves one stream after another with the same memory: see [the module](self).
pub struct Solo<'s, 'p, H: Handler> {
    handler: H,
    pool: BufferPool<'s, 'p>,
    loans: &'s mut [Option<Buf<'p>>],
    arena: Arena<'s>,
    preamble: Preamble,
    limits: Limits,
    counters: Counters,
    in_flight: u32,
    generation: u32,
    detached: Option<DetachedState<'p, H::Exchange>>,
}

impl<'s, 'p, H: Handler> Solo<'s, 'p, H> {
    /// `pool` needs at least two buffers, one of them of 512 bytes or more; with less, every connection ends with
    /// [`Shed`](crate::error::CloseReason::Shed). `loans` and `scratch` are those of
    /// [`Storage`](crate::engine::Storage). Both may be empty; a response that is written as a whole must then fit into
    /// one buffer, or is replaced by 500.
    pub fn new(
        handler: H,
        pool: BufferPool<'s, 'p>,
        loans: &'s mut [Option<Buf<'p>>],
        scratch: &'s mut [u8],
        limits: Limits,
        preamble: Preamble,
    ) -> Self {
        let arena = Arena::new(scratch);
        Self {
            handler,
            pool,
            loans,
            arena,
            preamble,
            limits,
            counters: Counters::default(),
            in_flight: 0,
            generation: 0,
            detached: None,
        }
    }

    /// The counters of all streams; each stream counts as accepted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The pool. Between two streams it has all buffers, except one that [`take_detached`](Self::take_detached)
    /// returned.
    #[must_use]
    pub const fn pool(&self) -> &BufferPool<'s, 'p> {
        &self.pool
    }

    /// The program's handler.
    pub const fn handler_mut(&mut self) -> &mut H {
        &mut self.handler
    }

    /// After a call has returned [`CloseReason::Detached`](crate::error::CloseReason::Detached): the state from
    /// [`Flow::Detach`](crate::handler::Flow::Detach), and the bytes that had arrived after the request, if any, whose
    /// buffer has to be returned with [`release`](Self::release). If it is not called before the next stream, both are
    /// dropped.
    pub fn take_detached(&mut self) -> Option<(H::Exchange, Option<Buf<'p>>)> {
        self.detached.take()
    }

    /// Takes back the leftover buffer of a detached connection.
    pub fn release(&mut self, buf: Buf<'p>) {
        let foreign = self.pool.release(buf);
        debug_assert!(foreign.is_ok(), "every buffer in use must come from the pool");
    }

    /// The id of the next connection: there is one slot, and each connection gets the next generation.
    fn next_id(&mut self) -> ConnectionId {
        self.generation = (self.generation + 1) & 0x00ff_ffff;
        ConnectionId { index: 0, generation: self.generation }
    }

    /// A buffer to receive into: the connection's own, or one from the pool.
    fn receive_buffer(&mut self, into: Option<Buf<'p>>) -> Option<Buf<'p>> {
        into.or_else(|| self.pool.acquire_from(Class::Small)).or_else(|| self.pool.acquire(Class::Tiny))
    }
}
