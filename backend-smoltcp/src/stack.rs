//! Non-blocking calls over the sockets of a stack, and a wait that polls it.

use core::fmt;
use core::time::Duration;

use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Peer, Ready, ReadyFn, Seen, Shutdown};
use aurora_http_core::time::Instant;
use smoltcp::iface::{Interface, PollIngressSingleResult, PollResult, SocketSet, SocketStorage};
use smoltcp::phy::Device;
use smoltcp::socket::tcp::{RecvError, Socket};

use crate::Memory;
use crate::gate::Gate;
use crate::seat::{Phase, Seat};

/// Frames that one wait takes from the device at most, so that a flood of them does not keep the engine from its work.
const FRAMES_MAX: usize = 64;

/// What the program's board has for a [`Stack`].
pub trait Platform {
    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// Sleeps until the device has a frame, somebody has [woken](Self::take_wake) it, or `until` has come (`None`: for ever);
    /// or for a shorter time. A frame or a wake that has come since either was asked for last must end it, too.
    fn sleep(&mut self, until: Option<Instant>);

    /// Whether somebody wants the engine to look at what has changed, and has not been told so yet: an interrupt handler that
    /// resolved a [token](aurora_http_core::defer::DeferToken), or asked for a stop. Nobody does unless overridden.
    fn take_wake(&mut self) -> bool {
        false
    }

    /// Seconds since 1970-01-01 00:00:00 UTC, for `Date`; `None` where there is no wall clock.
    fn unix_time(&self) -> Option<u64> {
        None
    }
}

/// The set of sockets has not as many places as [`Memory`] has sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooFewSockets;

impl fmt::Display for TooFewSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the set of sockets has fewer places than there are sockets")
    }
}

impl core::error::Error for TooFewSockets {}

/// The sockets of one port: see the [crate](crate).
pub struct Stack<'a, D, P> {
    device: D,
    interface: Interface,
    sockets: SocketSet<'a>,
    seats: &'a mut [Seat],
    port: u16,
    platform: P,
    /// The listener has not been closed.
    is_open: bool,
    /// The engine was told that no newcomer is there.
    wants_accept: bool,
    dropped: u32,
}

