//! The wrapper around a handler.

use std::io;

use aurora_http_core::error::CloseReason;
use aurora_http_core::forward_handler;
use aurora_http_core::handler::{Flow, Handler, Needs};
use aurora_http_core::request::Request;
use aurora_http_core::writer::{Begun, ResponseWriter};
use aurora_http_web::accept;

use crate::encoder::{Coding, Encoder};
use crate::policy::{Budget, Permit, is_compressible, is_eligible, lists, varies};

/// Longest content that is compressed in one call. It takes a few milliseconds.
const WHOLE_BYTES_MAX: usize = 256 * 1024;
/// How often a handler is called in a row whose content is in the encoder without any output.
const ROUNDS_MAX: usize = 8;

/// Compresses the responses of a handler: see the [crate] for which, and an example.
///
/// Put it around what makes content and its `ETag`, and inside of access logs, so that these count what is sent.
#[derive(Clone, Debug)]
pub struct Compress<H> {
    inner: H,
    budget: Budget,
    bytes_min: u64,
    codings: &'static [Coding],
    types: fn(&str) -> bool,
}

impl<H: Handler> Compress<H> {
    /// Wraps a handler.
    pub fn new(inner: H) -> Self {
        let codings = &[Coding::Brotli, Coding::Zstd, Coding::Gzip];
        Self { inner, budget: Budget::new(32), bytes_min: 1024, codings, types: is_compressible }
    }

    /// Sets how many responses may be compressed at a time by this handler; 32 by default.
    #[must_use]
    pub fn encoders_max(self, encoders_max: usize) -> Self {
        self.budget(&Budget::new(encoders_max))
    }

    /// Shares a limit for encoders with other handlers: those of all workers.
    #[must_use]
    pub fn budget(self, budget: &Budget) -> Self {
        Self { budget: budget.clone(), ..self }
    }

    /// Sets the shortest content that is compressed, in bytes; 1024 by default. What fits into one packet arrives no sooner if it is
    /// shorter.
    #[must_use]
    pub fn bytes_min(self, bytes_min: u64) -> Self {
        Self { bytes_min, ..self }
    }

    /// Sets the codings; the first of those that a client weighs equally is taken.
    #[must_use]
    pub fn codings(self, codings: &'static [Coding]) -> Self {
        Self { codings, ..self }
    }

    /// Sets which media types are compressed, in place of [`is_compressible`]. The function gets the value of `Content-Type`, with
    /// its parameters.
    #[must_use]
    pub fn types(self, types: fn(&str) -> bool) -> Self {
        Self { types, ..self }
    }
}

/// The state of an exchange.
#[derive(Debug)]
pub struct Compressing<X>(Stage<X>);

#[derive(Debug)]
enum Stage<X> {
    /// The handler continues.
    Going(Note, X),
    /// Output waits for the client; after it, the handler continues as it wanted to.
    Draining(Box<Coded>, Flow<X>),
}

/// What is known of the response.
#[derive(Debug)]
enum Note {
    /// It has not begun.
    Undecided(Client),
    /// It is sent as it is.
    Plain,
    Coded(Box<Coded>),
}

/// What decides about the response, from the request.
#[derive(Clone, Copy, Debug)]
struct Client {
    /// What it prefers.
    coding: Option<Coding>,
    /// It has a response with a weak tag, such as a compressed one.
    has_weak_tag: bool,
}

/// A response that is being compressed.
#[derive(Debug)]
struct Coded {
    encoder: Encoder,
    /// How much of an announced length the handler has not written.
    left: Option<u64>,
    /// The last call of the handler told it of a stop.
    is_told: bool,
    _permit: Permit,
}

/// What becomes of a response that has begun.
enum Plan {
    Plain,
    /// HEAD is answered.
    Head(Coding),
    /// All of the content is in the encoder.
    Whole(Coding, Box<Coded>),
    Stream(Coding, Box<Coded>),
}

/// What is added to a head, and to a chunk.
const ADDED_BYTES_MAX: usize = 128;

impl Plan {
    /// Plain, unless all output so far can be sent with this call: content that the handler asks for would be taken for unwanted while
    /// output waited.
    fn if_it_fits(self, response: &mut ResponseWriter<'_>) -> Self {
        let Self::Stream(coding, mut coded) = self else { return self };
        if coded.encoder.flush().is_err() {
            return Self::Plain;
        }
        // What the handler has written makes way for it.
        let written = match response.begun() {
            Some(begun) if !begun.is_in_place() => begun.content().len(),
            // The room cannot be known until it is gone.
            _ => return Self::Plain,
        };
        let needed = (coded.encoder.output().len() + ADDED_BYTES_MAX).saturating_sub(written);
        if response.make_room(needed) < needed { Self::Plain } else { Self::Stream(coding, coded) }
    }
}

