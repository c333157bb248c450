//! Access logs.

mod date;
mod format;
#[cfg(feature = "std")]
mod hosted;

use core::ops::ControlFlow;
use core::str;

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Around, ConnectionId, Refusal, RefusalCause};
use aurora_http_core::reactor::Peer;
use aurora_http_core::request::{Request, Version};
use aurora_http_core::writer::ResponseWriter;

use super::{Id, RequestId};
pub use format::{Combined, Common};

/// Calls a function with an entry for each request, after its response was written. Make it the outermost middleware.
///
/// ```
/// use aurora_http_web::Routes;
/// use aurora_http_web::middleware::{AccessLog, Wrap};
///
/// fn unix_ms() -> u64 {
///     std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() as u64)
/// }
///
/// let log = AccessLog::new(unix_ms, |entry| eprintln!("{}", entry.combined()));
/// let handler = Routes::new().get("/", |_, _, response| response.body("hello\n")).with_state(()).wrap(log);
/// ```
///
/// The features `std`, `log` and `tracing` add `AccessLog::to_stderr`, `AccessLog::to_log` and `AccessLog::to_tracing`.
///
/// `TEXT` is the number of bytes that each exchange keeps of its request: target, `Referer` and `User-Agent`, in this order. What
/// does not fit is cut off. Every connection has memory for one exchange.
#[derive(Clone, Debug)]
pub struct AccessLog<F, const TEXT: usize = 256> {
    clock: fn() -> u64,
    sink: F,
    ids: Option<RequestId>,
    /// The last abandoned exchange, until it is known whether the server answered it.
    ended: Option<(LogNote<TEXT>, CloseReason)>,
}

/// What is known about a request and its response so far.
#[derive(Clone, Copy, Debug)]
pub struct LogNote<const TEXT: usize> {
    began_unix_ms: u64,
    connection: Option<ConnectionId>,
    peer: Option<Peer>,
    id: Option<Id>,
    method: [u8; METHOD_BYTES],
    text: [u8; TEXT],
    target_end: u16,
    referer_end: u16,
    agent_end: u16,
    version: Version,
    status: u16,
    bytes: u64,
    /// Its connection was handed over, and it has its entry.
    is_told: bool,
}

/// Longest method that is kept, in bytes.
const METHOD_BYTES: usize = 16;

/// A request, and how it ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// When its head had arrived, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// Milliseconds until the handler finished the response.
    pub took_ms: u64,
    /// The client's address; `None` if it is not known.
    pub peer: Option<Peer>,
    /// The request's id, with [`AccessLog::with_ids`].
    pub id: Option<&'a str>,
    /// The method; empty if the request could not be parsed.
    pub method: &'a str,
    /// The target, as it was sent.
    pub target: &'a [u8],
    /// The version that it was served as.
    pub version: Version,
    /// The status of the response; 0 if there was none.
    pub status: u16,
    /// Bytes of the response that the handler wrote, with head and framing; 0 if the server answered in its place.
    pub bytes: u64,
    /// The field `Referer`; empty if there is none.
    pub referer: &'a [u8],
    /// The field `User-Agent`; empty if there is none.
    pub user_agent: &'a [u8],
    /// Why the exchange ended early, if it did.
    pub broken_off: Option<CloseReason>,
}

impl<F: FnMut(&Entry<'_>)> AccessLog<F> {
    /// `clock` returns milliseconds since 1970; `sink` is called for each request.
    pub const fn new(clock: fn() -> u64, sink: F) -> Self {
        Self::with_text(clock, sink)
    }
}

impl<F: FnMut(&Entry<'_>), const TEXT: usize> AccessLog<F, TEXT> {
    /// Same as [`new`](AccessLog::new), with another `TEXT`, at most 65535.
    pub const fn with_text(clock: fn() -> u64, sink: F) -> Self {
        assert!(TEXT <= u16::MAX as usize, "at most 65535 bytes of a request");
        Self { clock, sink, ids: None, ended: None }
    }

    /// Adds request ids to the entries and the responses. This replaces a separate [`RequestId`].
    #[must_use]
    pub fn with_ids(self, ids: RequestId) -> Self {
        Self { ids: Some(ids), ..self }
    }

    fn tell(&mut self, note: &LogNote<TEXT>, broken_off: Option<CloseReason>) {
        let took_ms = (self.clock)().saturating_sub(note.began_unix_ms);
        (self.sink)(&note.entry(took_ms, broken_off));
    }

    /// Reports an abandoned exchange that the server did not answer.
    fn tell_ended(&mut self) {
        if let Some((note, reason)) = self.ended.take() {
            self.tell(&note, Some(reason));
        }
    }
}

