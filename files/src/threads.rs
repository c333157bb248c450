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
    jobs: VecDeque<Job>,
    started: usize,
    idle: usize,
    is_over: bool,
}

type Job = Box<dyn FnOnce() + Send>;

/// What a job returns, once it is done.
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
        let result = Arc::new(Mutex::new(None));
        let (shared, resumer) = (Arc::clone(&result), resumer.clone());
        self.0.0.push(Box::new(move || {
            // The exchange may be gone. A panic, of a function of the program's, must not end the thread or let it wait in vain.
            let is_awaited = Arc::strong_count(&shared) > 1;
            let value = if is_awaited { catch_unwind(AssertUnwindSafe(job)).ok() } else { None };
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = value;
            resumer.resume(token);
        }));
        Pending(result)
    }

    /// Has a thread do `job`, for which nobody waits.
    pub(crate) fn detach(&self, job: impl FnOnce() + Send + 'static) {
        self.0.0.push(Box::new(job));
    }
}

impl Queue {
    fn push(self: &Arc<Self>, job: Job) {
        let mut state = self.lock();
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
                return job();
            }
        }
        drop(state);
        self.arrived.notify_one();
    }

    fn work(&self) {
        let mut state = self.lock();
        while !state.is_over {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
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
