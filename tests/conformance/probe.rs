//! The handler of all cases: it records what it sees, and answers by path.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard};

use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::request::{BodyLength, Request};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use super::case::content;

/// A call of the handler.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: Vec<u8>,
    /// `None` if the handler did not ask for it, or did not get all of it.
    pub(crate) content: Option<Vec<u8>>,
}

impl Seen {
    pub(crate) fn new(method: &str, target: &[u8], content: Option<&[u8]>) -> Self {
        Self { method: method.to_owned(), target: target.to_vec(), content: content.map(<[u8]>::to_vec) }
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target[..self.target.len().min(100)].escape_ascii())?;
        match &self.content {
            Some(content) => write!(f, " with {} bytes", content.len()),
            None => Ok(()),
        }
    }
}

/// The record, shared with the test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<LogState>>);

#[derive(Debug, Default)]
struct LogState {
    seen: Vec<Seen>,
    /// Content of the request that is being received.
    partial: Vec<u8>,
}

impl Log {
    pub(crate) fn take(&self) -> Vec<Seen> {
        let mut state = self.state();
        state.partial.clear();
        std::mem::take(&mut state.seen)
    }

    fn state(&self) -> MutexGuard<'_, LogState> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn request(&self, request: &Request<'_>) {
        let mut state = self.state();
        state.partial.clear();
        state.seen.push(Seen::new(request.method().as_str(), request.target(), None));
    }

    fn part(&self, bytes: &[u8]) {
        self.state().partial.extend_from_slice(bytes);
    }

    fn whole(&self) -> usize {
        let mut state = self.state();
        let partial = std::mem::take(&mut state.partial);
        let length = partial.len();
        if let Some(last) = state.seen.last_mut() {
            last.content = Some(partial);
        }
        length
    }
}

/// Answers by path; see [`Probe::request`](Handler::request).
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe {
    pub(crate) log: Log,
}

/// What the handler does in an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Answer the collected content.
    Content,
    /// Answer a description of the head and then the content.
    Describe,
    /// Answer the length of the content.
    Count,
    /// Answer as soon as there is any content.
    Early,
    /// Stream the content back.
    Echo,
    /// Stream so many more bytes, from this offset on.
    Produce { at: u64, left: u64 },
    /// Announce more than is written.
    Short,
    /// Write nothing when called to produce.
    Stall,
}

impl Handler for Probe {
    type Exchange = Task;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Task> {
        self.log.request(request);
        let path = std::str::from_utf8(request.path()).unwrap_or_default();
        let (name, argument) = match path[1.min(path.len())..].split_once('/') {
            Some((name, argument)) => (name, argument),
            None => (&path[1.min(path.len())..], ""),
        };
        let number = argument.parse().unwrap_or(0);
        match name {
            "collect" if argument == "count" => return Flow::Collect(Task::Count),
            "collect" if argument == "describe" => return Flow::Collect(Task::Describe),
            "collect" => return Flow::Collect(Task::Content),
            "early" => return Flow::Receive(Task::Early),
            "receive" => return Flow::Receive(Task::Count),
            "limit" => {
                response.limit_content(number);
                return Flow::Receive(Task::Count);
            }
            "echo" => {
                let length = match request.body_length() {
                    BodyLength::Length(length) => Some(length),
                    BodyLength::None => Some(0),
                    BodyLength::Chunked => None,
                };
                return streamed(response.stream(length), Flow::Receive(Task::Echo));
            }
            "bytes" => {
                return streamed(response.stream(Some(number)), Flow::Produce(Task::Produce { at: 0, left: number }));
            }
            "chunks" => return streamed(response.stream(None), Flow::Produce(Task::Produce { at: 0, left: number })),
            "short" => return streamed(response.stream(Some(10)), Flow::Produce(Task::Short)),
            "stall" => return streamed(response.stream(Some(10)), Flow::Produce(Task::Stall)),
            _ => {}
        }
        if let Some(status) = request.fields().get("X-Answer") {
            let _ = response.status(str::from_utf8(status).unwrap_or_default().parse().unwrap_or(0));
        }
        // An error here is remembered, and the cases check the answer to it.
        let _ = answer(name, number, request, response);
        Flow::Finish
    }

