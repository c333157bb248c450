//! The network as non-blocking calls with edge-triggered events, like epoll, of which [`Readiness`] makes a reactor.
//!
//! [`Readiness`]: crate::readiness::Readiness

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use super::network::{Moved, Network};
use super::socket::Server;
use super::wake::{SimWaker, Woken};
use crate::reactor::{Attempt, FileRange, IoError, IoHandle, NonBlocking, Ready, ReadyFn, Seen, Shutdown};
use crate::time::Instant;

/// The most events of one wait; small, so that batches are sometimes full.
const EVENTS_MAX: usize = 64;

/// Non-blocking calls over a [`Network`], to which it dereferences.
#[derive(Debug)]
pub struct SimCalls {
    network: Network,
    /// Delayed events, and when they are due.
    late: Vec<(Instant, IoHandle, Ready)>,
    woken: Woken,
    has_more: bool,
    refusals: u32,
}

impl SimCalls {
    /// Calls over a network.
    #[must_use]
    pub fn over(network: Network) -> Self {
        Self { network, late: Vec::new(), woken: Woken::default(), has_more: false, refusals: 0 }
    }

    /// Returns the network.
    #[must_use]
    pub fn into_network(self) -> Network {
        self.network
    }

    /// See [`Sim::waker`](super::Sim::waker).
    #[must_use]
    pub fn waker(&self) -> SimWaker {
        self.woken.waker()
    }

    /// The number of calls so far on handles that are not open.
    #[must_use]
    pub const fn refusals(&self) -> u32 {
        self.refusals
    }

    /// Whether the descriptor of the poller would be readable.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let is_due = self.next_due().is_some_and(|at| at <= self.network.now());
        is_due || self.woken.is_set() || !self.network.changes.is_empty()
    }

    /// When the next delayed event is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.late.iter().map(|(at, ..)| *at).min()
    }

    /// Adds a delayed event.
    fn owe(&mut self, io: IoHandle, ready: Ready) {
        let Network { faults, dice, .. } = &mut self.network;
        let delay = dice.below(faults.delay_ms_max as usize + 1) as u32;
        self.late.push((self.network.now().plus_ms(delay), io, ready));
    }

    /// By chance, makes a call block although it need not.
    fn blocks_by_chance(&mut self, io: IoHandle, ready: Ready) -> bool {
        let blocks = self.network.dice.per_mille(self.network.faults.would_block);
        if blocks {
            self.owe(io, ready);
        }
        blocks
    }

    /// The outcome of a call. If it moved less than requested and more can be moved, an event follows.
    fn moved(&mut self, io: IoHandle, moved: Moved, asked: usize, ready: Ready) -> Attempt {
        match moved {
            Ok(count) => {
                let Some(socket) = self.network.handle(io) else { return Attempt::Done(count as u32) };
                let more = if ready.readable { socket.can_recv() } else { socket.can_send(self.network.window()) };
                if count < asked && more {
                    self.owe(io, ready);
                }
                Attempt::Done(count as u32)
            }
            Err(error) => Attempt::Failed(error),
        }
    }

    fn refuse(&mut self) -> Attempt {
        self.refusals += 1;
        Attempt::Failed(IoError::Unsupported)
    }

    /// Adds delayed events that are due to the others.
    fn bring_late(&mut self) {
        let now = self.network.now();
        let mut at = 0;
        while let Some((due, io, ready)) = self.late.get(at).copied() {
            if due > now {
                at += 1;
                continue;
            }
            self.late.swap_remove(at);
            if let Some(socket) = self.network.handle_mut(io) {
                socket.edge.readable |= ready.readable;
                socket.edge.writable |= ready.writable;
                self.network.change(io.0);
            }
        }
    }

    /// Reports events; returns whether there were any.
    fn report(&mut self, ready: &mut ReadyFn<'_>) -> bool {
        let mut any = false;
        for _ in 0..EVENTS_MAX {
            let Some((io, edge)) = self.network.take_change() else { break };
            let is_edge = edge != Ready::default();
            let spurious = self.network.dice.per_mille(self.network.faults.spurious_event);
            if self.network.handle(io).is_none() || !(is_edge || spurious) {
                continue;
            }
            any = true;
            let delayed = self.network.dice.per_mille(self.network.faults.delay);
            if delayed && !edge.ended {
                self.owe(io, edge);
                continue;
            }
            ready(io, Ready { readable: edge.readable || spurious, writable: edge.writable || spurious, ..edge });
        }
        any
    }
}

