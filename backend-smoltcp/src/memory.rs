//! What the sockets stand on.

use smoltcp::socket::tcp::{Socket, SocketBuffer};

use crate::seat::Seat;

/// Buffers and seats for `SOCKETS` sockets that receive into `BYTES` bytes each and send from as many.
///
/// All zeros, so that a `static` of it, in whichever cell the program uses to get a `&'static mut` once, lies in `.bss`.
pub struct Memory<const SOCKETS: usize, const BYTES: usize> {
    receive: [[u8; BYTES]; SOCKETS],
    send: [[u8; BYTES]; SOCKETS],
    seats: [Seat; SOCKETS],
}

impl<const SOCKETS: usize, const BYTES: usize> Memory<SOCKETS, BYTES> {
    /// Handles that a [`Stack`](crate::Stack) on this memory uses: the length of the table of
    /// [`Parked`](aurora_http_core::readiness::Parked).
    pub const HANDLES: usize = SOCKETS + 1;

    /// For sockets that have yet to be made.
    #[must_use]
    pub const fn new() -> Self {
        Self { receive: [[0; BYTES]; SOCKETS], send: [[0; BYTES]; SOCKETS], seats: [Seat::FREE; SOCKETS] }
    }

    /// The seats, and a socket for each.
    pub(crate) fn split(&mut self) -> (&mut [Seat], impl Iterator<Item = Socket<'_>>) {
        let buffers = self.receive.iter_mut().zip(&mut self.send);
        let sockets = buffers.map(|(receive, send)| {
            let mut socket = Socket::new(SocketBuffer::new(&mut receive[..]), SocketBuffer::new(&mut send[..]));
            // A response leaves in as few segments as it fits in, and its last one must not wait for an acknowledgement.
            socket.set_nagle_enabled(false);
            socket
        });
        (&mut self.seats, sockets)
    }
}

impl<const SOCKETS: usize, const BYTES: usize> Default for Memory<SOCKETS, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}
