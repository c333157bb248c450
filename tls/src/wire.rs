//! The socket below a session, as the byte stream that rustls reads and writes.

use std::io::{self, IoSlice, Read, Write};

use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Shutdown};

use crate::config::Tally;

/// One socket, for the duration of a call.
pub(crate) struct Wire<'a, P> {
    io: &'a mut P,
    handle: IoHandle,
    pub(crate) tally: &'a Tally,
    /// The last receive took everything that had arrived.
    pub(crate) is_drained: bool,
    /// The first byte of the last receive.
    pub(crate) first: Option<u8>,
    /// Why the last call failed.
    pub(crate) error: Option<IoError>,
}

impl<'a, P: NonBlocking> Wire<'a, P> {
    pub(crate) const fn new(io: &'a mut P, handle: IoHandle, tally: &'a Tally) -> Self {
        Self { io, handle, tally, is_drained: false, first: None, error: None }
    }

    /// Sends bytes that are not encrypted, as far as there is room for them.
    pub(crate) fn send_plain(&mut self, bytes: &[u8]) {
        self.io.send(self.handle, [bytes, &[]]);
    }

    /// Drops what has arrived, up to a bound: unread input would turn the close into a reset, which destroys what was sent.
    pub(crate) fn drop_input(&mut self) {
        let mut bytes = [0; 4096];
        for _ in 0..16 {
            match self.io.recv(self.handle, &mut bytes) {
                Attempt::Done(count) if count > 0 => {}
                _ => return,
            }
        }
    }

    pub(crate) fn shutdown(&mut self, how: Shutdown) {
        self.io.shutdown(self.handle, how);
    }

    fn outcome(&mut self, attempt: Attempt) -> io::Result<usize> {
        match attempt {
            Attempt::Done(count) => Ok(count as usize),
            Attempt::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
            Attempt::Failed(error) => {
                self.error = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}

impl<P: NonBlocking> Read for Wire<'_, P> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into()); // a receive of 0 would mean the end
        }
        let attempt = self.io.recv(self.handle, bytes);
        let count = self.outcome(attempt)?;
        self.is_drained = count < bytes.len();
        self.first = bytes.first().copied().filter(|_| count > 0);
        Ok(count)
    }
}

impl<P: NonBlocking> Write for Wire<'_, P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let attempt = self.io.send(self.handle, [bytes, &[]]);
        self.outcome(attempt)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut filled = parts.iter().filter(|part| !part.is_empty());
        let mut next = || filled.next().map_or(&[][..], |part| part);
        let attempt = self.io.send(self.handle, [next(), next()]);
        self.outcome(attempt)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
