//! A handler that treats every request as the plan says, and records its calls.

mod anything;
mod files;
mod owned;
mod waiting;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::panic::panic_any;
use std::rc::Rc;

use aurora_http_core::defer::{DeferToken, Deferrals};
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{ConnectionId, ConnectionInfo, Content, Flow, Handler, Refusal};
use aurora_http_core::request::{BodyLength, Request};
use aurora_http_core::time::Instant;
use aurora_http_core::writer::ResponseWriter;

use crate::exchange::{Answer, Exchange, Framing, Id};
use crate::plan::Plan;
use anything::Whim;
pub(crate) use files::Files;
pub(crate) use owned::{Owned, Owning};

/// The payload of a planned panic.
pub(crate) struct Planned;

/// The data that handlers and the simulation share.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// How often the handler was called for each exchange.
    pub(crate) calls: HashMap<Id, u32>,
    /// Calls for exchanges by this engine.
    pub(crate) requests: u64,
    /// Deferred answers, and after how long they are ready.
    pub(crate) deferred: Vec<(Option<u32>, DeferToken)>,
    /// Tokens that have been resolved.
    pub(crate) stale: Vec<DeferToken>,
    /// Connections announced to the handler, as accepted and as closed.
    pub(crate) accepted: u64,
    pub(crate) closed: u64,
    /// The ids of all connections of all engines.
    pub(crate) names: HashSet<ConnectionId>,
    /// The open files.
    pub(crate) files: Files,
    /// Exchanges of this engine that were told of a stop.
    pub(crate) told: HashSet<Id>,
    /// The engine is being dropped with everything that it owns.
    pub(crate) is_over: bool,
    /// The first violation.
    pub(crate) fault: Option<String>,
}

pub(crate) struct Puppet<'s> {
    pub(crate) plan: Rc<Plan>,
    pub(crate) book: Rc<RefCell<Book>>,
    /// How many states of exchanges exist.
    pub(crate) states: Rc<Cell<usize>>,
    /// The time, as the engine knows it.
    pub(crate) clock: Rc<Cell<Instant>>,
    /// Resolves answers within the call that defers them.
    pub(crate) deferrals: Deferrals<'s>,
}

/// How many raw bytes a protocol may collect before it answers.
const HELD_MAX: usize = 100;

/// The exchange of a client that sends a valid head followed by garbage.
const STRANGER: Id = Id { client: usize::MAX, serial: 0 };

/// The handler's state for an exchange.
pub(crate) struct State {
    pub(crate) id: Id,
    /// Bytes of content seen.
    seen: usize,
    /// Bytes of body written.
    written: usize,
    /// How often it has deferred.
    deferred: u8,
    /// An echo has begun its response.
    begun: bool,
    /// It may take the content that has arrived, or the next part of the file.
    may_take: bool,
    /// The token that it has taken in addition.
    token: Option<DeferToken>,
    /// When it should be woken.
    wakes_at: Option<Instant>,
    /// For an exchange that is treated at random.
    whim: Option<Whim>,
    _live: Live,
}

