//! Serving asynchronous streams.

use core::future::{pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

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
        sleep: impl AsyncFnMut(Instant),
    ) -> Result<CloseReason, T::Error> {
        self.serve_async_until(io, clock, sleep, pending()).await
    }

    /// As [`serve_async_timed`](Self::serve_async_timed), with a graceful stop: once `stop` is ready, a connection on which
    /// nothing is under way ends as [`Stopped`](CloseReason::Stopped), and any other one behind its response. A request that
    /// has begun to arrive is still read and answered, and a handler that waits for anything else
    /// [is told](Handler::stopping).
    ///
    /// Nothing limits how long that takes but the deadlines of the connection: to limit it, drop the future after
    /// [`stop_timeout_ms`](crate::limits::Timeouts::stop_timeout_ms), or a time of the program's choice.
    ///
    /// # Errors
    /// As those of [`serve_async`](Self::serve_async).
    pub async fn serve_async_until<T: Read + Write>(
        &mut self,
        io: &mut T,
        clock: impl Clock,
        mut sleep: impl AsyncFnMut(Instant),
        stop: impl Future<Output = ()>,
    ) -> Result<CloseReason, T::Error> {
        let mut session = Session::open(self, clock);
        let mut stop = Stop { future: pin!(stop), is_asked: false };
        loop {
            if poll_fn(|cx| Poll::Ready(stop.poll(cx))).await {
                session.begin_stop();
            }
            let step = session.next_step();
            let (deadline, hears_stop) = (session.deadline(), session.hears_stop());
            let alarm = async {
                match deadline {
                    Some(at) => sleep(at).await,
                    None => pending().await,
                }
            };
            match step {
                Step::Read | Step::Look => {
                    let is_due = matches!(step, Step::Look);
                    let mut result = if is_due {
                        Err(Early::Deadline)
                    } else {
                        first(io.read(session.spare()), alarm, |cx| hears_stop && stop.poll(cx)).await
                    };
                    // The alarm and the bytes may have come at once.
                    if matches!(result, Err(Early::Deadline)) && (is_due || session.may_look()) {
                        result = first(io.read(session.spare()), async {}, |_| false).await;
                    }
                    match result {
                        Ok(result) => session.handle_read(result),
                        Err(Early::Deadline) => session.handle_timeout(),
                        Err(Early::Stop) => session.end_idle(),
                    }
                }
                Step::Write => match first(io.write(session.unsent()), alarm, |cx| stop.note(cx)).await {
                    Ok(result) => session.handle_written(result),
                    Err(_) => session.handle_timeout(),
                },
                Step::Flush => match first(io.flush(), alarm, |cx| stop.note(cx)).await {
                    Ok(result) => session.handle_flushed(result),
                    Err(_) => session.handle_timeout(),
                },
                Step::Ended => return session.outcome(),
            }
        }
    }
}

/// What ends the connection once nothing is under way on it.
struct Stop<'f, F> {
    future: Pin<&'f mut F>,
    is_asked: bool,
}

impl<F: Future<Output = ()>> Stop<'_, F> {
    /// Whether it was asked for; if not, the task is woken when it is.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_asked = self.is_asked || self.future.as_mut().poll(cx).is_ready();
        self.is_asked
    }

    /// As [`poll`](Self::poll), for a call that it must not end: nobody knows what the stream has taken of a write.
    fn note(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll(cx);
        false
    }
}

/// What came before the end of a call.
enum Early {
    Deadline,
    Stop,
}

/// The outcome of `call`, unless `alarm` or `stops` was first.
async fn first<T>(
    call: impl Future<Output = T>,
    alarm: impl Future<Output = ()>,
    mut stops: impl FnMut(&mut Context<'_>) -> bool,
) -> Result<T, Early> {
    let (mut call, mut alarm) = (pin!(call), pin!(alarm));
    poll_fn(|cx| {
        if let Poll::Ready(value) = call.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        if stops(cx) {
            return Poll::Ready(Err(Early::Stop));
        }
        alarm.as_mut().poll(cx).map(|()| Err(Early::Deadline))
    })
    .await
}
