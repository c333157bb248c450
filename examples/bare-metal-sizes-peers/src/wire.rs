//! A stand-in for a network: what it returns could be anything.

use core::convert::Infallible;
use core::hint::black_box;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use edge_nal::{Close, Readable, TcpAccept, TcpShutdown, TcpSplit};
use embedded_io_async::{ErrorType, Read, Write};
use picoserve::mem::{BorrowedBuffer, BorrowedCursor};
use picoserve::time::{Duration, Timer};

/// A connection.
#[derive(Clone, Copy)]
pub struct Stream;

impl ErrorType for Stream {
    type Error = Infallible;
}

/// Is pending once, or more often.
async fn later() {
    core::future::poll_fn(|_| if black_box(true) { core::task::Poll::Ready(()) } else { core::task::Poll::Pending })
        .await;
}

impl Read for Stream {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        later().await;
        Ok(black_box(black_box(into).len()))
    }
}

impl Write for Stream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        later().await;
        Ok(black_box(black_box(bytes).len()))
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// How much picoserve can write at once; other servers write whatever they have.
const ROOM: usize = 64;

impl picoserve::io::Write for Stream {
    async fn write_with<F: FnOnce(BorrowedCursor<'_>) -> R, R>(&mut self, fill: F) -> Result<R, Infallible> {
        later().await;
        let mut bytes = [0; ROOM];
        let mut room = BorrowedBuffer::new(&mut bytes);
        let output = fill(room.unfilled());
        black_box(room.filled());
        Ok(output)
    }
}

impl Readable for Stream {
    async fn readable(&mut self) -> Result<(), Infallible> {
        later().await;
        Ok(())
    }
}

impl TcpShutdown for Stream {
    async fn close(&mut self, what: Close) -> Result<(), Infallible> {
        black_box(what);
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl TcpSplit for Stream {
    type Read<'a> = Self;
    type Write<'a> = Self;

    fn split(&mut self) -> (Self, Self) {
        (Self, Self)
    }
}

/// A listener, for edge-http.
pub struct Acceptor;

impl TcpAccept for Acceptor {
    type Error = Infallible;
    type Socket<'a> = Stream;

    async fn accept(&self) -> Result<(SocketAddr, Stream), Infallible> {
        later().await;
        Ok((SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, black_box(1))), Stream))
    }
}

/// The clock, for picoserve.
pub struct Pause;

impl<Runtime> Timer<Runtime> for Pause {
    async fn delay(&self, duration: Duration) {
        black_box(duration);
        later().await;
    }
}

impl<Runtime> picoserve::io::Socket<Runtime> for Stream {
    type Error = Infallible;
    type ReadHalf<'a> = Self;
    type WriteHalf<'a> = Self;

    fn split(&mut self) -> (Self, Self) {
        (Self, Self)
    }

    async fn abort<T: Timer<Runtime>>(
        self,
        _: &picoserve::Timeouts,
        _: &T,
    ) -> Result<(), picoserve::Error<Infallible>> {
        Ok(())
    }

    async fn shutdown<T: Timer<Runtime>>(
        self,
        _: &picoserve::Timeouts,
        _: &T,
    ) -> Result<(), picoserve::Error<Infallible>> {
        Ok(())
    }
}

/// The clock that edge-http refers to, even without timeouts.
struct Ticks;

impl embassy_time_driver::Driver for Ticks {
    fn now(&self) -> u64 {
        aurora_bare_metal_sizes::now().0
    }

    fn schedule_wake(&self, at: u64, waker: &core::task::Waker) {
        black_box((at, waker));
    }
}

embassy_time_driver::time_driver_impl!(static TICKS: Ticks = Ticks);
