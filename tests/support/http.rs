//! A client that sends exactly the bytes it is given.

// Every test crate uses its own part of this.
#![allow(dead_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// A step of a test that takes this long hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// Bytes that were received and not yet consumed.
    received: Vec<u8>,
}

/// A response, decoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Status line and fields, as received.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of the first field called `name`.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, received: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes it");
    }

    /// Sends, unless the server has ended the connection.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends from another thread, for more bytes than the socket buffers hold.
    pub(crate) fn send_aside(&self, bytes: Vec<u8>) -> thread::JoinHandle<()> {
        let mut stream = self.stream.try_clone().expect("another handle");
        thread::spawn(move || stream.write_all(&bytes).expect("the server takes it"))
    }

    /// Sends a request without content and reads its response.
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.request("GET", path)
    }

    /// As [`get`](Self::get), unless the server has ended the connection.
    pub(crate) fn try_get(&mut self, path: &str) -> Option<Response> {
        self.try_send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.try_response()
    }

    /// The response to a GET, unless the connection ends before its first byte.
    pub(crate) fn try_response(&mut self) -> Option<Response> {
        if self.received.is_empty() && self.receive() == 0 { None } else { Some(self.response("GET")) }
    }

    /// As [`get`](Self::get), with another method.
    pub(crate) fn request(&mut self, method: &str, path: &str) -> Response {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.response(method)
    }

    /// Reads the response to a request with `method`.
    pub(crate) fn response(&mut self, method: &str) -> Response {
        let head = self.head();
        let status = head.get(9..12).and_then(|digits| digits.parse().ok()).expect("a status line");
        let mut response = Response { status, head, body: Vec::new() };
        let bodiless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        response.body = if bodiless {
            Vec::new()
        } else if response.field("Transfer-Encoding") == Some("chunked") {
            self.chunked()
        } else if let Some(length) = response.field("Content-Length") {
            let length = length.parse().expect("a length");
            self.take(length)
        } else {
            self.rest()
        };
        response
    }

    /// Reads a head, its empty line included.
    pub(crate) fn head(&mut self) -> String {
        String::from_utf8(self.take_through(b"\r\n\r\n")).expect("a head of text")
    }

    fn chunked(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.take_through(b"\r\n")).expect("a chunk size");
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
            body.extend(self.take(size));
            assert_eq!(self.take(2), b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    /// Everything until the server ends the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.receive() > 0 {}
        std::mem::take(&mut self.received)
    }

    /// Whether the server ends the connection without another byte; a reset counts.
    pub(crate) fn is_ended(&mut self) -> bool {
        self.received.is_empty() && self.receive() == 0
    }

    /// The socket itself.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Shuts down our sending half.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a connection");
    }

    /// Reads exactly `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            assert!(self.receive() > 0, "the connection ended after {} of {count} bytes", self.received.len());
        }
        let rest = self.received.split_off(count);
        std::mem::replace(&mut self.received, rest)
    }

    fn take_through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.received.windows(end.len()).position(|window| window == end) {
                return self.take(at + end.len());
            }
            let received = self.received.escape_ascii().to_string();
            assert!(self.receive() > 0, "the connection ended after {received:?}");
        }
    }

    fn receive(&mut self) -> usize {
        let mut bytes = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(count) => {
                    self.received.extend(&bytes[..count]);
                    return count;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return 0,
                Err(error) => panic!("receiving failed: {error}"),
            }
        }
    }
}

/// Content of so many bytes, all different from their neighbours.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Polls a condition until it holds.
pub(crate) fn eventually(mut holds: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        thread::yield_now();
    }
}
