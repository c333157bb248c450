//! The memory of a worker: allocated before its first accept, and never afterwards.

use std::collections::TryReserveError;
use std::fmt;
#[cfg(has_uring)]
use std::io;

use aurora_http_core::budget::{Budget, Memory, handles_max, held_max};
use aurora_http_core::engine::Engine;
use aurora_http_core::handler::Handler;
use aurora_http_core::pool::Buf;
#[cfg(has_backend)]
use aurora_http_core::readiness::{Held, Parked};
use aurora_http_system::Reservation;

use super::auto::Chosen;
use super::backend::Backend;
use super::config::Config;
use super::error::ServerError;
use super::heap::{HeapStorage, Seat};
use super::resumer::Resumer;
use super::secure::Secure;
use super::stash;
use super::table::table;
use super::threads::{SPARE_BYTES, STACK_BYTES};

/// The memory of one [`Worker`](super::Worker), made by [`Server::storage`](super::Server::storage).
///
/// ```no_run
/// use aurora_http::{Server, Worker, handler_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind("127.0.0.1:8080")?.connections(64);
/// let stop = server.stop_handle();
/// let mut storage = server.storage()?;
/// println!("{} bytes for {}", storage.memory().total(), storage.backend());
/// let mut worker = Worker::new(&mut storage, handler_fn(|_request, response| response.body("hello\n")))?;
/// worker.run(stop.flag())?;
/// # Ok(())
/// # }
/// ```
///
/// Make it on the thread that will use it, so that the system places the memory near that thread's CPU. Dropping it
/// keeps the buffers for the next server of this process; see [`buffer_memory`](super::buffer_memory).
pub struct WorkerStorage<E> {
    /// The backend that was chosen when the storage was made.
    pub(super) found: Chosen,
    /// The backend of the last worker on it.
    chosen: Chosen,
    pub(super) heap: HeapStorage<E>,
    handles: Handles,
    /// The tables of another backend, which a worker took because `found` could not be set up.
    spare: Option<Handles>,
}

/// The tables of one backend; those of the others are empty.
pub(super) struct Handles {
    made_for: Chosen,
    /// The tables of epoll, kqueue, or a ring that polls.
    #[cfg(has_backend)]
    pub(super) poller: PollerTables,
    #[cfg(has_uring)]
    pub(super) uring: UringTables,
}

#[cfg(has_backend)]
#[derive(Default)]
pub(super) struct PollerTables {
    pub(super) entries: Vec<aurora_http_sockets::Entry>,
    pub(super) parked: Vec<Parked>,
    pub(super) held: Vec<Held<'static>>,
    pub(super) lent: Vec<Option<Buf<'static>>>,
}

#[cfg(has_uring)]
#[derive(Default)]
pub(super) struct UringTables {
    pub(super) entries: Vec<aurora_http_uring::Entry>,
    pub(super) held: Vec<aurora_http_uring::Held>,
    pub(super) lent: Vec<aurora_http_uring::LentPlace>,
}

#[cfg(has_backend)]
impl PollerTables {
    fn new(budget: &Budget) -> Result<Self, TryReserveError> {
        let handles = handles_max(budget.connections, budget.listeners);
        Ok(Self {
            entries: table(handles, aurora_http_sockets::Entry::new)?,
            parked: table(handles, Parked::new)?,
            held: table(held_max(budget.connections, budget.buffers), Held::new)?,
            lent: table(budget.lent, || None)?,
        })
    }
}

#[cfg(has_uring)]
impl UringTables {
    fn new(budget: &Budget) -> Result<Self, TryReserveError> {
        Ok(Self {
            entries: table(handles_max(budget.connections, budget.listeners), aurora_http_uring::Entry::new)?,
            held: table(held_max(budget.connections, budget.buffers), aurora_http_uring::Held::new)?,
            lent: table(budget.lent, aurora_http_uring::LentPlace::new)?,
        })
    }
}

