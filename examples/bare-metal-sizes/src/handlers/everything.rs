//! What a handler can call, each at least once, after the pages of `full`. Nothing here formats by `core::fmt`, whose panics
//! are not ours.

use core::fmt::Write as _;
use core::hint::black_box;
use core::ops::ControlFlow;

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{
    Around, ConnectionId, ConnectionInfo, Content, Flow, Handler, Refusal, Wrapped, around,
};
use aurora_http_core::request::{Method, Request};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use super::full::{self, Full};

/// Pages, answers that wait, trailers, another protocol.
pub struct Everything {
    pages: Full,
    closed: u32,
}

/// The handler, behind a wrapper.
pub type App = Wrapped<Watch, Everything>;

/// The handler, behind a wrapper.
pub const fn new() -> App {
    around(Watch { bytes: 0 }, Everything { pages: full::new(), closed: 0 })
}

/// Lets those with a pass in, and counts what is sent.
pub struct Watch {
    bytes: usize,
}

impl Around for Watch {
    /// Bytes of the response so far.
    type Note = usize;

    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<(), usize> {
        if request.fields().get("X-Pass").is_some() {
            return ControlFlow::Continue(0);
        }
        let _ = response.fail(403);
        ControlFlow::Break(())
    }

    fn between(&mut self, bytes: &mut usize, response: &mut ResponseWriter<'_>) {
        let _ = (black_box(bytes), response.add_field("X-Watched", "yes"));
    }

    fn wrote(&mut self, bytes: &mut usize, response: &ResponseWriter<'_>) {
        *bytes = bytes.wrapping_add(response.written());
    }

    fn finished(&mut self, bytes: usize, _: &ResponseWriter<'_>) {
        self.bytes = black_box(self.bytes.wrapping_add(bytes));
    }

    fn abandoned(&mut self, bytes: usize, reason: CloseReason) {
        black_box((bytes, reason));
    }
}

/// What an exchange has before it.
#[derive(Clone, Copy)]
pub enum Exchange {
    /// One of the pages.
    Page(full::Exchange),
    /// An answer when the token is resolved, or after a while.
    Later,
    /// Content whose trailers count.
    Trailers,
    /// Bytes of another protocol.
    Raw,
}

type Answer = Result<Flow<Exchange>, WriteError>;

