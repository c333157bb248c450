//! Server-sent events to everybody who listens, with those that were missed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aurora_http_core::handler::{Exchange, Flow, Respond};
use aurora_http_core::request::Request;
use aurora_http_core::writer::{ResponseWriter, WriteError};

use super::mailbox::{MailSender, MailboxBody, mailbox};
use super::resumer::Resumer;

/// How often a listener who hears nothing gets a comment. Proxies end connections that are silent for a minute or less.
const COMMENT_MS: u32 = 15_000;
const COMMENT: &[u8] = b":\n\n";

/// [Server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html) to everybody who listens. Events are
/// numbered, and the last ones are kept: a browser that connects again says in `Last-Event-ID` which one it had last, and gets
/// those that it has missed.
///
/// ```
/// use aurora_http::{EventFeed, Resumer, WriteError, handler_fn};
///
/// static NEWS: EventFeed = EventFeed::new(100);
///
/// # fn example(resumer: Resumer) {
/// let handler = handler_fn(move |request, response| NEWS.join(request, response, &resumer, 16));
/// # let _ = handler;
/// # }
/// NEWS.send("it rains"); // anywhere: `onmessage` in the browser
/// NEWS.send_as("weather", "it rains\nand pours"); // `addEventListener('weather', …)`
/// ```
pub struct EventFeed {
    history: usize,
    state: Mutex<State>,
}

struct State {
    /// The number of the next event.
    next: u64,
    /// The last events, as they are sent.
    kept: VecDeque<Arc<[u8]>>,
    listeners: Vec<MailSender<Arc<[u8]>>>,
}

impl EventFeed {
    /// A feed without listeners that keeps the last `history` events.
    #[must_use]
    pub const fn new(history: usize) -> Self {
        let state = State { next: 0, kept: VecDeque::new(), listeners: Vec::new() };
        Self { history, state: Mutex::new(state) }
    }

    /// Gives the first event this number instead of 0. A program that is started again does not know
    /// which events it sent before, and would take an old number for one of its own. With numbers that always grow, such as the
    /// microseconds since 1970, who listened before the restart gets all that is kept since.
    ///
    /// ```
    /// use std::sync::LazyLock;
    /// use std::time::{SystemTime, UNIX_EPOCH};
    ///
    /// use aurora_http::EventFeed;
    ///
    /// static NEWS: LazyLock<EventFeed> = LazyLock::new(|| {
    ///     let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ///     EventFeed::new(100).numbered_from(now.as_micros() as u64)
    /// });
    /// assert!(NEWS.send("the first") > 1_700_000_000_000_000);
    /// ```
    #[must_use]
    pub fn numbered_from(self, first: u64) -> Self {
        let mut state = self.lock();
        if first > state.next {
            state.next = first;
            state.kept.clear(); // the numbers of kept events follow each other
        }
        drop(state);
        self
    }

    /// Sends an event of the kind `message`, and returns its number. Never waits: see [`join`](Self::join).
    pub fn send(&self, data: &str) -> u64 {
        self.send_as("", data)
    }

    /// Sends an event of a kind of the program's; line breaks in `kind` are left out.
    pub fn send_as(&self, kind: &str, data: &str) -> u64 {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let event: Arc<[u8]> = format(number, kind, data).into_bytes().into();
        if self.history > 0 {
            if state.kept.len() == self.history {
                state.kept.pop_front();
            }
            state.kept.push_back(Arc::clone(&event));
        }
        state.listeners.retain(|listener| listener.send(Arc::clone(&event)).is_ok());
        number
    }

    /// Begins the response to one who listens: the head, then the events that `Last-Event-ID` says were missed (as far as they
    /// are kept), then all that are sent from now on.
    ///
    /// At most `waiting` events (at least one) wait for a listener who does not read, in addition to those that were missed; then the
    /// response ends, and a browser connects again. A comment every 15 s keeps the connection alive, and finds out who is gone.
    ///
    /// # Errors
    /// As [`ResponseWriter::field`].
    pub fn join(
        &self,
        request: &Request<'_>,
        response: &mut ResponseWriter<'_>,
        resumer: &Resumer,
        waiting: usize,
    ) -> Result<EventStream, WriteError> {
        response.field("Content-Type", "text/event-stream")?;
        response.field("Cache-Control", "no-store")?;
        // nginx passes events on at once then.
        response.field("X-Accel-Buffering", "no")?;
        let last = request.fields().get("Last-Event-ID").and_then(|id| std::str::from_utf8(id).ok());
        let mut state = self.lock();
        let missed = state.missed(last.and_then(|id| id.parse().ok()));
        let (inbox, sender) = mailbox(resumer, waiting.max(1).saturating_add(missed.len()));
        for event in missed {
            let _ = sender.send(event); // there is room
        }
        state.listeners.retain(|listener| !listener.is_gone());
        state.listeners.push(sender);
        Ok(EventStream { events: MailboxBody::new(inbox), comment: &[] })
    }