impl<'a, D: Device, P: Platform> Stack<'a, D, P> {
    /// Listens on `port`, at every address that `interface` has or will have.
    ///
    /// `places` are for the sockets of `memory`; in what is left of them the program can put others.
    ///
    /// # Errors
    /// [`TooFewSockets`] when there are not that many places.
    pub fn new<const SOCKETS: usize, const BYTES: usize>(
        device: D,
        interface: Interface,
        places: &'a mut [SocketStorage<'a>],
        memory: &'a mut Memory<SOCKETS, BYTES>,
        port: u16,
        platform: P,
    ) -> Result<Self, TooFewSockets> {
        if places.len() < SOCKETS {
            return Err(TooFewSockets);
        }
        let mut set = SocketSet::new(places);
        let (seats, sockets) = memory.split();
        for (seat, mut socket) in seats.iter_mut().zip(sockets) {
            seat.recycle(&mut socket, Some(port));
            seat.handle = Some(set.add(socket));
        }
        let (is_open, wants_accept, dropped) = (true, false, 0);
        Ok(Self { device, interface, sockets: set, seats, port, platform, is_open, wants_accept, dropped })
    }

    /// What [`Engine::listen`](aurora_http_core::engine::Engine::listen) takes.
    #[must_use]
    pub fn listener(&self) -> IoHandle {
        IoHandle(self.seats.len() as u32)
    }

    /// The interface: its addresses and routes.
    pub const fn interface_mut(&mut self) -> &mut Interface {
        &mut self.interface
    }

    /// All sockets. Those that were there from the beginning are the engine's.
    pub const fn sockets_mut(&mut self) -> &mut SocketSet<'a> {
        &mut self.sockets
    }

    /// The program's board.
    pub const fn platform_mut(&mut self) -> &mut P {
        &mut self.platform
    }

    /// Newcomers that were dropped because no socket listened: with twice as many sockets as slots there should be few.
    #[must_use]
    pub const fn newcomers_dropped(&self) -> u32 {
        self.dropped
    }

    /// When the stack has something to do by itself: retransmissions, delayed acknowledgements. A program that sleeps
    /// elsewhere makes its next turn by then, at the engine's deadline, or when the device has a frame, whatever is first.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let due = self.interface.poll_at(stack_time(self.platform.now()), &self.sockets)?;
        Some(Instant(u64::try_from(due.total_millis()).unwrap_or(0)))
    }

    /// Takes what the device has received, and sends what the sockets have for it.
    fn poll(&mut self) -> Seen {
        let now = self.platform.now();
        let time = stack_time(now);
        self.interface.poll_maintenance(time);
        let mut listening = self.refresh(now);
        let mut seen = Seen::Part;
        for _ in 0..FRAMES_MAX {
            let is_full = self.is_open && listening == 0;
            let mut gate = Gate { device: &mut self.device, port: self.port, is_full, dropped: &mut self.dropped };
            if self.interface.poll_ingress_single(time, &mut gate, &mut self.sockets) == PollIngressSingleResult::None {
                seen = Seen::All;
                break;
            }
            listening = self.refresh(now);
        }
        self.send_segments(now);
        self.refresh(now);
        seen
    }

    fn send_segments(&mut self, now: Instant) {
        let Self { interface, device, sockets, .. } = self;
        while interface.poll_egress(stack_time(now), device, sockets) == PollResult::SocketStateChanged {}
    }

    /// Has every socket listen that can, and one at least if possible. How many do.
    fn refresh(&mut self, now: Instant) -> usize {
        let port = self.is_open.then_some(self.port);
        let (mut listening, mut expendable) = (0, None);
        for (index, seat) in self.seats.iter_mut().enumerate() {
            let Some(socket) = socket_of(&mut self.sockets, seat) else { continue };
            seat.refresh(socket, port, now);
            listening += usize::from(socket.is_listening());
            let oldest = expendable.map(|(since, _)| since);
            if let Some(since) =
                seat.expendable_since(socket).filter(|since| oldest.is_none_or(|oldest| *since < oldest))
            {
                expendable = Some((since, index));
            }
        }
        if listening == 0
            && port.is_some()
            && let Some((_, index)) = expendable
            && let Some(seat) = self.seats.get_mut(index)
            && let Some(socket) = socket_of(&mut self.sockets, seat)
        {
            seat.recycle(socket, port);
            listening = 1;
        }
        listening
    }

    /// The seat of the newcomer that came first.
    fn next_newcomer(&mut self) -> Option<usize> {
        let sockets = &mut self.sockets;
        let waiting = self.seats.iter().enumerate().filter_map(|(index, seat)| {
            let socket = socket_of(sockets, seat)?;
            Some((seat.waiting_since(socket)?, index))
        });
        waiting.min().map(|(_, index)| index)
    }

    /// Tells what the engine waits for and can have now; whether there was anything.
    fn report(&mut self, ready: &mut ReadyFn<'_>) -> bool {
        let mut any = false;
        if self.wants_accept && self.next_newcomer().is_some() {
            self.wants_accept = false;
            any = true;
            ready(self.listener(), Ready { readable: true, ..Ready::default() });
        }
        for (index, seat) in (0..).zip(self.seats.iter_mut()) {
            if seat.phase == Phase::Taken
                && let Some(socket) = socket_of(&mut self.sockets, seat)
            {
                let is_ready = seat.ready(socket);
                if is_ready.readable || is_ready.writable {
                    any = true;
                    ready(IoHandle(index), is_ready);
                }
            }
        }
        any
    }

    /// A socket that the engine has.
    fn taken(&mut self, io: IoHandle) -> Option<(&mut Seat, &mut Socket<'a>)> {
        let seat = self.seats.get_mut(io.0 as usize).filter(|seat| seat.phase == Phase::Taken)?;
        let socket = socket_of(&mut self.sockets, seat)?;
        Some((seat, socket))
    }

    fn taken_ref(&self, io: IoHandle) -> Option<&Socket<'a>> {
        let seat = self.seats.get(io.0 as usize).filter(|seat| seat.phase == Phase::Taken)?;
        Some(self.sockets.get(seat.handle?))
    }

    /// Nobody is listened to any more: newcomers are refused, and those that wait are reset.
    fn close_listener(&mut self) {
        self.is_open = false;
        for seat in self.seats.iter_mut().filter(|seat| seat.phase == Phase::Free) {
            if let Some(socket) = socket_of(&mut self.sockets, seat) {
                socket.abort();
            }
        }
    }
}

