//! Exchanges made of closures: a response in pieces, content in pieces, an answer that comes later, another protocol.

use core::convert::Infallible;

use super::exchange::Exchange;
use super::respond::fail;
use super::{Content, ErrorResponse, Flow, Respond};
use crate::writer::ResponseWriter;

/// Whether an exchange continues.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// There is more to come.
    More,
    /// That was all.
    Done,
}

/// Writes a response piece by piece: `step` is called now, and again whenever the send buffer is empty, until it
/// returns [`Progress::Done`]. Call [`ResponseWriter::stream`] first. A step that returns [`Progress::More`] must have
/// written something.
///
/// ```
/// use aurora_http_core::handler::{Progress, handler_fn, producing};
/// use aurora_http_core::writer::WriteError;
///
/// let handler = handler_fn(|_request, response| {
///     response.stream(None)?;
///     let mut left = 1_000_000;
///     Ok::<_, WriteError>(producing(move |response| {
///         left -= response.write(&[b'x'; 1_000][..left.min(1_000)])?;
///         Ok::<_, WriteError>(if left == 0 { Progress::Done } else { Progress::More })
///     }))
/// });
/// ```
pub const fn producing<F, E>(step: F) -> Producing<F>
where
    F: FnMut(&mut ResponseWriter<'_>) -> Result<Progress, E>,
    E: ErrorResponse,
{
    Producing(step)
}

/// The value that [`producing`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Producing<F>(F);

impl<F, E> Respond for Producing<F>
where
    F: FnMut(&mut ResponseWriter<'_>) -> Result<Progress, E>,
    E: ErrorResponse,
{
    type Exchange = Self;

    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.produce(response)
    }
}

impl<F, E> Exchange for Producing<F>
where
    F: FnMut(&mut ResponseWriter<'_>) -> Result<Progress, E>,
    E: ErrorResponse,
{
    fn produce(mut self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match (self.0)(response) {
            Ok(Progress::More) => Flow::Produce(self),
            Ok(Progress::Done) => Flow::Finish,
            Err(error) => fail(&error, response),
        }
    }
}

/// Answers with an owned body of any length: a `Vec<u8>`, a `String`, an `Arc<[u8]>`. Set status and fields first. The
/// part that does not fit into the send buffer is kept with the exchange and sent when there is room, so
/// [`Limits::response_bytes_max`](crate::limits::Limits::response_bytes_max) does not apply.
///
/// ```
/// use aurora_http_core::handler::{handler_fn, whole};
/// use aurora_http_core::writer::WriteError;
///
/// let handler = handler_fn(|_request, response| {
///     response.field("Content-Type", "text/plain")?;
///     Ok::<_, WriteError>(whole("x".repeat(1_000_000)))
/// });
/// ```
pub const fn whole<B: AsRef<[u8]>>(body: B) -> Whole<B> {
    Whole { body, sent: 0 }
}

/// The value that [`whole`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Whole<B> {
    body: B,
    /// Bytes of the body that have been written.
    sent: usize,
}

impl<B: AsRef<[u8]>> Respond for Whole<B> {
    type Exchange = Self;

    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match response.stream(Some(self.body.as_ref().len() as u64)) {
            Ok(()) => self.produce(response),
            Err(_) => Flow::Finish,
        }
    }
}

impl<B: AsRef<[u8]>> Exchange for Whole<B> {
    fn produce(mut self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        let rest = &self.body.as_ref()[self.sent..];
        match response.write(rest) {
            Ok(count) if count < rest.len() => {
                self.sent += count;
                Flow::Produce(self)
            }
            // Done, or the writer has recorded an error.
            _ => Flow::Finish,
        }
    }
}

/// Receives the content piece by piece: `step` is called for each piece as it arrives, until the [end](Content::ended)
/// has been consumed. The response is written in the last call or an earlier one.
///
/// ```
/// use aurora_http_core::handler::{handler_fn, receiving};
/// use aurora_http_core::writer::WriteError;
///
/// let handler = handler_fn(|_request, _response| {
///     let mut bytes = 0;
///     receiving(move |content, response| {
///         bytes += content.bytes().len();
///         if content.ended() {
///             response.body(if bytes > 0 { "thank you\n" } else { "nothing?\n" })?;
///         }
///         Ok::<_, WriteError>(())
///     })
/// });
/// ```
pub const fn receiving<F, E>(step: F) -> Receiving<F>
where
    F: FnMut(&mut Content<'_>, &mut ResponseWriter<'_>) -> Result<(), E>,
    E: ErrorResponse,
{
    Receiving(step)
}

