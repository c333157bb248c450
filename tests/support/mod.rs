//! What the tests of reactors share: a harness per reactor, and a rig that keeps the books.

// Every test crate uses its own part of this.
#![allow(dead_code)]

pub(crate) mod rig;
pub(crate) mod sim;
#[cfg(unix)]
pub(crate) mod sockets;

use aurora_http_core::reactor::{IoHandle, Reactor, Wake};
use aurora_http_core::sim::ClientRecv;

/// A reactor, and clients on the other side of its connections. Clients never block.
pub(crate) trait Harness {
    /// The reactor under test.
    type Reactor: Reactor<'static>;
    /// What wakes it from another thread.
    type Waker: Wake + Clone + 'static;
    /// The client's end of a connection.
    type Client;

    /// A reactor for so many sockets, listeners included, and so many lent buffers.
    fn new(sockets: usize, lent: usize) -> Self;
    fn reactor(&mut self) -> &mut Self::Reactor;
    fn waker(&self) -> Self::Waker;
    fn listen(&mut self) -> IoHandle;
    fn connect(&mut self, listener: IoHandle) -> Self::Client;
    /// Says how many bytes were taken.
    fn client_send(&mut self, client: &mut Self::Client, bytes: &[u8]) -> usize;
    fn client_recv(&mut self, client: &mut Self::Client, into: &mut [u8]) -> ClientRecv;
    /// Sends FIN and goes on reading.
    fn client_finish(&mut self, client: &mut Self::Client);
    fn client_close(&mut self, client: Self::Client);
    fn client_reset(&mut self, client: Self::Client);
    /// Makes the buffers behind a connection so small that a send of some hundred kilobytes does not fit.
    fn shrink(&mut self, io: IoHandle);
}
