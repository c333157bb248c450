//! A part of an open file on its way into a response.

use aurora_http::{ResponseWriter, WriteError};
use aurora_http_sockets::OpenFile;
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, fcntl_dupfd_cloexec, pread, retry_on_intr};

use crate::range::Span;

/// From this length on, a part is sent by the system; a shorter one is cheaper to copy.
const SYSTEM_MIN: u64 = 32 * 1024;

/// The most that one operation of the system sends, so that connections take turns.
const PIECE: u64 = 1024 * 1024;

/// The most that is copied at once.
const COPY_MAX: u64 = 60 * 1024;

/// How much is read ahead at once by another thread.
pub(crate) const AHEAD: u64 = 1024 * 1024;

/// The distance of the bytes that are looked at to see whether a piece is in the cache.
const PROBE_DISTANCE: u64 = 128 * 1024;

#[derive(Debug)]
pub(crate) struct Source {
    file: OpenFile,
    at: u64,
    end: u64,
    /// It has been read up to here a moment ago.
    warm_to: u64,
    kernel: Kernel,
}

/// What the kernel does with the content of files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    /// It sends them.
    pub(crate) sends: bool,
    /// It tells what is in its caches.
    pub(crate) tells_cached: bool,
}

/// Why no more of a part is written in this call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pumped {
    /// The response has no more room.
    Full,
    /// It was the last of it, and nothing depends on the file any more.
    Ended,
    /// What follows would have to be read from the disk: see [`Source::ahead`].
    Cold,
}

/// Why nothing was read into a response.
enum Unread {
    Write(WriteError),
    Cold,
    /// The file ends here, or cannot be read.
    Broken,
}

impl From<WriteError> for Unread {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl Source {
    pub(crate) fn new(file: OpenFile, span: Span, kernel: Kernel) -> Self {
        Self { file, at: span.from, end: span.to, warm_to: 0, kernel }
    }

    /// Continues with another part of the same file.
    pub(crate) fn select(&mut self, span: Span) {
        (self.at, self.end, self.warm_to) = (span.from, span.to, 0);
    }

    pub(crate) const fn position(&self) -> u64 {
        self.at
    }

    /// Writes as much as can be written now.
    pub(crate) fn pump(&mut self, response: &mut ResponseWriter<'_>) -> Result<Pumped, WriteError> {
        let left = self.end - self.at;
        if left == 0 {
            return Ok(Pumped::Ended);
        }
        if self.kernel.sends && left >= SYSTEM_MIN && response.sends_files() {
            let len = left.min(PIECE);
            if !self.is_warm(len) {
                return Ok(Pumped::Cold);
            }
            let taken = response.write_file(self.file.range(self.at, len as u32))?;
            if taken > 0 {
                self.at += u64::from(taken);
                return Ok(Pumped::Full);
            }
        }
        response.make_room(left.min(COPY_MAX) as usize);
        let read = response.write_with(|room| {
            let len = left.min(room.len() as u64) as usize;
            self.read(&mut room[..len])
        });
        match read {
            Ok(count) => {
                self.at += count as u64;
                Ok(if self.at == self.end { Pumped::Ended } else { Pumped::Full })
            }
            Err(Unread::Cold) => Ok(Pumped::Cold),
            Err(Unread::Write(error)) => Err(error),
            // What was announced cannot be sent any more: 500 if nothing of it has been, else the end of the connection.
            Err(Unread::Broken) => response.fail(500).map(|()| Pumped::Ended),
        }
    }

    /// Reads the next bytes, unless that would wait for the disk.
    fn read(&self, into: &mut [u8]) -> Result<usize, Unread> {
        let warm = self.warm_to.saturating_sub(self.at).min(into.len() as u64) as usize;
        let outcome = self.file.with(|file| {
            if warm > 0 {
                retry_on_intr(|| pread(file, &mut into[..warm], self.at))
            } else {
                self.read_cached(file, into, self.at)
            }
        });
        match outcome {
            Ok(0) => Err(Unread::Broken),
            Ok(count) => Ok(count),
            Err(Errno::AGAIN | Errno::OPNOTSUPP) if warm == 0 => Err(Unread::Cold),
            Err(_) => Err(Unread::Broken),
        }
    }

    /// Whether the next `len` bytes are in the cache, as far as samples can tell.
    fn is_warm(&self, len: u64) -> bool {
        if self.at + len <= self.warm_to {
            return true;
        }
        if !self.kernel.tells_cached {
            return false;
        }
        let last = self.at + len - 1;
        let samples = (self.at..last).step_by(PROBE_DISTANCE as usize).chain([last]);
        self.file.with(|file| {
            let is_cold = |at| matches!(self.read_cached(file, &mut [0], at), Err(Errno::AGAIN | Errno::OPNOTSUPP));
            !samples.into_iter().any(is_cold)
        })
    }

    /// Reads what is in the kernel's cache; [`Errno::AGAIN`] if the first byte is not, [`Errno::OPNOTSUPP`] if the kernel or the file
    /// system does not tell.
    fn read_cached(&self, file: BorrowedFd<'_>, into: &mut [u8], at: u64) -> Result<usize, Errno> {
        if !self.kernel.tells_cached {
            return Err(Errno::OPNOTSUPP);
        }
        retry_on_intr(|| read_cached(file, into, at))
    }

    /// What another thread has to do for the next bytes to be in the cache. It gets a descriptor of its own, so that the exchange can
    /// end before it does.
    pub(crate) fn ahead(&self) -> impl FnOnce() + Send + 'static {
        let (from, to) = (self.at, self.end.min(self.at + AHEAD));
        let file = self.file.with(|file| fcntl_dupfd_cloexec(file, 0));
        move || {
            let Ok(file) = file else { return };
            let mut buffer = [0; 32 * 1024];
            let mut at = from;
            while at < to {
                match retry_on_intr(|| pread(&file, &mut buffer, at)) {
                    // Whoever sends it meets the same error.
                    Ok(0) | Err(_) => return,
                    Ok(count) => at += count as u64,
                }
            }
        }
    }

    /// [`ahead`](Self::ahead) has been done.
    pub(crate) fn set_warm(&mut self) {
        self.warm_to = self.end.min(self.at + AHEAD);
    }
}

#[cfg(target_os = "linux")]
fn read_cached(file: BorrowedFd<'_>, into: &mut [u8], at: u64) -> Result<usize, Errno> {
    use rustix::io::{IoSliceMut, ReadWriteFlags, preadv2};

    preadv2(file, &mut [IoSliceMut::new(into)], at, ReadWriteFlags::NOWAIT)
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: BorrowedFd<'_>, _: &mut [u8], _: u64) -> Result<usize, Errno> {
    Err(Errno::OPNOTSUPP)
}
