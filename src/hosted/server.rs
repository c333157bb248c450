//! The builder of a server.

use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use aurora_http_core::handler::Handler;
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::ClassCounts;
use aurora_http_system::Watch;

use super::announce::Announcement;
use super::auto::choose;
use super::backend::Backend;
use super::config::Config;
use super::crew::{Closed, Detaches, Program, Taken, launch};
use super::error::ServerError;
use super::handles::{ServerCounters, StopHandle};
use super::heap::{HeapStorage, Seat};
use super::inherit;
use super::placement::Pin;
use super::printer::{PRINTING, Printer};
use super::report::{Report, WorkerOutcome};
use super::resumer::Resumer;
use super::running::{Running, WorkerContext};
use super::shared::{OnEnd, Shared};
use super::source::Source;
use super::storage::{self, WorkerStorage};

/// A server to be: where to listen, and how to serve there.
///
/// ```no_run
/// use aurora_http::{Server, handler_fn};
///
/// # fn main() -> Result<(), aurora_http::ServerError> {
/// let report = Server::bind("127.0.0.1:8080")?
///     .workers(2)
///     .connections(10_000)
///     .announce()
///     .signals(true)
///     .serve(|_worker| handler_fn(|_request, response| response.body("Hello, World!\n")))?;
/// println!("served {} requests", report.counters.requests);
/// # Ok(())
/// # }
/// ```
///
/// Everything is checked before anything starts, and an error names the value that is wrong. All memory is allocated
/// before the first accept; see [`Announcement::memory`].
///
/// A process that is made by fork(2) without an exec has the descriptors of its parent's server and none of its threads. It
/// must not use the server, and should end by `_exit` or execute a program: every descriptor is closed by that. Until then
/// it keeps the parent's listeners and connections open, as forks do; SIGINT and SIGTERM end it as by default.
#[must_use = "a server serves when it is told to: see `serve` and `start`"]
pub struct Server {
    config: Config,
    signals: bool,
    announce: Announce,
    shared: Arc<Shared>,
}

/// Where the start-up line goes.
enum Announce {
    Quiet,
    /// To the standard output.
    Print,
    Call(Box<dyn FnOnce(&Announcement) + Send>),
}

/// Configuration.
impl Server {
    /// A server for `address`: `"127.0.0.1:8080"`, `"localhost:8080"`, `([0, 0, 0, 0], 80)`, a
    /// [`SocketAddr`](std::net::SocketAddr). Port 0 lets the system choose. Where a name has several addresses, the
    /// first that can be listened on is taken, and that one alone: `localhost` is often `::1`, and then nobody is
    /// served at `127.0.0.1`. The port is not taken before the server starts. (The BSDs and macOS let one program listen
    /// on an address and another on all addresses with the same port; the former gets the connections to that address.)
    ///
    /// # Errors
    /// [`ServerError::Address`] when it is no address, or the name is not known.
    pub fn bind(address: impl ToSocketAddrs + fmt::Debug) -> Result<Self, ServerError> {
        Self::new().listen(address)
    }

    /// A server for a Unix-domain socket; see [`listen_unix`](Self::listen_unix).
    pub fn bind_unix(path: impl Into<PathBuf>) -> Self {
        Self::new().listen_unix(path)
    }

    /// A server for the sockets that a service manager opened and handed over (socket activation: `LISTEN_FDS` and
    /// `LISTEN_PID` in the environment, sd_listen_fds(3)), of which there is at least one, TCP or Unix-domain. They stay
    /// open elsewhere while this process restarts, so that no client is turned away.
    ///
    /// Call it early in `main`, before there are other threads: it takes the two variables out of the environment. They
    /// can be taken once.
    ///
    /// # Errors
    /// [`ServerError::Inherited`] when there are none, or when one of them is no listening stream socket.
    pub fn inherit() -> Result<Self, ServerError> {
        Ok(inherit::take()?.into_iter().fold(Self::new(), Self::with_listener))
    }

