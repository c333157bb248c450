//! `Connection` alone, driven by hand in a loop around poll(2): no engine, no reactor, no worker. What the engine does
//! besides, this program does without: it has buffers for all, so that nobody waits for one, and evicts nobody. SIGTERM ends
//! it once what is under way is finished.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use aurora_embedding::{Site, SystemClock};
use aurora_http::core::connection::{Action, Connection, Context, Deadline, Place};
use aurora_http::core::pool::{Arena, Buf, BufferPool, Buffers};
use aurora_http::core::reactor::{self, IoHandle, NoPeers};
use aurora_http::core::{adapter::Clock, defer::Deferrals, preamble::Preamble, state::State, time::Instant};
use aurora_http::{Class, ClassCounts, CloseReason, ConnectionId, Counters, IoError, Limits};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const CONNECTIONS_MAX: usize = 256;
const BUFFERS: usize = 2 * CONNECTIONS_MAX; // each may receive into one and answer in another

fn main() -> Result<(), Box<dyn Error>> {
    let listener = aurora_embedding::listener("poll_loop: connections driven by hand, around poll(2)")?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    let signal = aurora_embedding::terminated()?;
    let (mut site, mut clock, mut preamble) = (Site::default(), SystemClock::start(), Preamble::new("poll_loop")?);
    let (limits, mut counters, mut in_flight) = (Limits::default(), Counters::default(), 0);
    let mut memory: Vec<_> = (0..BUFFERS).map(|_| Buffers::<1, 4096>::new()).collect();
    let mut table: Vec<Option<&mut [u8]>> = (0..BUFFERS).map(|_| None).collect();
    let mut pool = BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Small, BUFFERS as u32))?;
    memory.iter_mut().try_for_each(|memory| pool.add_buffers(memory))?;

    let (mut slots, mut generation, mut stopping) = (Vec::<Slot<'_>>::new(), 0, None);
    while stopping.is_none() || !slots.is_empty() {
        let (now, first_due) = (clock.now(), slots.iter().filter_map(|slot| Some(slot.due?.0)).min());
        let timeout = first_due.map(|at| Timespec::try_from(now.until(at))).transpose()?;
        let mut watched: Vec<_> = slots.iter().map(|slot| PollFd::new(&slot.stream, slot.wanted())).collect();
        watched.push(PollFd::new(&listener, when(stopping.is_none() && slots.len() < CONNECTIONS_MAX, PollFlags::IN)));
        watched.push(PollFd::new(&signal, when(stopping.is_none(), PollFlags::IN)));
        rustix::io::retry_on_intr(|| poll(&mut watched, timeout.as_ref()))?;
        let mut ready: Vec<_> = watched.iter().map(PollFd::revents).collect();
        stopping = stopping.or(ready.pop().filter(|signal| !signal.is_empty()).map(|_| CloseReason::Stopped));
        if ready.pop().is_some_and(|listener| !listener.is_empty())
            && let Ok((stream, _)) = listener.accept()
        {
            stream.set_nonblocking(true)?;
            generation += 1;
            let (id, connection) = (ConnectionId { index: 0, generation }, Connection::new());
            slots.push(Slot { stream, id, connection, recv: None, send: None, due: None });
            ready.push(PollFlags::empty());
        }
        preamble.set_unix_time(clock.unix_time());
        for (slot, ready) in slots.iter_mut().zip(ready) {
            let mut cx = Context {
                handler: &mut site,
                pool: &mut pool,
                loans: &mut [],
                arena: &mut Arena::new(&mut []),
                preamble: &preamble,
                limits: &limits,
                counters: &mut counters,
                now: clock.now(),
                place: &Place { peers: &NoPeers, io: IoHandle(0), id: slot.id, deferrals: Deferrals::NONE },
                in_flight: &mut in_flight,
                last: stopping,
            };
            slot.turn(ready, &mut cx);
        }
        slots.retain(|slot| !slot.connection.is_closed());
    }
    Ok(())
}

