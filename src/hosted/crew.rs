//! Starts a server's workers; each worker's thread, from start to end.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aurora_http_core::handler::Handler;
use aurora_http_core::reactor::IoError;

use super::address::first_ip;
use super::announce::Announcement;
use super::auto::{self, Chosen, choose, choose_after};
use super::backend::Backend;
use super::config::Config;
use super::error::ServerError;
use super::gate::{Gate, Told};
use super::report::WorkerOutcome;
use super::running::{Running, WorkerContext};
use super::secure::CONNECTION_BYTES_MAX;
use super::shared::{OnEnd, Place, Shared};
use super::storage::{self, WorkerStorage, memory};
use super::worker::{OnDetached, Worker};
use super::{descriptors, holders, listen, placement, threads};

/// The program's part of each worker.
pub(super) struct Program<F, D> {
    /// Makes each worker's handler.
    pub(super) factory: F,
    /// What happens to detached connections: [`Closed`] or [`Taken`].
    pub(super) detached: D,
}

/// Whether the program takes detached connections, whose state is an `E`.
pub(super) trait Detaches<E>: Send + Sync + 'static {
    fn taker(&self) -> Option<&OnDetached<'_, E>>;
}

/// It does not; they are closed.
pub(super) struct Closed;

impl<E> Detaches<E> for Closed {
    fn taker(&self) -> Option<&OnDetached<'_, E>> {
        None
    }
}

/// The program's closure takes them.
pub(super) struct Taken<T>(pub(super) T);

impl<E, T: Fn(OwnedFd, &[u8], E) + Send + Sync + 'static> Detaches<E> for Taken<T> {
    fn taker(&self) -> Option<&OnDetached<'_, E>> {
        Some(&self.0)
    }
}

/// Starts all workers or none: every error is found before the first accept.
pub(super) fn launch<F, H, D>(
    config: Config,
    shared: &Arc<Shared>,
    program: Program<F, D>,
    mut on_end: Option<OnEnd>,
) -> Result<Running, ServerError>
where
    F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
    H: Handler,
    D: Detaches<H::Exchange>,
{
    config.validate()?;
    if config.tls.is_some() && program.detached.taker().is_some() {
        let advice = "a detached socket would be without its encryption: answer on the connection, as `upgraded` does";
        return Err(ServerError::setting("on_detached", "a closure, with TLS", advice));
    }
    let cpus = placement::cpus(&config.pin)?;
    descriptors::ensure(config.workers, config.connections, config.listeners.len())?;
    let program = Arc::new(program);
    let (mut chosen, mut note) = choose(config.backend)?;
    loop {
        let error = match launch_on((chosen, note), &config, &cpus, shared, &program, &mut on_end) {
            Err(error) if config.backend == Backend::Auto => error,
            launched => return launched,
        };
        (chosen, note) = match choose_after(chosen, &error) {
            Some(next) => next?,
            None => return Err(error),
        };
    }
}

fn launch_on<F, H, D>(
    (chosen, note): (Chosen, Option<String>),
    config: &Config,
    cpus: &[usize],
    shared: &Arc<Shared>,
    program: &Arc<Program<F, D>>,
    on_end: &mut Option<OnEnd>,
) -> Result<Running, ServerError>
where
    F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
    H: Handler,
    D: Detaches<H::Exchange>,
{
    storage::ensure::<H::Exchange>(config, chosen)?;
    let listen::Opened { sockets, addresses, files } = listen::open(chosen, config)?;
    let announcement = Announcement {
        address: first_ip(&addresses),
        listeners: addresses,
        backend: chosen.name(),
        backend_detail: chosen.detail(config.is_polled()),
        note,
        workers: config.workers,
        connections: config.connections,
        memory: memory::<H::Exchange>(config, chosen),
        tls_bytes_max: config.tls.is_some().then_some(CONNECTION_BYTES_MAX),
    };
    shared.begin(config.workers, files);
    let crew = Crew {
        chosen,
        config: config.for_workers(chosen.backend()),
        cpus: cpus.to_vec(),
        program: Arc::clone(program),
        shared: Arc::clone(shared),
    };
    let threads = crew.start(sockets, on_end)?;
    Ok(Running { announcement, shared: Arc::clone(shared), threads })
}

/// What all workers share.
struct Crew<F, D> {
    chosen: Chosen,
    config: Config,
    /// The CPUs to assign; empty when workers are not pinned.
    cpus: Vec<usize>,
    program: Arc<Program<F, D>>,
    shared: Arc<Shared>,
}

