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
//! Each request runs on a new connection and a new engine, with the real parser, limits and framing; only the handler,
//! with its state, lives on from one request to the next. The clock stands still. To test deferred answers, upgrades,
//! several requests on one connection or timeouts, use [`core::sim::with_server`](crate::core::sim::with_server).

use crate::core::handler::Handler;
use crate::core::limits::Limits;
use crate::core::parse::{Chunk, ChunkedDecoder};
use crate::core::sim::with_server;

/// The most fields that a response may have.
const FIELDS_MAX: usize = 128;

/// Sends requests to a handler, in memory. The handler's state persists between requests.
///
/// ```
/// use aurora_http::testing::Client;
/// use aurora_http::{Request, ResponseWriter, collect_fn};
///
/// let shout = |_: &Request<'_>, content: &[u8], response: &mut ResponseWriter<'_>| {
///     response.body(content.to_ascii_uppercase())
/// };
/// let mut client = Client::new(collect_fn(shout));
/// assert_eq!(client.post("/", "hello").content(), b"HELLO");
/// assert_eq!(client.send("PUT", "/", &[("Content-Type", "text/plain")], b"hi").text(), "HI");
/// ```
#[derive(Debug)]
pub struct Client<H> {
    handler: H,
    limits: Limits,
}

/// A response that a [`Client`] received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    content: Vec<u8>,
}

impl<H: Handler> Client<H> {
    /// A client for this handler, with [`Limits::default`].
    pub fn new(handler: H) -> Self {
        Self::with_limits(handler, Limits::default())
    }

    /// A client for this handler, with other limits.
    pub const fn with_limits(handler: H, limits: Limits) -> Self {
        Self { handler, limits }
    }

    /// Sends a GET request.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub fn get(&mut self, target: &str) -> Response {
        self.send("GET", target, &[], &[])
    }

    /// Sends a HEAD request.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub fn head(&mut self, target: &str) -> Response {
        self.send("HEAD", target, &[], &[])
    }

    /// Sends a POST request with this content and its `Content-Length`.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub fn post(&mut self, target: &str, content: impl AsRef<[u8]>) -> Response {
        self.send("POST", target, &[], content.as_ref())
    }

    /// Sends any request. `Host` and `Connection: close` are added, and `Content-Length` if there is content or the
    /// method usually has some (POST, PUT, PATCH).
    ///
    /// # Panics
    /// When the response is not complete: the handler has deferred its answer, switched to another protocol, or aborted
    /// the response. The message shows the bytes that were received.
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
            let partial = String::from_utf8_lossy(&received);
            panic!("incomplete response to {method} {target}: {partial:?}; to test later answers, use sim::with_server")
        })
    }

    /// Sends arbitrary bytes on a new connection, and returns everything that the server sends back.
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

    /// The handler, to inspect or change its state.
    pub const fn handler(&mut self) -> &mut H {
        &mut self.handler
    }
}

impl Response {
    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The value of the first field of this name, ignoring case; `None` if there is none, or if the value is not UTF-8.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        str::from_utf8(value).ok()
    }

    /// All fields, in the order in which they were sent.
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
    /// When it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.content).expect("the content is UTF-8")
    }
}

/// The final response, if it is complete.
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