    fn collected(
        &mut self,
        task: Task,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Task> {
        self.log.part(content);
        self.log.whole();
        let _ = match task {
            Task::Describe => response.body([description(request).as_bytes(), content].concat()),
            Task::Count => response.body(content.len().to_string()),
            _ => response.body(content),
        };
        Flow::Finish
    }

    fn receive(&mut self, task: Task, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Task> {
        let bytes = content.bytes();
        if let Task::Early = task {
            content.consume(bytes.len());
            let _ = response.body("early");
            return Flow::Finish;
        }
        let count = match task {
            Task::Echo => response.write(bytes).unwrap_or(bytes.len()),
            _ => bytes.len(),
        };
        content.consume(count);
        self.log.part(&bytes[..count]);
        if !content.ended() || count < bytes.len() {
            return Flow::Receive(task);
        }
        let length = self.log.whole();
        if let Task::Count = task {
            let _ = response.body(length.to_string());
        }
        Flow::Finish
    }

    fn produce(&mut self, task: Task, response: &mut ResponseWriter<'_>) -> Flow<Task> {
        match task {
            Task::Produce { left: 0, .. } => Flow::Finish,
            Task::Produce { at, left } => {
                let offset = (at % 26) as usize;
                let piece = usize::try_from(left).unwrap_or(usize::MAX).min(8 * 1024);
                match response.write(&content(offset + piece)[offset..]).map(|count| count as u64) {
                    Ok(count) if count == left => Flow::Finish,
                    Ok(count) => Flow::Produce(Task::Produce { at: at + count, left: left - count }),
                    Err(_) => Flow::Finish,
                }
            }
            Task::Short => {
                let _ = response.write(b"half");
                Flow::Finish
            }
            _ => Flow::Produce(task),
        }
    }
}

fn streamed(begun: Result<(), WriteError>, flow: Flow<Task>) -> Flow<Task> {
    if begun.is_ok() { flow } else { Flow::Finish }
}

fn answer(name: &str, number: u64, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    match name {
        "describe" => response.body(description(request)),
        "empty" => Ok(()),
        "status" => {
            response.status(number as u16)?;
            response.field("X-Status", number.to_string())?;
            response.body("body")
        }
        "fail" => {
            response.field("X-Gone", "1")?;
            let _ = response.fail(number as u16);
            Ok(())
        }
        "large" => response.body(content(number as usize)),
        "static" => response.static_body(&STATIC[..(number as usize).min(STATIC.len())]),
        "fields" => {
            response.field("Content-Type", "text/plain")?;
            response.field("Set-Cookie", "a=1")?;
            response.field("set-cookie", "b=2")?;
            response.field("X-Bytes", [b'\t', b' ', b'~', b'!'])?;
            response.body("ok")
        }
        "inject" => {
            let (name, value) = INJECTIONS[number as usize];
            response.field(name, value)?;
            response.body("injected")
        }
        "reserved" => {
            response.field(RESERVED[number as usize], "1")?;
            response.body("reserved")
        }
        "beyond" => {
            response.status(number as u16)?;
            response.body("beyond")
        }
        "twice" => {
            response.body("once")?;
            response.body("twice")
        }
        "field-behind-body" => {
            response.body("body")?;
            response.field("X-Late", "1")
        }
        _ => response.body("ok"),
    }
}

/// A body that can be sent in place.
pub(crate) static STATIC: [u8; 4096] = {
    let mut bytes = [0; 4096];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = b'A' + (at % 26) as u8;
        at += 1;
    }
    bytes
};

/// Fields that would break the message.
pub(crate) const INJECTIONS: [(&str, &[u8]); 9] = [
    ("X", b"a\r\nEvil: 1"),
    ("X", b"a\nEvil: 1"),
    ("X", b"a\rEvil: 1"),
    ("X", b"a\0b"),
    ("X", b"\r\n\r\n<script>"),
    ("X\r\nEvil", b"1"),
    ("X:", b"1"),
    ("X Y", b"1"),
    ("", b"1"),
];

/// Fields that only the server sets.
pub(crate) const RESERVED: [&str; 6] =
    ["Content-Length", "transfer-encoding", "Connection", "DATE", "Upgrade", "Keep-Alive"];

/// A description of the head as the handler sees it.
pub(crate) fn description(request: &Request<'_>) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let mut all = format!(
        "{} {:?} {:?} host={}\npath={}\n",
        request.method().as_str(),
        request.target_form(),
        request.version(),
        request.host().map_or_else(|| "-".to_owned(), text),
        text(request.path()),
    );
    if let Some(query) = request.query() {
        let _ = writeln!(all, "query={}", text(query.as_bytes()));
    }
    for field in request.fields().iter() {
        let _ = writeln!(all, "{}={}", field.name, text(field.value));
    }
    all
}
