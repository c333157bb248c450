//! Over blocking streams.

use embedded_io::{Read, Write};

use super::Solo;
use crate::connection::{Action, Connection};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::reactor::IoError;
use crate::time::Instant;

impl<H: Handler> Solo<'_, '_, H> {
    /// Serves `io` until its connection ends, and tells why it did.
    ///
    /// `now` is the program's clock; where there is none, any constant will do.
    ///
    /// # Errors
    /// What the stream said; the connection has ended then, and all buffers are back.
    pub fn serve<T: Read + Write>(
        &mut self,
        io: &mut T,
        mut now: impl FnMut() -> Instant,
    ) -> Result<CloseReason, T::Error> {
        let mut connection = Connection::new();
        let mut failed = None;
        self.counters.accepted += 1;
        loop {
            let Some(action) = connection.next_action(&mut self.pool) else {
                // It waits for something that only an engine could bring: a buffer, or a deferred answer.
                self.with(now(), |cx| connection.close(cx, CloseReason::Shed));
                continue;
            };
            match action {
                Action::Recv { into } => match self.receive_buffer(into) {
                    None => self.with(now(), |cx| connection.handle_received(cx, Err(IoError::NoBuffers), None)),
                    Some(mut buf) => {
                        let result = io.read(buf.spare());
                        let count = result.as_ref().map_or(0, |count| *count);
                        buf.advance(count);
                        let result = result.map(|count| count as u32).map_err(|error| failed = Some(error));
                        let result = result.map_err(|()| IoError::ConnectionReset);
                        self.with(now(), |cx| connection.handle_received(cx, result, Some(buf)));
                    }
                },
                Action::Send { head, body } => {
                    let sent = send(io, head.filled(), body);
                    let result = sent.map_err(|error| failed = Some(error)).map_err(|()| IoError::ConnectionReset);
                    self.with(now(), |cx| connection.handle_sent(cx, result, head, body));
                }
                // A byte stream has no half to end: what follows the last response is not waited for.
                Action::Shutdown(_) => self.with(now(), |cx| connection.close(cx, CloseReason::PeerAsked)),
                // Nothing is in flight between two calls.
                Action::CancelRecv | Action::CancelSend => {}
                Action::Close => {
                    connection.handle_closed();
                    let reason = self.finish(&connection);
                    return failed.map_or(Ok(reason), Err);
                }
            }
        }
    }
}

/// Sends both parts and tells how many bytes they are.
fn send<T: Write>(io: &mut T, head: &[u8], body: &[u8]) -> Result<u32, T::Error> {
    io.write_all(head)?;
    io.write_all(body)?;
    io.flush()?;
    Ok((head.len() + body.len()) as u32)
}
