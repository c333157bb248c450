//! The thread that resolves deferred answers.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use aurora_http::{DeferToken, Resumer};

/// A token, and when to resolve it.
pub(crate) type Alarm = (Instant, DeferToken);

/// Resolves tokens when they are due, until all workers are gone. Some are stale by then, which is harmless.
pub(crate) fn keep_time(alarms: &Receiver<Alarm>, resumer: &Resumer) {
    let mut waiting: Vec<Alarm> = Vec::with_capacity(1024);
    loop {
        let now = Instant::now();
        waiting.retain(|&(due, token)| {
            let is_due = due <= now;
            if is_due {
                resumer.resume(token);
            }
            !is_due
        });
        let next = waiting.iter().map(|(due, _)| *due).min();
        let wait = next.map_or(Duration::from_secs(3600), |due| due.saturating_duration_since(now));
        match alarms.recv_timeout(wait) {
            Ok(alarm) => waiting.push(alarm),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
