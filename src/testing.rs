//! A client for tests of handlers (feature `testing`): no socket, no thread, no waiting.
//!
//! ```
//! use aurora_http::testing::Client;
//! use aurora_http::{Request, ResponseWriter, handler_fn};
//!
//! let handler = handler_fn(|request: &Request<'_>, response: &mut ResponseWriter<'_>| match request.path() {
//!     b"/items/1" => response.body("one"),
//!     _ => response.status(404).and_then(|()| response.body("no such item")),
//! });
//! let mut client = Client::new(handler);
//! let response = client.get("/items/1");
//! assert_eq!((response.status(), response.text()), (200, "one"));
//! assert_eq!(client.get("/items/2").status(), 404);
//! ```
//!
//! Each request has a connection and an engine of its own, with the real parser, limits and framing; what the handler keeps
//! goes on from one to the next. Time stands still. For deferred answers, upgrades, several requests on a connection or the
//! clock, there is [`core::sim::with_server`](crate::core::sim::with_server).

use crate::core::handler::Handler;
use crate::core::limits::Limits;
use crate::core::parse::{Chunk, ChunkedDecoder};
use crate::core::sim::with_server;

/// Fields of a response that are looked at.
const FIELDS_MAX: usize = 128;

/// Sends requests to a handler.
#[derive(Debug)]
pub struct Client<H> {
    handler: H,
    limits: Limits,
}

/// What a handler has answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    content: Vec<u8>,
}

impl<H: Handler> Client<H> {
    /// A client of this handler, under [`Limits::default`].
    pub fn new(handler: H) -> Self {
        Self::with_limits(handler, Limits::default())
    }

    /// A client of this handler under other limits.
    pub const fn with_limits(handler: H, limits: Limits) -> Self {
        Self { handler, limits }
    }

    /// GET.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub fn get(&mut self, target: &str) -> Response {
        self.send("GET", target, &[], &[])
    }

    /// HEAD.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub fn head(&mut self, target: &str) -> Response {
        self.send("HEAD", target, &[], &[])
    }

    /// POST with content, whose length is announced.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub fn post(&mut self, target: &str, content: impl AsRef<[u8]>) -> Response {
        self.send("POST", target, &[], content.as_ref())
    }

    /// Any request; `Host`, `Connection: close` and, for content or methods that usually have some, `Content-Length` are
    /// added.
    ///
    /// # Panics
    /// When no whole response comes: the handler has deferred its answer, switched to another protocol, or broken the
    /// response off. The message has what came.
    pub fn send(&mut self, method: &str, target: &str, fields: &[(&str, &str)], content: &[u8]) -> Response {
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").into_bytes();
        for (name, value) in fields {
            request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !content.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            request.extend_from_slice(format!("Content-Length: {}\r\n", content.len()).as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(content);
        let received = self.exchange(&request);
        parse(method, &received, &self.limits).unwrap_or_else(|| {
            let came = String::from_utf8_lossy(&received);
            panic!("no whole response to {method} {target}, but {came:?}: for answers that come later, see sim::with_server")
        })
    }

    /// Bytes that are no request of this client's making, and all that comes back.
    pub fn exchange(&mut self, bytes: &[u8]) -> Vec<u8> {
        with_server(&mut self.handler, self.limits, |server| {
            let client = server.connect();
            let mut sent = 0;
            let mut received = Vec::new();
            loop {
                let count = server.sim().client_send(client, &bytes[sent..]);
                sent += count;
                let part = server.receive(client);
                if count == 0 && part.is_empty() {
                    return received;
                }
                received.extend_from_slice(&part);
            }
        })
    }

    /// The handler, to look at what it keeps.
    pub const fn handler(&mut self) -> &mut H {
        &mut self.handler
    }
}

impl Response {
    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The first field of this name, whatever its case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        str::from_utf8(value).ok()
    }

    /// All fields, in order.
    #[must_use]
    pub fn fields(&self) -> &[(String, Vec<u8>)] {
        &self.fields
    }

    /// The content, without its framing.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The content as text.
    ///
    /// # Panics
    /// When it is no UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.content).expect("the content is UTF-8")
    }
}

/// The final response, if all of it is there.
fn parse(method: &str, mut bytes: &[u8], limits: &Limits) -> Option<Response> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut head = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
        let status = head.code?;
        let fields: Vec<_> = head.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect();
        bytes = &bytes[length..];
        if status == 100 {
            continue;
        }
        let mut response = Response { status, fields, content: Vec::new() };
        let has_none = method == "HEAD" || matches!(status, 101 | 204 | 304);
        response.content = match (response.field("Transfer-Encoding"), response.field("Content-Length")) {
            _ if has_none => Vec::new(),
            (Some(_), _) => unchunked(bytes, limits)?,
            (None, Some(digits)) => bytes.get(..digits.parse().ok()?)?.to_vec(),
            (None, None) => bytes.to_vec(),
        };
        return Some(response);
    }
}

fn unchunked(mut bytes: &[u8], limits: &Limits) -> Option<Vec<u8>> {
    let mut decoder = ChunkedDecoder::new();
    let mut content = Vec::new();
    loop {
        match decoder.poll(bytes, limits).ok()? {
            Chunk::Data { skip, len } => {
                content.extend_from_slice(&bytes[skip..skip + len]);
                decoder.consume_data(len);
                bytes = &bytes[skip + len..];
            }
            Chunk::NeedMore { consumed } if consumed > 0 => bytes = &bytes[consumed..],
            Chunk::NeedMore { .. } => return None,
            Chunk::End { .. } => return Some(content),
        }
    }
}
