//! Tells exchanges when their upstream sockets are ready, and keeps the connections that no exchange uses.
//!
//! One thread waits for all upstream sockets. It reads and writes nothing: it resolves the token of the exchange, whose worker
//! then receives and sends by itself. So no byte is handed from thread to thread, and no lock is held during I/O.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aurora_http::{DeferToken, Resumer};
use mio::event::Event;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use crate::link::{Link, Ready, Socket};

/// The most slots, so that slot and generation fit into a token on 32-bit systems.
pub(crate) const SLOTS_MAX: usize = 1 << 20;
const GENERATIONS: u32 = 1 << 11;
const WAKE: Token = Token(usize::MAX);
/// Events that one wait takes.
const EVENTS: usize = 256;

pub(crate) struct Hub {
    registry: Registry,
    waker: Waker,
    resumer: Resumer,
    /// What is known of each upstream connection.
    slots: Box<[Mutex<Slot>]>,
    /// The slots of no connection.
    free: Mutex<Vec<u32>>,
    /// For each upstream the connections that are kept, the one that was used last at the end.
    kept: Box<[Mutex<VecDeque<Kept>>]>,
    kept_max: usize,
    idle_timeout: Duration,
    /// The thread sleeps without a timeout, because no connection is kept.
    is_asleep: AtomicBool,
    is_stopping: AtomicBool,
}

#[derive(Default)]
struct Slot {
    /// Of the exchange that waits.
    token: Option<DeferToken>,
    /// What happened since it last looked.
    ready: Ready,
    /// How often the slot was used: events of an earlier connection do not count.
    generation: u32,
    /// The upstream, if the connection is kept.
    kept_of: Option<usize>,
}

/// A connection that no exchange uses.
struct Kept {
    socket: Socket,
    slot: u32,
    since: Instant,
}

