//! A server's threads, from their start to their end.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aurora_http_core::counters::Counters;
use aurora_http_core::handler::Handler;
use aurora_http_core::reactor::Wake;
use aurora_http_core::stop::StopFlag;

use super::address::{ListenAddr, first_ip};
use super::announce::Announcement;
use super::auto::{Backend, Chosen, choose, choose_after};
use super::config::Config;
use super::error::ServerError;
use super::report::{Report, WorkerOutcome, WorkerReport};
use super::resumer::{Board, Resumer};
use super::shared::SharedCounters;
use super::sockets::SocketReactor;
use super::storage::{self, WorkerStorage, memory};
use super::unix::SocketFile;
use super::worker::Worker;
use super::{descriptors, listen, placement};

/// A server that serves on threads of its own.
///
/// Dropping it aborts the server and waits for its threads; [`stop`](Self::stop) and [`join`](Self::join) are the
/// graceful way.
#[derive(Debug)]
pub struct Running {
    announcement: Announcement,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<WorkerOutcome>>,
}

impl Running {
    /// The first address and port it listens on, the real one where 0 was asked for; all zeros when there are Unix-domain
    /// sockets alone.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.announcement.address
    }

    /// Where it listens, in the order of the configuration.
    #[must_use]
    pub fn listeners(&self) -> &[ListenAddr] {
        &self.announcement.listeners
    }

    /// What it says about itself: its `Display` is the start-up line.
    #[must_use]
    pub const fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// Why [`Backend::Auto`](super::Backend::Auto) took no better backend, if there is one.
    #[must_use]
    pub fn backend_note(&self) -> Option<&str> {
        self.announcement.note.as_deref()
    }

    /// Asks for a graceful stop: no more accepts, idle connections close at once, exchanges are finished, up to
    /// [`stop_timeout_ms`](aurora_http_core::limits::Timeouts::stop_timeout_ms). Returns at once.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Asks for the end at once. Returns at once.
    pub fn abort(&self) {
        self.shared.abort();
    }

    /// What stops the server from any thread.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle { shared: Arc::clone(&self.shared) }
    }

    /// What happened so far, over all workers. Takes no lock; the numbers are those of each worker's last turn.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for counters in &self.shared.counters {
            sum += &counters.read();
        }
        sum
    }

    /// What happened so far in one worker; `None` for a number that no worker has.
    #[must_use]
    pub fn worker_counters(&self, worker: usize) -> Option<Counters> {
        self.shared.counters.get(worker).map(SharedCounters::read)
    }

    /// Workers that have not ended: fewer than were started when one failed.
    #[must_use]
    pub fn workers_alive(&self) -> usize {
        self.shared.alive.load(Ordering::Acquire)
    }

    /// Waits until every worker has ended: after [`stop`](Self::stop), or when all of them failed.
    #[must_use]
    pub fn join(mut self) -> Report {
        let workers = self.join_all();
        Report::new(workers, self.shared.stop_took())
    }

    fn join_all(&mut self) -> Vec<WorkerReport> {
        let threads = std::mem::take(&mut self.threads);
        let outcomes = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| WorkerOutcome::Panicked(panic_message(&*panic))));
        let counters = self.shared.counters.iter().map(SharedCounters::read);
        outcomes.zip(counters).map(|(outcome, counters)| WorkerReport::new(counters, outcome)).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.abort();
            self.join_all();
        }
    }
}

/// Stops a server, from any thread and from its own handlers.
#[derive(Clone, Debug)]
pub struct StopHandle {
    shared: Arc<Shared>,
}

impl StopHandle {
    /// As [`Running::stop`].
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// As [`Running::abort`].
    pub fn abort(&self) {
        self.shared.abort();
    }
}

/// What a worker's handler is made for.
#[derive(Clone, Debug)]
pub struct WorkerContext {
    id: usize,
    shared: Arc<Shared>,
}

impl WorkerContext {
    /// The worker's number, from 0.
    #[must_use]
    pub const fn id(&self) -> usize {
        self.id
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.counters.len()
    }

    /// What stops the server.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle { shared: Arc::clone(&self.shared) }
    }

    /// What resolves the tokens of deferred answers, from any thread.
    #[must_use]
    pub fn resumer(&self) -> Resumer {
        self.shared.board.resumer()
    }

    fn seat(&self) -> storage::Seat {
        storage::Seat { board: Arc::clone(&self.shared.board), worker: self.id }
    }
}

/// Called when the last worker has ended.
pub(super) type OnEnd = Box<dyn Fn() + Send + Sync>;

