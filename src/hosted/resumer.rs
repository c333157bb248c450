//! Deferred answers across threads: resolving a token, and waking the worker it belongs to.

use std::collections::TryReserveError;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use aurora_http_core::defer::{DeferCell, DeferToken, Deferrals};
use aurora_http_core::pool::CacheAligned;
use aurora_http_core::reactor::Wake;

use super::table::table;

/// Signals, from any thread, that a deferred answer is ready.
///
/// A handler takes a token from [`ResponseWriter::defer`](crate::ResponseWriter::defer), hands it to whatever works out
/// the answer, and defers. When the answer is ready, that thread calls [`resume`](Self::resume) with the token:
///
/// ```no_run
/// use std::sync::mpsc;
/// use std::thread;
///
/// use aurora_http::{Server, WriteError, deferred, handler_fn};
///
/// # fn main() -> Result<(), aurora_http::ServerError> {
/// let server = Server::bind("127.0.0.1:8080")?;
/// let resumer = server.resumer();
/// let (jobs, queue) = mpsc::channel();
/// thread::spawn(move || {
///     for (token, answer) in queue {
///         let answer: mpsc::Sender<String> = answer;
///         let _ = answer.send("the result of hard work\n".into()); // first the answer, then the token
///         resumer.resume(token); // false if the client has left: nothing to do
///     }
/// });
/// server.serve(move |_worker| {
///     let jobs = jobs.clone();
///     handler_fn(move |_request, response| {
///         let (sender, answer) = mpsc::channel();
///         let _ = jobs.send((response.defer()?, sender));
///         Ok::<_, WriteError>(deferred(move |response| match answer.try_recv() {
///             Ok(text) => response.body(text),
///             Err(_) => response.fail(500),
///         }))
///     })
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// Get it from [`Server::resumer`](super::Server::resumer), before the server starts, from
/// [`WorkerContext::resumer`](super::WorkerContext::resumer) or from
/// [`WorkerStorage::resumer`](super::WorkerStorage::resumer). Each of them resolves the tokens of all workers of its
/// server, but never those of another server.
///
/// It may outlive its server; from then on it resolves nothing, even if another server is started on the same address.
#[derive(Clone)]
pub struct Resumer {
    board: Arc<Board>,
}

impl Resumer {
    /// Wakes the worker that the token belongs to, and makes it call [`Handler::resume`](crate::Handler::resume).
    /// Returns `false`, and does nothing, when the token is stale (answered, timed out, client gone) or belongs to
    /// another server.
    ///
    /// Put the answer where the handler will find it before you call this.
    pub fn resume(&self, token: DeferToken) -> bool {
        let worker = usize::from(token.worker());
        let resolved = self.board.deferrals(worker).resolve(token);
        if resolved {
            self.board.wake(worker);
        }
        resolved
    }

    /// As [`resume`](Self::resume) for each of the tokens, but wakes a worker once for all of its: for threads that learn of
    /// many events at a time. Returns how many were not stale.
    pub fn resume_all(&self, tokens: impl IntoIterator<Item = DeferToken>) -> usize {
        let (mut resolved, mut workers) = (0, 0_u64);
        for token in tokens {
            let worker = usize::from(token.worker());
            if !self.board.deferrals(worker).resolve(token) {
                continue;
            }
            resolved += 1;
            match 1_u64.checked_shl(worker as u32) {
                Some(bit) => workers |= bit,
                None => self.board.wake(worker),
            }
        }
        while workers != 0 {
            self.board.wake(workers.trailing_zeros() as usize);
            workers &= workers - 1;
        }
        resolved
    }
}

impl fmt::Debug for Resumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumer").field("realm", &self.board.realm).finish_non_exhaustive()
    }
}

/// The next server's realm, which is unique for the first 2³² servers of a process.
static NEXT_REALM: AtomicU32 = AtomicU32::new(0);

/// What the workers of one server share with the threads that resolve tokens.
pub(super) struct Board {
    realm: u32,
    /// One per worker, made when their number is known. Each worker sets up its own, so that the memory is near its
    /// CPU.
    desks: OnceLock<Box<[OnceLock<Desk>]>>,
}

/// One worker's part of the board.
struct Desk {
    cells: Vec<DeferCell>,
    group_bells: Vec<AtomicBool>,
    bell: CacheAligned<AtomicBool>,
    /// Wakes the worker that is serving now.
    waker: RwLock<Option<Box<dyn Wake>>>,
}

impl Board {
    /// A board without workers.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { realm: NEXT_REALM.fetch_add(1, Ordering::Relaxed), desks: OnceLock::new() })
    }

    /// Makes room for the desks of this many workers. Only the first call has an effect.
    pub(super) fn seat(&self, workers: usize) {
        self.desks.get_or_init(|| (0..workers).map(|_| OnceLock::new()).collect());
    }

    pub(super) fn resumer(self: &Arc<Self>) -> Resumer {
        Resumer { board: Arc::clone(self) }
    }

    /// Sets up the desk of a worker with this many connections.
    pub(super) fn set_up(&self, worker: usize, connections: usize) -> Result<(), TryReserveError> {
        let desk = Desk {
            cells: table(connections, DeferCell::new)?,
            group_bells: table(connections.div_ceil(Deferrals::GROUP), || AtomicBool::new(false))?,
            bell: CacheAligned(AtomicBool::new(false)),
            waker: RwLock::new(None),
        };
        if let Some(place) = self.place(worker) {
            // A replacement keeps the desk of the first worker.
            let _ = place.set(desk);
        }
        Ok(())
    }

    /// Wakes a worker, if it is running.
    pub(super) fn wake(&self, worker: usize) {
        if let Some(desk) = self.desk(worker) {
            desk.wake();
        }
    }

    /// Sets what a resolved token of this worker wakes from now on.
    pub(super) fn set_waker(&self, worker: usize, waker: Option<Box<dyn Wake>>) {
        if let Some(desk) = self.desk(worker) {
            *desk.waker.write().unwrap_or_else(PoisonError::into_inner) = waker;
        }
    }

    pub(super) fn deferrals(&self, worker: usize) -> Deferrals<'_> {
        match (self.desk(worker), u16::try_from(worker)) {
            (Some(desk), Ok(number)) => Deferrals::new(number, &desk.cells, &desk.bell.0)
                .in_realm(self.realm)
                .with_group_bells(&desk.group_bells),
            _ => Deferrals::NONE,
        }
    }

    fn desk(&self, worker: usize) -> Option<&Desk> {
        self.place(worker)?.get()
    }

    fn place(&self, worker: usize) -> Option<&OnceLock<Desk>> {
        self.desks.get()?.get(worker)
    }
}

impl Desk {
    /// Takes only a read lock, so that threads that resolve tokens do not wait for each other.
    fn wake(&self) {
        if let Some(waker) = &*self.waker.read().unwrap_or_else(PoisonError::into_inner) {
            waker.wake();
        }
    }
}
