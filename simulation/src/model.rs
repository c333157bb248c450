//! What a client must see, according to the RFCs and the promises of docs/wire.md. Shares no code with the engine.

use crate::exchange::{Answer, Exchange, Framing, Id, Method, Wish};
use crate::plan::{Nature, Plan};
use crate::reader::BodyEnd;

/// The response to an exchange.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) body: Body,
    pub(crate) keeps: Keeps,
    /// The response comes from the handler, which marks it with a field.
    pub(crate) is_the_handlers: bool,
    /// The response may be cut off, because the request exceeded a limit after the response had begun.
    pub(crate) may_break: bool,
    /// The response must be cut off: the file ends before it does.
    pub(crate) lacks_its_end: bool,
    pub(crate) end: BodyEnd,
}

/// The content of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// So many bytes that belong to this exchange.
    Own(usize),
    /// The content of the request.
    Content(usize),
    /// The raw bytes after an upgrade.
    Raw(usize),
    /// Whatever text the server itself writes.
    Any,
}

/// What happens to the connection after a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Keeps {
    Kept,
    Closed,
    /// Both are right.
    Either,
}

impl Body {
    /// `count` bytes of it from `at` on; `None` if it does not have as many.
    pub(crate) fn bytes(self, id: Id, at: usize, count: usize) -> Option<&'static [u8]> {
        let end = at + count;
        match self {
            Self::Own(length) => (end <= length).then(|| id.body(at, count)),
            Self::Content(length) => (end <= length).then(|| id.content(at, count)),
            Self::Raw(length) => (end <= length).then(|| id.raw(at, count)),
            Self::Any => None,
        }
    }

    pub(crate) fn length(self) -> Option<usize> {
        match self {
            Self::Own(length) | Self::Content(length) | Self::Raw(length) => Some(length),
            Self::Any => None,
        }
    }
}

/// The response to the `nth` request of a connection, counted from 1.
pub(crate) fn expected(plan: &Plan, exchange: &Exchange, nth: u32) -> Expected {
    let (status, body, is_the_handlers) = status_and_body(plan, exchange);
    let is_switched = matches!(exchange.answer, Answer::Upgrade { .. } | Answer::Detach { .. });
    let has_no_body = exchange.method == Method::Head || matches!(status, 204 | 304);
    let end = match exchange.answer {
        _ if is_switched => BodyEnd::Never,
        _ if has_no_body => BodyEnd::NoBody,
        _ => BodyEnd::AsTheHeadSays,
    };
    let body = if end == BodyEnd::NoBody { Body::Own(0) } else { body };
    let begins = matches!(exchange.answer, Answer::Echo | Answer::Begin { .. });
    // The threads that resolve tokens are suspended as well, possibly for longer than the connection may be silent.
    let waits_for_others =
        matches!(exchange.answer, Answer::Upgrade { paced: Some(_), .. } | Answer::File { disk_ms: Some(_), .. });
    let lacks_its_end = exchange.short_file().is_some() && !has_no_body;
    let may_break = begins && is_beyond(plan, exchange) || waits_for_others && plan.pauses() || lacks_its_end;
    let keeps = if is_switched { Keeps::Either } else { keeps(plan, exchange, nth, is_the_handlers) };
    let keeps = if plan.is_pressed() && keeps == Keeps::Kept { Keeps::Either } else { keeps };
    Expected { status, body, keeps, is_the_handlers, may_break, lacks_its_end, end }
}

