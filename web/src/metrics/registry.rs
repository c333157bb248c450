//! The numbers of all workers.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use std::vec::Vec;

use aurora_http_core::counters::Counters;
use aurora_http_core::pool::{Class, ClassStats};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use super::{CONTENT_TYPE, Exchanges, Metrics, Text};

/// The [`Exchanges`] of all workers of a program. It takes a lock when a worker starts and when a page is written, and never for a
/// request.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    all: Arc<Mutex<Vec<Arc<Exchanges>>>>,
}

impl Registry {
    /// Without any worker yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Middleware for one more worker, with the system's monotonic clock. Call it once for each handler: a worker that takes the
    /// place of a panicked one goes on with the numbers of one that is gone, so that none ever decreases, and the page does not grow.
    #[must_use]
    pub fn metrics(&self) -> Metrics<Arc<Exchanges>> {
        let mut all = self.lock();
        let left = all.iter().find(|own| Arc::strong_count(own) == 1).cloned();
        let own = left.unwrap_or_else(|| {
            let own = Arc::new(Exchanges::new());
            all.push(own.clone());
            own
        });
        Metrics::new(own, now_us)
    }

    /// Calls `f` with the numbers of all workers, for [`Text::exchanges`](super::Text::exchanges).
    pub fn read<R>(&self, f: impl FnOnce(&[Arc<Exchanges>]) -> R) -> R {
        f(&self.lock())
    }

    /// Answers with everything that there is: a server's counters, its buffers, and the exchanges of all workers. `buffers` returns
    /// the buffers of a class, as `ServerCounters::buffers` does. Numbers of the program's own take a [`Text`].
    ///
    /// # Errors
    /// Those of the response.
    pub fn respond(
        &self,
        response: &mut ResponseWriter<'_>,
        counters: &Counters,
        buffers: impl Fn(Class) -> ClassStats,
    ) -> Result<(), WriteError> {
        response.field("Content-Type", CONTENT_TYPE)?;
        response.body_with(|body| {
            let mut text = Text::new(body);
            text.server(counters)?;
            text.buffers(buffers)?;
            Ok::<_, WriteError>(self.read(|all| text.exchanges(all))?)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Exchanges>>> {
        // A list of which every element is complete.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Microseconds since the first call.
fn now_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_are_replaced_leave_their_numbers_to_others() {
        let registry = Registry::new();
        let first = registry.metrics();
        for _ in 0..100 {
            drop(registry.metrics());
        }
        assert_eq!(registry.read(|all| all.len()), 2);
        drop(first);
        let both = (registry.metrics(), registry.metrics());
        assert_eq!(registry.read(|all| all.len()), 2);
        drop(both);
    }
}
