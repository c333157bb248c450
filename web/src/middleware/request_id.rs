//! Request ids.

use core::fmt;
use core::ops::ControlFlow;
use core::str;

use aurora_http_core::error::CloseReason;
use aurora_http_core::format::format_hex_padded;
use aurora_http_core::handler::{Around, ConnectionId, Refusal};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

/// Longest id that is accepted from a request, in bytes.
const ID_BYTES_MAX: usize = 64;
/// Digits of each half of a generated id.
const DIGITS: usize = 8;

/// Gives each request an id, which is sent in the field `X-Request-Id` of the response. A request that already has one, such as
/// from a proxy, keeps it if it consists of at most 64 letters, digits and `-_.`.
///
/// [`AccessLog::with_ids`](super::AccessLog::with_ids) also writes the ids to the log.
#[derive(Clone, Copy, Debug)]
pub struct RequestId {
    worker: u32,
    last: u32,
    takes_over: bool,
    /// The request that ended last without its response, which the server may answer next.
    ended: Option<(Id, ConnectionId)>,
}

/// A request's id.
#[derive(Clone, Copy, Debug)]
pub struct Id {
    bytes: [u8; ID_BYTES_MAX],
    len: u8,
}

impl Id {
    /// As text: ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Never empty: what it is made of was checked.
        str::from_utf8(&self.bytes[..self.len as usize]).unwrap_or_default()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl RequestId {
    /// Ids that consist of `worker` and a counter, in hexadecimal. Use a different number for each worker and each start of the
    /// program.
    #[must_use]
    pub const fn new(worker: u32) -> Self {
        Self { worker, last: 0, takes_over: true, ended: None }
    }

    /// Ignores ids of requests: for servers without a proxy in front.
    #[must_use]
    pub const fn always_own(self) -> Self {
        Self { takes_over: false, ..self }
    }

    /// The id of a request: its own, or a new one.
    pub(super) fn id(&mut self, request: Option<&Request<'_>>) -> Id {
        let theirs = request.filter(|_| self.takes_over).and_then(|request| request.fields().get("X-Request-Id"));
        let mut bytes = [0; ID_BYTES_MAX];
        if let Some(theirs) = theirs.filter(|theirs| is_usable(theirs)) {
            bytes[..theirs.len()].copy_from_slice(theirs);
            return Id { bytes, len: theirs.len() as u8 };
        }
        self.last = self.last.wrapping_add(1);
        let (worker, count) = bytes.split_at_mut(DIGITS);
        // There is room for both.
        let _ = format_hex_padded(self.worker.into(), DIGITS, worker);
        let _ = format_hex_padded(self.last.into(), DIGITS, count);
        Id { bytes, len: 2 * DIGITS as u8 }
    }
}

/// Whether the id can be written to logs and fields unchanged.
fn is_usable(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.iter().all(is_plain)
}

impl Around for RequestId {
    type Note = (Id, ConnectionId);

    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<(), Self::Note> {
        let mut note = (self.id(Some(request)), response.connection().id());
        self.between(&mut note, response);
        ControlFlow::Continue(note)
    }

    fn between(&mut self, (id, _): &mut Self::Note, response: &mut ResponseWriter<'_>) {
        // Fails if the head has been sent, which then has the field.
        let _ = response.add_field("X-Request-Id", id.as_str());
    }

    fn abandoned(&mut self, note: Self::Note, _: CloseReason) {
        self.ended = Some(note);
    }

    /// Also what was never a request gets an id.
    fn refused(&mut self, _: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        if response.has_added("X-Request-Id") {
            return;
        }
        let connection = response.connection().id();
        let ended = self.ended.take_if(|(_, of)| *of == connection);
        let mut note = ended.unwrap_or_else(|| (self.id(None), connection));
        self.between(&mut note, response);
    }
}
