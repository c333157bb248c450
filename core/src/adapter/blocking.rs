//! Over blocking streams.

use embedded_io::{Read, ReadReady, Write};

use super::Solo;
use super::session::{Session, Step};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::time::Instant;

impl<H: Handler> Solo<'_, '_, H> {
    /// Serves `io` until its connection ends, and tells why it did.
    ///
    /// `now` is the program's clock, asked before and after each call of the stream; where there is none, any constant
    /// will do. How long a call may last is up to the stream: see [the module](super#time).
    ///
    /// # Errors
    /// What the stream said; the connection has ended then, and all buffers are back.
    pub fn serve<T: Read + Write>(
        &mut self,
        io: &mut T,
        now: impl FnMut() -> Instant,
    ) -> Result<CloseReason, T::Error> {
        self.drive(io, now, |_| Ok(true))
    }

    /// As [`serve`](Self::serve), for a stream that can tell whether a read would wait: `idle` is called while it would,
    /// over and over, so that deadlines end a wait, and something else can be done meanwhile. It may sleep for a while,
    /// until the next interrupt at most.
    ///
    /// # Errors
    /// As those of [`serve`](Self::serve).
    pub fn serve_ready<T: Read + ReadReady + Write>(
        &mut self,
        io: &mut T,
        now: impl FnMut() -> Instant,
        mut idle: impl FnMut(),
    ) -> Result<CloseReason, T::Error> {
        self.drive(io, now, |io| {
            let is_ready = io.read_ready()?;
            if !is_ready {
                idle();
            }
            Ok(is_ready)
        })
    }

    fn drive<T: Read + Write>(
        &mut self,
        io: &mut T,
        mut now: impl FnMut() -> Instant,
        mut is_ready: impl FnMut(&mut T) -> Result<bool, T::Error>,
    ) -> Result<CloseReason, T::Error> {
        let mut session = Session::open(self, now());
        loop {
            match session.next_step(now()) {
                Step::Read => {
                    let result = match is_ready(io) {
                        Ok(true) => io.read(session.spare()),
                        Ok(false) => continue,
                        Err(error) => Err(error),
                    };
                    session.handle_read(now(), result);
                }
                Step::Write => {
                    let result = io.write(session.unsent());
                    session.handle_written(now(), result);
                }
                Step::Flush => {
                    let result = io.flush();
                    session.handle_flushed(now(), result);
                }
                Step::Ended => return session.outcome(),
            }
        }
    }
}