    /// A server that listens nowhere yet: add [`listen`](Self::listen), [`listen_unix`](Self::listen_unix) or
    /// [`with_listener`](Self::with_listener).
    pub fn new() -> Self {
        let config = Config::new(Vec::new());
        Self { config, signals: false, announce: Announce::Quiet, shared: Shared::new() }
    }

    /// Listens on another address as well, as for [`bind`](Self::bind). There may be
    /// [8](aurora_http_core::engine::LISTENERS_MAX) listeners. Each worker has a socket of its own on it where the system
    /// spreads connections over them (Linux, FreeBSD).
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    pub fn listen(mut self, address: impl ToSocketAddrs + fmt::Debug) -> Result<Self, ServerError> {
        let resolved = address.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        let failed = |error| ServerError::Address { address: format!("{address:?}"), error };
        let addresses = resolved.map_err(failed)?;
        if addresses.is_empty() {
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
        }
        self.config.listeners.push(Source::Tcp(addresses));
        Ok(self)
    }

    /// Listens on a Unix-domain socket as well. Its file is made when the server starts and removed when it stops. What a
    /// killed server left there is replaced; where somebody listens, the start fails with
    /// [`ServerError::SocketInUse`], and where something else is, with [`ServerError::SocketFile`].
    ///
    /// Whoever may write to the file may connect, as the process's umask allows (022: its owner alone; 0: everybody). A
    /// directory that only the right users can enter is the surest way to say who may.
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.listeners.push(Source::Unix(path.into()));
        self
    }

    /// Listens on a socket that somebody else opened as well: a stream socket on which listen(2) was called, TCP or
    /// Unix-domain. `TCP_NODELAY` is set. All workers share it. Its file, if it has one, is not removed.
    ///
    /// It is closed when the server begins to stop, so that newcomers are refused at once, unless somebody else holds
    /// another descriptor of it: then they wait for whoever accepts next. (A [`WorkerStorage`] keeps one of its own for
    /// as long as it is there, since another worker may come.)
    pub fn with_listener(mut self, listener: impl Into<OwnedFd>) -> Self {
        self.config.listeners.push(Source::Given(Arc::new(listener.into())));
        self
    }

    /// Threads that serve, each with memory, a listener and connections of its own. One per available CPU unless set.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.config.workers = workers;
        self
    }

    /// Keeps each worker on one CPU: `true`, or the numbers of the CPUs to deal out. They move freely unless set.
    ///
    /// Worth it when workers and CPUs are as many and nothing else runs; a pinned worker that has to share its CPU is
    /// slower than one that may move. A worker touches its memory first after it was pinned, so that on machines with
    /// several memory nodes it lies near (but what an earlier server of this process gave back stays where it is). On
    /// Linux; elsewhere it is a [`ServerError::Setting`].
    pub fn pin(mut self, pin: impl Into<Pin>) -> Self {
        self.config.pin = pin.into();
        self
    }

    /// What performs the I/O. [`Backend::Auto`] unless set.
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.config.backend = backend;
        self
    }

    /// Most connections per worker; 1024 unless set. Those beyond wait in the [`backlog`](Self::backlog).
    ///
    /// The soft limit of file descriptors is raised to the hard one when it is too low for them.
    pub const fn connections(mut self, connections: usize) -> Self {
        self.config.connections = connections;
        self
    }

    /// What a connection may cost, and for how long; [`Limits::default`] unless set.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Buffers per worker; what [`buffers_for`](aurora_http_core::budget::buffers_for) says unless set.
    pub const fn buffers(mut self, buffers: ClassCounts) -> Self {
        self.config.buffers = Some(buffers);
        self
    }

    /// The value of the `Server` field (RFC 9110 §10.2.4), at most
    /// [64 bytes](aurora_http_core::preamble::SERVER_BYTES_MAX) of printable ASCII; there is no such field unless set, nor for
    /// an empty value. Anything else is a [`ServerError::Setting`] at the start.
    ///
    /// ```
    /// # use aurora_http::Server;
    /// let version = "2.1"; // or what a file says, or the command line
    /// let server = Server::new().server_name(format!("shop/{version}"));
    /// ```
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.config.server_name = name.into();
        self
    }

    /// Connections that the system holds for each worker until they are accepted; 1024 unless set. The system has a
    /// maximum of its own: `net.core.somaxconn` on Linux; `kern.ipc.somaxconn` on macOS, where it is 128 unless raised,
    /// for all workers together, and on the BSDs.
    pub const fn backlog(mut self, backlog: u32) -> Self {
        self.config.backlog = backlog;
        self
    }

    /// Whether IPv6 listeners take IPv6 connections alone. Unless set, they do where the same port is asked for on an IPv4
    /// address as well, so that `0.0.0.0:80` and `[::]:80` go together; a listener on `[::]` that is alone does as the
    /// system does, which on Linux and macOS (unless configured otherwise) is to take IPv4 connections too, and on the BSDs
    /// not to. (OpenBSD cannot do anything else.)
    pub const fn only_v6(mut self, only: bool) -> Self {
        self.config.only_v6 = Some(only);
        self
    }

    /// How often within a minute a worker is replaced whose handler panicked; 3 unless set, 0 for never. Beyond that the
    /// worker ends, as [`WorkerOutcome::Panicked`], and the others serve on.
    ///
    /// The connections of a worker that panics are cut. The one that takes its place has the same memory, the same
    /// listeners, in whose backlogs nobody is lost, and a new handler from the factory; tokens of answers that were
    /// deferred before are stale. [`Running::restarts`] counts them, and [`Report`] has the last panic's words.
    pub const fn restarts_per_minute(mut self, restarts: u32) -> Self {
        self.config.restarts_per_minute = restarts;
        self
    }

    /// Whether SIGINT and SIGTERM stop [`serve`](Self::serve): the first one gracefully, the second one at once. They
    /// do not unless switched on, since they belong to the program.
    ///
    /// What these signals did before, by default or by a handler of the program's, they do not do while a server watches
    /// them, and do again as soon as `serve` has returned. The system may deliver two that come within the same
    /// milliseconds as one, which is then a graceful stop: a script that wants the end at once waits for a moment in
    /// between, and one signal is never lost.
    pub const fn signals(mut self, signals: bool) -> Self {
        self.signals = signals;
        self
    }

    /// Prints the start-up line, an [`Announcement`], to the standard output once the server is ready: from a thread of its
    /// own, so that a reader who has stopped reading stops no server. For programs that are a server.
    pub fn announce(mut self) -> Self {
        self.announce = Announce::Print;
        self
    }

    /// Calls `tell` once the server is ready. It is called on the thread that starts the server: signals that come meanwhile
    /// stop the server when it has returned.
    pub fn on_start(mut self, tell: impl FnOnce(&Announcement) + Send + 'static) -> Self {
        self.announce = Announce::Call(Box::new(tell));
        self
    }
}

