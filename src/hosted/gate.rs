//! Where workers that are made wait until all are.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::error::ServerError;

/// Between the thread that starts a server and its workers, which it makes one after another. Waiting here allocates
/// nothing, so that a worker that waits takes nothing from the one that is being made.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What the worker that is being made has told.
    told: Option<Told>,
    /// Whether the workers are to serve; nothing as long as others are being made.
    serve: Option<bool>,
}

/// What a worker tells before it serves.
pub(super) enum Told {
    /// It can serve.
    Made,
    /// It cannot.
    Failed(ServerError),
    /// Its thread ends, and does not say why.
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

    /// By a worker.
    pub(super) fn tell(&self, told: Told) {
        self.lock().told = Some(told);
        self.changed.notify_all();
    }

    /// What the worker that is being made tells.
    pub(super) fn told(&self) -> Told {
        self.wait(|state| state.told.take())
    }

    /// Lets all workers go, to serve or to end.
    pub(super) fn open(&self, serve: bool) {
        self.lock().serve = Some(serve);
        self.changed.notify_all();
    }

    /// By a worker that is made: whether to serve, once that is known.
    pub(super) fn pass(&self) -> bool {
        self.wait(|state| state.serve)
    }
}