impl<const TEXT: usize> LogNote<TEXT> {
    fn new(began_unix_ms: u64, peer: Option<Peer>) -> Self {
        Self {
            began_unix_ms,
            connection: None,
            peer,
            id: None,
            method: [0; METHOD_BYTES],
            text: [0; TEXT],
            target_end: 0,
            referer_end: 0,
            agent_end: 0,
            version: Version::Http11,
            status: 0,
            bytes: 0,
            is_told: false,
        }
    }

    fn of(request: &Request<'_>, began_unix_ms: u64) -> Self {
        let mut note = Self::new(began_unix_ms, request.peer());
        note.connection = request.connection_id();
        let method = request.method();
        let token = method.as_str().as_bytes();
        let len = token.len().min(METHOD_BYTES);
        note.method[..len].copy_from_slice(&token[..len]);
        note.version = request.version();
        note.target_end = note.keep(0, request.target());
        note.referer_end = note.keep(note.target_end, request.fields().get("Referer").unwrap_or_default());
        note.agent_end = note.keep(note.referer_end, request.fields().get("User-Agent").unwrap_or_default());
        note
    }

    fn keep(&mut self, from: u16, bytes: &[u8]) -> u16 {
        let room = &mut self.text[from as usize..];
        let len = room.len().min(bytes.len());
        room[..len].copy_from_slice(&bytes[..len]);
        from + len as u16
    }

    fn add(&mut self, response: &ResponseWriter<'_>) {
        if self.bytes == 0 || response.status_so_far() >= 400 {
            self.status = response.status_so_far();
        }
        self.bytes += response.written() as u64;
    }

    fn entry(&self, took_ms: u64, broken_off: Option<CloseReason>) -> Entry<'_> {
        let (target_end, referer_end) = (self.target_end as usize, self.referer_end as usize);
        let method = self.method.split(|&byte| byte == 0).next().unwrap_or_default();
        Entry {
            began_unix_ms: self.began_unix_ms,
            took_ms,
            peer: self.peer,
            id: self.id.as_ref().map(Id::as_str),
            // A token is ASCII.
            method: str::from_utf8(method).unwrap_or_default(),
            target: &self.text[..target_end],
            version: self.version,
            status: self.status,
            bytes: self.bytes,
            referer: &self.text[target_end..referer_end],
            user_agent: &self.text[referer_end..self.agent_end as usize],
            broken_off,
        }
    }
}

impl<F: FnMut(&Entry<'_>), const TEXT: usize> Around for AccessLog<F, TEXT> {
    type Note = LogNote<TEXT>;

    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<(), Self::Note> {
        self.tell_ended();
        let mut note = LogNote::of(request, (self.clock)());
        note.id = self.ids.as_mut().map(|ids| ids.id(Some(request)));
        self.between(&mut note, response);
        ControlFlow::Continue(note)
    }

    fn between(&mut self, note: &mut Self::Note, response: &mut ResponseWriter<'_>) {
        if let Some(id) = &note.id {
            // Fails if the head has been sent, which then has the field.
            let _ = response.add_field("X-Request-Id", id.as_str());
        }
    }

    fn wrote(&mut self, note: &mut Self::Note, response: &ResponseWriter<'_>) {
        if response.written() > 0 || response.status_so_far() >= 400 {
            note.add(response);
        }
    }

    fn finished(&mut self, mut note: Self::Note, response: &ResponseWriter<'_>) {
        self.tell_ended();
        note.add(response);
        self.tell(&note, None);
    }

    fn detached(&mut self, note: &mut Self::Note, _: &ResponseWriter<'_>) {
        self.tell_ended();
        self.tell(note, None);
        note.is_told = true;
    }

    fn abandoned(&mut self, note: Self::Note, reason: CloseReason) {
        self.tell_ended();
        self.ended = Some((note, reason)).filter(|(note, _)| !note.is_told);
    }

    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        // A failed handler has an entry of its own.
        if matches!(refusal.cause(), RefusalCause::Handler(_)) {
            return self.tell_ended();
        }
        // Of the same connection: others may have lost their clients in the same turn.
        let connection = Some(response.connection().id());
        let ended = self.ended.take_if(|(note, _)| note.connection == connection);
        self.tell_ended();
        let (mut note, reason) = match ended {
            Some((note, reason)) => (note, Some(reason)),
            None => {
                let mut note = LogNote::new((self.clock)(), response.connection().peer());
                note.target_end = note.keep(0, refusal.target().unwrap_or_default());
                (note.referer_end, note.agent_end) = (note.target_end, note.target_end);
                (note, None)
            }
        };
        note.status = refusal.status();
        self.tell(&note, reason);
    }

    fn closed(&mut self, _: ConnectionId, _: CloseReason, _: u32) {
        self.tell_ended();
    }
}
