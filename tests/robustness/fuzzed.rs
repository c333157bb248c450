//! A bare connection that is fed arbitrary input, and the properties that must hold for any input. Fuzz targets use it, too.

use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::request::{BodyLength, Method, Request};
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use super::harness::Bench;
use super::reply;

/// A handler with every flow, chosen by a word in the path; responses are short whatever the request asks for.
#[derive(Default)]
pub(crate) struct Flows {
    /// How each request affects the body of its response.
    bodiless: Vec<Bodiless>,
}

/// Which responses have no body, regardless of their fields.
#[derive(Clone, Copy, Default, PartialEq)]
enum Bodiless {
    #[default]
    None,
    /// Responses to HEAD.
    All,
    /// Responses to CONNECT.
    Successful,
}

/// The bytes left to produce; `None` for content.
type Left = Option<u32>;

const PIECE: [u8; 700] = [b'p'; 700];

impl Handler for Flows {
    type Exchange = Left;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Left> {
        self.bodiless.push(match request.method() {
            Method::Head => Bodiless::All,
            Method::Connect => Bodiless::Successful,
            _ => Bodiless::None,
        });
        let has = |word: &str| request.path().windows(word.len()).any(|window| window == word.as_bytes());
        if has("echo") {
            let length = match request.body_length() {
                BodyLength::Length(length) => Some(length),
                _ => None,
            };
            let _ = response.stream(length);
            return Flow::Receive(Some(0));
        }
        match () {
            () if has("collect") => return Flow::Collect(None),
            () if has("receive") => return Flow::Receive(None),
            () if has("limit") => {
                response.limit_content(100);
                return Flow::Receive(None);
            }
            () if has("bytes") || has("chunks") => {
                let _ = response.stream(has("bytes").then_some(3_000));
                return Flow::Produce(Some(3_000));
            }
            () if has("304") => {
                let _ = response.status(304);
            }
            () if has("fail") => {
                let _ = response.fail(500);
            }
            () => {}
        }
        // Copies the request's fields into the response, as far as that is allowed.
        for field in request.fields().iter().take(3) {
            if response.field(field.name, field.value).is_err() {
                return Flow::Finish;
            }
        }
        let _ = response.body(request.target());
        Flow::Finish
    }

    fn collected(
        &mut self,
        _: Left,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Left> {
        assert!(!request.method().as_str().is_empty(), "the head is still readable");
        let _ = response.body(&content[..content.len().min(2_000)]);
        Flow::Finish
    }

    fn receive(&mut self, state: Left, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Left> {
        let bytes = content.bytes();
        let count = if state.is_some() { response.write(bytes).unwrap_or(bytes.len()) } else { bytes.len() };
        content.consume(count);
        if content.ended() && count == bytes.len() { Flow::Finish } else { Flow::Receive(state) }
    }

    fn produce(&mut self, state: Left, response: &mut ResponseWriter<'_>) -> Flow<Left> {
        let left = state.unwrap_or(0) as usize;
        match response.write(&PIECE[..left.min(PIECE.len())]) {
            Ok(count) if count < left => Flow::Produce(Some((left - count) as u32)),
            _ => Flow::Finish,
        }
    }
}

/// One connection after the other on the same memory.
pub(crate) struct Fuzzed {
    bench: Bench<Flows>,
}

impl Fuzzed {
    pub(crate) fn new() -> Self {
        let mut bench = Bench::new(Flows::default());
        bench.fin();
        Self { bench }
    }

    /// Feeds `input` in pieces that end at `cuts`, in order, then FIN; `pause_ms` passes between two pieces.
    ///
    /// # Panics
    /// When a property does not hold.
    pub(crate) fn play(&mut self, input: &[u8], cuts: &[usize], pause_ms: u64) {
        let bench = &mut self.bench;
        bench.reopen();
        bench.handler.bodiless.clear();
        let mut from = 0;
        for &to in cuts.iter().chain([&input.len()]) {
            bench.send(&input[from..to]);
            bench.elapse(pause_ms);
            from = to;
        }
        let answered = bench.output.len();
        bench.fin();
        // A connection that does not end at the FIN ends at a deadline.
        bench.elapse(1_000_000);
        assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0), "{:?}", bench.connection);
        assert!(bench.connection.close_reason().is_some());
        assert!(answered <= bench.output.len());
        self.check_output();
    }

    /// Checks for complete responses (the last one may be cut off), one for each request, and at most one refusal.
    fn check_output(&self) {
        let output = &self.bench.output;
        let bodiless = &self.bench.handler.bodiless;
        let mut at = 0;
        let mut finals = 0;
        while at < output.len() {
            let head_only = match bodiless.get(finals).copied().unwrap_or_default() {
                Bodiless::None => false,
                Bodiless::All => true,
                Bodiless::Successful => output[at..].starts_with(b"HTTP/1.1 2"),
            };
            let read = reply::read(&output[at..], head_only, true);
            let text = |at: usize| output[at..output.len().min(at + 300)].escape_ascii().to_string();
            let Some((response, length)) = read.unwrap_or_else(|wrong| panic!("{wrong} in {}", text(at))) else {
                return;
            };
            at += length;
            finals += usize::from(response.status != 100);
            assert!(!response.closes() || at == output.len(), "something behind the last response: {}", text(at));
        }
        assert!(finals <= bodiless.len() + 1, "{finals} responses to {} requests", bodiless.len());
    }
}
