//! One row of the table: what the client sends, what the handler sees, what the client receives.

use aurora_http_core::error::CloseReason;
use aurora_http_core::limits::Limits;

use super::probe::Seen;
use super::reply::Reply;

/// A conversation on one connection.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// A row of docs/wire.md (or `H` and a number, for what handlers are given), and what is special about this case.
    pub(crate) id: String,
    pub(crate) steps: Vec<Step>,
    /// The handler's calls, in order.
    pub(crate) seen: Vec<Seen>,
    pub(crate) end: End,
    pub(crate) limits: Limits,
    /// Whether a 100 (Continue) is sent depends on whether content arrives with its head.
    pub(crate) may_continue: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The client sends this.
    Send(Vec<u8>),
    /// The client gets this.
    Get(Reply),
    /// The client sends its FIN.
    Fin,
}

/// What happens to the connection after the last step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// It serves another request.
    Open,
    /// The server ends it for this reason, and sends nothing more whatever follows.
    Closes(CloseReason),
    /// As `Closes`, but the last response did not announce it.
    Ends(CloseReason),
    /// The server cuts off a response for this reason.
    Breaks(CloseReason),
    /// The server waits for more input, and ends the connection for this reason at the FIN.
    Waits(CloseReason),
}

impl Case {
    pub(crate) fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            steps: Vec::new(),
            seen: Vec::new(),
            end: End::Open,
            limits: Limits::default(),
            may_continue: false,
        }
    }

    /// The client sends this.
    pub(crate) fn sends(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Step::Send(bytes.as_ref().to_vec()));
        self
    }

    /// The client gets this.
    pub(crate) fn gets(mut self, reply: Reply) -> Self {
        self.steps.push(Step::Get(reply));
        self
    }

    pub(crate) fn fin(mut self) -> Self {
        self.steps.push(Step::Fin);
        self
    }

    /// The handler sees this request and does not get its content, or not all of it.
    pub(crate) fn calls(mut self, method: &str, target: impl AsRef<[u8]>) -> Self {
        self.seen.push(Seen::new(method, target.as_ref(), None));
        self
    }

    /// The handler sees this request and all of its content.
    pub(crate) fn calls_with(mut self, method: &str, target: &str, content: impl AsRef<[u8]>) -> Self {
        self.seen.push(Seen::new(method, target.as_bytes(), Some(content.as_ref())));
        self
    }

    /// The client sends a request for `/`, and is served.
    pub(crate) fn get_root(self, request: impl AsRef<[u8]>) -> Self {
        self.sends(request).calls("GET", "/").gets(Reply::ok())
    }

    pub(crate) fn closes(mut self, reason: CloseReason) -> Self {
        self.end = End::Closes(reason);
        self
    }

    pub(crate) fn ends(mut self, reason: CloseReason) -> Self {
        self.end = End::Ends(reason);
        self
    }

    pub(crate) fn breaks(mut self, reason: CloseReason) -> Self {
        self.end = End::Breaks(reason);
        self
    }

    pub(crate) fn waits(mut self, reason: CloseReason) -> Self {
        self.end = End::Waits(reason);
        self
    }

    pub(crate) fn may_continue(mut self) -> Self {
        self.may_continue = true;
        self
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Everything that the client sends.
    pub(crate) fn input(&self) -> Vec<u8> {
        let sent = self.steps.iter().filter_map(|step| match step {
            Step::Send(bytes) => Some(bytes.as_slice()),
            _ => None,
        });
        sent.collect::<Vec<_>>().concat()
    }
}

/// One answer, then close; the handler is not called. The answer to HEAD has no content.
pub(crate) fn refused(id: impl Into<String>, input: impl AsRef<[u8]>, status: u16, reason: CloseReason) -> Case {
    let reply = Reply::new(status);
    let is_head = input.as_ref().starts_with(b"HEAD ");
    Case::new(id).sends(input).gets(if is_head { reply.head_only() } else { reply }).closes(reason)
}

/// 400, then close; the handler is not called.
pub(crate) fn bad(id: impl Into<String>, input: impl AsRef<[u8]>) -> Case {
    refused(id, input, 400, CloseReason::BadRequest)
}

/// A head: request line without its version, which is 1.1, `Host: x`, and other field lines.
pub(crate) fn head(line: &str, fields: &[&str]) -> Vec<u8> {
    head_of(&[&[&*format!("{line} HTTP/1.1"), "Host: x"], fields].concat())
}

/// A request of HTTP/1.0 without a Host.
pub(crate) fn head10(line: &str, fields: &[&str]) -> Vec<u8> {
    head_of(&[&[&*format!("{line} HTTP/1.0")], fields].concat())
}

fn head_of(lines: &[&str]) -> Vec<u8> {
    (lines.join("\r\n") + "\r\n\r\n").into_bytes()
}

/// A chunked POST: `body` is everything after its head, exactly as sent.
pub(crate) fn chunked(target: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    [&head(&format!("POST {target}"), &["Transfer-Encoding: chunked"]), body.as_ref()].concat()
}

/// `content` in chunks of `size` bytes, the last chunk included.
pub(crate) fn chunks(content: &[u8], size: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in content.chunks(size) {
        body.extend(format!("{:x}\r\n", chunk.len()).bytes());
        body.extend(chunk);
        body.extend(b"\r\n");
    }
    body.extend(b"0\r\n\r\n");
    body
}

/// `length` bytes of content.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + (at % 26) as u8).collect()
}

pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
