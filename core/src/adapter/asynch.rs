//! Over asynchronous streams.

use core::future::{pending, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embedded_io_async::{Read, Write};

use super::session::{Session, Step};
use super::{Clock, Solo};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::time::Instant;

impl<H: Handler> Solo<'_, '_, H> {
    /// Serves `io` until its connection ends, and tells why it did.
    ///
    /// The clock is looked at before and after each call of the stream. How long a call may last is up to the stream:
    /// see [the module](super#time).
    ///
    /// The future may be dropped at any time: that ends the connection ([`CloseReason::Aborted`]), brings all buffers
    /// back and leaves the stream as its own calls leave it when they are dropped.
    ///
    /// # Errors
    /// What the stream said; the connection has ended then, and all buffers are back.
    pub async fn serve_async<T: Read + Write>(
        &mut self,
        io: &mut T,
        clock: impl Clock,
    ) -> Result<CloseReason, T::Error> {
        self.serve_async_timed(io, clock, async |_| pending().await).await
    }

    /// As [`serve_async`](Self::serve_async), with every deadline: `sleep` waits until an instant of the clock has come, and a call of the stream that is not done by then is dropped.
    ///
    /// # Errors
    /// As those of [`serve_async`](Self::serve_async).
    pub async fn serve_async_timed<T: Read + Write>(
        &mut self,
        io: &mut T,
        clock: impl Clock,
        mut sleep: impl AsyncFnMut(Instant),
    ) -> Result<CloseReason, T::Error> {
        let mut session = Session::open(self, clock);
        loop {
            let step = session.next_step();
            let deadline = session.deadline();
            let alarm = async {
                match deadline {
                    Some(at) => sleep(at).await,
                    None => pending().await,
                }
            };
            match step {
                Step::Read => match unless(alarm, io.read(session.spare())).await {
                    Some(result) => session.handle_read(result),
                    None => session.handle_timeout(),
                },
                Step::Write => match unless(alarm, io.write(session.unsent())).await {
                    Some(result) => session.handle_written(result),
                    None => session.handle_timeout(),
                },
                Step::Flush => match unless(alarm, io.flush()).await {
                    Some(result) => session.handle_flushed(result),
                    None => session.handle_timeout(),
                },
                Step::Ended => return session.outcome(),
            }
        }
    }
}

/// The outcome of `call`; `None` when `alarm` was first.
async fn unless<T>(alarm: impl Future<Output = ()>, call: impl Future<Output = T>) -> Option<T> {
    let (mut alarm, mut call) = (pin!(alarm), pin!(call));
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
    })
    .await
}