impl Handles {
    /// Allocates the tables of one backend; io_uring has others when it only polls.
    fn new(backend: Chosen, is_polled: bool, budget: &Budget) -> Result<Self, TryReserveError> {
        let mut tables = Self {
            made_for: backend,
            #[cfg(has_backend)]
            poller: PollerTables::default(),
            #[cfg(has_uring)]
            uring: UringTables::default(),
        };
        match backend {
            #[cfg(has_epoll)]
            Chosen::Epoll => tables.poller = PollerTables::new(budget)?,
            #[cfg(has_kqueue)]
            Chosen::Kqueue => tables.poller = PollerTables::new(budget)?,
            #[cfg(has_uring)]
            Chosen::Uring(_) if is_polled => tables.poller = PollerTables::new(budget)?,
            #[cfg(has_uring)]
            Chosen::Uring(_) => tables.uring = UringTables::new(budget)?,
        }
        let _ = is_polled;
        Ok(tables)
    }

    /// Takes out the buffers that a reactor left here when it was dropped.
    fn take_buffers(&mut self, put: fn(&mut dyn Iterator<Item = Buf<'static>>)) {
        #[cfg(has_backend)]
        {
            put(&mut self.poller.held.iter_mut().flat_map(Held::take_buffers));
            put(&mut self.poller.lent.iter_mut().filter_map(Option::take));
        }
        #[cfg(has_uring)]
        {
            put(&mut self.uring.held.iter_mut().flat_map(aurora_http_uring::Held::take_buffers));
            put(&mut self.uring.lent.iter_mut().filter_map(aurora_http_uring::LentPlace::take_buffer));
        }
    }
}

/// The memory that a reactor is opened on.
pub(super) struct Tables<'s> {
    pub(super) chosen: Chosen,
    pub(super) handles: &'s mut Handles,
    /// Present if another backend may be used when this one cannot be set up, which happens only with io_uring.
    #[cfg_attr(not(has_uring), allow(dead_code))]
    pub(super) spare: Option<Spare<'s>>,
    /// Encrypts every connection.
    pub(super) tls: Option<Secure>,
    /// Every connection begins with a PROXY header.
    pub(super) proxy_headers: bool,
}

/// Room for the tables of another backend.
#[cfg_attr(not(has_uring), allow(dead_code))]
pub(super) struct Spare<'s> {
    handles: &'s mut Option<Handles>,
    chosen: &'s mut Chosen,
    budget: Budget,
    tls: Option<Secure>,
    proxy_headers: bool,
}

#[cfg(has_uring)]
impl<'s> Spare<'s> {
    pub(super) fn tables(self, chosen: Chosen) -> Result<Tables<'s>, ServerError> {
        let refused = |_| ServerError::System { what: "allocate tables", error: io::ErrorKind::OutOfMemory.into() };
        *self.chosen = chosen;
        let Self { handles, tls, proxy_headers, budget, .. } = self;
        let is_polled = tls.is_some() || proxy_headers;
        let handles = handles.insert(Handles::new(chosen, is_polled, &budget).map_err(refused)?);
        Ok(Tables { chosen, handles, spare: None, tls, proxy_headers })
    }
}

impl<E> WorkerStorage<E> {
    /// For a configuration that has been validated.
    pub(super) fn new(config: Config, chosen: Chosen, seat: Seat) -> Result<Self, ServerError> {
        let handles =
            Handles::new(chosen, config.is_polled(), &config.budget()).map_err(|_| too_much::<E>(&config, chosen))?;
        let refused = too_much::<E>(&config, chosen);
        let listeners = config.listeners.len();
        let heap = HeapStorage::make(config, seat, listeners).map_err(|_| refused)?;
        Ok(Self { found: chosen, chosen, heap, handles, spare: None })
    }

    /// A handle that resolves tokens of deferred answers, including those of later workers on this storage.
    #[must_use]
    pub fn resumer(&self) -> Resumer {
        self.heap.resumer()
    }

