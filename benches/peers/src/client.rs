//! The client: many connections on one thread, over non-blocking sockets.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::net::{bind, connect, recv, send, socket_with};

use crate::histogram::Histogram;
use crate::request::Request;
use crate::response::{Reader, Wrong};

/// How long nothing may come from a server.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Slow clients send this much at a time, and then wait.
const SLOW_BYTES: usize = 8;
const SLOW_WAIT: Duration = Duration::from_millis(20);

/// The length of what is sent again and again of long content. Content repeats after it.
const PIECE: u64 = 1 << 20;

/// When requests are sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// Each connection sends the next one as soon as it has the response.
    Closed,
    /// At this rate per second, whether responses have come or not. A request's latency counts from when it was due, also if it
    /// was sent later because no connection was free: otherwise a server that stops for a second would delay one request per
    /// connection, and not all those that users would have sent in that second.
    Rate(f64),
}

/// When a run ends.
#[derive(Clone, Copy)]
pub enum Until {
    Time(Duration),
    Requests(u64),
}

/// What a run has found.
pub struct Outcome {
    pub requests: u64,
    pub seconds: f64,
    pub received: u64,
    pub sent: u64,
    pub latencies: Histogram,
}

impl Outcome {
    fn new() -> Self {
        Self { requests: 0, seconds: 0.0, received: 0, sent: 0, latencies: Histogram::new() }
    }
}

pub struct Client {
    address: SocketAddr,
    request: Request,
    /// The head and the first piece of the content, or all pipelined requests.
    bytes: Vec<u8>,
    /// Where the content begins.
    head_len: u64,
    /// The number of bytes to send until responses are due.
    total: u64,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Those that have nothing to do, at a fixed rate.
    idle: VecDeque<usize>,
    pace: Pace,
    until: Until,
    buffer: Vec<u8>,
    outcome: Outcome,
    last_news: Instant,
    /// Chooses the next source address.
    opened: u32,
}

struct Connection {
    socket: OwnedFd,
    is_slow: bool,
    /// Bytes sent of the request.
    sent: u64,
    /// Responses that have not come yet.
    awaited: u32,
    reader: Reader,
    /// When the request was due.
    since: Instant,
}

impl Client {
    /// Connects `count` times; the last `slow` connections send their requests slowly.
    pub fn connect(address: SocketAddr, request: &Request, count: usize, slow: usize) -> Result<Self, Wrong> {
        let piece = Request::echo(PIECE).to_bytes();
        let bytes = match request.content_length() {
            ..=PIECE => request.to_bytes(),
            _ => [request.head(), &piece[piece.len() - PIECE as usize..]].concat(),
        };
        let total = match request.content_length() {
            ..=PIECE => bytes.len() as u64,
            length => request.head().len() as u64 + length,
        };
        let mut client = Self {
            address,
            request: request.clone(),
            bytes,
            head_len: request.head().len() as u64,
            total,
            epoll: epoll::create(CreateFlags::CLOEXEC).map_err(system("epoll_create"))?,
            connections: Vec::with_capacity(count),
            idle: VecDeque::new(),
            pace: Pace::Closed,
            until: Until::Requests(0),
            buffer: vec![0; 1 << 18],
            outcome: Outcome::new(),
            last_news: Instant::now(),
            opened: 0,
        };
        for index in 0..count {
            let connection = client.open(index, index >= count - slow)?;
            client.connections.push(connection);
        }
        Ok(client)
    }

