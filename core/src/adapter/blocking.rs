//! Serving blocking streams.

use embedded_io::{Read, ReadReady, Write};

use super::session::{Session, Step};
use super::{Clock, Solo};
use crate::error::CloseReason;
use crate::handler::Handler;

impl<H: Handler> Solo<'_, '_, H> {
    /// Serves `io` until its connection ends, and returns the reason.
    ///
    /// The clock is read before and after each call of the stream. How long a call may take is up to the stream: see
    /// [the module](super#time). Output is flushed before anything is read, and before a handler produces more.
    ///
    /// ```
    /// # use std::collections::VecDeque;
    /// # use embedded_io::{ErrorKind, ErrorType, Read, Write};
    /// use aurora_http_core::adapter::Solo;
    /// use aurora_http_core::error::CloseReason;
    /// use aurora_http_core::handler::handler_fn;
    /// use aurora_http_core::limits::Limits;
    /// use aurora_http_core::pool::{BufferPool, Buffers, Class, ClassCounts};
    /// use aurora_http_core::preamble::Preamble;
    /// use aurora_http_core::time::Instant;
    /// use aurora_http_core::writer::ResponseWriter;
    ///
    /// # struct Uart(VecDeque<u8>, Vec<u8>);
    /// # impl ErrorType for Uart { type Error = ErrorKind; }
    /// # impl Read for Uart {
    /// #     fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> { Ok(std::io::Read::read(&mut self.0,
    /// into).unwrap()) }
    /// # }
    /// # impl Write for Uart {
    /// #     fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> { self.1.extend(bytes); Ok(bytes.len()) }
    /// #     fn flush(&mut self) -> Result<(), ErrorKind> { Ok(()) }
    /// # }
    /// # let mut uart = Uart(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n".repeat(2).into(), Vec::new());
    /// # let uptime_ms = || 0;
    /// let (mut memory, mut table) = (Buffers::<2, 1024>::new(), [const { None }; 2]);
    /// let mut pool = BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Tiny, 2))?;
    /// pool.add_buffers(&mut memory)?;
    ///
    /// let answer = handler_fn(|_, response: &mut ResponseWriter<'_>| response.body("21.5 C\n"));
    /// let mut solo = Solo::new(answer, pool, &mut [], &mut [], Limits::small_device(), Preamble::new("device")?);
    /// // In a loop, for one stream after another:
    /// let reason = solo.serve(&mut uart, || Instant(uptime_ms()))?;
    /// assert_eq!((reason, solo.counters().requests), (CloseReason::PeerClosed, 2));
    /// # assert!(uart.1.ends_with(b"Content-Length: 7\r\n\r\n21.5 C\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The stream's error, except for `ErrorKind::Interrupted`, after which the call is repeated, and
    /// `ErrorKind::TimedOut`. The connection has then ended, and all buffers have been returned. A write of 0 bytes is
    /// not an error of the stream: it ends the connection with [`CloseReason::PeerReset`].
    pub fn serve<T: Read + Write>(&mut self, io: &mut T, clock: impl Clock) -> Result<CloseReason, T::Error> {
        // It is unknown whether a read would block.
        self.drive(io, clock, |_| Ok(true), |_| Ok(false))
    }

    /// Like [`serve`](Self::serve), for a stream that can tell whether a read would block: as long as it would, `idle`
    /// is called again and again, so that deadlines take effect and the program can do something else. `idle` may sleep
    /// for a while, at most until the next interrupt.
    ///
    /// # Errors
    /// Same as [`serve`](Self::serve).
    pub fn serve_ready<T: Read + ReadReady + Write>(
        &mut self,
        io: &mut T,
        clock: impl Clock,
        mut idle: impl FnMut(),
    ) -> Result<CloseReason, T::Error> {
        let is_ready = |io: &mut T| {
            let is_ready = io.read_ready()?;
            if !is_ready {
                idle();
            }
            Ok(is_ready)
        };
        self.drive(io, clock, is_ready, T::read_ready)
    }

    fn drive<T: Read + Write>(
        &mut self,
        io: &mut T,
        clock: impl Clock,
        mut is_ready: impl FnMut(&mut T) -> Result<bool, T::Error>,
        mut has_more: impl FnMut(&mut T) -> Result<bool, T::Error>,
    ) -> Result<CloseReason, T::Error> {
        let mut session = Session::open(self, clock);
        loop {
            match session.next_step() {
                Step::Read => {
                    let result = match is_ready(io) {
                        Ok(true) => io.read(session.spare()),
                        Ok(false) => continue,
                        Err(error) => Err(error),
                    };
                    session.handle_read(result);
                }
                Step::Look => match has_more(io) {
                    Ok(true) => {
                        let result = io.read(session.spare());
                        session.handle_read(result);
                    }
                    Ok(false) => session.handle_timeout(),
                    Err(error) => session.handle_read(Err(error)),
                },
                Step::Write => {
                    let result = io.write(session.unsent());
                    session.handle_written(result);
                }
                Step::Flush => {
                    let result = io.flush();
                    session.handle_flushed(result);
                }
                Step::Ended => return session.outcome(),
            }
        }
    }
}
