//! A ring as a poller: it reports what sockets are ready for, and the program makes the calls on them.

use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use aurora_http_core::reactor::{Ready, Seen, Wake};
use aurora_http_sockets::{Eventfd, Key, Role, Selector, Waker};
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Errno;
use rustix::time::Timespec;
use rustix_uring::cqueue;
use rustix_uring::squeue;

use crate::nested::NestedFd;
use crate::ops::{self, Kind};
use crate::refusal::{Refusal, Rungs, refusal};
use crate::ring::{EVERYTHING, Ring};

/// Keys whose polls could not be queued, because the kernel was not taking submissions.
const UNQUEUED_MAX: usize = 16;

/// How long the first event may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// A ring in which every socket is polled once and for all, for every kind of event.
///
/// For layers that need the bytes before the engine does, such as TLS: the kernel cannot receive into the engine's buffers
/// there, so it reports readiness, as epoll does, and the calls are the program's. A poll costs no system call: it is queued
/// and submitted with the next wait.
///
/// It is not `Send`, because the kernel ties a ring to the thread that made it:
///
/// ```compile_fail
/// fn moves_to_another_thread<T: Send>() {}
/// moves_to_another_thread::<aurora_http_uring::UringSelector>();
/// ```
pub struct UringSelector {
    ring: Ring,
    waker: Waker<Eventfd>,
    /// The poll on the waker's eventfd is in flight.
    waker_polled: bool,
    nested: NestedFd,
    /// The kernel or its queue has more than the last wait took.
    behind: bool,
    /// Keys of polls that could not be queued, or not cancelled; their sockets count as ready until they can.
    unqueued: [Key; UNQUEUED_MAX],
    unqueued_count: usize,
    /// Makes it `!Send`: a ring belongs to a thread.
    thread: PhantomData<*mut ()>,
}

impl UringSelector {
    /// Bytes that one for so many sockets shares with the kernel.
    #[must_use]
    pub const fn queue_bytes(sockets: usize) -> usize {
        crate::ring::bytes(completions_max(sockets))
    }

    /// Which optional kernel features it uses.
    #[must_use]
    pub const fn rungs(&self) -> Rungs {
        self.ring.rungs()
    }

    fn push(&mut self, sqe: &squeue::Entry) -> Result<(), Errno> {
        // SAFETY: neither a poll nor a cancel references memory.
        unsafe { self.ring.push(sqe) }.map_err(|_| Errno::NOMEM)
    }

    fn poll(&mut self, socket: BorrowedFd<'_>, key: Key) -> Result<(), Errno> {
        let events = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP;
        self.push(&ops::events(socket.as_raw_fd(), events, Kind::Poll, key.0))
    }

    /// Queues the poll on the waker's eventfd unless one is in flight.
    fn poll_waker(&mut self) {
        if !self.waker_polled {
            let eventfd = self.waker.get_ref().as_fd().as_raw_fd();
            self.waker_polled = self.push(&ops::events(eventfd, EventFlags::IN, Kind::Wake, 0)).is_ok();
        }
    }

    /// Remembers a poll that could not be queued or cancelled. There is little room: a kernel that takes none of so many
    /// submissions will not take others.
    #[cold]
    fn put_off(&mut self, key: Key) -> Result<(), Errno> {
        *self.unqueued.get_mut(self.unqueued_count).ok_or(Errno::NOMEM)? = key;
        self.unqueued_count += 1;
        Ok(())
    }

    /// Queues the poll of an open socket, or cancels that of a closed one.
    #[cold]
    fn settle(&mut self, socket: Option<BorrowedFd<'_>>, key: Key) -> Result<(), Errno> {
        let settled = match socket {
            Some(socket) => self.poll(socket, key),
            None => self.push(&ops::cancel(Kind::Poll, key.0)),
        };
        settled.or_else(|_| self.put_off(key))
    }

    /// Checks that a poll reports, and goes on: a kernel, or what stands for one, may lack that.
    fn try_waker(&mut self) -> Result<(), Refusal> {
        self.poll_waker();
        self.waker.wake();
        while let Err(error) = self.ring.enter(1, Some(PATIENCE)) {
            if error != Errno::INTR {
                return Err(if error == Errno::TIME { Refusal::NoAnswer } else { refusal(error) });
            }
        }
        self.waker.get_ref().empty();
        match self.ring.pop() {
            Some(event) if event.raw_result() > 0 && cqueue::more(event.flags()) => Ok(()),
            Some(_) => Err(Refusal::TooOld("IORING_POLL_ADD_MULTI")),
            None => Err(Refusal::NoAnswer),
        }
    }
}

impl Selector for UringSelector {
    type Waking = Eventfd;

    type Refusal = Refusal;

    fn new(sockets: usize) -> Result<Self, Refusal> {
        let ring = Ring::new(completions_max(sockets), 0)?;
        let waker = Waker::new(Eventfd::new().map_err(refusal)?);
        let mut selector = Self {
            ring,
            waker,
            waker_polled: false,
            nested: NestedFd::new(),
            behind: false,
            unqueued: [Key::NONE; UNQUEUED_MAX],
            unqueued_count: 0,
            thread: PhantomData,
        };
        selector.try_waker()?;
        Ok(selector)
    }

