//! One connection at a time over a byte stream of `embedded-io` or `embedded-io-async`: a serial line, a USB endpoint, a
//! socket of somebody's stack. No engine and no reactor: the stream's own calls move the bytes.
//!
//! These streams have neither a way to try nor a clock: a read lasts until the stream has something. A stream that must
//! not be waited for without end brings a time limit of its own, and its error ends the connection.

#[cfg(feature = "embedded-io-async")]
mod asynch;
#[cfg(feature = "embedded-io")]
mod blocking;

use crate::connection::{Connection, Context, Place};
use crate::counters::Counters;
use crate::defer::Deferrals;
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::limits::Limits;
use crate::pool::{Arena, Buf, BufferPool, Class, Handle};
use crate::preamble::Preamble;
use crate::reactor::{IoHandle, NoPeers};
use crate::time::Instant;

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
        Self { handler, pool, loans, arena, preamble, limits, counters: Counters::default(), in_flight: 0 }
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

    /// Tells the wall clock, in seconds since 1970, for `Date`.
    pub fn set_unix_time(&mut self, unix_time: Option<u64>) {
        self.preamble.set_unix_time(unix_time);
    }

    /// Runs `f` with what a connection needs.
    fn with(&mut self, now: Instant, f: impl FnOnce(&mut Context<'_, 's, 'p, H>)) {
        let id = Handle { index: 0, generation: 0 };
        f(&mut Context {
            handler: &mut self.handler,
            pool: &mut self.pool,
            loans: self.loans,
            arena: &mut self.arena,
            preamble: &self.preamble,
            limits: &self.limits,
            counters: &mut self.counters,
            now,
            place: &Place { peers: &NoPeers, io: IoHandle(0), id, deferrals: Deferrals::NONE },
            in_flight: &mut self.in_flight,
            last: None,
        });
    }

    /// A buffer to receive into, unless the connection brings its own.
    fn receive_buffer(&mut self, into: Option<Buf<'p>>) -> Option<Buf<'p>> {
        into.or_else(|| {
            let class = if self.pool.capacity(Class::Small) == 0 { Class::Tiny } else { Class::Small };
            self.pool.acquire_for(class.size())
        })
    }

    /// The connection is over.
    fn finish(&mut self, connection: &Connection<'p, H::Exchange>) -> CloseReason {
        let reason = connection.close_reason().unwrap_or(CloseReason::PeerClosed);
        self.counters.closed.count(reason);
        reason
    }
}