impl Everything {
    fn answer(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Answer {
        match (request.method(), request.path()) {
            (Method::Get, b"/later") => {
                black_box(response.defer()?);
                response.wake_after(black_box(1000));
                return Ok(Flow::Defer(Exchange::Later));
            }
            (Method::Post, b"/both") => {
                response.stream(None)?;
                response.wake_after(black_box(1000));
                return Ok(Flow::ReceiveOrResume(Exchange::Trailers));
            }
            (Method::Put, b"/trailers") => {
                response.keep_trailers();
                response.limit_content(black_box(1 << 40));
                return Ok(Flow::Receive(Exchange::Trailers));
            }
            (Method::Get, b"/raw") if request.upgrades_to("raw") => {
                response.switch_protocols("raw", &[("X-Version", b"1")])?;
                return Ok(Flow::Upgrade(Exchange::Raw));
            }
            (Method::Connect, _) => {
                response.open_tunnel()?;
                return Ok(Flow::Detach(Exchange::Raw));
            }
            (Method::Get, b"/about") => about(request, response)?,
            (Method::Get, b"/instead") => instead(response)?,
            _ => return Ok(self.pages.request(request, response).map(Exchange::Page)),
        }
        Ok(Flow::Finish)
    }
}

/// All that can be read of a request.
fn about(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    let mut scratch = [0; 64];
    for pair in request.query_pairs(&mut scratch) {
        let (key, value) = pair?;
        response.field("X-Pair", key)?;
        response.field("X-Value", value)?;
    }
    let mut decoded = [0; 64];
    response.field("X-Path", aurora_http_core::request::decode_path_into(request.path(), &mut decoded)?)?;
    for field in request.fields().forwarded() {
        response.field(field.name, field.value)?;
    }
    for option in request.connection_options() {
        black_box(option);
    }
    for value in request.fields().get_all("Cookie") {
        black_box(value);
    }
    black_box((request.target_str(), request.target_form(), request.path_str(), request.query(), request.version()));
    black_box((request.has_content_type("text/plain"), request.host(), request.body_length(), request.is_chunked()));
    black_box((request.wants_upgrade(), request.persistent(), request.head_len(), request.peer()));
    let room = response.scratch(black_box(32))?;
    black_box(&mut *room);
    response.stream(Some(black_box(7)))?;
    black_box(response.write_static(b"a")?);
    black_box(response.write_with::<WriteError>(|room| Ok(black_box(room).len().min(1)))?);
    Ok(())
}

/// A whole response that is looked at and changed, and one that replaces it.
fn instead(response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.status(black_box(201))?;
    response.body_with(|body| Ok::<_, WriteError>(body.write_str("content")?))?;
    black_box((response.whole_content().is_some(), response.whole_field("Content-Type").is_some()));
    response.amend("X-Late", "1")?;
    if black_box(false) {
        response.make_not_modified()?;
    }
    black_box((response.written(), response.status_so_far(), response.is_stopping()));
    response.reset()?;
    response.fail(black_box(500))
}

/// Sends back what came, and then what came behind it.
fn echo(content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Answer {
    if response.written() == 0 {
        response.stream(None)?;
    }
    if content.bytes().len() < black_box(4) && !content.ended() {
        content.hold();
        return Ok(Flow::Receive(Exchange::Trailers));
    }
    let count = response.write(content.bytes())?;
    content.consume(count);
    if !content.ended() || !content.bytes().is_empty() {
        return Ok(Flow::Receive(Exchange::Trailers));
    }
    if let Some(trailers) = content.trailers() {
        for field in trailers {
            black_box((field.name, field.value));
        }
        black_box(trailers.get("Digest"));
    }
    Ok(Flow::Finish)
}

impl Handler for Everything {
    type Exchange = Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        self.answer(request, response).unwrap_or(Flow::Finish)
    }

    fn collected(
        &mut self,
        state: Exchange,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        let Exchange::Page(state) = state else { return Flow::Finish };
        self.pages.collected(state, request, content, response).map(Exchange::Page)
    }

    fn receive(
        &mut self,
        state: Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        match state {
            Exchange::Page(state) => self.pages.receive(state, content, response).map(Exchange::Page),
            Exchange::Later => Flow::Finish,
            Exchange::Trailers => echo(content, response).unwrap_or(Flow::Finish),
            Exchange::Raw => match response.write(content.bytes()) {
                Ok(count) => {
                    content.consume(count);
                    if content.ended() { Flow::Finish } else { Flow::Receive(state) }
                }
                Err(_) => Flow::Finish,
            },
        }
    }

    fn produce(&mut self, state: Exchange, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        let Exchange::Page(state) = state else { return Flow::Finish };
        self.pages.produce(state, response).map(Exchange::Page)
    }

    fn resume(&mut self, state: Exchange, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        if response.is_woken_by_time() {
            response.wake_after(black_box(5));
            return Flow::Defer(state);
        }
        let _ = response.body("later\n");
        Flow::Finish
    }

    fn stopping(&mut self, flow: Flow<Exchange>, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        let _ = response.write(b"bye");
        if black_box(false) { flow } else { Flow::Finish }
    }

    fn half_closed(&mut self, state: Exchange) -> Option<Exchange> {
        black_box(true).then_some(state)
    }

    fn abandoned(&mut self, state: Exchange, reason: CloseReason) {
        black_box((matches!(state, Exchange::Later), reason));
    }

    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        let _ = response.add_field("X-Refused", refusal.target().unwrap_or_default());
        if response.status(refusal.status()).is_ok() && response.field("Content-Type", "text/plain").is_ok() {
            let _ = response.body("no\n");
        }
    }

    fn accepted(&mut self, connection: &ConnectionInfo<'_>) -> bool {
        black_box(connection.peer().is_some())
    }

    fn closed(&mut self, id: ConnectionId, reason: CloseReason, requests_served: u32) {
        self.closed = self.closed.wrapping_add(requests_served);
        black_box((id, reason));
    }
}