impl<F, H, D> Crew<F, D>
where
    F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
    H: Handler,
    D: Detaches<H::Exchange>,
{
    /// Makes one worker after another, so that what one needs only while it is being made cannot be missing for
    /// another.
    fn start(
        &self,
        listeners: Vec<Vec<OwnedFd>>,
        on_end: &mut Option<OnEnd>,
    ) -> Result<Vec<JoinHandle<WorkerOutcome>>, ServerError> {
        let gate = Arc::new(Gate::default());
        let mut threads = Vec::with_capacity(listeners.len());
        for (id, listeners) in listeners.into_iter().enumerate() {
            // The worker duplicates these when it starts, and so does its replacement after a panic.
            self.shared.places()[id].keep(listeners);
            let told = match self.spawn(id, &gate) {
                Ok(thread) => {
                    threads.push(thread);
                    gate.told()
                }
                Err(error) => Told::Failed(ServerError::System { what: "start a thread", error }),
            };
            match told {
                Told::Made => {}
                Told::Failed(error) => {
                    self.give_up(&gate, threads);
                    return Err(error);
                }
                Told::Gone => {
                    let unknown = ServerError::System { what: "start a worker", error: io::ErrorKind::Other.into() };
                    return Err(self.give_up(&gate, threads).unwrap_or(unknown));
                }
            }
        }
        if let Some(on_end) = on_end.take() {
            // Nothing else sets it.
            let _ = self.shared.on_end.set(on_end);
        }
        if self.shared.is_stopping() {
            // The stop was requested before there were places, or before they had their listeners.
            self.shared.close_places();
        }
        gate.open(true);
        Ok(threads)
    }

    /// Ends the workers that were made. If one panicked, returns that as the error.
    fn give_up(&self, gate: &Gate, threads: Vec<JoinHandle<WorkerOutcome>>) -> Option<ServerError> {
        gate.open(false);
        // The program may keep handles of this server, so dropping them cannot be relied on.
        self.shared.remove_files();
        self.shared.close_places();
        let mut panicked = None;
        for (worker, thread) in threads.into_iter().enumerate() {
            if let Ok(WorkerOutcome::Panicked(message)) = thread.join() {
                panicked = panicked.or(Some(ServerError::Panicked { worker, message }));
            }
        }
        panicked
    }

    fn spawn(&self, id: usize, gate: &Arc<Gate>) -> io::Result<JoinHandle<WorkerOutcome>> {
        let (chosen, config) = (self.chosen, self.config.clone());
        let cpu = self.cpus.get(id % self.cpus.len().max(1)).copied();
        let program = Arc::clone(&self.program);
        let context = WorkerContext { id, shared: Arc::clone(&self.shared) };
        let start = Start { gate: Some(Arc::clone(gate)) };
        threads::start(format!("aurora-{id}"), None, move || {
            let _last = Last { id, shared: Arc::clone(&context.shared) };
            let restarts = Restarts::new(config.restarts_per_minute);
            let seat = Seat { chosen, program: &*program, context: &context, start: Some(start), restarts };
            seat.work(config, cpu)
        })
    }
}

/// A worker's part in the start of the server.
struct Start {
    /// `None` once the worker has reported.
    gate: Option<Arc<Gate>>,
}

impl Start {
    fn fail(mut self, error: ServerError) {
        if let Some(gate) = self.gate.take() {
            gate.tell(Told::Failed(error));
        }
    }

    /// Reports that the worker can serve, and waits until all can. Returns whether to serve.
    fn pass(mut self) -> bool {
        self.gate.take().is_some_and(|gate| {
            gate.tell(Told::Made);
            gate.pass()
        })
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.tell(Told::Gone);
        }
    }
}

/// A worker's thread.
struct Seat<'a, F, D> {
    chosen: Chosen,
    program: &'a Program<F, D>,
    context: &'a WorkerContext,
    /// `None` once it has served for the first time.
    start: Option<Start>,
    restarts: Restarts,
}

