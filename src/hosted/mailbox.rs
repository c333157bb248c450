//! Messages from other threads and exchanges to one exchange: chat rooms, feeds, long polling.

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::TrySendError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use aurora_http_core::defer::DeferToken;
use aurora_http_core::handler::{Exchange, Flow, Respond};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use super::resumer::Resumer;

/// Makes a mailbox for an exchange, and a sender that any thread and any exchange may have. A message that comes while the
/// exchange waits has it called. At most `capacity` messages wait in it.
///
/// ```
/// use std::sync::mpsc::Sender;
/// use std::task::Poll;
///
/// use aurora_http::{Exchange, Flow, MailSender, Mailbox, Respond, ResponseWriter, Resumer, mailbox};
///
/// /// Answers with the next piece of news.
/// fn poll_for_news(resumer: &Resumer, subscribers: &Sender<MailSender<String>>) -> NextNews {
///     let (news, sender) = mailbox(resumer, 1);
///     let _ = subscribers.send(sender);
///     NextNews(news)
/// }
///
/// struct NextNews(Mailbox<String>);
///
/// impl Respond for NextNews {
///     type Exchange = Self;
///
///     fn respond(mut self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
///         match self.0.poll(response) {
///             Poll::Pending => return Flow::Defer(self),
///             Poll::Ready(Some(news)) => _ = response.body(news),
///             Poll::Ready(None) => _ = response.fail(503),
///         }
///         Flow::Finish
///     }
/// }
///
/// impl Exchange for NextNews {
///     fn resume(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
///         self.respond(response)
///     }
/// }
/// ```
#[must_use]
pub fn mailbox<T>(resumer: &Resumer, capacity: usize) -> (Mailbox<T>, MailSender<T>) {
    let shared = Arc::new(Shared {
        capacity: capacity.max(1),
        state: Mutex::new(State { messages: VecDeque::new(), token: None, senders: 1, is_gone: false }),
    });
    (Mailbox { shared: Arc::clone(&shared) }, MailSender { shared, resumer: resumer.clone() })
}

/// The receiving half of [`mailbox`], which belongs into the state of an exchange, or is a response itself.
pub struct Mailbox<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Mailbox<T> {
    /// The next message; `Ready(None)` when none is left and all senders are dropped.
    ///
    /// While it is [`Pending`](Poll::Pending), it has taken the exchange's [token](ResponseWriter::defer), which is resolved by
    /// the next message or the end of the last sender: return [`Flow::Defer`](crate::Flow::Defer) or
    /// [`Flow::ReceiveOrResume`](crate::Flow::ReceiveOrResume). An exchange has one token, and so one mailbox; where no
    /// token is to be had, the writer answers in place of the exchange.
    pub fn poll(&mut self, response: &mut ResponseWriter<'_>) -> Poll<Option<T>> {
        let mut state = self.shared.lock();
        match state.messages.pop_front() {
            None if state.senders > 0 => {
                // An error latches.
                state.token = response.defer().ok();
                Poll::Pending
            }
            message => Poll::Ready(message),
        }
    }
}

/// A mailbox of text or bytes is a response: a body without a known length, made of the messages one after another. It ends
/// with the last sender, or when a stop of the server has begun and no message waits: for feeds, such as server-sent events,
/// whose clients come again.
///
/// While no message comes the exchange is deferred: [`Timeouts::defer_timeout_ms`](crate::Timeouts::defer_timeout_ms) (60 s by
/// default) ends a response for which there was none for so long.
impl<T: AsRef<[u8]>> Respond for Mailbox<T> {
    type Exchange = MailboxBody<T>;

    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<MailboxBody<T>> {
        match response.stream(None) {
            Ok(()) => MailboxBody::new(self).produce(response),
            Err(_) => Flow::Finish,
        }
    }
}

/// A response that is made of the messages in a [`Mailbox`].
pub struct MailboxBody<T> {
    inbox: Mailbox<T>,
    /// The one that is being sent.
    message: Option<T>,
    /// Bytes of it that were written.
    sent: usize,
}

impl<T: AsRef<[u8]>> MailboxBody<T> {
    pub(super) const fn new(inbox: Mailbox<T>) -> Self {
        Self { inbox, message: None, sent: 0 }
    }