/// What other threads may have of it before it starts.
///
/// A server is started once: [`serve`](Server::serve), [`start`](Server::start) and [`storage`](Server::storage) take it. The
/// next one has handles of its own.
impl Server {
    /// What resolves the tokens of deferred answers, for the factory of handlers and for other threads.
    ///
    /// It resolves nothing until the server has been started, nor when it never is.
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
    /// let (tokens, asked) = mpsc::channel();
    /// thread::spawn(move || asked.iter().for_each(|token| drop(resumer.resume(token))));
    /// server.serve(move |_worker| {
    ///     let tokens = tokens.clone();
    ///     handler_fn(move |_request, response| {
    ///         let _ = tokens.send(response.defer()?);
    ///         Ok::<_, WriteError>(deferred(|response| response.body("now\n")))
    ///     })
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn resumer(&self) -> Resumer {
        self.shared.board.resumer()
    }

    /// What reads the counters of all workers, for a page of metrics or another thread. They are zero until the server has
    /// been started.
    #[must_use]
    pub fn counters(&self) -> ServerCounters {
        ServerCounters::new(&self.shared)
    }

    /// What stops the server, for a handler, or for a thread that is there before the server is. A stop that is asked for
    /// before the start is not lost: the server then stops as soon as it has started.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle::new(&self.shared)
    }
}

