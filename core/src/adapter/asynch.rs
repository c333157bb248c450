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
    /// see [the module](super#time). What was written is flushed before anything is read, and before a handler produces
    /// more of it.
    ///
    /// The future may be dropped at any time: that ends the connection ([`CloseReason::Aborted`]), brings all buffers
    /// back and leaves the stream as its own calls leave it when they are dropped.
    ///
    /// # Errors
    /// What the stream said, but for `ErrorKind::Interrupted`, upon which the call is repeated, and `ErrorKind::TimedOut`.
    /// The connection has ended then, and all buffers are back. A write of 0 bytes is no error of the stream's: it ends as
    /// [`CloseReason::PeerReset`].
    pub async fn serve_async<T: Read + Write>(
        &mut self,
        io: &mut T,
        clock: impl Clock,
    ) -> Result<CloseReason, T::Error> {
        self.serve_async_timed(io, clock, async |_| pending().await).await
    }

    /// As [`serve_async`](Self::serve_async), with every deadline: `sleep` waits until an instant of the clock has come, and a call of the stream that is not done by then is dropped.
    ///
    /// ```
    /// use aurora_http_core::adapter::{Clock, Solo};
    /// use aurora_http_core::handler::Handler;
    /// use aurora_http_core::time::Instant;
    /// use embedded_io_async::{Read, Write};
    ///
    /// /// Serves what `accept` brings, one after the other. `sleep_until` is the runtime's, in milliseconds of `uptime_ms`.
    /// async fn serve_all<T: Read + Write>(
    ///     solo: &mut Solo<'_, '_, impl Handler>,
    ///     mut accept: impl AsyncFnMut() -> T,
    ///     uptime_ms: impl Fn() -> u64,
    ///     sleep_until: impl AsyncFn(u64),
    /// ) {
    ///     loop {
    ///         let mut socket = accept().await;
    ///         let now = || Instant(uptime_ms());
    ///         match solo.serve_async_timed(&mut socket, now, async |at: Instant| sleep_until(at.0).await).await {
    ///             Ok(reason) if reason.is_orderly() => {}
    ///             Ok(_reason) => { /* linger: the client may still be sending */ }
    ///             Err(_error) => {}
    ///         }
    ///     }
    /// }
    /// ```
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
                Step::Read | Step::Look => {
                    let is_due = matches!(step, Step::Look);
                    let mut result = if is_due { None } else { unless(alarm, io.read(session.spare())).await };
                    // The alarm and the bytes may have come at once.
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

/// The outcome of `call`; `None` when `alarm` was first.
async fn unless<T>(alarm: impl Future<Output = ()>, call: impl Future<Output = T>) -> Option<T> {
    let (mut alarm, mut call) = (pin!(alarm), pin!(call));
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
    })
    .await
}