    /// Writes messages as long as there are some and there is room, and lets `between` write before each of them, which returns
    /// whether that was all.
    pub(super) fn advance(
        &mut self,
        response: &mut ResponseWriter<'_>,
        mut between: impl FnMut(&mut ResponseWriter<'_>) -> Result<bool, WriteError>,
    ) -> Flow<()> {
        loop {
            if let Some(message) = &self.message {
                let rest = &message.as_ref()[self.sent..];
                match response.write(rest) {
                    Ok(count) if count < rest.len() => {
                        self.sent += count;
                        return Flow::Produce(());
                    }
                    Ok(_) => self.message = None,
                    Err(_) => return Flow::Finish,
                }
            }
            match between(response) {
                Ok(true) => {}
                Ok(false) => return Flow::Produce(()),
                Err(_) => return Flow::Finish,
            }
            match self.inbox.poll(response) {
                Poll::Ready(Some(message)) => (self.message, self.sent) = (Some(message), 0),
                Poll::Pending if !response.is_stopping() => return Flow::Defer(()),
                Poll::Ready(None) | Poll::Pending => return Flow::Finish,
            }
        }
    }
}

impl<T: AsRef<[u8]>> Exchange for MailboxBody<T> {
    fn produce(mut self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.advance(response, |_| Ok(true)).map(|()| self)
    }

    fn resume(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.produce(response)
    }

    fn stopping(flow: Flow<Self>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        flow.into_state().map_or(Flow::Finish, |state| state.produce(response))
    }
}

impl<T> fmt::Debug for MailboxBody<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxBody").field("inbox", &self.inbox).field("sent", &self.sent).finish_non_exhaustive()
    }
}

/// The sending half of [`mailbox`]; clones send to the same one.
pub struct MailSender<T> {
    shared: Arc<Shared<T>>,
    resumer: Resumer,
}

impl<T> MailSender<T> {
    /// Sends a message, and never waits.
    ///
    /// # Errors
    /// Gives the message back: [`TrySendError::Full`] while there is no room for it, [`TrySendError::Disconnected`] when the
    /// exchange is over.
    pub fn send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut state = self.shared.lock();
        if state.is_gone {
            return Err(TrySendError::Disconnected(message));
        }
        if state.messages.len() == self.shared.capacity {
            return Err(TrySendError::Full(message));
        }
        state.messages.push_back(message);
        if let Some(token) = state.token.take() {
            self.resumer.resume(token);
        }
        Ok(())
    }

    /// Whether the exchange is over.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.shared.lock().is_gone
    }
}

impl<T> Clone for MailSender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self { shared: Arc::clone(&self.shared), resumer: self.resumer.clone() }
    }
}

impl<T> Drop for MailSender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        let is_last = state.senders == 0;
        if let Some(token) = state.token.take_if(|_| is_last) {
            self.resumer.resume(token);
        }
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_gone = true;
        let messages = std::mem::take(&mut state.messages);
        drop(state);
        // Dropped without the lock: a message may hold a sender.
        drop(messages);
    }
}

/// A message to everybody: mailboxes that come and go.
///
/// ```
/// use aurora_http::Broadcast;
///
/// static NEWS: Broadcast<String> = Broadcast::new();
///
/// # fn example(resumer: &aurora_http::Resumer) {
/// let inbox = NEWS.join(resumer, 16); // in a handler
/// # let _ = inbox;
/// # }
/// NEWS.send(&"it rains".to_owned()); // anywhere
/// ```
pub struct Broadcast<T> {
    members: Mutex<Vec<MailSender<T>>>,
}

impl<T> Broadcast<T> {
    /// Without members.
    #[must_use]
    pub const fn new() -> Self {
        Self { members: Mutex::new(Vec::new()) }
    }

    /// A [mailbox](mailbox()) in which everything arrives that is sent from now on, until it is dropped.
    #[must_use]
    pub fn join(&self, resumer: &Resumer, capacity: usize) -> Mailbox<T> {
        let (inbox, sender) = mailbox(resumer, capacity);
        let mut members = self.lock();
        members.retain(|member| !member.is_gone());
        members.push(sender);
        inbox
    }

    /// Sends a copy to every member, and tells how many there are. Never waits: a member whose mailbox is full is none any
    /// more, which its mailbox says once it is empty.
    pub fn send(&self, message: &T) -> usize
    where
        T: Clone,
    {
        let mut members = self.lock();
        members.retain(|member| member.send(message.clone()).is_ok());
        members.len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<MailSender<T>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Broadcast<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("capacity", &self.shared.capacity).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for MailSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailSender").field("capacity", &self.shared.capacity).finish_non_exhaustive()
    }
}

/// Between the two halves.
struct Shared<T> {
    /// Most messages that wait.
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    messages: VecDeque<T>,
    /// Of the exchange, while it waits for a message.
    token: Option<DeferToken>,
    senders: usize,
    /// The receiving half is dropped.
    is_gone: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