/// Seen by all threads of one server.
struct Shared {
    stop: StopFlag,
    /// Set once all workers are there.
    wakers: OnceLock<Vec<Box<dyn Wake>>>,
    counters: Vec<SharedCounters>,
    /// For deferred answers.
    board: Arc<Board>,
    alive: AtomicUsize,
    /// When a stop was first asked for.
    stopped: OnceLock<Instant>,
    /// When the last worker ended.
    ended: OnceLock<Instant>,
    /// Of Unix-domain sockets; removed before they are closed, so that nobody connects to what is going to close, and
    /// the next server does not have to find out that nobody listens.
    files: Mutex<Vec<SocketFile>>,
    /// Set when the workers begin to serve.
    on_end: OnceLock<OnEnd>,
}

impl Shared {
    fn stop(&self) {
        self.begin_stop();
        self.stop.drain();
        self.wake();
    }

    fn abort(&self) {
        self.begin_stop();
        self.stop.abort();
        self.wake();
    }

    fn begin_stop(&self) {
        // The first time counts.
        let _ = self.stopped.set(Instant::now());
        self.remove_files();
    }

    fn remove_files(&self) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// From the first request to stop to the end of the last worker.
    fn stop_took(&self) -> Option<Duration> {
        Some(self.ended.get()?.saturating_duration_since(*self.stopped.get()?))
    }