type Following<H> = Flow<Compressing<<H as Handler>::Exchange>>;

impl<H: Handler> Compress<H> {
    /// Calls the handler again for an exchange, or sends what waits for the client first.
    fn call_again(
        &mut self,
        state: Compressing<H::Exchange>,
        response: &mut ResponseWriter<'_>,
        call: impl FnOnce(&mut H, H::Exchange, &mut ResponseWriter<'_>) -> Flow<H::Exchange>,
    ) -> Following<H> {
        match state.0 {
            Stage::Going(note, exchange) => {
                if matches!(note, Note::Undecided(Client { coding: Some(_), .. })) {
                    response.keep_in_memory();
                }
                let flow = call(&mut self.inner, exchange, response);
                self.follow(note, flow, response)
            }
            Stage::Draining(coded, flow) => self.drain(coded, flow, response),
        }
    }

    /// After a call of the handler.
    fn follow(&mut self, note: Note, flow: Flow<H::Exchange>, response: &mut ResponseWriter<'_>) -> Following<H> {
        match note {
            Note::Undecided(client) => self.begin(client, flow, response),
            Note::Plain => flow.map(|exchange| Compressing(Stage::Going(Note::Plain, exchange))),
            Note::Coded(coded) => self.go_on(coded, flow, response),
        }
    }

    /// After a call of the handler in which the response may have begun.
    fn begin(&mut self, client: Client, flow: Flow<H::Exchange>, response: &mut ResponseWriter<'_>) -> Following<H> {
        let Some(begun) = response.begun() else {
            return flow.map(|exchange| Compressing(Stage::Going(Note::Undecided(client), exchange)));
        };
        let plain = |flow: Flow<H::Exchange>| flow.map(|exchange| Compressing(Stage::Going(Note::Plain, exchange)));
        if !varies(&begun, self.types) {
            return plain(flow);
        }
        let is_vary_there = lists(&begun, "Vary", "Accept-Encoding") || lists(&begun, "Vary", "*");
        // What the client has was compressed, or may have been.
        let is_unchanged = begun.status() == 304 && client.has_weak_tag && client.coding.is_some();
        let coding = client.coding.filter(|_| is_eligible(&begun));
        let plan =
            coding.and_then(|coding| self.plan(coding, &begun, matches!(flow, Flow::Finish))).unwrap_or(Plan::Plain);
        let asks = matches!(flow, Flow::Receive(_) | Flow::ReceiveOrResume(_) | Flow::Collect(_));
        let plan = if asks { plan.if_it_fits(response) } else { plan };
        let (recoded, coded) = match plan {
            Plan::Plain if is_unchanged => (response.recode_not_modified(), None),
            Plan::Plain => (Ok(()), None),
            Plan::Head(coding) => (response.recode(coding.name(), None), None),
            Plan::Whole(coding, mut coded) => {
                let length = coded.encoder.output().len() as u64;
                (response.recode(coding.name(), Some(length)), Some(coded))
            }
            Plan::Stream(coding, coded) => (response.recode(coding.name(), None), Some(coded)),
        };
        if !is_vary_there {
            // If there is no room for it, the content is as it was, and everybody can use it.
            let _ = response.amend_begun("Vary", "Accept-Encoding");
        }
        match coded {
            Some(coded) if recoded.is_ok() => self.go_on(coded, flow, response),
            // Such as for an HTTP/1.0 client.
            _ => plain(flow),
        }
    }

    /// What to do with an eligible response, whose content so far goes into an encoder; `None` to send it as it is.
    fn plan(&self, coding: Coding, begun: &Begun<'_>, is_finished: bool) -> Option<Plan> {
        let content = begun.content();
        let length = begun.length();
        if length.is_some_and(|length| length < self.bytes_min) {
            return None;
        }
        if begun.is_head_request() {
            return Some(Plan::Head(coding));
        }
        // Also a stream whose content is all there.
        let is_whole = begun.is_complete() || is_finished && length == Some(content.len() as u64);
        if is_whole != is_finished && begun.is_complete() || content.len() > WHOLE_BYTES_MAX {
            return None;
        }
        let permit = self.budget.take()?;
        let mut coded =
            Box::new(Coded { encoder: Encoder::new(coding).ok()?, left: length, is_told: false, _permit: permit });
        coded.take(content).ok()?;
        if !is_whole {
            return Some(Plan::Stream(coding, coded));
        }
        coded.encoder.finish().ok()?;
        (coded.encoder.output().len() < content.len()).then_some(Plan::Whole(coding, coded))
    }

    /// Puts what the handler has written into the encoder, and sends what comes out.
    fn go_on(
        &mut self,
        mut coded: Box<Coded>,
        mut flow: Flow<H::Exchange>,
        response: &mut ResponseWriter<'_>,
    ) -> Following<H> {
        coded.is_told = response.is_stopping();
        let mut result = coded.take_written(response);
        for _ in 0..ROUNDS_MAX {
            // It has more, but the encoder has nothing to send yet.
            let is_silent = matches!(flow, Flow::Produce(_)) && coded.encoder.output().is_empty();
            if result.is_err() || !is_silent {
                break;
            }
            let Some(exchange) = flow.into_state() else { return Flow::Finish };
            flow = self.inner.produce(exchange, response);
            result = coded.take_written(response);
        }
        match result.and_then(|()| coded.settle(&flow)) {
            Ok(()) => self.drain(coded, flow, response),
            Err(_) => self.give_up(flow, response),
        }
    }

    /// Sends output as far as there is room.
    fn drain(
        &mut self,
        mut coded: Box<Coded>,
        flow: Flow<H::Exchange>,
        response: &mut ResponseWriter<'_>,
    ) -> Following<H> {
        let output = coded.encoder.output();
        if !output.is_empty() {
            response.make_room(output.len());
            let Ok(count) = response.write(output) else { return self.give_up(flow, response) };
            coded.encoder.sent(count);
        }
        if !coded.encoder.output().is_empty() {
            return Flow::Produce(Compressing(Stage::Draining(coded, flow)));
        }
        // The engine has told nobody, because the exchange did not wait.
        if response.is_stopping() && !coded.is_told && matches!(flow, Flow::Defer(_) | Flow::ReceiveOrResume(_)) {
            let flow = self.inner.stopping(flow, response);
            return self.go_on(coded, flow, response);
        }
        flow.map(|exchange| Compressing(Stage::Going(Note::Coded(coded), exchange)))
    }

    fn give_up(&mut self, flow: Flow<H::Exchange>, response: &mut ResponseWriter<'_>) -> Following<H> {
        let _ = response.fail(500);
        if let Some(exchange) = flow.into_state() {
            self.inner.abandoned(exchange, CloseReason::ResponseFailed);
        }
        Flow::Finish
    }
}

impl Coded {
    fn take_written(&mut self, response: &mut ResponseWriter<'_>) -> io::Result<()> {
        let result = self.take(response.written_content());
        response.drop_content();
        result
    }

