//! Over asynchronous streams.

use embedded_io_async::{Read, Write};

use super::Solo;
use super::session::{Session, Step};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::time::Instant;

impl<H: Handler> Solo<'_, '_, H> {
    /// Serves `io` until its connection ends, and tells why it did.
    ///
    /// `now` is the program's clock; where there is none, any constant will do.
    ///
    /// # Errors
    /// What the stream said; the connection has ended then, and all buffers are back.
    pub async fn serve_async<T: Read + Write>(
        &mut self,
        io: &mut T,
        mut now: impl FnMut() -> Instant,
    ) -> Result<CloseReason, T::Error> {
        let mut session = Session::open(self, now());
        loop {
            match session.next_step(now()) {
                Step::Read => {
                    let result = io.read(session.spare()).await;
                    session.handle_read(now(), result);
                }
                Step::Write => {
                    let result = io.write(session.unsent()).await;
                    session.handle_written(now(), result);
                }
                Step::Flush => {
                    let result = io.flush().await;
                    session.handle_flushed(now(), result);
                }
                Step::Ended => return session.outcome(),
            }
        }
    }
}
