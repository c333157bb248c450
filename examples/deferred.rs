//! Deferred answers: `cargo run --release --example deferred`, then `curl -i 'http://127.0.0.1:8080/later?ms=200'`.
//!
//! One thread keeps time for all workers. The handler sends it a token and the time to resolve it; until then the
//! connection occupies no thread and no buffer. `/now` resolves its own token immediately.

mod support;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use aurora_http::{DeferToken, Flow, Handler, Request, ResponseWriter, Resumer, ServerError};

/// The longest wait. The server's own timeout for deferred answers is longer.
const WAIT_MS_MAX: u64 = 30_000;

/// A token, and when to resolve it.
type Alarm = (Instant, DeferToken);

/// The handler; each worker has one.
struct Later {
    alarms: Sender<Alarm>,
    resumer: Resumer,
}

impl Handler for Later {
    /// Milliseconds to wait.
    type Exchange = u64;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<u64> {
        let wait_ms = match request.path() {
            b"/now" => Some(0),
            b"/later" => wait_ms(request).filter(|ms| *ms <= WAIT_MS_MAX),
            _ => {
                let _ = response.fail(404);
                return Flow::Finish;
            }
        };
        let Some(wait_ms) = wait_ms else {
            let _ = response.fail(400);
            return Flow::Finish;
        };
        // If this fails, the writer remembers the error and the engine answers 500.
        let Ok(token) = response.defer() else { return Flow::Finish };
        if request.path() == b"/now" {
            self.resumer.resume(token);
        } else if self.alarms.send((Instant::now() + Duration::from_millis(wait_ms), token)).is_err() {
            let _ = response.fail(503);
            return Flow::Finish;
        }
        Flow::Defer(wait_ms)
    }

    fn resume(&mut self, wait_ms: u64, response: &mut ResponseWriter<'_>) -> Flow<u64> {
        let _ = response.body(format!("after {wait_ms} ms\n"));
        Flow::Finish
    }
}

/// The value of `ms=…` in the query.
fn wait_ms(request: &Request<'_>) -> Option<u64> {
    let (_, value) = request.query()?.find(|(name, _)| *name == b"ms")?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Resolves tokens when they are due, until all workers are gone.
fn keep_time(alarms: &Receiver<Alarm>, resumer: &Resumer) {
    let mut due = BinaryHeap::new();
    loop {
        let wait = due.peek().map(|Reverse(Entry(at, _))| at.saturating_duration_since(Instant::now()));
        let next = match wait {
            Some(wait) => alarms.recv_timeout(wait),
            None => alarms.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok((at, token)) => due.push(Reverse(Entry(at, token))),
            Err(RecvTimeoutError::Timeout) => {
                // The client may have left. That needs no check, because a stale token does nothing.
                if let Some(Reverse(Entry(_, token))) = due.pop() {
                    resumer.resume(token);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// An alarm, ordered by its time only.
struct Entry(Instant, DeferToken);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

fn main() -> Result<(), ServerError> {
    let (alarms, keeper) = mpsc::channel();
    let server = support::server("deferred: answers GET /later?ms=N after N milliseconds, GET /now in the same turn");
    let resumer = server.resumer();
    thread::spawn(move || keep_time(&keeper, &resumer));
    server.serve(move |worker| Later { alarms: alarms.clone(), resumer: worker.resumer() })?;
    Ok(())
}
