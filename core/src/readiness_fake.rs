//! A [`NonBlocking`] with a script of malice: would-block anywhere, one byte at a time, spurious, late and repeated
//! events, events for closed handles. It keeps the promises about edges that the trait makes, and no more.

use std::collections::VecDeque;
use std::vec::Vec;

use super::*;
use crate::reactor::{ReadyFn, Seen};

/// The bytes of a script; after its end, every choice is the harmless one (0).
#[derive(Default)]
pub(super) struct Script {
    bytes: Vec<u8>,
    at: usize,
}

impl Script {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    fn pick(&mut self, choices: usize) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(byte) % choices
    }

    fn spent(&self) -> bool {
        self.at >= self.bytes.len()
    }
}

#[derive(Default)]
pub(super) struct Socket {
    pub(super) open: bool,
    pub(super) inbound: VecDeque<u8>,
    pub(super) fin: bool,
    pub(super) broken: bool,
    /// Sends fail, because the owner shut it down.
    pub(super) write_ended: bool,
    pub(super) outbound: Vec<u8>,
    /// Bytes that sends can still take.
    pub(super) room: usize,
    /// Connections to accept.
    pub(super) backlog: usize,
    /// A send was short or would have blocked: an edge is due when there is room again.
    blocked: bool,
    edge: Ready,
    end_reported: bool,
}

impl Socket {
    /// Drops the pending edge: the test reports events itself.
    pub(super) fn hold(&mut self) {
        self.edge = Ready::default();
    }

    /// Whether a receive would return something.
    pub(super) fn readable(&self) -> bool {
        self.broken || self.fin || !self.inbound.is_empty()
    }
}

#[derive(Default)]
pub(super) struct Fake {
    pub(super) sockets: Vec<Socket>,
    pub(super) script: Script,
    pub(super) accept_error: Option<IoError>,
    pub(super) calls: Calls,
    /// Additional events for the next wait, reported as they are: without reason, for closed handles, in pieces.
    pub(super) events: Vec<(u32, Ready)>,
    /// The timeout of the last wait.
    pub(super) timeout: Option<Duration>,
    /// Whether the next wait sees everything, and whether there is more to report.
    pub(super) sees_part: bool,
    pub(super) has_more: bool,
    /// The last wait had no timeout and nothing to report: a real one would never return.
    pub(super) stuck: bool,
}

/// How often each method was called.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Calls {
    pub(super) accept: u32,
    pub(super) recv: u32,
    pub(super) send: u32,
    pub(super) wait: u32,
    pub(super) close: u32,
    pub(super) flush: u32,
}

impl Fake {
    /// `count` open sockets with room for `room` bytes, and no malice.
    pub(super) fn new(count: usize, room: usize) -> Self {
        let sockets = (0..count).map(|_| Socket { open: true, room, ..Socket::default() }).collect();
        Self { sockets, ..Self::default() }
    }

    pub(super) fn deliver(&mut self, index: usize, bytes: impl IntoIterator<Item = u8>) {
        let socket = &mut self.sockets[index];
        if socket.open && !socket.fin && !socket.broken {
            socket.inbound.extend(bytes);
            socket.edge.readable = true;
        }
    }

    pub(super) fn finish(&mut self, index: usize) {
        let socket = &mut self.sockets[index];
        socket.fin = true;
        socket.edge = Ready { readable: true, ended: true, ..socket.edge };
    }

    /// The FIN in a stack whose events do not distinguish it from bytes, or report nothing else.
    pub(super) fn finish_reported_as(&mut self, index: usize, edge: Ready) {
        self.sockets[index].fin = true;
        self.sockets[index].edge = edge;
    }

    pub(super) fn reset(&mut self, index: usize) {
        let socket = &mut self.sockets[index];
        socket.broken = true;
        socket.edge = Ready { readable: true, writable: true, ended: true };
    }

    pub(super) fn make_room(&mut self, index: usize, bytes: usize) {
        let socket = &mut self.sockets[index];
        socket.room += bytes;
        if socket.blocked && socket.room > 0 {
            socket.blocked = false;
            socket.edge.writable = true;
        }
    }

    pub(super) fn knock(&mut self, listener: usize, connections: usize) {
        self.sockets[listener].backlog += connections;
        self.sockets[listener].edge.readable = true;
    }

    fn open_one(&mut self) -> u32 {
        let index = self.sockets.iter().position(|socket| !socket.open).unwrap_or(self.sockets.len());
        if index == self.sockets.len() {
            self.sockets.push(Socket::default());
        }
        self.sockets[index] = Socket { open: true, room: 16, ..Socket::default() };
        index as u32
    }
}

impl NonBlocking for Fake {
    fn accept(&mut self, listener: IoHandle) -> Attempt {
        self.calls.accept += 1;
        let malice = self.script.pick(4) == 1;
        let Some(socket) = self.sockets.get_mut(listener.0 as usize).filter(|socket| socket.open) else {
            return Attempt::Failed(IoError::Unsupported);
        };
        if let Some(error) = self.accept_error.take() {
            return Attempt::Failed(error);
        }
        if malice || socket.backlog == 0 {
            socket.edge.readable |= malice;
            return Attempt::WouldBlock;
        }
        socket.backlog -= 1;
        Attempt::Done(self.open_one())
    }