impl Hub {
    /// Starts the thread, for so many connections to so many upstreams, of each of which `kept_max` are kept for up to
    /// `idle_timeout`.
    pub(crate) fn start(
        resumer: Resumer,
        connections: usize,
        upstreams: usize,
        kept_max: usize,
        idle_timeout: Duration,
    ) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let poll = Poll::new()?;
        let hub = Arc::new(Self {
            registry: poll.registry().try_clone()?,
            waker: Waker::new(poll.registry(), WAKE)?,
            resumer,
            slots: (0..connections).map(|_| Mutex::default()).collect(),
            free: Mutex::new((0..connections as u32).rev().collect()),
            kept: (0..upstreams).map(|_| Mutex::new(VecDeque::with_capacity(kept_max))).collect(),
            kept_max,
            idle_timeout,
            is_asleep: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
        });
        let its = Arc::clone(&hub);
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn(move || its.run(poll))?;
        Ok((hub, thread))
    }

    /// Ends the thread, and closes all kept connections.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        let _ = self.waker.wake();
        for kept in &self.kept {
            let kept: Vec<Kept> = lock(kept).drain(..).collect();
            kept.into_iter().for_each(|kept| self.close_socket(kept.socket, kept.slot));
        }
    }

    /// Watches a socket that is being connected.
    pub(crate) fn add(&self, mut socket: Socket) -> io::Result<Link> {
        let Some(slot) = lock(&self.free).pop() else { return Err(ErrorKind::QuotaExceeded.into()) };
        let generation = {
            let mut state = self.slot(slot);
            let generation = (state.generation + 1) % GENERATIONS;
            *state = Slot { generation, ..Slot::default() };
            generation
        };
        let token = Token(slot as usize | (generation as usize) << SLOTS_MAX.trailing_zeros());
        if let Err(error) = self.registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE) {
            lock(&self.free).push(slot);
            return Err(error);
        }
        Ok(Link::new(socket, slot))
    }

    /// Takes a kept connection to this upstream, one on which nothing has happened since it is kept. If the request must not be
    /// sent twice (`is_careful`), the socket is asked once more.
    pub(crate) fn take(&self, upstream: usize, is_careful: bool) -> Option<Link> {
        loop {
            let Kept { mut socket, slot, .. } = lock(self.kept.get(upstream)?).pop_back()?;
            let is_quiet = {
                let mut state = self.slot(slot);
                state.kept_of = None;
                !state.ready.read && !state.ready.end
            };
            if is_quiet && (!is_careful || socket.is_quiet()) {
                return Some(Link::reused(socket, slot));
            }
            self.close_socket(socket, slot);
        }
    }

    /// Keeps a connection on which the next request can be sent.
    pub(crate) fn keep(&self, mut link: Link, upstream: usize) {
        let is_emptied = link.is_emptied();
        let (socket, slot) = link.into_parts();
        let Some(all) = self.kept.get(upstream).filter(|_| is_emptied) else {
            return self.close_socket(socket, slot);
        };
        let mut all = lock(all);
        {
            let mut state = self.slot(slot);
            let is_usable = !state.ready.read && !state.ready.end && !self.is_stopping.load(Ordering::SeqCst);
            if is_usable && self.kept_max > 0 {
                state.kept_of = Some(upstream);
            } else {
                drop(state);
                drop(all);
                return self.close_socket(socket, slot);
            }
        }
        let oldest = if all.len() >= self.kept_max { all.pop_front() } else { None };
        all.push_back(Kept { socket, slot, since: Instant::now() });
        drop(all);
        if let Some(oldest) = oldest {
            self.close_socket(oldest.socket, oldest.slot);
        }
        if self.is_asleep.swap(false, Ordering::SeqCst) {
            let _ = self.waker.wake();
        }
    }

    pub(crate) fn close(&self, link: Link) {
        let (socket, slot) = link.into_parts();
        self.close_socket(socket, slot);
    }

    /// How many connections are kept.
    pub(crate) fn kept(&self) -> usize {
        self.kept.iter().map(|kept| lock(kept).len()).sum()
    }

    /// Lets a connection know what has happened.
    pub(crate) fn refresh(&self, link: &mut Link) {
        let ready = std::mem::take(&mut self.slot(link.slot()).ready);
        link.note(ready);
    }

    /// Has the token resolved when something happens on the connection. If something has happened already, the token is not
    /// taken, and this is `false`.
    pub(crate) fn watch(&self, link: &mut Link, token: DeferToken) -> bool {
        let mut state = self.slot(link.slot());
        if state.ready.is_any() {
            state.token = None;
            link.note(std::mem::take(&mut state.ready));
            return false;
        }
        state.token = Some(token);
        true
    }

    /// Resolves a token at once.
    pub(crate) fn resume(&self, token: DeferToken) {
        self.resumer.resume(token);
    }

    fn slot(&self, slot: u32) -> MutexGuard<'_, Slot> {
        lock(&self.slots[slot as usize])
    }

    fn close_socket(&self, mut socket: Socket, slot: u32) {
        let _ = self.registry.deregister(&mut socket);
        drop(socket);
        self.slot(slot).kept_of = None;
        lock(&self.free).push(slot);
    }

    fn run(&self, mut poll: Poll) {
        let (mut events, mut tokens) = (Events::with_capacity(EVENTS), Vec::with_capacity(EVENTS));
        while !self.is_stopping.load(Ordering::SeqCst) {
            self.is_asleep.store(true, Ordering::SeqCst);
            let timeout = self.sweep(Instant::now());
            if timeout.is_some() {
                self.is_asleep.store(false, Ordering::SeqCst);
            }
            match poll.poll(&mut events, timeout) {
                Ok(()) => {
                    tokens.extend(events.iter().filter_map(|event| self.note(event)));
                    self.resumer.resume_all(tokens.drain(..));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nothing else is left to an event loop without events; exchanges end by their timeouts.
                Err(_) => return,
            }
        }
    }

    /// Notes an event, and returns the token of the exchange that waits for it.
    fn note(&self, event: &Event) -> Option<DeferToken> {
        let (slot, generation) = (event.token().0 % SLOTS_MAX, event.token().0 / SLOTS_MAX);
        if event.token() == WAKE {
            return None;
        }
        let mut state = lock(self.slots.get(slot)?);
        if state.generation as usize != generation {
            return None;
        }
        state.ready.read |= event.is_readable() || event.is_read_closed() || event.is_error();
        state.ready.write |= event.is_writable() || event.is_write_closed() || event.is_error();
        state.ready.end |= event.is_read_closed() || event.is_error();
        let token = state.token.take();
        let kept_of = state.kept_of.filter(|_| state.ready.read);
        drop(state);
        if let Some(upstream) = kept_of {
            self.end_kept(upstream, slot as u32);
        }
        token
    }

    /// Closes a kept connection on which something has happened: its end, or bytes that nobody has asked for.
    fn end_kept(&self, upstream: usize, slot: u32) {
        let mut kept = lock(&self.kept[upstream]);
        let at = kept.iter().position(|kept| kept.slot == slot);
        let ended = at.and_then(|at| kept.remove(at));
        drop(kept);
        if let Some(kept) = ended {
            self.close_socket(kept.socket, kept.slot);
        }
    }

    /// Closes the connections that were kept for long enough; tells when the next one will have been.
    fn sweep(&self, now: Instant) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        for kept in &self.kept {
            loop {
                let mut kept = lock(kept);
                let Some(oldest) = kept.front() else { break };
                let left = (oldest.since + self.idle_timeout).saturating_duration_since(now);
                if !left.is_zero() {
                    next = Some(next.map_or(left, |next| next.min(left)));
                    break;
                }
                let oldest = kept.pop_front();
                drop(kept);
                if let Some(oldest) = oldest {
                    self.close_socket(oldest.socket, oldest.slot);
                }
            }
        }
        next
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
