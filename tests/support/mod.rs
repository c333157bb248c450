//! A client that says exactly what it is told to, and examples as child processes.
#![allow(dead_code, unreachable_pub)] // every test binary uses a part of it

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No step of a test takes this long, unless it hangs.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Client {
    stream: TcpStream,
    /// Received and not yet taken.
    received: Vec<u8>,
}

/// A response, decoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    pub status: u16,
    /// Status line and fields, as they came.
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the first field called `name`.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, received: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes it");
    }

    /// Sends from another thread, for more than the sockets between hold.
    pub fn send_aside(&self, bytes: Vec<u8>) -> thread::JoinHandle<()> {
        let mut stream = self.stream.try_clone().expect("another handle");
        thread::spawn(move || stream.write_all(&bytes).expect("the server takes it"))
    }

    /// Sends a request without content and reads its response.
    pub fn get(&mut self, path: &str) -> Response {
        self.request("GET", path)
    }

    /// As [`get`](Self::get), with another method.
    pub fn request(&mut self, method: &str, path: &str) -> Response {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.response(method)
    }

    /// Reads the response to a request with `method`.
    pub fn response(&mut self, method: &str) -> Response {
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
    pub fn head(&mut self) -> String {
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
    pub fn rest(&mut self) -> Vec<u8> {
        while self.receive() > 0 {}
        std::mem::take(&mut self.received)
    }

    /// Whether the server ends the connection without another byte; a reset counts.
    pub fn is_ended(&mut self) -> bool {
        self.received.is_empty() && self.receive() == 0
    }

    /// Ends our direction.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a connection");
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
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
            assert!(self.receive() > 0, "the connection ended behind {received:?}");
        }
    }

    fn receive(&mut self) -> usize {
        let mut bytes = [0; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.received.extend(&bytes[..count]);
                count
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => 0,
            Err(error) => panic!("receiving failed: {error}"),
        }
    }
}

/// Asks until it is so.
pub fn eventually(mut holds: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::yield_now();
    }
}

/// An example as a child process; killed when it is dropped.
pub struct Example {
    child: Child,
    /// The start-up line.
    pub line: String,
    pub address: SocketAddr,
}

impl Example {
    /// Starts it on a port of the system's choice, and reads its start-up line.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = example(name)
            .args(["--addr", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start ({error}): cargo build --examples"));
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a start-up line");
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next());
        let address = address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address: {line}"));
        Self { child, line, address }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process");
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        let (ended, end) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            if end.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let status = self.child.wait().expect("a process");
        drop(ended);
        watchdog.join().expect("a watchdog");
        status
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How to run an example that was built along with the tests.
pub fn example(name: &str) -> Command {
    Command::new(example_path(name))
}

pub fn example_path(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("a path");
    path.pop(); // the test's name
    path.pop(); // deps
    path.join("examples").join(name)
}
