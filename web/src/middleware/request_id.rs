//! A name for each request.

use core::fmt;
use core::ops::ControlFlow;
use core::str;

use aurora_http_core::format::format_hex_padded;
use aurora_http_core::handler::Around;
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

/// Longest id that is taken over from a request, in bytes.
const ID_BYTES_MAX: usize = 64;
/// Digits of each half of an id that is made here.
const DIGITS: usize = 8;

/// Gives each request an id, in the field `X-Request-Id` of its response: the one that the request came with, from a proxy,
/// when there is one of at most 64 letters, digits and `-_.`, or else one of its own.
///
/// [`AccessLog::with_ids`](super::AccessLog::with_ids) shows them in the log as well.
#[derive(Clone, Copy, Debug)]
pub struct RequestId {
    worker: u32,
    last: u32,
    takes_over: bool,
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
    /// Ids that begin with `worker` and go on with a count: give each worker, and each start of the program, a number of its
    /// own.
    #[must_use]
    pub const fn new(worker: u32) -> Self {
        Self { worker, last: 0, takes_over: true }
    }

    /// Takes no id over from a request: for servers that their clients reach directly.
    #[must_use]
    pub const fn always_own(self) -> Self {
        Self { takes_over: false, ..self }
    }

    /// The id for a request.
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

/// What may stand in a log and in a field as it is.
fn is_usable(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.iter().all(is_plain)
}

impl Around for RequestId {
    type Note = Id;

    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<(), Id> {
        let mut id = self.id(Some(request));
        self.between(&mut id, response);
        ControlFlow::Continue(id)
    }

    fn between(&mut self, id: &mut Id, response: &mut ResponseWriter<'_>) {
        // A response whose head has left has it already.
        let _ = response.add_field("X-Request-Id", id.as_str());
    }
}
