//! Over blocking streams.

use embedded_io::{Read, ReadReady, Write};

use super::session::{Session, Step};
use super::{Clock, Solo};
use crate::error::CloseReason;
use crate::handler::Handler;

impl<H: Handler> Solo<'_, '_, H> {
    /// Serves `io` until its connection ends, and tells why it did.
    ///
    /// The clock is looked at before and after each call of the stream. How long a call may last is up to the stream:
    /// see [the module](super#time).
    ///
    /// # Errors
    /// What the stream said; the connection has ended then, and all buffers are back.
    pub fn serve<T: Read + Write>(&mut self, io: &mut T, clock: impl Clock) -> Result<CloseReason, T::Error> {
        self.drive(io, clock, |_| Ok(true))
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
        clock: impl Clock,
        mut idle: impl FnMut(),
    ) -> Result<CloseReason, T::Error> {
        self.drive(io, clock, |io| {
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
        clock: impl Clock,
        mut is_ready: impl FnMut(&mut T) -> Result<bool, T::Error>,
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
