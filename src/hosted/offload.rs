//! Exchanges that another thread carries out with blocking calls: proxies, databases, slow work.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use aurora_http_core::defer::DeferToken;
use aurora_http_core::handler::{Content, Exchange, Flow, Respond};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use super::channel::{BodySender, ChannelBody, Pumped, body_channel};
use super::resumer::Resumer;

/// Gives an exchange to another thread: the first part is to be returned by the handler, the others are for the thread. They
/// may go to two threads, one of which reads the request's content while the other one responds.
///
/// At most `capacity` bytes wait in each direction. Content is received as it is read, and no faster; a sender waits for a
/// client that is slow.
///
/// ```
/// use std::io::{self, Read};
/// use std::thread;
///
/// use aurora_http::{Offloaded, Resumer, offload};
///
/// /// Adds up the bytes of the content.
/// fn sum(resumer: &Resumer) -> Offloaded {
///     let (exchange, content, responder) = offload(resumer, 65_536);
///     thread::spawn(move || {
///         let sum = content.bytes().try_fold(0, |sum, byte| Ok::<_, io::Error>(sum + u64::from(byte?)));
///         if let Ok(sum) = sum {
///             responder.respond(move |response| response.body(format!("{sum}\n")));
///         } // else the client is gone
///     });
///     exchange
/// }
/// ```
#[must_use]
pub fn offload(resumer: &Resumer, capacity: usize) -> (Offloaded, ContentReader, Responder) {
    let shared = Arc::new(Shared {
        capacity: capacity.max(1),
        resumer: resumer.clone(),
        state: Mutex::new(State {
            content: VecDeque::new(),
            token: None,
            answer: Answer::Awaited,
            has_ended: false,
            is_held: false,
            is_read: true,
            is_gone: false,
        }),
        arrived: Condvar::new(),
    });
    let exchange = Offloaded { shared: Arc::clone(&shared), body: None };
    (exchange, ContentReader { shared: Arc::clone(&shared) }, Responder { shared })
}

/// The handler's part of [`offload`]: what it returns.
///
/// The other thread has [`Timeouts::defer_timeout_ms`](crate::Timeouts::defer_timeout_ms) (60 s by default) to do the next
/// thing. Content is limited by [`Limits::content_bytes_max`](crate::Limits::content_bytes_max) or
/// [`ResponseWriter::limit_content`].
pub struct Offloaded {
    shared: Arc<Shared>,
    /// Once the response has begun.
    body: Option<ChannelBody>,
}

impl Offloaded {
    /// Hands over what has arrived, and sends what is there to be sent.
    fn go_on(mut self, content: Option<&mut Content<'_>>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        if let Some(content) = content {
            self.shared.take_in(content);
        }
        if self.body.is_none() {
            match self.shared.take_answer() {
                Answer::Awaited => {}
                Answer::Given(head, body) => {
                    if let Err(error) = head(response) {
                        return Err::<(), _>(error).respond(response).map(|never| match never {});
                    }
                    self.body = Some(body);
                }
                Answer::Never => {
                    let _ = response.fail(500);
                    return Flow::Finish;
                }
            }
        }
        let token = match self.body.as_mut().map(|body| body.pump(response)) {
            Some(Pumped::Full) => return Flow::Produce(self),
            Some(Pumped::Ended) => return Flow::Finish,
            Some(Pumped::Waits(token)) => token,
            None => match response.defer() {
                Ok(token) => token,
                Err(_) => return Flow::Finish,
            },
        };
        self.shared.await_with(token, self.body.is_some());
        Flow::ReceiveOrResume(self)
    }
}

impl Respond for Offloaded {
    type Exchange = Self;

    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(None, response)
    }
}

impl Exchange for Offloaded {
    fn receive(self, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(Some(content), response)
    }

    fn produce(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(None, response)
    }

    fn resume(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(None, response)
    }
}

impl Drop for Offloaded {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_gone = true;
        let unused = std::mem::replace(&mut state.answer, Answer::Never);
        drop(state);
        self.shared.arrived.notify_all();
        // Without the lock: its body tells its sender.
        drop(unused);
    }
}

/// Reads the content of a request that was [offloaded](offload). Dropped, the rest of the content is received and thrown away.
pub struct ContentReader {
    shared: Arc<Shared>,
}

