//! One connection at a time over a byte stream of `embedded-io` or `embedded-io-async`: a serial line, a USB endpoint, a
//! socket of somebody's stack. No engine and no reactor: the stream's own calls move the bytes.
//!
//! These streams have neither a way to try nor a clock: a read lasts until the stream has something. A stream that must
//! not be waited for without end brings a time limit of its own, and its error ends the connection.

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

/// The program's clock. A closure that gives an [`Instant`] is one, without the time of day.
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

/// Serves one stream after the other with the same memory. Two buffers are enough: one to receive into, one to answer
/// in. Answers cannot be deferred here, because nothing would end a read.
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
    /// `loans` and `scratch` as in [`Storage`](crate::engine::Storage); both may be empty.
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

    /// What happened so far, on all streams.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The buffers.
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
