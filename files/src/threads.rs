//! A few threads for calls that wait for a disk.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use aurora_http::{DeferToken, Resumer};

/// The most threads; they are started when there is work for them.
const THREADS_MAX: usize = 4;

/// The threads end when this and all its clones are dropped. Work waits in a queue, of which each exchange has at most one part
/// as long as it is there, and one that it leaves.
#[derive(Clone)]
pub(crate) struct Threads(Arc<Owner>);

struct Owner(Arc<Queue>);

struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    /// Work that nobody waits for any more is thrown away when the queue would grow, so that it is never longer than twice what
    /// there are exchanges: clients that leave cannot fill it while the disk hangs.
    jobs: VecDeque<Job>,
    started: usize,
    idle: usize,
    is_over: bool,
}

struct Job {
    /// The exchange has not ended.
    is_awaited: Box<dyn Fn() -> bool + Send>,
    work: Box<dyn FnOnce() + Send>,
}

/// What a job returns, once it is done. To drop it means that the result is not wanted any more.
pub(crate) struct Pending<T>(Arc<Mutex<Option<T>>>);

impl<T> Pending<T> {
    /// The result, once; `None` if the job could not be done.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

impl Threads {
    pub(crate) fn new() -> Self {
        let state = State { jobs: VecDeque::new(), started: 0, idle: 0, is_over: false };
        Self(Arc::new(Owner(Arc::new(Queue { state: Mutex::new(state), arrived: Condvar::new() }))))
    }

    /// Has a thread do `job`, and resolve the token when it is done.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        resumer: &Resumer,
        token: DeferToken,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Pending<T> {
        let resumer = resumer.clone();
        self.push(job, move || {
            resumer.resume(token);
        })
    }

    /// Has a thread do `job`, and then `tell` that it is done.
    fn push<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
        tell: impl FnOnce() + Send + 'static,
    ) -> Pending<T> {
        let result = Arc::new(Mutex::new(None));
        let (awaited, place) = (Arc::downgrade(&result), Arc::downgrade(&result));
        let is_awaited = move || awaited.strong_count() > 0;
        let work = move || {
            if place.strong_count() == 0 {
                return;
            }
            // A panic, of a function of the program's, must not end the thread or let the exchange wait in vain.
            let value = catch_unwind(AssertUnwindSafe(job)).ok();
            if let Some(place) = place.upgrade() {
                *place.lock().unwrap_or_else(PoisonError::into_inner) = value;
                tell();
            }
        };
        self.0.0.push(Job { is_awaited: Box::new(is_awaited), work: Box::new(work) });
        Pending(result)
    }

    /// Has a thread do `job`, for which nobody waits.
    pub(crate) fn detach(&self, job: impl FnOnce() + Send + 'static) {
        self.0.0.push(Job { is_awaited: Box::new(|| true), work: Box::new(job) });
    }
}

impl Queue {
    fn push(self: &Arc<Self>, job: Job) {
        let mut state = self.lock();
        let mut left = VecDeque::new();
        if state.jobs.len() == state.jobs.capacity() {
            let jobs = std::mem::take(&mut state.jobs);
            let (awaited, others) = jobs.into_iter().partition(|job: &Job| (job.is_awaited)());
            (state.jobs, left) = (awaited, others);
        }
        state.jobs.push_back(job);
        if state.idle < state.jobs.len() && state.started < THREADS_MAX {
            let queue = Arc::clone(self);
            let started = thread::Builder::new().name("aurora-files".into()).spawn(move || queue.work());
            state.started += usize::from(started.is_ok());
            if state.started == 0
                && let Some(job) = state.jobs.pop_back()
            {
                // There are no threads to be had: better late than never.
                drop(state);
                return (job.work)();
            }
        }
        drop(state);
        self.arrived.notify_one();
        drop(left); // their files are closed now that nobody waits for the lock
    }

    fn work(&self) {
        let mut state = self.lock();
        while !state.is_over {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                (job.work)();
                state = self.lock();
            } else {
                state.idle += 1;
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.arrived.notify_all();
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// All threads wait at it, as for a disk that hangs.
    pub(crate) struct Gate {
        state: Arc<(Mutex<(usize, bool)>, Condvar)>,
        _jobs: Vec<Pending<()>>,
    }

    impl Gate {
        /// The threads do nothing else behind the work that is there.
        pub(crate) fn close(threads: &Threads) -> Self {
            let state = Arc::new((Mutex::new((0, false)), Condvar::new()));
            let wait = || {
                let state = Arc::clone(&state);
                move || {
                    let mut locked = state.0.lock().unwrap();
                    locked.0 += 1;
                    state.1.notify_all();
                    drop(state.1.wait_while(locked, |(_, is_open)| !*is_open).unwrap());
                }
            };
            let jobs = (0..THREADS_MAX).map(|_| threads.push(wait(), || {})).collect();
            Self { state: Arc::clone(&state), _jobs: jobs }
        }

        /// Waits until all threads are there.
        pub(crate) fn is_reached(&self) {
            let (lock, told) = &*self.state;
            drop(told.wait_while(lock.lock().unwrap(), |(count, _)| *count < THREADS_MAX).unwrap());
        }

        pub(crate) fn open(&self) {
            self.state.0.lock().unwrap().1 = true;
            self.state.1.notify_all();
        }
    }

    impl Threads {
        /// How much work waits.
        pub(crate) fn queued(&self) -> usize {
            self.0.0.lock().jobs.len()
        }
    }

    #[test]
    fn a_panic_ends_neither_a_thread_nor_the_wait() {
        let threads = Threads::new();
        let (tell, told) = std::sync::mpsc::channel();
        for _ in 0..2 * THREADS_MAX {
            let tell = tell.clone();
            let pending: Pending<()> = threads.push(|| panic!("on purpose"), move || tell.send(()).unwrap());
            told.recv().unwrap();
            assert_eq!(pending.take(), None);
        }
        let gate = Gate::close(&threads);
        gate.is_reached();
        gate.open();
    }

    #[test]
    fn work_that_nobody_waits_for_does_not_pile_up() {
        let threads = Threads::new();
        let gate = Gate::close(&threads);
        gate.is_reached();
        let held = Arc::new(());
        let mut wanted = Vec::new();
        for number in 0..10_000 {
            let kept = Arc::clone(&held);
            let pending = threads.push(move || drop(kept), || {});
            if number % 1_000 == 0 {
                wanted.push(pending);
            }
        }
        assert!(threads.queued() <= 64 && Arc::strong_count(&held) <= 65, "{} jobs", threads.queued());
        gate.open();
        let last = Gate::close(&threads);
        last.is_reached();
        assert!(wanted.iter().all(|pending| pending.take().is_some()), "what is wanted is done");
        last.open();
    }
}
