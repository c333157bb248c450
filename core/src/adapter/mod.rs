//! One connection at a time over a byte stream of `embedded-io` or `embedded-io-async`: a serial line, a USB endpoint, a
//! socket of somebody's stack. No engine and no reactor: the stream's own calls move the bytes.
//!
//! [`Solo`] serves a stream until its connection ends, by as many requests as the client makes and the limits allow, and
//! then the next one in the same memory. `Solo::serve` is for blocking streams (feature `embedded-io`),
//! `Solo::serve_async` for the others (feature `embedded-io-async`); each has an example.
//!
//! # Memory
//! Two buffers of 1 KiB are enough: one to receive into, one to answer in. A third one collects content that does not fit
//! behind its head, or comes in chunks ([`Flow::Collect`](crate::handler::Flow::Collect)); without it such requests are
//! answered 503. A head and, without loans, a response that is written whole are no longer than one buffer: 431 and 500
//! beyond it. All buffers are in the pool between two streams, however the last one ended.
//!
//! # Time
//! Streams have no clock, and a call of theirs may last for ever. What holds of
//! [`Timeouts`](crate::limits::Timeouts) depends on what the program has:
//!
//! | the program has | deadlines hold |
//! |---|---|
//! | a [`Clock`] | between two calls: a client that drips is ended, one that says nothing is waited for |
//! | a stream whose calls end after a while with `ErrorKind::TimedOut` | that early at least: it counts as the deadline |
//! | a stream with `ReadReady`, and a clock | while reading: `Solo::serve_ready` |
//! | a timer | always: `Solo::serve_async_timed`, `Solo::serve_async_until` |
//!
//! A deadline that passed while a handler took its time, or while the machine stood still, ends nobody whose bytes are there:
//! they are read first, where that does not wait (`serve_ready`, `serve_async`). A blocking stream that cannot tell is not
//! read any more behind a deadline.
//!
//! What ends by a deadline is no error: the client gets its 408 where one is due, and the call tells the reason.
//! A request that comes late on a connection that had nothing to do is answered, unless somebody noticed in time.
//!
//! # Flushing
//! A stream is flushed before it is read, since the client may be waiting for what is in its buffer. Where a flush waits for
//! the other side, as embassy-net's does for its acknowledgement, that costs a delay for each buffer of a long exchange: give
//! such a stream a wrapper whose flush does nothing, if it sends what was written anyhow.
//!
//! # The stream's end
//! A stream is never closed here, nor one of its directions: that is the program's, once serving it has returned. On TCP,
//! what the client may still be sending would be answered by a reset, which can eat the last response (RFC 9112 §9.6): for
//! [`BadRequest`](crate::error::CloseReason::BadRequest), [`TooLarge`](crate::error::CloseReason::TooLarge),
//! [`ContentUnread`](crate::error::CloseReason::ContentUnread) and the timeouts, end the sending direction, and read and
//! drop for a moment before closing. A serial line has no connections that both sides know of: after anything but an
//! [orderly](crate::error::CloseReason::is_orderly) end, what arrives belongs to the request that failed, so wait until it
//! is quiet before serving the line again.
//!
//! # What is not here
//! Answers cannot be deferred: nothing would end a read when they are there. Nobody knows the
//! [peer](crate::handler::ConnectionInfo::peer) of a stream. There is no graceful stop of a blocking stream: it may fail, or
//! say that it has ended, where the program wants that. Over an asynchronous one there is: `Solo::serve_async_until`.

#[cfg(feature = "embedded-io-async")]
mod asynch;
#[cfg(feature = "embedded-io")]
mod blocking;
mod session;

// Both have the same errors.
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

/// The program's clock, given by value for each stream. A closure that gives an [`Instant`] is one, without the time of
/// day; a program that knows that has a small type of its own, around a reference to what it reads.
pub trait Clock {
    /// The monotonic clock. Where there is none, any constant will do: no deadline ever passes then.
    fn now(&mut self) -> Instant;

    /// The wall clock, in seconds since 1970-01-01 00:00:00 UTC, for `Date`; `None` where there is none, and then
    /// responses have no `Date` (RFC 9110 §6.6.1). Asked when a connection begins, and then every 250 ms at most.
    fn unix_time(&mut self) -> Option<u64> {
        None
    }
}

impl<F: FnMut() -> Instant> Clock for F {
    fn now(&mut self) -> Instant {
        self()
    }
}

/// What a handler gave away: its state, and what had arrived.
type Given<'p, E> = (E, Option<Buf<'p>>);

/// Serves one stream after the other with the same memory: see [the module](self).
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
    detached: Option<Given<'p, H::Exchange>>,
}

impl<'s, 'p, H: Handler> Solo<'s, 'p, H> {
    /// With two buffers at least in `pool`; with fewer, every connection ends as
    /// [`Shed`](crate::error::CloseReason::Shed). `loans` and `scratch` are as in [`Storage`](crate::engine::Storage); both
    /// may be empty, and then a response that is written whole fits into one buffer or is replaced by 500.
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

    /// What happened so far, on all streams: each counts as accepted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The buffers. All are in it between two streams, but for what [`take_detached`](Self::take_detached) gave.
    #[must_use]
    pub const fn pool(&self) -> &BufferPool<'s, 'p> {
        &self.pool
    }

    /// The program's handler.
    pub const fn handler_mut(&mut self) -> &mut H {
        &mut self.handler
    }

    /// What came with [`Flow::Detach`](crate::handler::Flow::Detach), once a call has ended with
    /// [`CloseReason::Detached`](crate::error::CloseReason::Detached): the handler's state, and what had arrived behind the
    /// request, if anything had, to be given back by [`release`](Self::release). What is not taken before the next
    /// stream is dropped.
    pub fn take_detached(&mut self) -> Option<(H::Exchange, Option<Buf<'p>>)> {
        self.detached.take()
    }

    /// Takes back the buffer of what had arrived on a connection that was given away.
    pub fn release(&mut self, buf: Buf<'p>) {
        let foreign = self.pool.release(buf);
        debug_assert!(foreign.is_ok(), "every buffer in use comes from the pool");
    }

    /// Names the next connection: there is one slot, and no two connections in it have the same name.
    fn next_id(&mut self) -> ConnectionId {
        self.generation = (self.generation + 1) & 0x00ff_ffff;
        ConnectionId { index: 0, generation: self.generation }
    }

    /// A buffer to receive into, unless the connection brings its own.
    fn receive_buffer(&mut self, into: Option<Buf<'p>>) -> Option<Buf<'p>> {
        into.or_else(|| self.pool.acquire_for(Class::Small.size()))
            .or_else(|| self.pool.acquire_for(Class::Tiny.size()))
    }
}
