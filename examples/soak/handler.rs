//! The server's side: a resource for every way to answer.

use std::hint::black_box;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use aurora_http::{Content, Flow, Handler, Method, Request, ResponseWriter, Resumer, WriteError};

use crate::body::Body;
use crate::book::{Book, Count};
use crate::dice::mix;
use crate::later::Alarm;
use crate::request::{IGNORED_LEN, Kind, PROTOCOL};

/// A fault that the server makes on purpose when told to, to show that a soak finds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wrong {
    /// A wrong byte in a body.
    Byte,
    /// The response to another request.
    Mixed,
    /// A response that breaks off.
    Lost,
    /// A memory leak.
    Memory,
    /// A leaked descriptor.
    Descriptor,
}

impl Wrong {
    pub(crate) const NAMES: [(&str, Self); 5] = [
        ("byte", Self::Byte),
        ("mixed", Self::Mixed),
        ("lost", Self::Lost),
        ("memory", Self::Memory),
        ("descriptor", Self::Descriptor),
    ];
}

/// The handler; each worker has one.
pub(crate) struct Soaked {
    pub(crate) book: Arc<Book>,
    pub(crate) alarms: Sender<Alarm>,
    pub(crate) resumer: Resumer,
    pub(crate) wrong: Option<Wrong>,
    /// A buffer for bodies that are copied.
    pub(crate) scratch: Vec<u8>,
}

/// The state of an exchange. States are counted while they exist, since none may be left at the end.
pub(crate) struct State {
    book: Arc<Book>,
    todo: Todo,
}

enum Todo {
    /// The bytes of a body from one offset to another.
    Pieces {
        body: Body,
        at: u64,
        end: u64,
    },
    Echo,
    Collect(Asked),
    Later {
        asked: Asked,
        /// How many more times it is deferred.
        again: u64,
    },
}

/// The parameters in the query.
#[derive(Clone, Copy)]
struct Asked {
    client: u32,
    serial: u64,
    length: u64,
    wait_ms: u64,
}

impl Drop for State {
    fn drop(&mut self) {
        self.book.take_one(Count::States);
    }
}

impl Asked {
    fn read(request: &Request<'_>) -> Option<Self> {
        let query = request.query()?;
        let number = |key| std::str::from_utf8(query.get(key)?).ok()?.parse::<u64>().ok();
        let client = u32::try_from(number("c")?).ok()?;
        Some(Self { client, serial: number("s")?, length: number("n")?, wait_ms: number("ms")? })
    }

    const fn body(self) -> Body {
        Body::pattern(self.client, self.serial)
    }

    /// Writes the field that tells a client which request a response belongs to.
    fn put_field(self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        response.field("X-Exchange", format!("{}.{}", self.client, self.serial))
    }
}

impl Handler for Soaked {
    type Exchange = State;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        self.book.count(Count::Handled);
        let path = request.path();
        let kind = Kind::ALL.into_iter().find(|kind| kind.path().as_bytes() == path);
        let (Some(kind), Some(asked)) = (kind, Asked::read(request)) else {
            // A request that a hostile client has hidden after one that is refused.
            self.book.fault(format!("the handler was called for {:?}", request.target_str()));
            let _ = response.fail(400);
            return Flow::Finish;
        };
        self.book.begin(asked.client, asked.serial);
        let asked = self.go_wrong(asked);
        // The writer remembers an error, and the engine then answers it instead of this response.
        self.answer(kind, asked, request, response).unwrap_or(Flow::Finish)
    }

    fn collected(
        &mut self,
        state: State,
        _request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<State> {
        if let Todo::Collect(asked) = state.todo {
            let _ = asked.put_field(response).and_then(|()| response.body(content));
        }
        Flow::Finish
    }

    fn receive(&mut self, state: State, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        // Bytes that do not fit are offered again once the writer has room.
        match response.write(content.bytes()) {
            Ok(count) => content.consume(count),
            Err(_) => return Flow::Finish,
        }
        if content.ended() && content.bytes().is_empty() { Flow::Finish } else { Flow::Receive(state) }
    }

    fn produce(&mut self, mut state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let Todo::Pieces { body, at, end } = &mut state.todo else { return Flow::Finish };
        let written = match body {
            Body::Block(_) => response.write_static(body.piece(*at, *end - *at)),
            Body::Pattern(_) => response.write_with(|room| {
                // Pieces of all lengths, even if there is room for more.
                let piece = (1 + mix(*at) % 20_000).min(*end - *at);
                let count = usize::try_from(piece).unwrap_or(usize::MAX).min(room.len());
                body.fill(*at, &mut room[..count]);
                Ok(count)
            }),
        };
        match written {
            Ok(count) => *at += count as u64,
            Err(_) => return Flow::Finish,
        }
        let is_cut = self.wrong == Some(Wrong::Lost) && *at > 100_000;
        if *at == *end || is_cut { Flow::Finish } else { Flow::Produce(state) }
    }

    fn resume(&mut self, mut state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let Todo::Later { asked, again } = &mut state.todo else { return Flow::Finish };
        if *again > 0 {
            *again -= 1;
            let wait_ms = asked.wait_ms;
            return if self.defer(wait_ms, response) { Flow::Defer(state) } else { Flow::Finish };
        }
        let asked = *asked;
        let _ = self.whole(asked, asked.body(), asked.length, response);
        Flow::Finish
    }

    fn half_closed(&mut self, state: State) -> Option<State> {
        // Covers both possibilities: some go on, some give up.
        let Todo::Later { asked, .. } = &state.todo else { return Some(state) };
        if asked.wait_ms.is_multiple_of(2) { Some(state) } else { None }
    }
}