/// One connection, and the operations that wait for its socket to be ready.
struct Slot<'p> {
    stream: TcpStream,
    id: ConnectionId,
    connection: Connection<'p, ()>,
    recv: Option<Option<Buf<'p>>>,
    send: Option<(Buf<'p>, &'p [u8])>,
    due: Option<(Instant, Deadline)>,
}

type Cx<'c, 's, 'p> = Context<'c, 's, 'p, Site>;

impl<'p> Slot<'p> {
    fn wanted(&self) -> PollFlags {
        when(self.recv.is_some(), PollFlags::IN) | when(self.send.is_some(), PollFlags::OUT)
    }

    fn turn(&mut self, ready: PollFlags, cx: &mut Cx<'_, '_, 'p>) {
        // A socket that failed is both, and says so when it is called.
        if !ready.difference(PollFlags::OUT).is_empty() {
            self.receive(cx);
        } else if cx.last.is_some() {
            self.connection.handle_stopping(cx);
        }
        if !ready.difference(PollFlags::IN).is_empty() {
            self.send(cx);
        }
        if let Some((_, deadline)) = self.due.take_if(|(at, _)| *at <= cx.now) {
            if let Some(reason) = cx.last {
                self.connection.stop(cx, reason);
            }
            self.connection.handle_timeout(cx, deadline);
        }
        while let Some(action) = self.connection.next_action(cx.pool) {
            self.act(action, cx);
        }
        if let Some(due) = self.connection.due_change(cx.now, cx.limits) {
            self.due = due;
        }
        // A stop leaves no time to whoever is idle, but for a last look at what has arrived.
        if cx.last.is_some() && matches!(self.connection.state(), State::New | State::KeepAlive) {
            self.due = Some((cx.now, Deadline::Idle));
        }
    }

    fn act(&mut self, action: Action<'p>, cx: &mut Cx<'_, '_, 'p>) {
        match action {
            Action::Recv { into } => self.recv = Some(into),
            Action::Send { head, body } => {
                self.send = Some((head, body));
                self.send(cx); // most often there is room
            }
            Action::Shutdown(reactor::Shutdown::Write) => drop(self.stream.shutdown(Shutdown::Write)),
            Action::Shutdown(reactor::Shutdown::Reset) => {
                let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
            }
            Action::Shutdown(_) => drop(self.stream.shutdown(Shutdown::Both)),
            Action::CancelRecv => {
                let into = self.recv.take().flatten();
                self.connection.handle_received(cx, Err(IoError::Canceled), into);
            }
            Action::CancelSend => {
                let Some((head, body)) = self.send.take() else { return };
                self.connection.handle_sent(cx, Err(IoError::Canceled), head, body);
            }
            _ => self.connection.handle_closed(), // and the socket with its slot
        }
    }

    fn receive(&mut self, cx: &mut Cx<'_, '_, 'p>) {
        let Some(into) = self.recv.take() else { return };
        let mut buf = into.or_else(|| cx.pool.acquire(Class::Small)).expect("two for each connection");
        let Some(result) = outcome(self.stream.read(buf.spare())) else { return self.recv = Some(Some(buf)) };
        buf.advance(result.unwrap_or(0) as usize);
        self.connection.handle_received(cx, result, Some(buf));
    }

    fn send(&mut self, cx: &mut Cx<'_, '_, 'p>) {
        let Some((head, body)) = self.send.take() else { return };
        let unsent = if head.is_empty() { body } else { head.filled() };
        let Some(result) = outcome(self.stream.write(unsent)) else { return self.send = Some((head, body)) };
        self.connection.handle_sent(cx, result, head, body);
    }
}

fn when(is_wanted: bool, flag: PollFlags) -> PollFlags {
    if is_wanted { flag } else { PollFlags::empty() }
}

/// What a call came to; `None` when the socket is not ready for it.
fn outcome(result: io::Result<usize>) -> Option<Result<u32, IoError>> {
    match result {
        Ok(count) => Some(Ok(count as u32)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
        Err(_) => Some(Err(IoError::ConnectionReset)),
    }
}
