//! Sends of parts of files.
//!
//! io_uring has no sendfile, and its splice runs on a pool of kernel threads. So the ring only waits until the socket is writable,
//! and sendfile(2) is called then. That is one poll per send, in the system call that waits for completions anyway.

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{FileRange, IoError, IoHandle, Op, OpToken, Submission};
use rustix::io::Errno;

use crate::held::Tail;
use crate::ops::{self, Kind};
use crate::ring::Full;
use crate::table::{SEND, SENDS_FILES, WAIT_SEND};
use crate::uring::Uring;

impl Uring<'_> {
    #[allow(clippy::result_large_err)]
    pub(crate) fn submit_file(
        &mut self,
        token: OpToken,
        io: IoHandle,
        head: Buf<'static>,
        range: FileRange,
    ) -> Result<(), Submission<'static>> {
        let FileRange { file, offset, len } = range;
        let index = io.0;
        match self.table.get_mut(index as usize).filter(|entry| entry.admits(SEND, token)) {
            Some(entry) if SENDS_FILES => {
                let Some(record) = self.held.get_or_take(entry) else {
                    return self.put_off(token, Op::SendFile { io, head, range });
                };
                record.head = Some(head);
                record.tail = Tail::File { file, offset, len };
                entry.owner = token;
            }
            _ => return self.refuse(token, Op::SendFile { io, head, range }),
        }
        let pushed = self.push_file(index);
        let entry = &mut self.table[index as usize];
        if pushed.is_err()
            && let Some((head, _)) = self.held.take_head(entry)
        {
            return Err(Submission { token, op: Op::SendFile { io, head, range } });
        }
        entry.flags |= SEND;
        Ok(())
    }

    /// Queues the wait for the socket.
    pub(crate) fn push_file(&mut self, index: u32) -> Result<(), Full> {
        let Some(entry) = self.table.get_mut(index as usize) else { return Ok(()) };
        // SAFETY: it references no memory.
        unsafe { self.ring.push(&ops::ready(entry.target(index), Kind::WaitSend, index)) }?;
        entry.waits |= WAIT_SEND;
        Ok(())
    }

    /// The socket is writable.
    #[cfg(feature = "std")]
    pub(crate) fn send_file(&mut self, index: u32) {
        use aurora_http_core::reactor::Attempt;
        use rustix::fd::AsFd;
        use rustix_uring::cqueue::Flags;

        let Some(entry) = self.table.get(index as usize) else { return };
        let Some(record) = self.held.of(entry) else { return };
        let (Some(socket), Some(head), Some(range)) = (&entry.socket, &record.head, record.tail.file()) else { return };
        let result = match aurora_http_sockets::send_file(socket.as_fd(), head.filled(), range) {
            // At most 1 GiB and a buffer.
            Attempt::Done(count) => count as i32,
            Attempt::WouldBlock => return self.push_poll(Kind::WaitSend, index),
            Attempt::Failed(error) => -errno_of(error).raw_os_error(),
        };
        self.record(Kind::Send, index, result, Flags::empty());
    }

    #[cfg(not(feature = "std"))]
    pub(crate) fn send_file(&mut self, _index: u32) {}
}

/// An errno value that [`file_error`] turns into the same error.
#[cfg(feature = "std")]
fn errno_of(error: IoError) -> Errno {
    match error {
        IoError::ConnectionReset => Errno::PIPE,
        IoError::NoBuffers => Errno::NOBUFS,
        _ => Errno::IO,
    }
}

/// The error of a send of a file: the connection's errors are known, and any other one is the file's.
#[cold]
pub(crate) fn file_error(result: i32) -> IoError {
    match aurora_http_sockets::os_error(Errno::from_raw_os_error(result.saturating_neg())) {
        IoError::Os(_) | IoError::Unsupported => IoError::FileUnreadable,
        error => error,
    }
}
