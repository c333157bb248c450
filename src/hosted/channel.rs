//! Bodies that another thread writes while the response goes out: server-sent events, proxies, slow producers.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use aurora_http_core::defer::DeferToken;
use aurora_http_core::handler::{Exchange, Flow, Respond};
use aurora_http_core::writer::ResponseWriter;

use super::resumer::Resumer;

/// Makes a body and the sender that fills it, through `capacity` bytes of memory between them: what a slow client makes a
/// fast sender wait at.
///
/// ```
/// use std::thread;
///
/// use aurora_http::{Request, ResponseWriter, Resumer, WriteError, body_channel, ChannelBody};
///
/// /// Counts, once a second.
/// fn events(resumer: &Resumer, response: &mut ResponseWriter<'_>) -> Result<ChannelBody, WriteError> {
///     response.field("Content-Type", "text/event-stream")?;
///     let (body, sender) = body_channel(resumer, 4_096);
///     thread::spawn(move || {
///         for number in 0.. {
///             thread::sleep(std::time::Duration::from_secs(1));
///             if sender.send(format!("data: {number}\n\n")).is_err() {
///                 return; // the client is gone
///             }
///         }
///     });
///     Ok(body)
/// }
/// ```
#[must_use]
pub fn body_channel(resumer: &Resumer, capacity: usize) -> (ChannelBody, BodySender) {
    let shared = Arc::new(Shared {
        capacity: capacity.max(1),
        state: Mutex::new(State {
            bytes: VecDeque::with_capacity(capacity),
            token: None,
            senders: 1,
            is_aborted: false,
            is_gone: false,
        }),
        room: Condvar::new(),
    });
    let body = ChannelBody { shared: Arc::clone(&shared), length: None };
    (body, BodySender { shared, resumer: resumer.clone() })
}

/// The receiving half of [`body_channel`], to be returned by a handler: it responds with what the sender sends, until that
/// is dropped.
///
/// While nothing is there to be sent, the exchange is deferred, without a buffer:
/// [`Timeouts::defer_timeout_ms`](crate::Timeouts::defer_timeout_ms) (60 s by default) ends a response for which nothing was
/// sent for so long.
pub struct ChannelBody {
    shared: Arc<Shared>,
    length: Option<u64>,
}

impl ChannelBody {
    /// Announces how many bytes there are going to be; without it they are sent in chunks. A sender that sends more or
    /// fewer breaks the response off.
    #[must_use]
    pub const fn with_length(mut self, bytes: u64) -> Self {
        self.length = Some(bytes);
        self
    }

    /// Sends what is there.
    pub(super) fn pump(&mut self, response: &mut ResponseWriter<'_>) -> Pumped {
        let mut state = self.shared.lock();
        let mut written = 0;
        while !state.bytes.is_empty() {
            let count = match response.write(state.bytes.as_slices().0) {
                Ok(0) => break,
                Ok(count) => count,
                Err(_) => return Pumped::Ended,
            };
            state.bytes.drain(..count);
            written += count;
        }
        if written > 0 {
            self.shared.room.notify_all();
        }
        if state.is_aborted {
            let _ = response.fail(500);
            return Pumped::Ended;
        }
        if !state.bytes.is_empty() {
            return Pumped::Full;
        }
        if state.senders == 0 {
            return Pumped::Ended;
        }
        match response.defer() {
            Ok(token) => {
                state.token = Some(token);
                Pumped::Waits(token)
            }
            Err(_) => Pumped::Ended,
        }
    }

    /// Sends what is there; tells what the exchange waits for.
    fn go_on(mut self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match self.pump(response) {
            Pumped::Full => Flow::Produce(self),
            Pumped::Waits(_) => Flow::Defer(self),
            Pumped::Ended => Flow::Finish,
        }
    }
}

/// What [`ChannelBody::pump`] leaves behind.
pub(super) enum Pumped {
    /// More is there than there was room for.
    Full,
    /// All is sent; the token brings the next.
    Waits(DeferToken),
    /// Nothing follows, or the writer knows what went wrong.
    Ended,
}

impl Respond for ChannelBody {
    type Exchange = Self;

    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match response.stream(self.length) {
            Ok(()) => self.go_on(response),
            Err(_) => Flow::Finish,
        }
    }
}

impl Exchange for ChannelBody {
    fn produce(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(response)
    }

    fn resume(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(response)
    }
}

impl Drop for ChannelBody {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_gone = true;
        state.bytes = VecDeque::new();
        drop(state);
        self.shared.room.notify_all();
    }
}

/// The sending half of [`body_channel`], for any thread, and for several when it is cloned. The body ends when all of them
/// are dropped.
pub struct BodySender {
    shared: Arc<Shared>,
    resumer: Resumer,
}

/// The response has ended, whether it is whole or not: nobody receives what is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientGone;

impl BodySender {
    /// Sends all of `bytes`; waits while there is no room for them.
    ///
    /// # Errors
    /// [`ClientGone`] when the response has ended. A client that goes away while nothing is sent is noticed when something
    /// is sent to it.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Result<(), ClientGone> {
        let mut rest = bytes.as_ref();
        let mut state = self.shared.lock();
        while !state.is_gone {
            let count = rest.len().min(self.shared.capacity.saturating_sub(state.bytes.len()));
            state.bytes.extend(&rest[..count]);
            rest = &rest[count..];
            if let Some(token) = state.token.take_if(|_| count > 0) {
                self.resumer.resume(token);
            }
            if rest.is_empty() {
                return Ok(());
            }
            state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Err(ClientGone)
    }

    /// Sends as much of `bytes` as there is room for, and tells how much that was.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn try_send(&self, bytes: impl AsRef<[u8]>) -> Result<usize, ClientGone> {
        let bytes = bytes.as_ref();
        let mut state = self.shared.lock();
        if state.is_gone {
            return Err(ClientGone);
        }
        let count = bytes.len().min(self.shared.capacity.saturating_sub(state.bytes.len()));
        state.bytes.extend(&bytes[..count]);
        if let Some(token) = state.token.take_if(|_| count > 0) {
            self.resumer.resume(token);
        }
        Ok(count)
    }

    /// Whether the response has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.shared.lock().is_gone
    }

    /// Breaks the response off instead of ending it: the client sees that it is not whole.
    pub fn abort(self) {
        self.shared.lock().is_aborted = true;
    }
}

impl io::Write for BodySender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Clone for BodySender {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self { shared: Arc::clone(&self.shared), resumer: self.resumer.clone() }
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        let is_over = state.senders == 0 || state.is_aborted;
        if let Some(token) = state.token.take_if(|_| is_over) {
            self.resumer.resume(token);
        }
    }
}

impl fmt::Display for ClientGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response has ended: nobody receives what is sent")
    }
}

impl std::error::Error for ClientGone {}

impl From<ClientGone> for io::Error {
    fn from(gone: ClientGone) -> Self {
        Self::new(io::ErrorKind::BrokenPipe, gone)
    }
}

impl fmt::Debug for ChannelBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelBody").field("length", &self.length).finish_non_exhaustive()
    }
}

impl fmt::Debug for BodySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySender").finish_non_exhaustive()
    }
}

/// Between the two halves.
struct Shared {
    /// Most bytes that wait.
    capacity: usize,
    state: Mutex<State>,
    /// Bytes have left, or the receiving half has.
    room: Condvar,
}

struct State {
    bytes: VecDeque<u8>,
    /// Of the exchange, while it waits for bytes.
    token: Option<DeferToken>,
    senders: usize,
    is_aborted: bool,
    /// The receiving half is dropped.
    is_gone: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