fn status_and_body(plan: &Plan, exchange: &Exchange) -> (u16, Body, bool) {
    let length = exchange.framing.length();
    match exchange.answer {
        Answer::Collect { .. } if length as u64 > collected_max(plan) => (413, Body::Any, false),
        Answer::Receive { .. } | Answer::DeferLate { .. } | Answer::Paced { .. } | Answer::Stall
            if is_beyond(plan, exchange) =>
        {
            (413, Body::Any, false)
        }
        Answer::Echo | Answer::Begin { .. }
            if is_beyond(plan, exchange) && matches!(exchange.framing, Framing::Length(_)) =>
        {
            (413, Body::Any, false)
        }
        Answer::Body { status, length, .. } => (status, Body::Own(length), true),
        Answer::Nothing => (200, Body::Own(0), false),
        Answer::Collect { length }
        | Answer::Receive { length, .. }
        | Answer::Produce { length, .. }
        | Answer::Begin { length, .. } => (200, Body::Own(length), true),
        Answer::File { length, there, .. } => (200, Body::Own(there.min(length)), true),
        Answer::Echo => (200, Body::Content(length), true),
        Answer::Defer { after_ms: None, by_itself: false, .. }
        | Answer::DeferLate { after_ms: None, by_itself: false, .. } => (503, Body::Any, false),
        Answer::Defer { length, .. }
        | Answer::DeferLate { length, .. }
        | Answer::Timed { length, .. }
        | Answer::Paced { length, .. } => (200, Body::Own(length), true),
        Answer::Fail(status) => (status, Body::Any, false),
        Answer::Stall => (500, Body::Any, false),
        // The connection breaks, so no response is expected.
        Answer::Panic => (500, Body::Any, false),
        // Never checked against this.
        Answer::Anything(_) => (200, Body::Any, false),
        Answer::Upgrade { length, .. } => (switched(exchange), Body::Raw(length), true),
        Answer::Detach { .. } => (switched(exchange), Body::Raw(0), true),
    }
}

fn switched(exchange: &Exchange) -> u16 {
    if exchange.method == Method::Connect { 200 } else { 101 }
}

/// The longest content that can be collected: no longer than the largest buffer.
fn collected_max(plan: &Plan) -> u64 {
    u64::from(plan.world.limits.content_collected_max).min(plan.world.counts.largest() as u64)
}

/// Whether content exceeds the limit for receiving in slices.
fn is_beyond(plan: &Plan, exchange: &Exchange) -> bool {
    exchange.framing.length() as u64 > plan.world.limits.content_bytes_max
}

fn keeps(plan: &Plan, exchange: &Exchange, nth: u32, is_the_handlers: bool) -> Keeps {
    let limits = &plan.world.limits;
    let is_asked = match exchange.option {
        Some(Wish::Close) => false,
        Some(Wish::KeepAlive) => true,
        None => !exchange.is_http10,
    };
    let is_last = limits.requests_per_connection_max.is_some_and(|max| nth >= max);
    // RFC 9112 §6.3: without chunked coding, a body of unknown length ends with the connection. (A response to HEAD may do
    // the same, although it has no body.)
    let is_unknown = matches!(
        exchange.answer,
        Answer::Produce { is_known: false, .. }
            | Answer::File { is_known: false, .. }
            | Answer::Begin { is_known: false, .. }
    );
    let ends_body = exchange.is_http10 && is_unknown;
    // RFC 9931 §5: bytes after a refused CONNECT must not be interpreted.
    if !is_asked || is_last || exchange.method == Method::Connect {
        return Keeps::Closed;
    }
    if ends_body {
        return if exchange.method == Method::Head { Keeps::Either } else { Keeps::Closed };
    }
    if !is_the_handlers && !matches!(exchange.answer, Answer::Nothing) {
        // The server's own answers may end the connection.
        return Keeps::Either;
    }
    let reads = matches!(
        exchange.answer,
        Answer::Collect { .. }
            | Answer::Receive { .. }
            | Answer::DeferLate { .. }
            | Answer::Paced { .. }
            | Answer::Begin { .. }
            | Answer::Echo
    );
    match exchange.framing {
        Framing::None | Framing::Length(0) => Keeps::Kept,
        _ if reads => Keeps::Kept,
        // Content after an expectation, which the handler did not ask for: either side may end the connection.
        _ if exchange.expects => Keeps::Either,
        Framing::Length(length) if length <= limits.discard_bytes_max as usize => Keeps::Kept,
        // Too long to be read and dropped, or of unknown length; kept only if all of it has arrived already.
        Framing::Length(_) | Framing::Chunked { .. } => Keeps::Either,
    }
}

/// Whether the server may send this error instead of the response to a request.
pub(crate) fn may_be_instead(plan: &Plan, nature: Nature, status: u16) -> bool {
    match status {
        // The thread that resolves a deferred answer is suspended with the server.
        503 => plan.is_crowded() || plan.is_pressed() || plan.pauses(),
        // A response that has to grow may find no larger buffer.
        500 => plan.is_short_of_buffers(),
        // Bytes that could not be sent during a suspension may come too late afterwards.
        408 => {
            let is_slow = matches!(nature, Nature::StallsSending(_) | Nature::Drips(..) | Nature::StallsReading(_));
            is_slow || plan.pauses()
        }
        _ => false,
    }
}
