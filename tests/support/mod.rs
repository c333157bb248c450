//! Shared by the tests of reactors: a harness per reactor, and a rig that checks every operation and buffer.

// Every test crate uses its own part of this.
#![allow(dead_code)]

pub(crate) mod rig;
pub(crate) mod sim;
pub(crate) mod smoltcp;
#[cfg(unix)]
pub(crate) mod sockets;

use aurora_http_core::reactor::{FileId, IoHandle, Reactor, Wake};
use aurora_http_core::sim::ClientRecv;

/// A reactor, and the clients of its connections. Clients never block.
pub(crate) trait Harness {
    /// The reactor under test.
    type Reactor: Reactor<'static>;
    /// A waker, to wake it from another thread.
    type Waker: Wake + Clone + 'static;
    /// The client's end of a connection.
    type Client;

    /// A reactor for so many sockets, listeners included, and so many lent buffers.
    fn new(sockets: usize, lent: usize) -> Self;
    fn reactor(&mut self) -> &mut Self::Reactor;
    fn waker(&self) -> Self::Waker;
    fn listen(&mut self) -> IoHandle;
    fn connect(&mut self, listener: IoHandle) -> Self::Client;
    /// Sends, and returns how many bytes were accepted.
    fn client_send(&mut self, client: &mut Self::Client, bytes: &[u8]) -> usize;
    fn client_recv(&mut self, client: &mut Self::Client, into: &mut [u8]) -> ClientRecv;
    /// Sends FIN and continues to read.
    fn client_finish(&mut self, client: &mut Self::Client);
    fn client_close(&mut self, client: Self::Client);
    fn client_reset(&mut self, client: Self::Client);
    /// Makes the socket buffers of a connection so small that a send of some hundred kilobytes does not fit.
    fn shrink(&mut self, io: IoHandle);
    /// Opens a file with this content, if the reactor sends files.
    fn open_file(&mut self, bytes: &[u8]) -> Option<FileId> {
        let _ = bytes;
        None
    }
    fn close_file(&mut self, file: FileId) {
        let _ = file;
    }
}
