//! Deferred answers across threads: who may resolve a token, and whom that wakes.

use std::collections::TryReserveError;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use aurora_http_core::defer::{DeferCell, DeferToken, Deferrals};
use aurora_http_core::pool::CacheAligned;
use aurora_http_core::reactor::Wake;

use super::table::table;

/// Says from any thread that the answer to a deferred exchange is there.
///
/// A handler takes a token from [`ResponseWriter::defer`](crate::ResponseWriter::defer), gives it away together with a
/// clone of this, and returns [`Flow::Defer`](crate::Flow::Defer). Get it from
/// [`Server::resumer`](super::Server::resumer), which other threads and the factory of handlers can have before the server
/// starts, from [`WorkerContext::resumer`](super::WorkerContext::resumer) or from
/// [`WorkerStorage::resumer`](super::WorkerStorage::resumer): all of them resolve the tokens of all workers of their server,
/// and of no other server, so that a token that strayed resolves nothing by accident.
///
/// Before its server starts it resolves nothing, since there is no token yet. It may outlive the server; then nothing
/// resolves any more, also when another server is started at the same address: that one has a resumer of its own.
#[derive(Clone)]
pub struct Resumer {
    board: Arc<Board>,
}

impl Resumer {
    /// Lets the worker that the token belongs to call [`Handler::resume`](crate::Handler::resume), and wakes that worker.
    /// `false` when the token is stale (answered, timed out, client gone) or another server's: then nothing happened.
    ///
    /// Whatever the answer is made of must be where the handler finds it before this is called.
    pub fn resume(&self, token: DeferToken) -> bool {
        let worker = usize::from(token.worker());
        let resolved = self.board.deferrals(worker).resolve(token);
        if resolved {
            self.board.wake(worker);
        }
        resolved
    }
}

impl fmt::Debug for Resumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumer").field("realm", &self.board.realm).finish_non_exhaustive()
    }
}

/// The next server's realm: 2³² servers of one process have one each.
static NEXT_REALM: AtomicU32 = AtomicU32::new(0);

/// What the workers of one server share with those who resolve.
pub(super) struct Board {
    realm: u32,
    /// One per worker, from when it is known how many there are; each sets up its own, in memory near to it.
    desks: OnceLock<Box<[OnceLock<Desk>]>>,
}

/// One worker's.
struct Desk {
    cells: Vec<DeferCell>,
    group_bells: Vec<AtomicBool>,
    bell: CacheAligned<AtomicBool>,
    /// Of the worker that serves now.
    waker: RwLock<Option<Box<dyn Wake>>>,
}

impl Board {
    /// Without workers.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { realm: NEXT_REALM.fetch_add(1, Ordering::Relaxed), desks: OnceLock::new() })
    }

    /// Makes room for the desks of so many workers. The first time counts.
    pub(super) fn seat(&self, workers: usize) {
        self.desks.get_or_init(|| (0..workers).map(|_| OnceLock::new()).collect());
    }

    pub(super) fn resumer(self: &Arc<Self>) -> Resumer {
        Resumer { board: Arc::clone(self) }
    }

    /// Makes the cells of a worker that has so many connections.
    pub(super) fn set_up(&self, worker: usize, connections: usize) -> Result<(), TryReserveError> {
        let desk = Desk {
            cells: table(connections, DeferCell::new)?,
            group_bells: table(connections.div_ceil(Deferrals::GROUP), || AtomicBool::new(false))?,
            bell: CacheAligned(AtomicBool::new(false)),
            waker: RwLock::new(None),
        };
        if let Some(place) = self.place(worker) {
            // The first one stays.
            let _ = place.set(desk);
        }
        Ok(())
    }

    /// Ends the wait of a worker, if it is there.
    pub(super) fn wake(&self, worker: usize) {
        if let Some(desk) = self.desk(worker) {
            desk.wake();
        }
    }

    /// Whom a resolved token of this worker wakes from now on.
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
    /// Takes the lock for reading: those who resolve do not wait for each other.
    fn wake(&self) {
        if let Some(waker) = &*self.waker.read().unwrap_or_else(PoisonError::into_inner) {
            waker.wake();
        }
    }
}