    /// The backend of workers that are made by [`Worker::new`](super::Worker::new): the one that was configured or, for
    /// [`Backend::Auto`], the one that was chosen.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.found.backend()
    }

    /// The number of bytes that it takes.
    #[must_use]
    pub fn memory(&self) -> Memory {
        memory::<E>(&self.heap.config, self.chosen)
    }

    /// Makes an engine on this memory, and returns it with the tables for a reactor of `backend`.
    pub(super) fn engine<H: Handler<Exchange = E>>(
        &mut self,
        backend: Chosen,
        handler: H,
    ) -> Result<(Engine<'_, 'static, H>, Tables<'_>), ServerError> {
        self.reclaim_handles();
        let Self { chosen, heap, handles, spare, .. } = self;
        let budget = heap.config.budget();
        if handles.made_for.name() != backend.name() {
            // The program names another backend than the configuration does.
            *handles = Handles::new(backend, heap.config.is_polled(), &budget)
                .map_err(|_| too_much::<E>(&heap.config, backend))?;
        }
        *spare = None;
        *chosen = backend;
        let (tls, proxy_headers) = (heap.config.tls.clone(), heap.config.proxy_headers);
        let spare = (heap.config.backend == Backend::Auto).then(|| Spare {
            handles: spare,
            chosen,
            budget,
            tls: tls.clone(),
            proxy_headers,
        });
        let engine = heap.engine_or(handler, |config| too_much::<E>(config, backend))?;
        Ok((engine, Tables { chosen: backend, handles, spare, tls, proxy_headers }))
    }

    /// Keeps the buffers that a reactor left here for the next server.
    fn reclaim_handles(&mut self) {
        for handles in [Some(&mut self.handles), self.spare.as_mut()].into_iter().flatten() {
            handles.take_buffers(|buffers| stash::put(buffers));
        }
    }
}

impl<E> Drop for WorkerStorage<E> {
    fn drop(&mut self) {
        self.reclaim_handles();
    }
}

impl<E> fmt::Debug for WorkerStorage<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerStorage").field("config", &self.heap.config).field("memory", &self.memory()).finish()
    }
}

/// The memory of one worker.
pub(super) fn memory<E>(config: &Config, chosen: Chosen) -> Memory {
    let budget = config.budget();
    let memory = |handle_bytes| budget.memory::<E>(handle_bytes);
    match chosen {
        #[cfg(has_epoll)]
        Chosen::Epoll => memory(size_of::<aurora_http_sockets::Entry>()),
        #[cfg(has_kqueue)]
        Chosen::Kqueue => memory(size_of::<aurora_http_sockets::Entry>()),
        #[cfg(has_uring)]
        Chosen::Uring(_) if config.is_polled() => {
            let entries = memory(size_of::<aurora_http_sockets::Entry>());
            let handles = handles_max(budget.connections, budget.listeners);
            let queues = aurora_http_uring::UringSelector::queue_bytes(handles);
            Memory { handles: entries.handles.saturating_add(queues), ..entries }
        }
        #[cfg(has_uring)]
        Chosen::Uring(_) => {
            let handles = handles_max(budget.connections, budget.listeners);
            let table = handles.saturating_mul(size_of::<aurora_http_uring::Entry>());
            let held =
                held_max(budget.connections, budget.buffers).saturating_mul(size_of::<aurora_http_uring::Held>());
            let queues = aurora_http_uring::Uring::queue_bytes(handles, budget.lent);
            Memory { handles: table.saturating_add(held).saturating_add(queues), ..memory(0) }
        }
    }
}

/// The bytes that the workers need in addition to the buffers that this process already has.
fn needed<E>(config: &Config, chosen: Chosen) -> usize {
    let memory = memory::<E>(config, chosen);
    let tables = memory.total().saturating_sub(memory.buffers).saturating_add(STACK_BYTES + SPARE_BYTES);
    let buffers = stash::missing_bytes(config.class_counts(), config.workers);
    tables.saturating_mul(config.workers).saturating_add(buffers)
}

fn too_much<E>(config: &Config, chosen: Chosen) -> ServerError {
    let Config { connections, workers, .. } = *config;
    ServerError::Memory { connections, workers, needed: needed::<E>(config, chosen) }
}

/// Reserves the memory of all workers at once and releases it again. A refusal is a clean error here, whereas later in
/// the start there are many places where the process would abort for lack of memory.
pub(super) fn ensure<E>(config: &Config, chosen: Chosen) -> Result<(), ServerError> {
    let share = needed::<E>(config, chosen).div_ceil(config.workers);
    // In pieces, because a system may refuse a single one larger than its memory but grant several that add up to it.
    let mut pieces = Vec::new();
    pieces.try_reserve_exact(config.workers).map_err(|_| too_much::<E>(config, chosen))?;
    for _ in 0..config.workers {
        pieces.push(Reservation::new(share).ok_or_else(|| too_much::<E>(config, chosen))?);
    }
    Ok(())
}
