//! Makes workers that are ready wait until all are.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::error::ServerError;

/// Connects the thread that starts a server with its workers, which it makes one after another. Waiting here allocates
/// nothing, so that waiting workers take no memory from the one that is being made.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The report of the worker that is being made.
    told: Option<Told>,
    /// Whether the workers should serve; `None` while workers are still being made.
    serve: Option<bool>,
}

/// A worker's report before it serves.
pub(super) enum Told {
    /// It can serve.
    Made,
    /// It cannot.
    Failed(ServerError),
    /// Its thread has ended without a report.
    Gone,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return found;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Called by a worker: makes its report.
    pub(super) fn tell(&self, told: Told) {
        self.lock().told = Some(told);
        self.changed.notify_all();
    }

    /// Waits for the report of the worker that is being made.
    pub(super) fn told(&self) -> Told {
        self.wait(|state| state.told.take())
    }

    /// Lets all workers continue, to serve or to end.
    pub(super) fn open(&self, serve: bool) {
        self.lock().serve = Some(serve);
        self.changed.notify_all();
    }

    /// Called by a worker that is ready: waits until it is known whether to serve.
    pub(super) fn pass(&self) -> bool {
        self.wait(|state| state.serve)
    }
}
