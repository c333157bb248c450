//! Stand-ins for a serial line and for a network stack: what they return could be anything.

use core::convert::Infallible;
use core::hint::black_box;
use core::time::Duration;

use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Ready, ReadyFn, Seen, Shutdown};
use aurora_http_core::time::Instant;
use embedded_io::{ErrorType, Read, ReadReady, Write};

/// A serial line.
pub struct Line;

impl ErrorType for Line {
    type Error = Infallible;
}

impl Read for Line {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        Ok(black_box(black_box(into).len()))
    }
}

impl ReadReady for Line {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(black_box(true))
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(black_box(black_box(bytes).len()))
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A network stack.
pub struct Sockets;

impl NonBlocking for Sockets {
    fn accept(&mut self, listener: IoHandle) -> Attempt {
        attempt(listener)
    }

    fn recv(&mut self, io: IoHandle, spare: &mut [u8]) -> Attempt {
        black_box(spare);
        attempt(io)
    }

    fn send(&mut self, io: IoHandle, parts: [&[u8]; 2]) -> Attempt {
        black_box(parts);
        attempt(io)
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        black_box((io, how));
    }

    fn close(&mut self, io: IoHandle) {
        black_box(io);
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError> {
        black_box(timeout);
        if let Some((io, readable, writable, ended)) = black_box(None::<(IoHandle, bool, bool, bool)>) {
            ready(io, Ready { readable, writable, ended });
        }
        Ok(Seen::All)
    }

    fn now(&self) -> Instant {
        crate::now()
    }
}

#[inline(never)]
fn attempt(io: IoHandle) -> Attempt {
    black_box(io);
    match black_box(0_u32) {
        u32::MAX => Attempt::WouldBlock,
        0xffff_fffe => Attempt::Failed(IoError::ConnectionReset),
        count => Attempt::Done(count),
    }
}