impl<F, H, D> Seat<'_, F, D>
where
    F: Fn(&WorkerContext) -> H,
    H: Handler,
    D: Detaches<H::Exchange>,
{
    /// A worker's whole life, including its replacements.
    fn work(mut self, config: Config, cpu: Option<usize>) -> WorkerOutcome {
        // Before it touches memory, so that the system places it near that CPU.
        if let Some(cpu) = cpu
            && let Err(error) = placement::pin_thread(cpu)
        {
            return self.fail(ServerError::System { what: "pin a worker to its CPU", error });
        }
        let shared = &self.context.shared;
        let place = &shared.places()[self.context.id];
        let mut storage = match WorkerStorage::<H::Exchange>::new(config, self.chosen, self.context.seat()) {
            Ok(storage) => storage,
            Err(error) => return self.fail(error),
        };
        loop {
            // Unwinding drops everything the worker had, so that nothing sees it in a broken state; the next worker
            // initialises the storage again.
            let message = match catch_unwind(AssertUnwindSafe(|| self.serve_patiently(&mut storage))) {
                Ok(Ok(outcome)) => return outcome,
                Ok(Err(error)) => return self.fail(error),
                Err(panic) => panic_message(&*panic),
            };
            place.note_panic(&message);
            shared.counters()[self.context.id].retire();
            if self.start.is_some() || place.is_closed() || !self.restarts.allow(Instant::now()) {
                return WorkerOutcome::Panicked(message);
            }
            place.restarts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The worker could not be made: at the start of the server that is an error, later it is the end of the worker.
    fn fail(&mut self, error: ServerError) -> WorkerOutcome {
        match self.start.take() {
            Some(start) => {
                start.fail(error);
                WorkerOutcome::Finished
            }
            None => {
                let message = format!("it panicked and could not be replaced: {error}");
                self.context.shared.places()[self.context.id].note_panic(&message);
                WorkerOutcome::Panicked(message)
            }
        }
    }

    /// Serves, after waiting for the kernel to free the memory of earlier rings if need be.
    fn serve_patiently(&mut self, storage: &mut WorkerStorage<H::Exchange>) -> Result<WorkerOutcome, ServerError> {
        let begun = Instant::now();
        loop {
            match self.serve(storage) {
                Err(error) if auto::may_pass(&error, begun) => thread::sleep(holders::PAUSE),
                served => return served,
            }
        }
    }

    fn serve(&mut self, storage: &mut WorkerStorage<H::Exchange>) -> Result<WorkerOutcome, ServerError> {
        let Some(listeners) = self.context.shared.places()[self.context.id].listeners()? else {
            // A stop came first, but the thread that starts the server still waits for this worker's report.
            if let Some(start) = self.start.take() {
                start.pass();
            }
            return Ok(WorkerOutcome::Finished);
        };
        let handler = (self.program.factory)(self.context);
        self.run(Worker::with_listeners(storage, listeners, handler)?)
    }

    /// Reports that the worker can serve, waits until all can, and serves.
    fn run(&mut self, mut worker: Worker<'_, H>) -> Result<WorkerOutcome, ServerError> {
        if self.start.take().is_some_and(|start| !start.pass()) {
            return Ok(WorkerOutcome::Finished); // another worker could not start
        }
        let shared = &self.context.shared;
        // Declared here so that it is dropped before the worker.
        let _closing = Closing { place: &shared.places()[self.context.id], restarts: &self.restarts };
        let served: Result<(), IoError> = worker.run_with(&shared.stop, self.program.detached.taker());
        Ok(served.map_or_else(WorkerOutcome::Failed, |()| WorkerOutcome::Finished))
    }
}

/// Limits how often a worker is replaced.
struct Restarts {
    per_minute: usize,
    /// When it was replaced within the last minute, the earliest first.
    recent: VecDeque<Instant>,
}

impl Restarts {
    fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute as usize, recent: VecDeque::new() }
    }

    /// Whether it may be replaced at this time; counts nothing.
    fn would_allow(&self, now: Instant) -> bool {
        self.recent.iter().filter(|then| is_recent(**then, now)).count() < self.per_minute
    }

    /// Whether it may be replaced now; if so, counts the replacement.
    fn allow(&mut self, now: Instant) -> bool {
        let allowed = self.would_allow(now);
        if allowed {
            self.recent.retain(|then| is_recent(*then, now));
            self.recent.push_back(now);
        }
        allowed
    }
}

fn is_recent(then: Instant, now: Instant) -> bool {
    now.saturating_duration_since(then) < Duration::from_secs(60)
}

/// When a worker ends and will not be replaced, closes the listeners that were kept for a replacement before the worker
/// closes its own: no client may enter the backlog of a listener that nothing will accept from.
struct Closing<'a> {
    place: &'a Place,
    restarts: &'a Restarts,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if !thread::panicking() || !self.restarts.would_allow(Instant::now()) {
            self.place.close();
        }
    }
}

/// Reports the end of the last worker, however it ended.
struct Last {
    id: usize,
    shared: Arc<Shared>,
}

impl Drop for Last {
    fn drop(&mut self) {
        let Self { id, shared } = self;
        // Nothing accepts from its listeners any more.
        shared.places()[*id].close();
        if shared.alive.fetch_sub(1, Ordering::AcqRel) == 1 {
            shared.end();
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_on_replacements_holds_for_any_minute() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut restarts = Restarts::new(2);
        let rows = [(0, true), (30, true), (31, false), (59, false), (60, true), (61, false), (90, true), (91, false)];
        for (seconds, expected) in rows {
            assert_eq!(restarts.allow(at(seconds)), expected, "after {seconds} s");
        }
        assert!(!Restarts::new(0).allow(begun));
    }
}
