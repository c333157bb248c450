//! Serving asynchronous streams.

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
    /// Serves `io` until its connection ends, and returns the reason.
    ///
    /// The clock is read before and after each call of the stream. How long a call may take is up to the stream: see
    /// [the module](super#time). Output is flushed before anything is read, and before a handler produces more.
    ///
    /// The future may be dropped at any time: that ends the connection ([`CloseReason::Aborted`]), returns all buffers,
    /// and leaves the stream as dropping its own calls leaves it.
    ///
    /// # Errors
    /// The stream's error, except for `ErrorKind::Interrupted`, after which the call is repeated, and
    /// `ErrorKind::TimedOut`. The connection has then ended, and all buffers have been returned. A write of 0 bytes is
    /// not an error of the stream: it ends the connection with [`CloseReason::PeerReset`].
    pub async fn serve_async<T: Read + Write>(
        &mut self,
        io: &mut T,
        clock: impl Clock,
    ) -> Result<CloseReason, T::Error> {
        self.serve_async_timed(io, clock, async |_| pending().await).await
    }

    /// Like [`serve_async`](Self::serve_async), with every deadline: `sleep` waits until an instant of the clock, and a
    /// call of the stream that has not completed by then is dropped.
    ///
    /// ```
    /// use aurora_http_core::adapter::{Clock, Solo};
    /// use aurora_http_core::handler::Handler;
    /// use aurora_http_core::time::Instant;
    /// use embedded_io_async::{Read, Write};
    ///
    /// /// Serves the streams that `accept` returns, one after another. `sleep_until` takes a time of `uptime_ms`.
    /// ```
    ///
    /// # Errors
    /// Same as [`serve_async`](Self::serve_async).
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
                Step::Read | Step::Look => {
                    let is_due = matches!(step, Step::Look);
                    let mut result = if is_due { None } else { unless(alarm, io.read(session.spare())).await };
                    // The bytes may have arrived at the same time as the alarm.
                    if result.is_none() && (is_due || session.may_look()) {
                        result = unless(async {}, io.read(session.spare())).await;
                    }
                    match result {
                        Some(result) => session.handle_read(result),
                        None => session.handle_timeout(),
                    }
                }
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

/// The outcome of `call`; `None` if `alarm` completes first.
async fn unless<T>(alarm: impl Future<Output = ()>, call: impl Future<Output = T>) -> Option<T> {
    let (mut alarm, mut call) = (pin!(alarm), pin!(call));
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
    })
    .await
}