    fn recv(&mut self, io: IoHandle, spare: &mut [u8]) -> Attempt {
        self.calls.recv += 1;
        assert!(!spare.is_empty(), "a receive without room");
        let malice = self.script.pick(4);
        let Some(socket) = self.sockets.get_mut(io.0 as usize).filter(|socket| socket.open) else {
            return Attempt::Failed(IoError::Unsupported);
        };
        if malice == 1 {
            socket.edge.readable = true;
            return Attempt::WouldBlock;
        }
        if socket.inbound.is_empty() {
            return match (socket.broken, socket.fin) {
                (true, _) => Attempt::Failed(IoError::ConnectionReset),
                (false, true) => Attempt::Done(0),
                (false, false) => Attempt::WouldBlock,
            };
        }
        let most = if malice == 2 { 1 } else { spare.len() };
        let count = socket.inbound.len().min(most);
        for (place, byte) in spare.iter_mut().zip(socket.inbound.drain(..count)) {
            *place = byte;
        }
        if count < spare.len() && !socket.inbound.is_empty() && !socket.end_reported {
            socket.edge.readable = true;
        }
        Attempt::Done(count as u32)
    }

    fn send(&mut self, io: IoHandle, parts: [&[u8]; 2]) -> Attempt {
        self.calls.send += 1;
        let malice = self.script.pick(4);
        let Some(socket) = self.sockets.get_mut(io.0 as usize).filter(|socket| socket.open) else {
            return Attempt::Failed(IoError::Unsupported);
        };
        if socket.broken || socket.write_ended {
            return Attempt::Failed(IoError::ConnectionReset);
        }
        let total = parts[0].len() + parts[1].len();
        let most = if malice == 2 { 1 } else { usize::MAX };
        let count = if malice == 1 { 0 } else { total.min(socket.room).min(most) };
        socket.outbound.extend(parts[0].iter().chain(parts[1]).take(count));
        socket.room -= count;
        if count < total {
            socket.blocked = socket.room == 0;
            socket.edge.writable |= socket.room > 0;
        }
        if count == 0 && total > 0 { Attempt::WouldBlock } else { Attempt::Done(count as u32) }
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        // Without an event, like some stacks.
        if let Some(socket) = self.sockets.get_mut(io.0 as usize) {
            socket.fin |= matches!(how, Shutdown::Read | Shutdown::Both);
            socket.write_ended |= matches!(how, Shutdown::Write | Shutdown::Both);
        }
    }

    fn close(&mut self, io: IoHandle) {
        self.calls.close += 1;
        if let Some(socket) = self.sockets.get_mut(io.0 as usize) {
            *socket = Socket::default();
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError> {
        self.calls.wait += 1;
        self.timeout = timeout;
        let quiet = self.script.spent()
            && self.events.is_empty()
            && self.sockets.iter().all(|socket| socket.edge == Ready::default());
        self.stuck = quiet && timeout.is_none();
        for (index, event) in self.events.drain(..) {
            ready(IoHandle(index), event);
        }
        for index in 0..self.sockets.len() {
            let malice = self.script.pick(8);
            let socket = &mut self.sockets[index];
            if malice == 1 {
                continue; // Late: the edge stays pending.
            }
            let mut edge = core::mem::take(&mut socket.edge);
            socket.end_reported |= edge.ended;
            match malice {
                // Merged with flags that have no cause.
                2 => edge.readable = true,
                3 => edge.writable = true,
                4 => edge = Ready { readable: true, writable: true, ended: edge.ended },
                // Without a cause, or twice, or for a handle that has been closed.
                5 => ready(IoHandle(index as u32), Ready { readable: true, writable: true, ended: true }),
                6 => ready(IoHandle(index as u32 + 1), Ready { ended: true, ..Ready::default() }),
                // A separate event for each direction, as with kqueue.
                7 => {
                    ready(IoHandle(index as u32), Ready { writable: edge.writable, ..Ready::default() });
                    edge.writable = false;
                }
                _ => {}
            }
            if edge != Ready::default() {
                ready(IoHandle(index as u32), edge);
            }
        }
        Ok(if self.sees_part { Seen::Part } else { Seen::All })
    }

    fn has_more(&self) -> bool {
        self.has_more
    }

    fn now(&self) -> Instant {
        Instant(u64::from(self.calls.wait))
    }

    fn flush(&mut self) {
        self.calls.flush += 1;
    }

    fn unix_time(&self) -> Option<u64> {
        Some(1_000)
    }

    fn peer(&self, io: IoHandle) -> Option<Peer> {
        self.sockets.get(io.0 as usize).map(|_| Peer::Unix)
    }

    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        self.sockets.get(io.0 as usize).map(|socket| socket.outbound.len() as u32)
    }
}