    fn waker(&self) -> &Waker<Eventfd> {
        &self.waker
    }

    fn register(&mut self, socket: BorrowedFd<'_>, _role: Role, key: Key) -> Result<(), Errno> {
        self.poll(socket, key)
    }

    /// Takes effect at once: the socket's next owner may close it, and then it must end.
    fn deregister(&mut self, _socket: BorrowedFd<'_>, key: Key) {
        self.closing(key);
        let entered = self.ring.enter(EVERYTHING, Some(Duration::ZERO));
        debug_assert!(matches!(entered, Ok(()) | Err(Errno::TIME | Errno::INTR | Errno::BUSY)), "{entered:?}");
    }

    /// The poll holds the open file: without this, closing the descriptor would close nothing.
    fn closing(&mut self, key: Key) {
        if self.push(&ops::cancel(Kind::Poll, key.0)).is_err() {
            // If there is no room either, the next event of the poll shows that it is to be cancelled.
            let _ = self.put_off(key);
        }
    }

    #[inline]
    fn wait<'t>(
        &mut self,
        timeout: Option<&Timespec>,
        mut each: impl FnMut(Key, Ready) -> Option<BorrowedFd<'t>>,
    ) -> Result<Seen, Errno> {
        self.poll_waker();
        for at in 0..core::mem::take(&mut self.unqueued_count) {
            let key = self.unqueued[at];
            self.settle(each(key, EVERY), key)?;
        }
        let pending = self.ring.completed() > 0 || self.unqueued_count > 0;
        let timeout = timeout.map(|time| Duration::new(time.tv_sec as u64, time.tv_nsec as u32));
        let seen = self.ring.wait(pending, timeout)?;
        let is_left = self.ring.queued() > 0;
        for _ in 0..self.ring.completed() {
            let Some(event) = self.ring.pop() else { break };
            let is_last = !cqueue::more(event.flags());
            match ops::parse_user_data(event.user_data_u64()) {
                (Kind::Poll, key) => {
                    let key = Key(key);
                    let socket = each(key, ready_of(event.raw_result()));
                    // A poll that has ended is needed again, and one that goes on for a closed socket is not.
                    if socket.is_some() == is_last {
                        self.settle(socket, key)?;
                    }
                }
                (Kind::Wake, _) => {
                    self.waker_polled &= !is_last;
                    self.waker.get_ref().empty();
                }
                _ => {}
            }
        }
        self.behind = is_left || seen == Seen::Part || self.unqueued_count > 0;
        Ok(if self.behind { Seen::Part } else { seen })
    }

    fn has_more(&self) -> bool {
        self.behind || self.nested.is_broken()
    }

    fn flush(&mut self) {
        self.poll_waker();
        // Reset before the call: whatever the call finds ends up in the queue, and anything later signals again.
        self.nested.reset();
        let entered = self.ring.enter(0, Some(Duration::ZERO));
        // An error is reported by the next wait.
        let is_taken = matches!(entered, Ok(()) | Err(Errno::TIME)) && self.ring.queued() == 0;
        self.behind = !is_taken || self.unqueued_count > 0 || self.ring.completed() > 0 || self.ring.is_behind();
    }
}

impl Drop for UringSelector {
    /// Ends the polls of closed sockets: the kernel tears a ring down with a delay, and until then they would stay open.
    fn drop(&mut self) {
        // If this fails, they end with the ring.
        let _ = self.ring.enter(EVERYTHING, Some(Duration::ZERO));
    }
}

impl AsFd for UringSelector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.nested.descriptor(&self.ring, self.waker.get_ref().as_fd())
    }
}

impl fmt::Debug for UringSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringSelector").field("rungs", &self.rungs()).finish_non_exhaustive()
    }
}

/// The most completions that can be pending at once: an event and the end of a poll for each socket, and the waker's. Those
/// that exceed the kernel's maximum wait in its own memory.
const fn completions_max(sockets: usize) -> u32 {
    let completions = sockets.saturating_mul(2).saturating_add(2);
    if completions > u32::MAX as usize { u32::MAX } else { completions as u32 }
}

/// For a socket of which nothing is known: attempts find out.
const EVERY: Ready = Ready { readable: true, writable: true, ended: false };

/// What an event means: poll(2) and epoll have the same flags. A poll that has failed says nothing about its socket.
#[inline]
fn ready_of(result: i32) -> Ready {
    let Ok(bits) = u32::try_from(result) else { return EVERY };
    let (flags, broken) = (EventFlags::from_bits_retain(bits), EventFlags::HUP.union(EventFlags::ERR));
    let ended = EventFlags::RDHUP.union(broken);
    Ready {
        readable: flags.intersects(EventFlags::IN.union(ended)),
        writable: flags.intersects(EventFlags::OUT.union(broken)),
        ended: flags.intersects(ended),
    }
}
