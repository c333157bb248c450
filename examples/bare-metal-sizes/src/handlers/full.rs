//! A page, an echo of collected content, one of slices, and a stream: every flow but deferral and upgrade.

use aurora_http_core::handler::{Content, Flow, Handler, Needs};
use aurora_http_core::request::{Method, Request};
use aurora_http_core::writer::{ResponseWriter, WriteError};

/// What a small device serves.
pub struct Full;

/// The handler.
pub const fn new() -> Full {
    Full
}

/// What an exchange has before it.
#[derive(Clone, Copy)]
pub enum Exchange {
    /// Content, to be sent back whole.
    Echo,
    /// Content, to be sent back as it comes.
    Stream {
        /// The head of the response is written.
        begun: bool,
    },
    /// So many bytes.
    Bytes(u32),
}

static PAGE: [u8; 4096] = [b'x'; 4096];

impl Full {
    fn answer(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<Flow<Exchange>, WriteError> {
        match (request.method(), request.path()) {
            (Method::Post, b"/echo") => return Ok(Flow::Collect(Exchange::Echo)),
            (Method::Post, b"/stream") => return Ok(Flow::Receive(Exchange::Stream { begun: false })),
            (Method::Get, b"/bytes") => {
                response.stream(None)?;
                return Ok(Flow::Produce(Exchange::Bytes(20_000)));
            }
            (Method::Get | Method::Head, b"/page") => response.static_body(&PAGE)?,
            (Method::Get | Method::Head, b"/") => {
                response.field("Content-Type", "text/plain")?;
                response.body("hello from bare metal\n")?;
            }
            _ => response.fail(404)?,
        }
        Ok(Flow::Finish)
    }
}

impl Handler for Full {
    const NEEDS: Needs = super::NEEDS;
    type Exchange = Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        Self::answer(request, response).unwrap_or(Flow::Finish)
    }

    fn collected(
        &mut self,
        _: Exchange,
        _: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        let _ = response.body(content);
        Flow::Finish
    }

    fn receive(
        &mut self,
        state: Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        let Exchange::Stream { begun } = state else { return Flow::Finish };
        if !begun && response.stream(None).is_err() {
            return Flow::Finish;
        }
        match response.write(content.bytes()) {
            Ok(count) => content.consume(count),
            Err(_) => return Flow::Finish,
        }
        if content.ended() && content.bytes().is_empty() {
            Flow::Finish
        } else {
            Flow::Receive(Exchange::Stream { begun: true })
        }
    }

    fn produce(&mut self, state: Exchange, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        let Exchange::Bytes(mut left) = state else { return Flow::Finish };
        while left > 0 {
            match response.write(PAGE.get(..left.min(64) as usize).unwrap_or_default()) {
                Ok(0) => return Flow::Produce(Exchange::Bytes(left)),
                Ok(count) => left = left.saturating_sub(count as u32),
                Err(_) => break,
            }
        }
        Flow::Finish
    }
}