/// The value that [`receiving`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Receiving<F>(F);

impl<F, E> Respond for Receiving<F>
where
    F: FnMut(&mut Content<'_>, &mut ResponseWriter<'_>) -> Result<(), E>,
    E: ErrorResponse,
{
    type Exchange = Self;

    fn respond(self, _response: &mut ResponseWriter<'_>) -> Flow<Self> {
        Flow::Receive(self)
    }
}

impl<F, E> Exchange for Receiving<F>
where
    F: FnMut(&mut Content<'_>, &mut ResponseWriter<'_>) -> Result<(), E>,
    E: ErrorResponse,
{
    fn receive(mut self, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match (self.0)(content, response) {
            Ok(()) if content.ended() && content.is_taken() => Flow::Finish,
            Ok(()) => Flow::Receive(self),
            Err(error) => fail(&error, response),
        }
    }
}

/// Answers later: `answer` is called when the token from [`ResponseWriter::defer`] has been resolved, or the time of
/// [`ResponseWriter::wake_after`] has come.
///
/// ```
/// use aurora_http_core::handler::{deferred, handler_fn};
/// use aurora_http_core::writer::WriteError;
///
/// let handler = handler_fn(|_request, response| {
///     let token = response.defer()?; // pass it to the thread that does the work
///     # let _ = token;
///     Ok::<_, WriteError>(deferred(|response| response.body("done\n")))
/// });
/// ```
pub const fn deferred<F, R>(answer: F) -> Deferred<F>
where
    F: FnOnce(&mut ResponseWriter<'_>) -> R,
    R: Respond<Exchange = Infallible>,
{
    Deferred(answer)
}

/// The value that [`deferred`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Deferred<F>(F);

impl<F, R> Respond for Deferred<F>
where
    F: FnOnce(&mut ResponseWriter<'_>) -> R,
    R: Respond<Exchange = Infallible>,
{
    type Exchange = Self;

    fn respond(self, _response: &mut ResponseWriter<'_>) -> Flow<Self> {
        Flow::Defer(self)
    }
}

impl<F, R> Exchange for Deferred<F>
where
    F: FnOnce(&mut ResponseWriter<'_>) -> R,
    R: Respond<Exchange = Infallible>,
{
    fn resume(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        // Nothing can follow this answer: its exchange is `Infallible`.
        let _: Flow<Infallible> = (self.0)(response).respond(response);
        Flow::Finish
    }
}

/// Speaks another protocol, after [`ResponseWriter::switch_protocols`] or [`ResponseWriter::open_tunnel`]: `step` is
/// called with the bytes that arrive, and writes without framing, until it returns [`Progress::Done`] or the client's
/// FIN has been consumed.
///
/// ```
/// use aurora_http_core::handler::{Progress, handler_fn, upgraded};
/// use aurora_http_core::writer::WriteError;
///
/// let echo = handler_fn(|_request, response| {
///     response.switch_protocols("echo", &[])?;
///     Ok::<_, WriteError>(upgraded(|content, response| {
///         let count = response.write(content.bytes())?;
///         content.consume(count);
///         Ok::<_, WriteError>(Progress::More)
///     }))
/// });
/// ```
pub const fn upgraded<F, E>(step: F) -> Upgraded<F>
where
    F: FnMut(&mut Content<'_>, &mut ResponseWriter<'_>) -> Result<Progress, E>,
    E: ErrorResponse,
{
    Upgraded(step)
}

/// The value that [`upgraded`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Upgraded<F>(F);

impl<F, E> Respond for Upgraded<F>
where
    F: FnMut(&mut Content<'_>, &mut ResponseWriter<'_>) -> Result<Progress, E>,
    E: ErrorResponse,
{
    type Exchange = Self;

    fn respond(self, _response: &mut ResponseWriter<'_>) -> Flow<Self> {
        Flow::Upgrade(self)
    }
}

impl<F, E> Exchange for Upgraded<F>
where
    F: FnMut(&mut Content<'_>, &mut ResponseWriter<'_>) -> Result<Progress, E>,
    E: ErrorResponse,
{
    fn receive(mut self, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        match (self.0)(content, response) {
            Ok(Progress::More) if !(content.ended() && content.is_taken()) => Flow::Receive(self),
            Ok(_) => Flow::Finish,
            Err(error) => fail(&error, response),
        }
    }
}