    fn open(&mut self, index: usize, is_slow: bool) -> Result<Connection, Wrong> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).map_err(system("socket"))?;
        sockopt::set_tcp_nodelay(&socket, true).map_err(system("TCP_NODELAY"))?;
        if self.request.closes {
            // Ports of one address would run out, because closed connections keep theirs for a minute.
            self.opened += 1;
            let source = Ipv4Addr::new(127, 0, 1 + (self.opened / 250 % 8) as u8, 1 + (self.opened % 250) as u8);
            bind(&socket, &SocketAddrV4::new(source, 0)).map_err(system("bind"))?;
        }
        match connect(&socket, &self.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(system("connect")(error)),
        }
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &socket, EventData::new_u64(index as u64), flags).map_err(system("epoll_ctl"))?;
        let reader = Reader::new(self.request.expected_length);
        Ok(Connection { socket, is_slow, sent: self.total, awaited: 0, reader, since: Instant::now() })
    }

    /// Sends requests until the end. Requests of a closed loop that are under way then remain so.
    ///
    /// # Errors
    /// The first response that was wrong, or missing.
    pub fn run(&mut self, pace: Pace, until: Until) -> Result<Outcome, Wrong> {
        let start = Instant::now();
        self.pace = pace;
        self.until = until;
        self.last_news = start;
        self.outcome = Outcome::new();
        self.idle.clear();
        for index in 0..self.connections.len() {
            if self.connections[index].awaited > 0 {
                continue;
            }
            if self.request.closes {
                // It may have its response, from an earlier run, and the server is about to close it.
                self.connections[index] = self.open(index, self.connections[index].is_slow)?;
            }
            self.next(index, start)?;
        }
        let mut due = start;
        let mut slow_due = start;
        let mut events = Vec::with_capacity(1024);
        loop {
            let now = Instant::now();
            let is_over = match until {
                // Something must have been measured.
                Until::Time(time) => now - start >= time && (self.outcome.requests > 0 || now - start > SILENCE_MAX),
                Until::Requests(count) => self.outcome.requests >= count,
            };
            if is_over {
                self.count_unsent(due, now);
                self.outcome.seconds = (now - start).as_secs_f64();
                return Ok(std::mem::replace(&mut self.outcome, Outcome::new()));
            }
            if now - self.last_news > SILENCE_MAX {
                return Err(Wrong(format!("nothing was received for {SILENCE_MAX:?}")));
            }
            if now >= slow_due {
                slow_due = now + SLOW_WAIT;
                self.send_slowly()?;
            }
            self.send_due(&mut due, now)?;
            // A wait would end too late for the next request, so at a fixed rate there is none.
            let wait_ms = if matches!(pace, Pace::Closed) { 5 } else { 0 };
            let timeout = Timespec { tv_sec: 0, tv_nsec: wait_ms * 1_000_000 };
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(system("epoll_wait")(error)),
            }
            if !events.is_empty() {
                self.last_news = now;
            }
            for event in &events {
                self.handle(event.data.u64() as usize, event.flags)?;
            }
        }
    }

    /// What a connection does when it has its response.
    fn next(&mut self, index: usize, now: Instant) -> Result<(), Wrong> {
        if let Until::Requests(count) = self.until
            && self.outcome.requests >= count
        {
            // One more long content would be under way before the end is noticed.
            return Ok(());
        }
        match self.pace {
            Pace::Closed => self.begin(index, now),
            Pace::Rate(_) => {
                self.idle.push_back(index);
                Ok(())
            }
        }
    }

    fn begin(&mut self, index: usize, due: Instant) -> Result<(), Wrong> {
        let connection = &mut self.connections[index];
        connection.since = due;
        connection.sent = 0;
        connection.awaited = self.request.pipelined;
        if connection.is_slow { Ok(()) } else { self.send(index, usize::MAX) }
    }

    /// At a fixed rate: sends what is due, as far as there are connections for it.
    fn send_due(&mut self, due: &mut Instant, now: Instant) -> Result<(), Wrong> {
        let Pace::Rate(rate) = self.pace else { return Ok(()) };
        while *due <= now {
            let Some(index) = self.idle.pop_front() else { break };
            self.begin(index, *due)?;
            *due += Duration::from_secs_f64(1.0 / rate);
        }
        Ok(())
    }

    /// At the end of a run at a fixed rate: what was due and was not sent has waited until now.
    fn count_unsent(&mut self, mut due: Instant, now: Instant) {
        let Pace::Rate(rate) = self.pace else { return };
        while due <= now {
            self.outcome.latencies.add((now - due).as_nanos() as u64);
            due += Duration::from_secs_f64(1.0 / rate);
        }
    }

    fn send_slowly(&mut self) -> Result<(), Wrong> {
        for index in 0..self.connections.len() {
            if self.connections[index].is_slow {
                self.send(index, SLOW_BYTES)?;
            }
        }
        Ok(())
    }

    /// Sends what the socket takes of the request, at most `max` bytes.
    fn send(&mut self, index: usize, mut max: usize) -> Result<(), Wrong> {
        let connection = &mut self.connections[index];
        while connection.sent < self.total && max > 0 {
            // Long content begins again with each piece.
            let at = match connection.sent {
                sent if sent < self.bytes.len() as u64 => sent,
                sent => self.head_len + (sent - self.head_len) % PIECE,
            };
            let len = (self.bytes.len() as u64 - at).min(self.total - connection.sent).min(max as u64) as usize;
            let bytes = &self.bytes[at as usize..at as usize + len];
            match send(&connection.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => {
                    connection.sent += count as u64;
                    self.outcome.sent += count as u64;
                    max -= count;
                    if count < len {
                        return Ok(());
                    }
                }
                // Also while it is being connected: an event will tell.
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(()),
                Err(error) => return Err(system("send")(error)),
            }
        }
        Ok(())
    }

    fn handle(&mut self, index: usize, flags: EventFlags) -> Result<(), Wrong> {
        if flags.contains(EventFlags::OUT) && !self.connections[index].is_slow {
            let was_sent = self.connections[index].sent == self.total;
            self.send(index, usize::MAX)?;
            let connection = &self.connections[index];
            if !was_sent && connection.sent == self.total && connection.awaited == 0 {
                self.completed(index)?;
            }
        }
        if !flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        loop {
            let connection = &mut self.connections[index];
            let count = match recv(&connection.socket, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((_, 0)) => return self.ended(index),
                Ok((_, count)) => count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(system("recv")(error)),
            };
            self.outcome.received += count as u64;
            let responses = connection.reader.read(&self.buffer[..count])?;
            connection.awaited = match connection.awaited.checked_sub(responses) {
                Some(awaited) => awaited,
                None => return Err(Wrong("a response without request".into())),
            };
            // Some servers answer before they have received all of a long content.
            let is_complete = responses > 0 && connection.awaited == 0 && connection.sent == self.total;
            let is_drained = count < self.buffer.len() && !flags.contains(EventFlags::RDHUP);
            if is_complete && !self.request.closes {
                self.completed(index)?;
            }
            if is_drained {
                return Ok(());
            }
        }
    }

    fn completed(&mut self, index: usize) -> Result<(), Wrong> {
        let now = Instant::now();
        let connection = &self.connections[index];
        // Slow clients are a burden, not a measurement.
        if !connection.is_slow {
            self.outcome.requests += u64::from(self.request.pipelined);
            self.outcome.latencies.add((now - connection.since).as_nanos() as u64);
        }
        self.next(index, now)
    }

    /// The server has closed the connection: correct after the only response of a connection.
    fn ended(&mut self, index: usize) -> Result<(), Wrong> {
        let connection = &self.connections[index];
        if !self.request.closes || connection.awaited > 0 {
            return Err(Wrong("the server has closed a connection".into()));
        }
        let is_slow = connection.is_slow;
        let now = Instant::now();
        self.outcome.requests += 1;
        self.outcome.latencies.add((now - connection.since).as_nanos() as u64);
        // The old socket is closed, and so leaves the epoll.
        self.connections[index] = self.open(index, is_slow)?;
        self.begin(index, now)
    }
}

/// A blocking connection from one of many source addresses: with few, looking for a free port takes long when half of them are in
/// use, which they also are for a minute after a connection was closed.
pub fn connect_idle(address: SocketAddr, number: usize) -> Result<TcpStream, Wrong> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let socket = socket.map_err(system("socket"))?;
    let source = Ipv4Addr::new(127, 0, 2, 1 + (number / 400 % 250) as u8);
    bind(&socket, &SocketAddrV4::new(source, 0)).map_err(system("bind"))?;
    connect(&socket, &address).map_err(system("connect"))?;
    Ok(socket.into())
}

/// Names the call that failed.
fn system(call: &'static str) -> impl Fn(Errno) -> Wrong {
    move |error| Wrong(format!("{call}: {error}"))
}
