//! A scripted stream, blocking and asynchronous, which checks how it is used.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embedded_io::ErrorKind;

/// A fault after a number of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Error(ErrorKind),
    /// `write` returns 0, which the contract forbids.
    Zero,
    /// Calls return a larger count than the room or the offered bytes, and transfer nothing.
    Excess,
}

pub(crate) struct Stream {
    /// Each read returns a part of one of them; then comes the end.
    pub(crate) pieces: VecDeque<Vec<u8>>,
    pub(crate) read: usize,
    pub(crate) written: Vec<u8>,
    pub(crate) write_max: usize,
    pub(crate) read_fault: Option<(usize, Fault)>,
    pub(crate) write_fault: Option<(usize, Fault)>,
    /// The number of calls in a row that are interrupted before one is not.
    pub(crate) interrupts: usize,
    pub(crate) interrupted: usize,
    /// Whether asynchronous calls are not ready at once.
    pub(crate) waits: bool,
    pub(crate) unflushed: usize,
    pub(crate) ended: bool,
}

impl Stream {
    pub(crate) fn new(pieces: &[&[u8]]) -> Self {
        Self {
            pieces: pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()).collect(),
            read: 0,
            written: Vec::new(),
            write_max: usize::MAX,
            read_fault: None,
            write_fault: None,
            interrupts: 0,
            interrupted: 0,
            waits: false,
            unflushed: 0,
            ended: false,
        }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.written).unwrap()
    }

    /// Whether the stream's own buffer is empty.
    pub(crate) fn is_flushed(&self) -> bool {
        self.unflushed == 0
    }

    fn interrupt(&mut self) -> Result<(), ErrorKind> {
        if self.interrupted < self.interrupts {
            self.interrupted += 1;
            return Err(ErrorKind::Interrupted);
        }
        self.interrupted = 0;
        Ok(())
    }

    fn take(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        assert!(!into.is_empty(), "a read without room would look like the end");
        assert!(self.is_flushed(), "a read before the output was flushed");
        assert!(!self.ended, "a read after the end");
        self.interrupt()?;
        let mut count = self.pieces.front().map_or(0, Vec::len).min(into.len());
        if let Some((at, fault)) = self.read_fault {
            match fault {
                Fault::Error(kind) if self.read >= at => return Err(kind),
                Fault::Excess if self.read >= at => {
                    self.read_fault = None;
                    return Ok(usize::MAX);
                }
                _ => count = count.min(at - self.read),
            }
        }
        if let Some(piece) = self.pieces.front_mut() {
            into[..count].copy_from_slice(&piece[..count]);
            piece.drain(..count);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        self.read += count;
        self.ended = count == 0;
        Ok(count)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        assert!(!bytes.is_empty(), "a write of nothing");
        self.interrupt()?;
        let mut count = bytes.len().min(self.write_max);
        if let Some((at, fault)) = self.write_fault {
            match fault {
                Fault::Error(kind) if self.written.len() >= at => return Err(kind),
                Fault::Excess if self.written.len() >= at => return Ok(usize::MAX),
                _ => count = count.min(at - self.written.len()),
            }
        }
        self.written.extend(&bytes[..count]);
        self.unflushed += count;
        Ok(count)
    }

    fn drain(&mut self) -> Result<(), ErrorKind> {
        self.interrupt()?;
        self.unflushed = 0;
        Ok(())
    }

    async fn wait(&self) {
        let mut is_first = self.waits;
        poll_fn(|_| if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

impl embedded_io::ErrorType for Stream {
    type Error = ErrorKind;
}

impl embedded_io::Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        self.take(into)
    }
}

impl embedded_io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.put(bytes)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.drain()
    }
}

impl embedded_io_async::Read for Stream {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        self.wait().await;
        self.take(into)
    }
}

impl embedded_io_async::Write for Stream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.wait().await;
        self.put(bytes)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.wait().await;
        self.drain()
    }
}

/// Polls at most `polls` times; `None` if it was not ready by then, and is dropped.
pub(crate) fn poll<T>(future: impl Future<Output = T>, polls_max: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    (0..polls_max).find_map(|_| match future.as_mut().poll(&mut cx) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    })
}