    /// How many listen, those included who are gone and were not noticed yet.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.lock().listeners.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The kept events after number `last`. All of them if that number is still to come: it is from before a restart.
    fn missed(&self, last: Option<u64>) -> Vec<Arc<[u8]>> {
        let Some(last) = last else { return Vec::new() };
        let first = self.next - self.kept.len() as u64;
        let had = if last < self.next { (last + 1).saturating_sub(first) } else { 0 };
        self.kept.iter().skip(had as usize).cloned().collect()
    }
}

/// The event as text: a field per line, an empty line at its end.
fn format(number: u64, kind: &str, data: &str) -> String {
    let mut event = format!("id: {number}\n");
    let kind: String = kind.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    if !kind.is_empty() {
        event += &format!("event: {kind}\n");
    }
    // Each kind of line break ends a line of an event.
    let mut rest = Some(data);
    while let Some(data) = rest {
        let end = data.find(['\r', '\n']);
        let (line, behind) = data.split_at(end.unwrap_or(data.len()));
        rest =
            end.map(|_| behind.strip_prefix('\r').map_or(&behind[1..], |rest| rest.strip_prefix('\n').unwrap_or(rest)));
        event += &format!("data: {line}\n");
    }
    event + "\n"
}

impl fmt::Debug for EventFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventFeed").field("history", &self.history).finish_non_exhaustive()
    }
}

/// The response to one who listens to an [`EventFeed`].
#[derive(Debug)]
pub struct EventStream {
    events: MailboxBody<Arc<[u8]>>,
    /// What is still to be written of a comment, behind the event that is being sent.
    comment: &'static [u8],
}

impl Respond for EventStream {
    type Exchange = Self;

    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        response.wake_after(COMMENT_MS);
        match response.stream(None) {
            Ok(()) => self.produce(response),
            Err(_) => Flow::Finish,
        }
    }
}

impl Exchange for EventStream {
    fn produce(mut self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        let Self { events, comment } = &mut self;
        let flow = events.advance(response, |response| {
            let count = response.write(comment)?;
            *comment = &comment[count..];
            Ok(comment.is_empty())
        });
        flow.map(|()| self)
    }

    fn resume(mut self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        if response.is_woken_by_time() {
            response.wake_after(COMMENT_MS);
            self.comment = COMMENT;
        }
        self.produce(response)
    }

    fn stopping(flow: Flow<Self>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        flow.into_state().map_or(Flow::Finish, |state| state.produce(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_field_per_line() {
        let rows = [
            ("", "a", "id: 7\ndata: a\n\n"),
            ("", "", "id: 7\ndata: \n\n"),
            ("kind", "a\nb", "id: 7\nevent: kind\ndata: a\ndata: b\n\n"),
            // Nothing in the data can begin a field or an event of its own.
            (
                "k\nid: 1\r",
                "a\r\nb\rid: 1\n\ndata: x",
                "id: 7\nevent: kid: 1\ndata: a\ndata: b\ndata: id: 1\ndata: \ndata: data: x\n\n",
            ),
        ];
        for (kind, data, expected) in rows {
            assert_eq!(format(7, kind, data), expected);
        }
    }

    #[test]
    fn what_was_missed_is_what_is_kept_and_came_later() {
        let feed = EventFeed::new(3);
        let missed = |last| {
            feed.lock()
                .missed(last)
                .iter()
                .map(|event| String::from_utf8_lossy(event)[4..5].to_owned())
                .collect::<String>()
        };
        assert_eq!((missed(None), missed(Some(0))), (String::new(), String::new()));
        for number in 0..5 {
            assert_eq!(feed.send("x"), number);
        }
        for (last, expected) in
            [(None, ""), (Some(0), "234"), (Some(1), "234"), (Some(2), "34"), (Some(4), ""), (Some(5), "234")]
        {
            assert_eq!(missed(last), expected, "{last:?}");
        }
        // Numbers from before a restart are below all that are given out after it.
        let feed = EventFeed::new(3).numbered_from(1_000);
        assert_eq!((feed.send("x"), feed.send("x")), (1_000, 1_001));
        for (last, expected) in [(999, 2), (0, 2), (1_000, 1), (1_001, 0), (1_002, 2)] {
            assert_eq!(feed.lock().missed(Some(last)).len(), expected, "{last}");
        }
        assert_eq!((missed(Some(u64::MAX)), EventFeed::new(0).send("x")), ("234".to_owned(), 0));
    }
}
