//! A client's connection: sends whatever is left to send while it waits for something to read, at a given pace.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt;

use crate::book::{Book, Count};
use crate::dice::Dice;
use crate::outgoing::Outgoing;
use crate::request::Request;

/// The most bytes that are read and not yet processed.
const RECEIVED_MAX: usize = 16 * 1024;
/// A connection must be made within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Good clients must receive something within this time; otherwise a response is lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Why nothing more can be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// The server ended its side.
    Closed,
    /// The server, or its system, reset the connection.
    Reset,
    /// Nothing came in time.
    Late,
    /// An unexpected error.
    Failed(ErrorKind),
}

/// How a client reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// The most bytes that are sent at once.
    pub(crate) send_max: usize,
    pub(crate) send_pause: Duration,
    /// The most bytes that are read at once.
    pub(crate) read_max: usize,
    pub(crate) read_pause: Duration,
}

impl Pace {
    pub(crate) const FAST: Self =
        Self { send_max: usize::MAX, send_pause: Duration::ZERO, read_max: usize::MAX, read_pause: Duration::ZERO };
}

pub(crate) struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    /// How much of `received` has been processed.
    taken: usize,
    pub(crate) outgoing: Outgoing,
    pub(crate) pace: Pace,
    pub(crate) patience: Duration,
    dice: Dice,
    /// The server no longer takes anything; earlier responses can still be read.
    is_deaf: bool,
    /// The longest wait for something to read.
    longest: Duration,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr, book: &Book, dice: &mut Dice) -> Result<Self, ErrorKind> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let stream = loop {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => break stream,
                // All local ports are in use or in TIME_WAIT.
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(error.kind()),
            }
        };
        book.count(Count::Opened);
        let set_up = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
        set_up.map_err(|error| error.kind())?;
        Ok(Self {
            stream,
            received: Vec::with_capacity(RECEIVED_MAX),
            taken: 0,
            outgoing: Outgoing::new(),
            pace: Pace::FAST,
            patience: PATIENCE,
            dice: Dice::new(dice.next(), 0),
            is_deaf: false,
            longest: Duration::ZERO,
        })
    }

    pub(crate) fn begin(&mut self, requests: &[Request]) {
        self.outgoing.begin(requests);
    }

    /// The bytes that have arrived and have not been processed.
    pub(crate) fn received(&self) -> &[u8] {
        &self.received[self.taken..]
    }

    pub(crate) fn take(&mut self, count: usize) {
        self.taken += count;
    }

    pub(crate) const fn longest(&self) -> Duration {
        self.longest
    }

    /// Waits for at least one more byte, sending meanwhile.
    pub(crate) fn receive(&mut self) -> Result<(), End> {
        self.received.drain(..self.taken);
        self.taken = 0;
        let began = Instant::now();
        let mut deadline = began + self.patience;
        loop {
            let (can_read, can_send) = self.wait(deadline)?;
            if can_send && self.send()? > 0 {
                deadline = Instant::now() + self.patience;
            }
            if can_read && self.read()? {
                self.longest = self.longest.max(began.elapsed());
                return Ok(());
            }
        }
    }

    /// Sends everything that is left, or up to the cut, and reads nothing. `false` when the server takes no more.
    pub(crate) fn send_all(&mut self) -> Result<bool, End> {
        let mut deadline = Instant::now() + self.patience;
        while !self.outgoing.is_empty() && !self.is_deaf {
            let wanted = PollFlags::OUT;
            let found = self.poll(wanted, deadline)?;
            if found.is_empty() {
                return Err(End::Late);
            }
            if self.send()? > 0 {
                deadline = Instant::now() + self.patience;
            }
        }
        Ok(!self.is_deaf)
    }

    /// Checks that the server ends the connection without another byte.
    pub(crate) fn expect_end(&mut self) -> Result<End, String> {
        if self.received().is_empty() {
            match self.receive() {
                Err(End::Late) => return Err("the connection does not end".into()),
                Err(end) => return Ok(end),
                Ok(()) => {}
            }
        }
        let rest = self.received();
        Err(format!("unexpected bytes: {}", rest[..rest.len().min(80)].escape_ascii()))
    }

    /// Closes the sending side.
    pub(crate) fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Makes the close reset the connection.
    pub(crate) fn reset_on_close(&self) {
        let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    /// Sets the size of the system's receive buffer.
    pub(crate) fn hold(&self, bytes: usize) {
        let _ = sockopt::set_socket_recv_buffer_size(&self.stream, bytes);
    }

    /// Waits, and returns whether it can read and whether it can send.
    fn wait(&self, deadline: Instant) -> Result<(bool, bool), End> {
        let mut wanted = PollFlags::IN;
        if !self.outgoing.is_empty() && !self.is_deaf {
            wanted |= PollFlags::OUT;
        }
        let found = self.poll(wanted, deadline)?;
        if found.is_empty() {
            return Err(End::Late);
        }
        let broken = PollFlags::HUP | PollFlags::ERR;
        Ok((
            found.intersects(PollFlags::IN | broken),
            wanted.contains(PollFlags::OUT) && found.intersects(PollFlags::OUT),
        ))
    }

    /// Returns no flags when the deadline has passed.
    fn poll(&self, wanted: PollFlags, deadline: Instant) -> Result<PollFlags, End> {
        let mut fds = [PollFd::new(&self.stream, wanted)];
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            let wait = Timespec::try_from(wait).map_err(|_| End::Late)?;
            match poll(&mut fds, Some(&wait)) {
                Ok(_) => return Ok(fds[0].revents()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(End::Failed(error.kind())),
            }
        }
    }

    fn send(&mut self) -> Result<usize, End> {
        pause(self.pace.send_pause);
        let bytes = self.outgoing.bytes(&mut self.dice, self.pace.send_max);
        match self.stream.write(bytes) {
            Ok(count) => {
                self.outgoing.mark_sent(count);
                return Ok(count);
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => {}
                // Earlier responses may still be readable.
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => self.is_deaf = true,
                kind => return Err(End::Failed(kind)),
            },
        }
        Ok(0)
    }

    fn read(&mut self) -> Result<bool, End> {
        pause(self.pace.read_pause);
        let before = self.received.len();
        let count = (RECEIVED_MAX - before).min(self.pace.read_max);
        self.received.resize(before + count, 0);
        let result = self.stream.read(&mut self.received[before..]);
        self.received.truncate(before + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => Err(End::Closed),
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(false),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Err(End::Reset),
                kind => Err(End::Failed(kind)),
            },
        }
    }
}

fn pause(time: Duration) {
    if !time.is_zero() {
        thread::sleep(time);
    }
}