/// Serving.
impl Server {
    /// Hands connections that a handler gives away by [`Flow::Detach`](crate::Flow::Detach) to `take`, which is called with
    /// the open, non-blocking socket, what had arrived behind the request, and the handler's state. Without it a server
    /// closes them. The last of the settings: what it returns can be served and started.
    ///
    /// `take` is called by the worker that had the connection, for which it must not block: hand the socket to a thread, or
    /// to a loop of your own. If it panics, the socket is closed, and the worker is
    /// [replaced](Self::restarts_per_minute) as if its handler had panicked. A graceful stop waits for a connection until it
    /// has been handed over, up to its deadline; what happens to the socket then is not its business.
    ///
    /// ```no_run
    /// use std::io::Write;
    /// use std::net::TcpStream;
    /// use std::thread;
    ///
    /// use aurora_http::{Flow, Handler, Request, ResponseWriter, Server};
    ///
    /// /// Gives everybody who asks for it another protocol.
    /// struct Switch;
    ///
    /// impl Handler for Switch {
    ///     /// The path that was asked for.
    ///     type Exchange = Vec<u8>;
    ///
    ///     fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Vec<u8>> {
    ///         match response.switch_protocols("greeting", &[]) {
    ///             Ok(()) => Flow::Detach(request.path().to_vec()),
    ///             Err(_) => Flow::Finish, // an error answers, such as 426 to who did not ask for an upgrade
    ///         }
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), aurora_http::ServerError> {
    /// Server::bind("127.0.0.1:8080")?
    ///     .on_detached(|socket, leftover, path: Vec<u8>| {
    ///         let (mut stream, leftover) = (TcpStream::from(socket), leftover.to_vec());
    ///         thread::spawn(move || {
    ///             stream.set_nonblocking(false)?;
    ///             writeln!(stream, "hello {path:?}, you said {leftover:?}")
    ///         });
    ///     })
    ///     .serve(|_worker| Switch)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_detached<E, T>(self, take: T) -> DetachingServer<T>
    where
        T: Fn(OwnedFd, &[u8], E) + Send + Sync + 'static,
    {
        DetachingServer { server: self, take }
    }

    /// Serves until [`WorkerContext::stop_handle`] says otherwise, or a signal where [`signals`](Self::signals) are switched on.
    /// Prints nothing unless asked to [`announce`](Self::announce).
    ///
    /// `factory` makes the handler of each worker, on the worker's own thread and one worker after another, and again for
    /// a worker that is [replaced](Self::restarts_per_minute).
    ///
    /// # Errors
    /// What keeps the server from starting, and [`ServerError::AllWorkersFailed`] when it ended without being told to.
    pub fn serve<F, H>(self, factory: F) -> Result<Report, ServerError>
    where
        F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
        H: Handler,
    {
        self.serve_program(Program { factory, detached: Closed })
    }

    fn serve_program<F, H, D>(self, program: Program<F, D>) -> Result<Report, ServerError>
    where
        F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
        H: Handler,
        D: Detaches<H::Exchange>,
    {
        let Self { config, signals, announce, shared } = self;
        let system = |error| ServerError::System { what: "watch for signals", error };
        let mut watch = if signals { Some(Watch::new().map_err(system)?) } else { None };
        let on_end = watch.as_ref().map(Watch::ender).map(|ender| Box::new(move || ender.end()) as OnEnd);
        let printer = if matches!(announce, Announce::Print) { Some(Printer::new()?) } else { None };
        let running = launch(config, &shared, program, on_end)?;
        if let Announce::Call(announce) = announce {
            announce(running.announcement());
        }
        let printing = printer.map(|printer| printer.print(running.announcement()));
        if let Some(watch) = &mut watch {
            watch.each(|earlier| if earlier == 0 { running.stop() } else { running.abort() });
        }
        let report = running.join()?;
        if let Some(printed) = printing {
            let _ = printed.recv_timeout(PRINTING);
        }
        if report.workers.iter().any(|worker| worker.outcome == WorkerOutcome::Finished) {
            Ok(report)
        } else {
            Err(ServerError::AllWorkersFailed(Box::new(report)))
        }
    }

    /// Serves on threads of its own and returns at once: for programs that do something else meanwhile. Watches no
    /// signals, and leaves it to the program to print what [`Running::announcement`] says.
    ///
    /// # Errors
    /// What keeps the server from starting; then no thread is left.
    pub fn start<F, H>(self, factory: F) -> Result<Running, ServerError>
    where
        F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
        H: Handler,
    {
        self.start_program(Program { factory, detached: Closed })
    }

    fn start_program<F, H, D>(self, program: Program<F, D>) -> Result<Running, ServerError>
    where
        F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
        H: Handler,
        D: Detaches<H::Exchange>,
    {
        let running = launch(self.config, &self.shared, program, None)?;
        if let Announce::Call(announce) = self.announce {
            announce(running.announcement());
        }
        Ok(running)
    }

    /// Memory for a [`Worker`](super::Worker) on the calling thread, sized by this configuration; the number of
    /// workers, signals and announcements mean nothing to it.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn storage<E>(self) -> Result<WorkerStorage<E>, ServerError> {
        self.config.validate()?;
        let config = Config { workers: 1, ..self.config };
        let (chosen, _) = choose(config.backend)?;
        super::descriptors::ensure(1, config.connections, config.listeners.len())?;
        storage::ensure::<E>(&config, chosen)?;
        WorkerStorage::new(config, chosen, Seat::single(self.shared))
    }

    /// Memory for an [`Engine`](crate::core::engine::Engine) that the program drives itself, sized by this configuration. Only
    /// connections, limits, buffers and the server's name matter to it; no listener is needed. [`HeapStorage::new`] does the
    /// same with the defaults.
    ///
    /// # Errors
    /// What is wrong with the configuration, and [`ServerError::Memory`] when the system has too little memory.
    pub fn engine_storage<E>(self) -> Result<HeapStorage<E>, ServerError> {
        HeapStorage::configured(self.config, Seat::single(self.shared))
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("config", &self.config).field("signals", &self.signals).finish_non_exhaustive()
    }
}

/// A [`Server`] whose detached connections go to the program: see [`Server::on_detached`].
#[must_use = "a server serves when it is told to: see `serve` and `start`"]
pub struct DetachingServer<T> {
    server: Server,
    take: T,
}

impl<T> DetachingServer<T> {
    /// As [`Server::serve`].
    ///
    /// # Errors
    /// As [`Server::serve`].
    pub fn serve<F, H>(self, factory: F) -> Result<Report, ServerError>
    where
        F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
        H: Handler,
        T: Fn(OwnedFd, &[u8], H::Exchange) + Send + Sync + 'static,
    {
        self.server.serve_program(Program { factory, detached: Taken(self.take) })
    }

    /// As [`Server::start`].
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start<F, H>(self, factory: F) -> Result<Running, ServerError>
    where
        F: Fn(&WorkerContext) -> H + Send + Sync + 'static,
        H: Handler,
        T: Fn(OwnedFd, &[u8], H::Exchange) + Send + Sync + 'static,
    {
        self.server.start_program(Program { factory, detached: Taken(self.take) })
    }
}

impl<T> fmt::Debug for DetachingServer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachingServer").field("server", &self.server).finish_non_exhaustive()
    }
}