/// The socket of a seat. All have one.
fn socket_of<'s, 'a>(sockets: &'s mut SocketSet<'a>, seat: &Seat) -> Option<&'s mut Socket<'a>> {
    Some(sockets.get_mut(seat.handle?))
}

const fn stack_time(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_millis_const(now.0 as i64)
}

/// Rounded up.
const fn milliseconds(timeout: Duration) -> u64 {
    timeout.as_secs().saturating_mul(1_000).saturating_add(timeout.subsec_nanos().div_ceil(1_000_000) as u64)
}

impl<D: Device, P: Platform> NonBlocking for Stack<'_, D, P> {
    fn accept(&mut self, listener: IoHandle) -> Attempt {
        if listener != self.listener() || !self.is_open {
            return Attempt::Failed(IoError::Unsupported);
        }
        let Some(index) = self.next_newcomer() else {
            self.wants_accept = true;
            return Attempt::WouldBlock;
        };
        if let Some(seat) = self.seats.get_mut(index) {
            seat.take();
        }
        Attempt::Done(index as u32)
    }

    fn recv(&mut self, io: IoHandle, spare: &mut [u8]) -> Attempt {
        let Some((seat, socket)) = self.taken(io) else { return Attempt::Failed(IoError::Unsupported) };
        if seat.is_deaf {
            return Attempt::Done(0);
        }
        match socket.recv_slice(spare) {
            Ok(0) => {
                seat.wants_receive = true;
                Attempt::WouldBlock
            }
            Ok(count) => {
                seat.wants_receive = count < spare.len();
                Attempt::Done(count as u32)
            }
            Err(RecvError::Finished) => Attempt::Done(0),
            Err(RecvError::InvalidState) => Attempt::Failed(IoError::ConnectionReset),
        }
    }

    fn send(&mut self, io: IoHandle, parts: [&[u8]; 2]) -> Attempt {
        let Some((seat, socket)) = self.taken(io) else { return Attempt::Failed(IoError::Unsupported) };
        let mut sent = 0;
        for part in parts {
            let Ok(count) = socket.send_slice(part) else { return Attempt::Failed(IoError::ConnectionReset) };
            sent += count as u32;
            if count < part.len() {
                seat.wants_send = true;
                break;
            }
        }
        if sent == 0 && seat.wants_send { Attempt::WouldBlock } else { Attempt::Done(sent) }
    }

    fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        let Some((seat, socket)) = self.taken(io) else { return };
        match how {
            Shutdown::Read => {}
            Shutdown::Write | Shutdown::Both => socket.close(),
            Shutdown::Reset => socket.abort(),
        }
        seat.is_deaf |= matches!(how, Shutdown::Read | Shutdown::Both);
    }

    fn close(&mut self, io: IoHandle) {
        if io == self.listener() {
            self.close_listener();
            return;
        }
        let now = self.platform.now();
        if let Some((seat, socket)) = self.taken(io) {
            seat.leave(socket, now);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut ReadyFn<'_>) -> Result<Seen, IoError> {
        let end = timeout.map(|timeout| Instant(self.platform.now().0.saturating_add(milliseconds(timeout))));
        loop {
            let seen = self.poll();
            let any = self.report(ready) | self.platform.take_wake();
            let now = self.platform.now();
            if any || seen == Seen::Part || end.is_some_and(|end| end <= now) {
                return Ok(seen);
            }
            let due = self.poll_timeout();
            self.platform.sleep(due.into_iter().chain(end).min());
        }
    }

    fn flush(&mut self) {
        self.send_segments(self.platform.now());
    }

    fn now(&self) -> Instant {
        self.platform.now()
    }

    fn unix_time(&self) -> Option<u64> {
        self.platform.unix_time()
    }

    fn peer(&self, io: IoHandle) -> Option<Peer> {
        Some(Peer::Ip(self.taken_ref(io)?.remote_endpoint()?.into()))
    }

    fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        Some(self.taken_ref(io)?.send_queue() as u32)
    }
}