    /// Before the wakers are there nobody waits: every worker looks at the flag first.
    fn wake(&self) {
        for waker in self.wakers.get().into_iter().flatten() {
            waker.wake();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("stop", &self.stop).field("alive", &self.alive).finish_non_exhaustive()
    }
}

/// Starts all workers, or none: everything that can be wrong is found out before the first accept.
pub(super) fn launch<F, H>(config: Config, factory: F, mut on_end: Option<OnEnd>) -> Result<Running, ServerError>
where
    F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
    H: Handler,
{
    config.validate()?;
    let cpus = placement::cpus(&config.pin)?;
    descriptors::ensure(config.workers, config.connections, config.listeners.len())?;
    let factory = Arc::new(factory);
    let (mut chosen, mut note) = choose(config.backend)?;
    loop {
        let error = match launch_on(chosen, note, &config, &cpus, &factory, &mut on_end) {
            Err(error) if config.backend == Backend::Auto => error,
            launched => return launched,
        };
        (chosen, note) = match choose_after(chosen, &error) {
            Some(next) => next?,
            None => return Err(error),
        };
    }
}

fn launch_on<F, H>(
    chosen: Chosen,
    note: Option<String>,
    config: &Config,
    cpus: &[usize],
    factory: &Arc<F>,
    on_end: &mut Option<OnEnd>,
) -> Result<Running, ServerError>
where
    F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
    H: Handler,
{
    let listen::Opened { sockets, addresses, files } = listen::open(chosen, config)?;
    let announcement = Announcement {
        address: first_ip(&addresses),
        listeners: addresses,
        backend: chosen.name(),
        backend_detail: chosen.detail(),
        note,
        workers: config.workers,
        connections: config.connections,
        memory: memory::<H::Exchange>(config, chosen),
    };
    let counters = (0..config.workers).map(|_| SharedCounters::default()).collect();
    let alive = AtomicUsize::new(config.workers);
    let shared = Arc::new(Shared {
        stop: StopFlag::new(),
        wakers: OnceLock::new(),
        counters,
        board: Board::new(config.workers),
        alive,
        stopped: OnceLock::new(),
        ended: OnceLock::new(),
        files: Mutex::new(files),
        on_end: OnceLock::new(),
    });
    let crew = Crew {
        chosen,
        config: config.clone(),
        cpus: cpus.to_vec(),
        factory: Arc::clone(factory),
        shared: Arc::clone(&shared),
    };
    let threads = crew.start(sockets, on_end)?;
    Ok(Running { announcement, shared, threads })
}

/// What all workers have in common.
struct Crew<F> {
    chosen: Chosen,
    config: Config,
    /// To deal out; none when workers are not pinned.
    cpus: Vec<usize>,
    factory: Arc<F>,
    shared: Arc<Shared>,
}

/// What a worker tells before it serves.
type Ready = Result<Box<dyn Wake>, ServerError>;

impl<F, H> Crew<F>
where
    F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
    H: Handler,
{
    fn start(
        &self,
        listeners: Vec<Vec<OwnedFd>>,
        on_end: &mut Option<OnEnd>,
    ) -> Result<Vec<JoinHandle<WorkerOutcome>>, ServerError> {
        let (ready, readies) = mpsc::channel();
        let mut threads = Vec::with_capacity(listeners.len());
        let mut starts = Vec::with_capacity(listeners.len());
        let mut failed = None;
        for (id, listeners) in listeners.into_iter().enumerate() {
            let (start, started) = mpsc::channel();
            match self.spawn(id, listeners, ready.clone(), started) {
                Ok(thread) => threads.push(thread),
                Err(error) => failed = Some(ServerError::System { what: "start a thread", error }),
            }
            starts.push(start);
        }
        drop(ready);
        let mut wakers = Vec::with_capacity(threads.len());
        for result in readies {
            match result {
                Ok(waker) => wakers.push(waker),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if failed.is_none() && wakers.len() == threads.len() {
            // Nobody else sets them.
            let _ = self.shared.wakers.set(wakers);
            if let Some(on_end) = on_end.take() {
                let _ = self.shared.on_end.set(on_end);
            }
            for start in starts {
                let _ = start.send(());
            }
            return Ok(threads);
        }
        drop(starts);
        let mut panicked = None;
        for (worker, thread) in threads.into_iter().enumerate() {
            if let Ok(WorkerOutcome::Panicked(message)) = thread.join() {
                panicked = panicked.or(Some(ServerError::Panicked { worker, message }));
            }
        }
        let unknown = || ServerError::System { what: "start a worker", error: std::io::ErrorKind::Other.into() };
        Err(failed.or(panicked).unwrap_or_else(unknown))
    }

    fn spawn(
        &self,
        id: usize,
        listeners: Vec<OwnedFd>,
        ready: Sender<Ready>,
        started: Receiver<()>,
    ) -> std::io::Result<JoinHandle<WorkerOutcome>> {
        let (chosen, config) = (self.chosen, self.config.clone());
        let cpu = self.cpus.get(id % self.cpus.len().max(1)).copied();
        let factory = Arc::clone(&self.factory);
        let context = WorkerContext { id, shared: Arc::clone(&self.shared) };
        thread::Builder::new().name(format!("aurora-{id}")).spawn(move || {
            let _last = Last(Arc::clone(&context.shared));
            let seat = Seat { chosen, cpu, id, ready, started, shared: Arc::clone(&context.shared) };
            // What the worker had is dropped on the way out, so that nobody sees it in a broken state.
            catch_unwind(AssertUnwindSafe(|| work(config, listeners, &*factory, &context, seat)))
                .unwrap_or_else(|panic| WorkerOutcome::Panicked(panic_message(&*panic)))
        })
    }
}

/// A worker's end of the start.
struct Seat {
    chosen: Chosen,
    cpu: Option<usize>,
    id: usize,
    ready: Sender<Ready>,
    started: Receiver<()>,
    shared: Arc<Shared>,
}

/// A worker's whole life.
fn work<F, H>(
    config: Config,
    listeners: Vec<OwnedFd>,
    factory: &F,
    context: &WorkerContext,
    seat: Seat,
) -> WorkerOutcome
where
    F: Fn(&WorkerContext) -> H,
    H: Handler,
{
    // Before it touches any memory.
    if let Some(cpu) = seat.cpu
        && let Err(error) = placement::pin_thread(cpu)
    {
        let _ = seat.ready.send(Err(ServerError::System { what: "pin a worker to its CPU", error }));
        return WorkerOutcome::Finished;
    }
    let mut storage = WorkerStorage::<H::Exchange>::new(config, seat.chosen, context.seat());
    match seat.chosen {
        #[cfg(has_epoll)]
        Chosen::Epoll => seat.serve(Worker::epoll_with(&mut storage, listeners, factory(context))),
        #[cfg(has_kqueue)]
        Chosen::Kqueue => seat.serve(Worker::kqueue_with(&mut storage, listeners, factory(context))),
        #[cfg(has_uring)]
        Chosen::Uring(_) => seat.serve(Worker::uring_with(&mut storage, listeners, factory(context))),
    }
}

impl Seat {
    /// Tells whether the worker can serve, waits until all can, and serves.
    fn serve<H: Handler, R: SocketReactor>(self, worker: Result<Worker<'_, H, R>, ServerError>) -> WorkerOutcome {
        let Self { chosen, cpu: _, id, ready, started, shared } = self;
        let failed = |error| ServerError::Reactor { backend: chosen.name(), error };
        let made = worker.and_then(|worker| Ok((worker.waker().map_err(failed)?, worker)));
        let mut worker = match made {
            Ok((waker, worker)) => {
                let _ = ready.send(Ok(Box::new(waker)));
                worker
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return WorkerOutcome::Finished;
            }
        };
        drop(ready);
        if started.recv().is_err() {
            return WorkerOutcome::Finished; // another one could not
        }
        drop(started);
        match worker.run_watched(&shared.stop, &shared.counters[id]) {
            Ok(()) => WorkerOutcome::Finished,
            Err(error) => WorkerOutcome::Failed(error),
        }
    }
}

/// Tells when the last worker has ended, however it did.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        if self.0.alive.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.0.ended.set(Instant::now());
            self.0.remove_files();
            if let Some(on_end) = self.0.on_end.get() {
                on_end();
            }
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it did not say why").to_owned()
}