    fn take(&mut self, content: &[u8]) -> io::Result<()> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(content.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
        }
        if content.is_empty() { Ok(()) } else { self.encoder.write(content) }
    }

    /// After the handler has written what it can.
    fn settle<X>(&mut self, flow: &Flow<X>) -> io::Result<()> {
        match flow {
            Flow::Finish if self.encoder.is_finished() => Ok(()),
            Flow::Finish if self.left.is_some_and(|left| left > 0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Flow::Finish => self.encoder.finish(),
            Flow::Produce(_) if !self.encoder.output().is_empty() => Ok(()),
            // It waits, so the client gets what there is.
            _ => self.encoder.flush(),
        }
    }
}

impl<H: Handler> Handler for Compress<H> {
    const NEEDS: Needs = H::NEEDS;
    type Exchange = Compressing<H::Exchange>;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let offers = self.codings.iter().map(|coding| coding.name());
        let coding = accept::encoding(request, offers).and_then(Coding::of_name);
        if coding.is_some() {
            response.keep_in_memory();
        }
        let has_weak = |tags: &[u8]| tags.windows(3).any(|begin| begin == b"W/\"");
        let has_weak_tag = request.fields().get_all("If-None-Match").any(has_weak);
        let client = Client { coding, has_weak_tag };
        let flow = self.inner.request(request, response);
        self.begin(client, flow, response)
    }

    fn half_closed(&mut self, state: Self::Exchange) -> Option<Self::Exchange> {
        match state.0 {
            Stage::Going(note, exchange) => {
                let exchange = self.inner.half_closed(exchange)?;
                Some(Compressing(Stage::Going(note, exchange)))
            }
            draining => Some(Compressing(draining)),
        }
    }

    fn abandoned(&mut self, state: Self::Exchange, reason: CloseReason) {
        let exchange = match state.0 {
            Stage::Going(_, exchange) => Some(exchange),
            Stage::Draining(_, flow) => flow.into_state(),
        };
        if let Some(exchange) = exchange {
            self.inner.abandoned(exchange, reason);
        }
    }

    forward_handler!(self => self.inner; through Self::call_again; except request, half_closed, abandoned);
}