impl Deref for SimCalls {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.network
    }
}

impl DerefMut for SimCalls {
    fn deref_mut(&mut self) -> &mut Network {
        &mut self.network
    }
}

const READABLE: Ready = Ready { readable: true, writable: false, ended: false };
const WRITABLE: Ready = Ready { readable: false, writable: true, ended: false };

impl NonBlocking for SimCalls {
    fn accept(&mut self, listener: IoHandle) -> Attempt {
        if self.network.handle(listener).is_none_or(|socket| socket.server != Server::Listening) {
            return self.refuse();
        }
        if !self.network.can_accept(listener) || self.blocks_by_chance(listener, READABLE) {
            return Attempt::WouldBlock;
        }
        match self.network.accept(listener) {
            Ok(io) => {
                // Like a socket that is added to epoll, it is reported with its current state.
                if let Some(socket) = self.network.handle_mut(io) {
                    let ended = socket.client_fin || socket.reset;
                    socket.edge = Ready { readable: socket.can_recv(), writable: true, ended };
                    self.network.change(io.0);
                }
                Attempt::Done(io.0)
            }
            Err(error) => Attempt::Failed(error),
        }
    }

    fn recv(&mut self, io: IoHandle, spare: &mut [u8]) -> Attempt {
        let connection = self.network.handle(io).filter(|socket| socket.server == Server::Open);
        let Some(socket) = connection else { return self.refuse() };
        if !socket.can_recv() || self.blocks_by_chance(io, READABLE) {
            return Attempt::WouldBlock;
        }
        let moved = self.network.recv(io, spare, usize::MAX);
        self.moved(io, moved, spare.len(), READABLE)
    }

    fn send(&mut self, io: IoHandle, parts: [&[u8]; 2]) -> Attempt {
        if self.network.handle(io).is_none_or(|socket| socket.server != Server::Open) {
            return self.refuse();
        }
        let asked = parts[0].len() + parts[1].len();
        if asked > 0 && (!self.network.can_send(io) || self.blocks_by_chance(io, WRITABLE)) {
            return Attempt::WouldBlock;
        }
        let moved = self.network.send(io, parts, usize::MAX);
        self.moved(io, moved, asked, WRITABLE)
    }

    fn send_file(&mut self, io: IoHandle, head: &[u8], range: FileRange) -> Attempt {
        if self.network.handle(io).is_none_or(|socket| socket.server != Server::Open) {
            return self.refuse();
        }
        if !self.network.can_send(io) || self.blocks_by_chance(io, WRITABLE) {
            return Attempt::WouldBlock;
        }
        let moved = self.network.send_file(io, head, range, usize::MAX);
        self.moved(io, moved, head.len() + range.len as usize, WRITABLE)
    }

    fn sends_files(&self) -> bool {
        self.network.has_files()
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        self.network.shutdown(io, how);
    }

    fn close(&mut self, io: IoHandle) {
        self.network.close(io);
        self.late.retain(|(_, late, _)| *late != io);
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError> {
        let woken = self.woken.take();
        if self.network.dice.per_mille(self.network.faults.partial_wait) {
            return Ok(Seen::Part);
        }
        self.bring_late();
        if !self.report(ready) && !woken {
            let end = timeout.map(|timeout| super::end_of_wait(self.network.now(), timeout));
            if let Some(until) = end.into_iter().chain(self.next_due()).min() {
                self.network.advance_to(until);
                self.bring_late();
                self.report(ready);
            }
        }
        self.has_more = !self.network.changes.is_empty();
        // Delayed events count as not arrived yet.
        Ok(if self.has_more { Seen::Part } else { Seen::All })
    }

    fn has_more(&self) -> bool {
        self.has_more
    }

    fn now(&self) -> Instant {
        self.network.now()
    }

    fn unix_time(&self) -> Option<u64> {
        self.network.unix_time()
    }

    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        self.network.unacknowledged(io)
    }
}
