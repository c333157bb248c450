//! The system below an engine, without a system: clients that always send the same bytes and take every response.

#![allow(dead_code, reason = "each program uses a part of it")]

use std::time::Duration;

use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Ready, ReadyFn, Seen, Shutdown};
use aurora_http_core::time::Instant;

/// The handle of the listener; connections have the ones after it.
pub(crate) const LISTENER: IoHandle = IoHandle(0);

/// What a client sends at once.
pub(crate) struct Script {
    pub(crate) bytes: Vec<u8>,
    /// Whether its FIN follows.
    pub(crate) then_fin: bool,
}

/// Clients, all of which follow the same script: once when they are accepted, and again whenever [`Clients::send`] is called.
pub(crate) struct Clients {
    script: Script,
    connections: Vec<Connection>,
    /// Those that are not open.
    free: Vec<u32>,
    /// Those that have sent something that was not reported yet.
    news: Vec<u32>,
    /// Clients that have connected and were not accepted.
    waiting: usize,
    now: Instant,
    /// Bytes that all clients have received.
    pub(crate) received: usize,
    /// Connections that the server has closed.
    pub(crate) closed: usize,
    /// The beginning of the last response.
    pub(crate) status_line: [u8; 12],
}

#[derive(Clone, Copy, Default)]
struct Connection {
    is_open: bool,
    /// The position in the script of what was not received; its end if there is nothing to receive.
    at: usize,
}

impl Clients {
    /// Room for `connections` at a time.
    pub(crate) fn new(script: Script, connections: usize) -> Self {
        Self {
            connections: vec![Connection::default(); connections],
            script,
            free: (0..connections as u32).rev().collect(),
            news: Vec::with_capacity(connections),
            waiting: 0,
            now: Instant(0),
            received: 0,
            closed: 0,
            status_line: [0; 12],
        }
    }

    /// `count` clients connect.
    pub(crate) fn connect(&mut self, count: usize) {
        self.waiting += count;
    }

    /// Every connected client sends its script again.
    pub(crate) fn send(&mut self) {
        for (index, connection) in (0..).zip(&mut self.connections) {
            if connection.is_open {
                connection.at = 0;
                self.news.push(index);
            }
        }
    }

    /// The client of this connection sends its script again.
    pub(crate) fn send_one(&mut self, index: u32) {
        self.connections[index as usize].at = 0;
        self.news.push(index);
    }

    /// Whether something was sent that the next wait will report.
    pub(crate) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    pub(crate) fn pass_ms(&mut self, ms: u32) {
        self.now = self.now.plus_ms(ms);
    }
}

impl NonBlocking for Clients {
    fn accept(&mut self, _listener: IoHandle) -> Attempt {
        if self.waiting == 0 {
            return Attempt::WouldBlock;
        }
        let Some(index) = self.free.pop() else { return Attempt::WouldBlock };
        self.waiting -= 1;
        self.connections[index as usize] = Connection { is_open: true, at: 0 };
        self.news.push(index);
        Attempt::Done(LISTENER.0 + 1 + index)
    }

    fn recv(&mut self, io: IoHandle, spare: &mut [u8]) -> Attempt {
        let connection = &mut self.connections[(io.0 - LISTENER.0 - 1) as usize];
        let unread = &self.script.bytes[connection.at..];
        if unread.is_empty() {
            return if self.script.then_fin { Attempt::Done(0) } else { Attempt::WouldBlock };
        }
        let count = unread.len().min(spare.len());
        spare[..count].copy_from_slice(&unread[..count]);
        connection.at += count;
        Attempt::Done(count as u32)
    }

    fn send(&mut self, _io: IoHandle, parts: [&[u8]; 2]) -> Attempt {
        if let Some(status_line) = parts[0].first_chunk() {
            self.status_line = *status_line;
        }
        let count = parts[0].len() + parts[1].len();
        self.received += count;
        Attempt::Done(count as u32)
    }

    fn shutdown(&mut self, _io: IoHandle, _how: Shutdown) {}

    fn close(&mut self, io: IoHandle) {
        if io != LISTENER {
            let index = io.0 - LISTENER.0 - 1;
            self.connections[index as usize].is_open = false;
            self.free.push(index);
            self.closed += 1;
        }
    }

    fn wait(&mut self, _timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError> {
        if self.waiting > 0 {
            ready(LISTENER, Ready { readable: true, ..Ready::default() });
        }
        for index in self.news.drain(..).filter(|index| self.connections[*index as usize].is_open) {
            let ended = self.script.then_fin;
            ready(IoHandle(LISTENER.0 + 1 + index), Ready { readable: true, writable: false, ended });
        }
        Ok(Seen::All)
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn unix_time(&self) -> Option<u64> {
        Some(784_111_777)
    }
}
