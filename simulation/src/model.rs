//! What a client must see, from the RFCs and what the project promises (docs/wire.md); nothing of it is the engine's.

use aurora_http_core::pool::Class;

use crate::exchange::{Answer, Exchange, Framing, Id, Method, Wish};
use crate::plan::{Nature, Plan};
use crate::reader::BodyEnd;

/// The response to an exchange.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) body: Body,
    pub(crate) keeps: Keeps,
    /// The handler itself answers, and says so in a field.
    pub(crate) is_the_handlers: bool,
    /// The response may break off, because the request went beyond a limit when it had begun.
    pub(crate) may_break: bool,
    pub(crate) end: BodyEnd,
}

/// What is in a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// So many bytes of the exchange's own.
    Own(usize),
    /// The content of the request.
    Content(usize),
    /// The raw bytes behind an upgrade.
    Raw(usize),
    /// What the server says by itself.
    Any,
}

/// What becomes of the connection behind a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Keeps {
    Kept,
    Closed,
    /// Both is right.
    Either,
}

impl Body {
    /// Bytes of it from one place on, as far as there are so many.
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

/// The response to a request that is the `nth` one of its connection, beginning with 1.
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
    let may_break = begins && is_beyond(plan, exchange);
    let keeps = if is_switched { Keeps::Either } else { keeps(plan, exchange, nth, is_the_handlers) };
    let keeps = if plan.is_pressed() && keeps == Keeps::Kept { Keeps::Either } else { keeps };
    Expected { status, body, keeps, is_the_handlers, may_break, end }
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
        Answer::Echo => (200, Body::Content(length), true),
        Answer::Defer { after_ms: None, by_itself: false, .. }
        | Answer::DeferLate { after_ms: None, by_itself: false, .. } => (503, Body::Any, false),
        Answer::Defer { length, .. }
        | Answer::DeferLate { length, .. }
        | Answer::Timed { length, .. }
        | Answer::Paced { length, .. } => (200, Body::Own(length), true),
        Answer::Fail(status) => (status, Body::Any, false),
        Answer::Stall => (500, Body::Any, false),
        // The connection breaks.
        Answer::Panic => (500, Body::Any, false),
        // Not asked for.
        Answer::Anything(_) => (200, Body::Any, false),
        Answer::Upgrade { length, .. } => (switched(exchange), Body::Raw(length), true),
        Answer::Detach { .. } => (switched(exchange), Body::Raw(0), true),
    }
}

fn switched(exchange: &Exchange) -> u16 {
    if exchange.method == Method::Connect { 200 } else { 101 }
}

/// The longest content that can be collected: what the largest buffer holds, at most.
fn collected_max(plan: &Plan) -> u64 {
    let largest = Class::ALL.into_iter().rev().find(|class| plan.world.counts.of(*class) > 0);
    u64::from(plan.world.limits.content_collected_max).min(largest.map_or(0, |class| class.size() as u64))
}

/// Whether content is longer than the handler may be given in pieces.
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
    // RFC 9112 §6.3: a body of unknown length ends with the connection where there are no chunks. (Also where there is no
    // body: to HEAD.)
    let is_unknown =
        matches!(exchange.answer, Answer::Produce { is_known: false, .. } | Answer::Begin { is_known: false, .. });
    let ends_body = exchange.is_http10 && is_unknown;
    // RFC 9931 §5: what follows a CONNECT that was refused must not be looked at.
    if !is_asked || is_last || exchange.method == Method::Connect {
        return Keeps::Closed;
    }
    if ends_body {
        return if exchange.method == Method::Head { Keeps::Either } else { Keeps::Closed };
    }
    if !is_the_handlers && !matches!(exchange.answer, Answer::Nothing) {
        // What the server says by itself may end the connection.
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
        // Content that nobody asked for, behind an expectation: either side may end it.
        _ if exchange.expects => Keeps::Either,
        Framing::Length(length) if length <= limits.discard_bytes_max as usize => Keeps::Kept,
        // Too long to be read in vain, or of unknown length, unless all of it is there already.
        Framing::Length(_) | Framing::Chunked { .. } => Keeps::Either,
    }
}

/// Whether an error of the server's own may stand in place of the response to a request.
pub(crate) fn may_be_instead(plan: &Plan, nature: Nature, status: u16) -> bool {
    match status {
        // The thread that has a deferred answer stands still with the server.
        503 => plan.is_crowded() || plan.is_pressed() || plan.pauses(),
        // A response that has to grow finds no larger buffer.
        500 => plan.is_short_of_buffers(),
        // What could not be sent while the server stood still may come too late when it goes on.
        408 => {
            let is_slow = matches!(nature, Nature::StallsSending(_) | Nature::Drips(..) | Nature::StallsReading(_));
            is_slow || plan.pauses()
        }
        _ => false,
    }
}
