//! Counts how often each transition was taken in this process, for tests that must cover all of them.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{Event, State};

static COUNTS: [[AtomicU64; Event::COUNT]; State::COUNT] =
    [const { [const { AtomicU64::new(0) }; Event::COUNT] }; State::COUNT];

#[cfg(debug_assertions)]
pub(crate) fn count(state: State, event: Event) {
    COUNTS[state as usize][event as usize].fetch_add(1, Ordering::Relaxed);
}

/// Every legal transition, and how often all engines of the process have taken it so far. Counted only in builds with
/// debug assertions, so that measurements are not disturbed.
pub fn transitions() -> impl Iterator<Item = (State, Event, u64)> {
    let all = State::ALL.into_iter().flat_map(|state| Event::ALL.into_iter().map(move |event| (state, event)));
    all.filter(|(state, event)| state.after(*event).is_some())
        .map(|(state, event)| (state, event, COUNTS[state as usize][event as usize].load(Ordering::Relaxed)))
}
