//! The reactors of a simulation, and the wrappers that a simulation puts around them.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{
    Completion, IoError, IoHandle, Op, OpToken, Peers, Reactor, Seen, Shutdown, Submission,
};
use aurora_http_core::readiness::Readiness;
use aurora_http_core::sim::{Network, Sim, SimCalls, SimWaker};
use aurora_http_core::time::Instant;

/// A reactor over a simulated network.
pub(crate) trait Face<'p>: Reactor<'p> {
    fn network(&mut self) -> &mut Network;
    fn waker(&self) -> SimWaker;
    /// Whether its descriptor is readable.
    fn is_readable(&mut self) -> bool;
    /// When the next delayed event is due.
    fn next_due(&mut self) -> Option<Instant>;
    /// Submissions and calls that broke the contract.
    fn refusals(&self) -> u32;
}

impl<'p> Face<'p> for Sim<'p> {
    fn network(&mut self) -> &mut Network {
        self
    }

    fn waker(&self) -> SimWaker {
        Self::waker(self)
    }

    fn is_readable(&mut self) -> bool {
        Self::is_readable(self)
    }

    fn next_due(&mut self) -> Option<Instant> {
        Self::next_due(self)
    }

    fn refusals(&self) -> u32 {
        Self::refusals(self)
    }
}

impl<'p> Face<'p> for Readiness<'_, 'p, SimCalls> {
    fn network(&mut self) -> &mut Network {
        self.get_mut()
    }

    fn waker(&self) -> SimWaker {
        self.get_ref().waker()
    }

    fn is_readable(&mut self) -> bool {
        self.get_ref().is_readable()
    }

    fn next_due(&mut self) -> Option<Instant> {
        self.get_ref().next_due()
    }

    fn refusals(&self) -> u32 {
        self.get_ref().refusals()
    }
}

/// The methods that a wrapper passes on to the inner reactor.
macro_rules! left_to_inner {
    () => {
        fn provide(&mut self, buf: Buf<'p>) -> Result<(), Buf<'p>> {
            self.inner.provide(buf)
        }

        fn reclaim(&mut self) -> Option<Buf<'p>> {
            self.inner.reclaim()
        }

        fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
            self.inner.shutdown(io, how);
        }

        fn cancel(&mut self, token: OpToken, io: IoHandle) {
            self.inner.cancel(token, io);
        }

        fn has_work(&self) -> bool {
            self.inner.has_work()
        }

        fn flush(&mut self) {
            self.inner.flush();
        }

        fn unix_time(&self) -> Option<u64> {
            self.inner.unix_time()
        }

        fn peers(&self) -> &dyn Peers {
            self.inner.peers()
        }
    };
}

/// The moments of a turn at which time may pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Moment {
    /// Before the wait, which still reports what happens then.
    BeforeWait,
    /// After the wait, which does not.
    BehindWait,
}

/// A reactor for one turn, during which time passes.
pub(crate) struct Passing<'b, R, M> {
    pub(crate) inner: &'b mut R,
    /// Called when time may pass.
    pub(crate) meanwhile: M,
}

impl<'p, R: Reactor<'p>, M: FnMut(&mut R, Moment)> Reactor<'p> for Passing<'_, R, M> {
    left_to_inner!();

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn submit(&mut self, submission: Submission<'p>) -> Result<(), Submission<'p>> {
        self.inner.submit(submission)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<Seen, IoError> {
        (self.meanwhile)(self.inner, Moment::BeforeWait);
        let seen = self.inner.wait(timeout);
        (self.meanwhile)(self.inner, Moment::BehindWait);
        seen
    }

    fn next_completion(&mut self) -> Option<Completion<'p>> {
        self.inner.next_completion()
    }
}

/// A reactor that tracks the operations in flight, and whose waits other threads may interrupt.
pub(crate) struct Watched<'a, R> {
    pub(crate) inner: R,
    in_flight: HashSet<u64>,
    /// The time as the engine was told.
    clock: Rc<Cell<Instant>>,
    /// What other threads do just before the wait; returns when they will wake it.
    pub(crate) before_wait: Box<dyn FnMut(Instant) -> Option<Instant> + 'a>,
    pub(crate) fault: Option<String>,
}

impl<'a, R> Watched<'a, R> {
    pub(crate) fn new(
        inner: R,
        clock: Rc<Cell<Instant>>,
        before_wait: impl FnMut(Instant) -> Option<Instant> + 'a,
    ) -> Self {
        Self { inner, in_flight: HashSet::new(), clock, before_wait: Box::new(before_wait), fault: None }
    }

    /// Operations in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

impl<'p, R: Reactor<'p>> Reactor<'p> for Watched<'_, R> {
    left_to_inner!();

    fn now(&self) -> Instant {
        let now = self.inner.now();
        self.clock.set(now);
        now
    }

    fn submit(&mut self, submission: Submission<'p>) -> Result<(), Submission<'p>> {
        let token = submission.token.to_bits();
        let sent = match &submission.op {
            Op::Send { head, body, .. } => Some((head, *body)),
            Op::SendFile { head, .. } => Some((head, &[][..])),
            _ => None,
        };
        if let Some((head, body)) = sent
            && !leaves_alone(head.filled(), body)
        {
            self.fault.get_or_insert("a 100 (Continue) is sent together with its response".to_owned());
        }
        let result = self.inner.submit(submission);
        if result.is_ok() && !self.in_flight.insert(token) {
            self.fault.get_or_insert(format!("two operations have the token {token:x}"));
        }
        result
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<Seen, IoError> {
        let now = self.inner.now();
        let wakes = (self.before_wait)(now).map(|at| now.until(at));
        self.inner.wait(timeout.into_iter().chain(wakes).min())
    }

    fn next_completion(&mut self) -> Option<Completion<'p>> {
        let completion = self.inner.next_completion()?;
        let token = completion.token.to_bits();
        if !completion.more && !self.in_flight.remove(&token) {
            self.fault.get_or_insert(format!("{token:x} completes but is not in flight"));
        }
        Some(completion)
    }
}

/// Whether an interim response is sent without anything of the response after it.
fn leaves_alone(head: &[u8], body: &[u8]) -> bool {
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let found = head.windows(CONTINUE.len()).position(|window| window == CONTINUE);
    found.is_none_or(|at| at + CONTINUE.len() == head.len() && body.is_empty())
}