impl Soaked {
    fn answer(
        &mut self,
        kind: Kind,
        asked: Asked,
        request: &Request<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Result<Flow<State>, WriteError> {
        let Asked { client, serial, length, .. } = asked;
        let block = Body::block(client, serial);
        match kind {
            Kind::Whole => self.whole(asked, asked.body(), length, response)?,
            Kind::Ignore => self.whole(asked, asked.body(), IGNORED_LEN, response)?,
            Kind::Missing => {
                response.status(404)?;
                self.whole(asked, asked.body(), length, response)?;
            }
            Kind::Empty => {
                response.status(204)?;
                self.whole(asked, asked.body(), 0, response)?;
            }
            Kind::Static => {
                asked.put_field(response)?;
                response.static_body(block.piece(0, length))?;
            }
            Kind::Busy => response.fail(503)?,
            Kind::InPlace | Kind::Length | Kind::Chunked => {
                asked.put_field(response)?;
                response.stream(if kind == Kind::Chunked { None } else { Some(length) })?;
                let body = if kind == Kind::InPlace { block } else { asked.body() };
                if request.method() != Method::Head && length > 0 {
                    return Ok(Flow::Produce(self.state(Todo::Pieces { body, at: 0, end: length })));
                }
            }
            Kind::Collect => return Ok(Flow::Collect(self.state(Todo::Collect(asked)))),
            Kind::Echo => {
                asked.put_field(response)?;
                response.stream(request.content_length())?;
                return Ok(Flow::Receive(self.state(Todo::Echo)));
            }
            Kind::Upgrade => {
                let exchange = format!("{client}.{serial}");
                response.switch_protocols(PROTOCOL, &[("X-Exchange", exchange.as_bytes())])?;
                return Ok(Flow::Upgrade(self.state(Todo::Echo)));
            }
            Kind::Never => {
                response.defer()?;
                return Ok(Flow::Defer(self.state(Todo::Later { asked, again: 0 })));
            }
            Kind::Later => {
                if self.defer(asked.wait_ms, response) {
                    return Ok(Flow::Defer(self.state(Todo::Later { asked, again: serial % 3 / 2 })));
                }
            }
        }
        Ok(Flow::Finish)
    }

    /// Answers with a body that is copied.
    fn whole(
        &mut self,
        asked: Asked,
        body: Body,
        length: u64,
        response: &mut ResponseWriter<'_>,
    ) -> Result<(), WriteError> {
        asked.put_field(response)?;
        self.scratch.resize(usize::try_from(length).unwrap_or(0), 0);
        body.fill(0, &mut self.scratch);
        if self.wrong == Some(Wrong::Byte)
            && asked.serial % 16 == 15
            && let Some(byte) = self.scratch.last_mut()
        {
            *byte ^= 1;
        }
        response.body(&self.scratch)
    }

    /// Takes a token, to be resolved after `wait_ms`: by this worker if that is zero, otherwise by another thread.
    fn defer(&self, wait_ms: u64, response: &mut ResponseWriter<'_>) -> bool {
        let Ok(token) = response.defer() else { return false };
        if wait_ms == 0 {
            return self.resumer.resume(token);
        }
        let is_sent = self.alarms.send((Instant::now() + Duration::from_millis(wait_ms), token)).is_ok();
        if !is_sent {
            let _ = response.fail(503);
        }
        is_sent
    }

    fn state(&self, todo: Todo) -> State {
        self.book.count(Count::States);
        State { book: Arc::clone(&self.book), todo }
    }

    /// What was requested, or something else if the server is told to make faults.
    fn go_wrong(&self, asked: Asked) -> Asked {
        match self.wrong {
            Some(Wrong::Mixed) if asked.serial % 16 == 15 => return Asked { serial: asked.serial - 1, ..asked },
            Some(Wrong::Memory) => std::mem::forget(black_box(vec![1_u8; 2048])),
            Some(Wrong::Descriptor) if asked.serial % 16 == 15 => std::mem::forget(UnixStream::pair()),
            _ => {}
        }
        asked
    }
}
