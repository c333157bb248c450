//! Runs a case over a socket, against a server of its own.

#[path = "../support/backends.rs"]
mod backends;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use aurora_http::{Backend, CloseReason, Limits, Report, Running, Server};

use super::bare::{SENTINEL, check_broken, check_closing, check_seen};
use super::case::{Case, End, Step, head};
use super::probe::{Log, Probe, Seen};
use super::reply::{self, Reply, Response, is_imf_fixdate};

/// The backends that are compiled in and that this system allows.
pub(crate) fn backends() -> Vec<Backend> {
    backends::backends()
}

/// Far more than a server needs for anything, so that a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server with one worker and the probe as its handler.
pub(crate) struct Hosted {
    running: Running,
    log: Log,
}

impl Hosted {
    /// A server for so many connections at a time.
    pub(crate) const CONNECTIONS: usize = 32;

    pub(crate) fn new(backend: Backend, limits: Limits) -> Self {
        let probe = Probe::default();
        let log = probe.log.clone();
        let server = Server::bind("127.0.0.1:0")
            .expect("an address")
            .workers(1)
            .backend(backend)
            .connections(Self::CONNECTIONS)
            .limits(limits);
        Self { running: server.start(move |_| probe.clone()).expect("a server"), log }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.local_addr()
    }

    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Stops gracefully and waits for the end.
    pub(crate) fn stop(self) -> Report {
        self.running.stop();
        self.running.join().unwrap()
    }

    pub(crate) fn play(&self, case: &Case, cut: &mut dyn FnMut(&[u8]) -> Vec<usize>) -> Result<(), String> {
        self.log.take();
        let played = self.play_steps(case, cut);
        played.map_err(|wrong| format!("{}: {wrong}", case.id))
    }

    fn play_steps(&self, case: &Case, cut: &mut dyn FnMut(&[u8]) -> Vec<usize>) -> Result<(), String> {
        let mut client = self.connect();
        let mut replies = 0;
        for step in &case.steps {
            match step {
                Step::Send(bytes) => match client.send_cut(bytes, cut) {
                    // A client that announces its last request may see the connection closed before it sends more.
                    Err(_) if client.cut_off && matches!(case.end, End::Closes(CloseReason::PeerAsked)) => {}
                    sent => sent?,
                },
                Step::Fin => client.finish(),
                Step::Get(expected) => {
                    replies += 1;
                    let response = client.reply(expected, case.may_continue)?;
                    expected.check(&response).map_err(|wrong| format!("reply {replies}: {wrong}"))?;
                    check_closing(case, replies, &response)?;
                    check_date(&response)?;
                }
            }
        }
        match case.end {
            End::Open => {
                check_seen(&self.log.take(), &case.seen)?;
                client.send(&head(SENTINEL, &[]))?;
                let response = client.reply(&Reply::ok(), false).map_err(|wrong| format!("sentinel: {wrong}"))?;
                Reply::ok().check(&response).map_err(|wrong| format!("sentinel: {wrong}"))?;
                check_seen(&self.log.take(), &[Seen::new("GET", b"/sentinel", None)])?;
                client.finish();
                client.expect_end()?;
            }
            End::Closes(_) | End::Ends(_) => {
                client.expect_end()?;
                check_seen(&self.log.take(), &case.seen)?;
            }
            End::Breaks(_) => {
                let output = client.rest()?;
                check_broken(&output)?;
                check_seen(&self.log.take(), &case.seen)?;
            }
            End::Waits(_) => {
                client.finish();
                client.expect_end()?;
                check_seen(&self.log.take(), &case.seen)?;
            }
        }
        check_seen(&self.log.take(), &[])
    }
}

/// Every final response has a date; no interim response has one.
fn check_date(response: &Response) -> Result<(), String> {
    let dates = response.values("Date");
    let right = match dates[..] {
        [date] => response.status >= 200 && is_imf_fixdate(date),
        _ => dates.is_empty() && response.status < 200,
    };
    if right { Ok(()) } else { Err(format!("{} with Date {dates:?}", response.status)) }
}

/// The client's end of a connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// Received and not yet consumed.
    received: Vec<u8>,
    ended: bool,
    /// The server had closed the connection when more was sent.
    cut_off: bool,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { stream, received: Vec::new(), ended: false, cut_off: false }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).map_err(|error| {
            self.cut_off = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
            format!("while sending {} bytes: {error}", bytes.len())
        })
    }

    fn send_cut(&mut self, bytes: &[u8], cut: &mut dyn FnMut(&[u8]) -> Vec<usize>) -> Result<(), String> {
        let mut from = 0;
        for to in cut(bytes).into_iter().chain([bytes.len()]) {
            self.send(&bytes[from..to])?;
            from = to;
        }
        Ok(())
    }

    /// Sends FIN and continues to read.
    pub(crate) fn finish(&self) {
        // It fails if the server has closed first, which is fine.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Dropping it resets the connection.
    pub(crate) fn reset_on_drop(&self) {
        let none = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        none.expect("SO_LINGER");
    }

    /// The next response.
    pub(crate) fn reply(&mut self, expected: &Reply, may_continue: bool) -> Result<Response, String> {
        loop {
            let text = |bytes: &[u8]| bytes[..bytes.len().min(300)].escape_ascii().to_string();
            let read = reply::read(&self.received, expected.head_only, self.ended);
            match read.map_err(|wrong| format!("{wrong} in {}", text(&self.received)))? {
                Some((response, length)) => {
                    self.received.drain(..length);
                    if !(may_continue && response.status == 100 && expected.status != 100) {
                        return Ok(response);
                    }
                }
                None if self.ended => return Err(format!("no {} in {:?}", expected.status, text(&self.received))),
                None => self.fill()?,
            }
        }
    }

    /// Everything up to the server's FIN; a reset is an error.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>, String> {
        while !self.ended {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.received))
    }

    pub(crate) fn expect_end(&mut self) -> Result<(), String> {
        let rest = self.rest()?;
        // As clients do. It fails if the server has reset the connection.
        let _ = self.stream.shutdown(Shutdown::Write);
        if rest.is_empty() { Ok(()) } else { Err(format!("behind the last reply: {}", rest.escape_ascii())) }
    }

    fn fill(&mut self) -> Result<(), String> {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => self.ended = true,
            Ok(count) => self.received.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if self.cut_off && error.kind() == ErrorKind::ConnectionReset => self.ended = true,
            Err(error) => {
                let begun = self.received[..self.received.len().min(300)].escape_ascii();
                return Err(format!("while receiving behind {begun}: {error}"));
            }
        }
        Ok(())
    }
}

/// Polls a condition until it holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}