/// Counts the states that exist.
struct Live(Rc<Cell<usize>>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Puppet<'_> {
    fn fault(&self, id: Id, what: impl Into<String>) {
        self.book.borrow_mut().fault.get_or_insert(format!("{id:?}: {}", what.into()));
    }

    fn exchange(&self, id: Id) -> &Exchange {
        &self.plan.clients[id.client].exchanges[id.serial]
    }

    fn state(&self, id: Id) -> State {
        self.states.set(self.states.get() + 1);
        State {
            id,
            seen: 0,
            written: 0,
            deferred: 0,
            begun: false,
            may_take: false,
            token: None,
            wakes_at: None,
            whim: None,
            _live: Live(Rc::clone(&self.states)),
        }
    }

    fn id_of(&self, request: &Request<'_>) -> Option<Id> {
        let target = request.target_str();
        let (client, serial) = match target.strip_prefix('/') {
            Some(path) => path.split_once('/')?,
            None => target.strip_prefix('c')?.strip_suffix(":1")?.split_once('-')?,
        };
        let id = Id { client: client.parse().ok()?, serial: serial.parse().ok()? };
        self.plan.clients.get(id.client)?.exchanges.get(id.serial)?;
        Some(id)
    }

    /// Answers with the body that belongs to the exchange.
    fn body(
        &self,
        id: Id,
        status: u16,
        length: usize,
        in_place: bool,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<State> {
        let body = id.body(0, length);
        let _ = response.status(status);
        if status == 426 && response.field("Upgrade", "echo").is_err() {
            self.fault(id, "the Upgrade field is refused");
        }
        name(id, response);
        let _ = if in_place { response.static_body(body) } else { response.body(body) };
        Flow::Finish
    }

    /// Begins a response whose rest follows after the content.
    fn begin_early(&self, id: Id, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let mut state = self.state(id);
        if let Answer::Begin { length, is_known, padding } = self.exchange(id).answer {
            if padding > 0 {
                let _ = response.field("X-Padding", "p".repeat(padding));
            }
            self.begin_stream(id, is_known.then_some(length), response);
            state.written = response.write(id.body(0, length)).unwrap_or(0);
        }
        response.keep_trailers();
        Flow::Receive(state)
    }

    /// Receives all content, before it defers its answer or continues it.
    fn receive_first(
        &self,
        mut state: State,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<State> {
        self.see(&state, content.bytes());
        state.seen += content.bytes().len();
        if !content.ended() {
            return Flow::Receive(state);
        }
        self.see_end(&state, content);
        match self.exchange(state.id).answer {
            Answer::Begin { length, .. } if state.written < length => self.produce_rest(state, length, response),
            Answer::Begin { .. } => Flow::Finish,
            _ => Flow::Defer(state),
        }
    }

    fn produce_rest(&self, mut state: State, length: usize, response: &mut ResponseWriter<'_>) -> Flow<State> {
        self.write_piece(&mut state, length, usize::MAX, response);
        if state.written == length { Flow::Finish } else { Flow::Produce(state) }
    }

    fn begin_stream(&self, id: Id, length: Option<usize>, response: &mut ResponseWriter<'_>) {
        name(id, response);
        let _ = response.stream(length.map(|length| length as u64));
    }

    fn switch(&self, id: Id, response: &mut ResponseWriter<'_>) -> bool {
        let said = format!("{}-{}", id.client, id.serial);
        match self.exchange(id).method {
            crate::exchange::Method::Connect => {
                name(id, response);
                response.open_tunnel().is_ok()
            }
            _ => response.switch_protocols("echo", &[("X-Exchange", said.as_bytes())]).is_ok(),
        }
    }

    /// Takes a token, and records it for the thread that resolves it.
    fn defer(&self, mut state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        self.take_token(state.id, response);
        state.deferred += 1;
        Flow::Defer(state)
    }

    fn take_token(&self, id: Id, response: &mut ResponseWriter<'_>) {
        let (after_ms, by_itself) = match self.exchange(id).answer {
            Answer::Defer { after_ms, by_itself, .. } | Answer::DeferLate { after_ms, by_itself, .. } => {
                (after_ms, by_itself)
            }
            Answer::Paced { after_ms, .. }
            | Answer::Upgrade { paced: Some(after_ms), .. }
            | Answer::File { disk_ms: Some(after_ms), .. } => (Some(after_ms), false),
            _ => return,
        };
        match response.defer() {
            Ok(token) if by_itself => {
                if !self.deferrals.resolve(token) {
                    self.fault(id, "a fresh token is stale");
                }
                self.book.borrow_mut().stale.push(token);
            }
            Ok(token) => self.book.borrow_mut().deferred.push((after_ms, token)),
            Err(error) => self.fault(id, format!("no token: {error}")),
        }
    }

    /// Checks content against what the client sends.
    fn see(&self, state: &State, content: &[u8]) {
        let length = self.exchange(state.id).framing.length();
        if state.seen + content.len() > length || content != state.id.content(state.seen, content.len()) {
            self.fault(state.id, format!("{} bytes of content at {} are not its own", content.len(), state.seen));
        }
    }

    /// Checks the end of content.
    fn see_end(&self, state: &State, content: &Content<'_>) {
        let exchange = self.exchange(state.id);
        if state.seen != exchange.framing.length() {
            self.fault(state.id, format!("content ends after {} bytes", state.seen));
        }
        let Framing::Chunked { trailers, .. } = exchange.framing else { return };
        let Some(kept) = content.trailers() else {
            self.fault(state.id, "the trailers are missing");
            return;
        };
        let expected: Vec<String> =
            (0..trailers).map(|number| format!("{}-{}-{number}", state.id.client, state.id.serial)).collect();
        let kept: Vec<String> = kept.iter().map(|field| String::from_utf8_lossy(field.value).into_owned()).collect();
        if kept != expected {
            self.fault(state.id, format!("the trailers are {kept:?}"));
        }
    }

    /// Writes a part of the body in one of three ways.
    fn write_piece(&self, state: &mut State, length: usize, piece: usize, response: &mut ResponseWriter<'_>) {
        let count = piece.min(length - state.written);
        let part = state.id.body(state.written, count);
        state.written += write_one_way(state.written % 3, part, response);
    }

    /// Takes content until all has arrived, then answers.
    fn take(&self, mut state: State, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let Answer::Receive { length, holds, piece } = self.exchange(state.id).answer else { return Flow::Finish };
        if holds && !content.ended() {
            content.hold();
            return Flow::Receive(state);
        }
        let count = piece.min(content.bytes().len());
        self.see(&state, &content.bytes()[..count]);
        content.consume(count);
        state.seen += count;
        if content.ended() && content.bytes().is_empty() {
            self.see_end(&state, content);
            return self.body(state.id, 200, length, false, response);
        }
        Flow::Receive(state)
    }

    /// Echoes the content.
    fn echo(&self, mut state: State, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        if !state.begun {
            state.begun = true;
            let known = match self.exchange(state.id).framing {
                Framing::Length(length) => Some(length),
                _ => None,
            };
            self.begin_stream(state.id, known, response);
        }
        self.see(&state, content.bytes());
        let count = response.write(content.bytes()).unwrap_or(0);
        content.consume(count);
        state.seen += count;
        if content.ended() && content.bytes().is_empty() {
            self.see_end(&state, content);
            return Flow::Finish;
        }
        Flow::Receive(state)
    }

    /// Checks raw bytes against what the client sends.
    fn see_raw(&self, state: &State, bytes: &[u8]) {
        let Answer::Upgrade { length, .. } = self.exchange(state.id).answer else { return };
        if state.seen + bytes.len() > length || bytes != state.id.raw(state.seen, bytes.len()) {
            self.fault(state.id, format!("{} raw bytes at {} are not its own", bytes.len(), state.seen));
        }
    }

    /// Echoes raw bytes until the client's FIN.
    fn echo_raw(&self, mut state: State, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let bytes = content.bytes();
        self.see_raw(&state, bytes);
        if state.id.serial % 2 == 1 && bytes.len() < HELD_MAX && !content.ended() {
            content.hold();
            return Flow::Receive(state);
        }
        let count = response.write(bytes).unwrap_or(0);
        content.consume(count);
        state.seen += count;
        if content.ended() && content.bytes().is_empty() { Flow::Finish } else { Flow::Receive(state) }
    }
}

/// Writes in one of three ways; returns how many bytes were accepted.
fn write_one_way(way: usize, part: &'static [u8], response: &mut ResponseWriter<'_>) -> usize {
    let taken = match way {
        0 => response.write(part),
        1 => response.write_static(part),
        _ => response.write_with(|room| {
            let count = part.len().min(room.len());
            room[..count].copy_from_slice(&part[..count]);
            Ok(count)
        }),
    };
    taken.unwrap_or(0)
}

/// Names the exchange that is answered in a field.
fn name(id: Id, response: &mut ResponseWriter<'_>) {
    let _ = response.field("X-Exchange", format!("{}-{}", id.client, id.serial));
}

impl Handler for Puppet<'_> {
    type Exchange = State;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let Some(id) = self.id_of(request) else {
            if !request.is_chunked() {
                self.fault(STRANGER, format!("called for {:?}", request.target_str()));
            }
            self.book.borrow_mut().requests += 1;
            return Flow::Receive(self.state(STRANGER));
        };
        {
            let mut book = self.book.borrow_mut();
            *book.calls.entry(id).or_default() += 1;
            book.requests += 1;
        }
        let exchange = self.exchange(id);
        let length = match request.body_length() {
            BodyLength::Length(length) => Some(length),
            _ => None,
        };
        if let Framing::Length(announced) = exchange.framing
            && length != Some(announced as u64)
            && announced > 0
        {
            self.fault(id, format!("content of {length:?} bytes"));
        }
        let state = self.state(id);
        match exchange.answer {
            Answer::Body { status, length, in_place } => self.body(id, status, length, in_place, response),
            Answer::Nothing => Flow::Finish,
            Answer::Produce { length, is_known, .. } => {
                self.begin_stream(id, is_known.then_some(length), response);
                Flow::Produce(state)
            }
            Answer::File { length, is_known, .. } => {
                self.begin_stream(id, is_known.then_some(length), response);
                self.send_file(state, response)
            }
            Answer::Collect { .. } => Flow::Collect(state),
            Answer::Receive { .. } | Answer::Echo => {
                response.keep_trailers();
                Flow::Receive(state)
            }
            Answer::Defer { .. } => self.defer(state, response),
            Answer::Timed { .. } => self.sleep(state, response),
            Answer::Paced { .. } => {
                response.keep_trailers();
                self.await_content_and_token(state, response)
            }
            Answer::DeferLate { .. } => {
                self.take_token(id, response);
                response.keep_trailers();
                Flow::Receive(state)
            }
            Answer::Begin { .. } => self.begin_early(id, response),
            Answer::Fail(status) => {
                let _ = response.fail(status);
                Flow::Finish
            }
            Answer::Upgrade { .. } | Answer::Detach { .. } => {
                if !self.switch(id, response) {
                    self.fault(id, "cannot switch");
                    return Flow::Finish;
                }
                match exchange.answer {
                    Answer::Upgrade { paced: Some(_), .. } => self.await_content_and_token(state, response),
                    Answer::Upgrade { .. } => Flow::Upgrade(state),
                    _ => Flow::Detach(state),
                }
            }
            Answer::Stall => Flow::Receive(state),
            Answer::Panic => panic_any(Planned),
            Answer::Anything(seed) => {
                let has_content = request.body_length().has_content();
                self.begin_anything(state, Whim::new(seed), has_content, response)
            }
        }
    }

    fn collected(
        &mut self,
        mut state: State,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<State> {
        if self.id_of(request) != Some(state.id) {
            self.fault(state.id, "the collected request has another head");
        }
        self.see(&state, content);
        state.seen = content.len();
        if state.seen != self.exchange(state.id).framing.length() {
            self.fault(state.id, format!("{} bytes collected", state.seen));
        }
        if state.whim.is_some() {
            return self.do_anything(state, response);
        }
        let Answer::Collect { length } = self.exchange(state.id).answer else { return Flow::Finish };
        self.body(state.id, 200, length, false, response)
    }

    fn receive(&mut self, state: State, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        if state.id == STRANGER {
            if content.ended() {
                self.fault(STRANGER, "garbage was passed as content");
            }
            return Flow::Receive(state);
        }
        match self.exchange(state.id).answer {
            Answer::Receive { .. } => self.take(state, content, response),
            Answer::Echo => self.echo(state, content, response),
            Answer::DeferLate { .. } | Answer::Begin { .. } => self.receive_first(state, content, response),
            Answer::Paced { .. } | Answer::Upgrade { paced: Some(_), .. } => {
                self.take_at_its_pace(state, content, response)
            }
            Answer::Upgrade { .. } => self.echo_raw(state, content, response),
            Answer::Stall => Flow::Receive(state),
            Answer::Anything(_) => self.take_anything(state, content, response),
            _ => {
                self.fault(state.id, "receive was called without being asked for");
                Flow::Finish
            }
        }
    }

    fn produce(&mut self, mut state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        if state.whim.is_some() {
            return self.produce_anything(state, response);
        }
        let answer = self.exchange(state.id).answer;
        if let Answer::Begin { length, .. } = answer {
            return self.produce_rest(state, length, response);
        }
        if let Answer::File { .. } = answer {
            return self.send_file(state, response);
        }
        let Answer::Produce { length, piece, .. } = answer else {
            self.fault(state.id, "produce was called without being asked for");
            return Flow::Finish;
        };
        self.write_piece(&mut state, length, piece, response);
        if state.written == length { Flow::Finish } else { Flow::Produce(state) }
    }

    fn resume(&mut self, state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        if state.whim.is_some() {
            return self.do_anything(state, response);
        }
        let (length, times) = match self.exchange(state.id).answer {
            Answer::Defer { times, length, .. } => (length, times),
            Answer::DeferLate { length, .. } => (length, 0),
            Answer::Timed { .. } => return self.wake(state, response),
            Answer::File { .. } => return self.send_file(state, response),
            Answer::Paced { .. } | Answer::Upgrade { paced: Some(_), .. } => return self.may_take(state, response),
            _ => {
                self.fault(state.id, "resume was called without a deferral");
                return Flow::Finish;
            }
        };
        if state.deferred < times {
            return self.defer(state, response);
        }
        self.body(state.id, 200, length, false, response)
    }

    fn stopping(&mut self, flow: Flow<State>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        self.hear_of_stop(flow, response)
    }

    fn half_closed(&mut self, mut state: State) -> Option<State> {
        let goes_on = state.whim.as_mut().is_none_or(Whim::goes_on);
        goes_on.then_some(state)
    }

    /// Varies the answer, reproducibly for the same seed.
    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        let number = self.book.borrow().requests;
        if number.is_multiple_of(2) {
            let _ = response.add_field("X-Refused", "r".repeat(number as usize % 900));
        }
        if number.is_multiple_of(3) {
            let _ = response.status(if number.is_multiple_of(5) { 99 } else { refusal.status() });
            let _ = response.body("r".repeat(number as usize * 100 % 3_000));
        }
    }

    fn accepted(&mut self, info: &ConnectionInfo<'_>) -> bool {
        let mut book = self.book.borrow_mut();
        book.accepted += 1;
        if !book.names.insert(info.id()) {
            book.fault.get_or_insert(format!("a second connection has the id {:?}", info.id()));
        }
        true
    }

    fn closed(&mut self, _: ConnectionId, _: CloseReason, _: u32) {
        self.book.borrow_mut().closed += 1;
    }
}