impl Read for ContentReader {
    /// Waits until something has arrived; 0 at the end of the content.
    ///
    /// # Errors
    /// Of [`ErrorKind::ConnectionAborted`] when the exchange is over before all of the content was there.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.shared.lock();
        while state.content.is_empty() && !state.has_ended {
            if state.is_gone {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            state = self.shared.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = state.content.read(into)?;
        if state.is_held && count > 0 {
            self.shared.wake(&mut state);
        }
        Ok(count)
    }
}

impl Drop for ContentReader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_read = false;
        state.content = VecDeque::new();
        if state.is_held {
            self.shared.wake(&mut state);
        }
    }
}

/// Responds to a request that was [offloaded](offload). Dropped without a response, the server answers 500.
pub struct Responder {
    shared: Arc<Shared>,
}

impl Responder {
    /// Begins the response: `head` is called by the worker that serves the connection, to write status and fields, and then
    /// either a whole body, or [`ResponseWriter::stream`] for what the sender is going to send. An error becomes a response as
    /// if a handler had returned it.
    ///
    /// The sender's first error tells that the exchange is over, whether it had begun or not.
    pub fn respond<F>(self, head: F) -> BodySender
    where
        F: FnOnce(&mut ResponseWriter<'_>) -> Result<(), WriteError> + Send + 'static,
    {
        let (body, sender) = body_channel(&self.shared.resumer, self.shared.capacity);
        let mut state = self.shared.lock();
        if !state.is_gone {
            state.answer = Answer::Given(Box::new(head), body);
            self.shared.wake(&mut state);
        }
        drop(state);
        sender
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if matches!(state.answer, Answer::Awaited) {
            state.answer = Answer::Never;
            self.shared.wake(&mut state);
        }
    }
}

impl fmt::Debug for Offloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offloaded").field("body", &self.body).finish_non_exhaustive()
    }
}

impl fmt::Debug for ContentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentReader").finish_non_exhaustive()
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}

/// Between the worker and the other threads.
struct Shared {
    /// Most bytes of content that wait.
    capacity: usize,
    resumer: Resumer,
    state: Mutex<State>,
    /// Content has arrived, its end, or that of the exchange.
    arrived: Condvar,
}

struct State {
    content: VecDeque<u8>,
    /// Of the exchange, while it waits for something of ours.
    token: Option<DeferToken>,
    answer: Answer,
    /// All of the content is here.
    has_ended: bool,
    /// The exchange holds content for which there was no room.
    is_held: bool,
    /// The reader is there.
    is_read: bool,
    /// The exchange is over.
    is_gone: bool,
}

/// What begins a response.
enum Answer {
    Awaited,
    Given(Head, ChannelBody),
    /// Nobody is left to give one, or it was taken.
    Never,
}

type Head = Box<dyn FnOnce(&mut ResponseWriter<'_>) -> Result<(), WriteError> + Send>;

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes as much content as there is room for.
    fn take_in(&self, content: &mut Content<'_>) {
        let mut state = self.lock();
        let bytes = content.bytes();
        let room = if state.is_read { self.capacity - state.content.len() } else { usize::MAX };
        let count = bytes.len().min(room);
        content.consume(count);
        if state.is_read {
            state.content.extend(&bytes[..count]);
        }
        state.is_held = count < bytes.len();
        state.has_ended = content.ended() && !state.is_held;
        drop(state);
        self.arrived.notify_all();
    }

    /// What the other thread answers, once.
    fn take_answer(&self) -> Answer {
        let mut state = self.lock();
        match state.answer {
            Answer::Awaited => Answer::Awaited,
            _ => std::mem::replace(&mut state.answer, Answer::Never),
        }
    }

    /// From now on the token brings the exchange back; at once if what it waits for is there by now.
    fn await_with(&self, token: DeferToken, has_begun: bool) {
        let mut state = self.lock();
        state.token = Some(token);
        let has_room = state.is_held && (state.content.len() < self.capacity || !state.is_read);
        if has_room || !(has_begun || matches!(state.answer, Answer::Awaited)) {
            self.wake(&mut state);
        }
    }

    fn wake(&self, state: &mut State) {
        if let Some(token) = state.token.take() {
            self.resumer.resume(token);
        }
    }
}
