//! Builds, starts and runs a server.

use std::fmt;
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
use super::storage::{self, WorkerStorage};

/// Builds a server: where it listens, and how it serves.
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
/// The whole configuration is validated before anything starts, and an error names the invalid value. All memory is
/// allocated before the first accept; see [`Announcement::memory`].
///
/// A child process made by fork(2) without exec has the descriptors of its parent's server but none of its threads. It
/// must not use the server, and should soon `_exit` or execute a program, both of which close every descriptor. Until
/// then it keeps the parent's listeners and connections open, as any fork does; SIGINT and SIGTERM end it, as by
/// default.
#[must_use = "a server does nothing until `serve` or `start` is called"]
pub struct Server {
    pub(super) config: Config,
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
    /// A server that listens on `address`: `"127.0.0.1:8080"`, `"localhost:8080"`, `([0, 0, 0, 0], 80)`, a
    /// [`SocketAddr`](std::net::SocketAddr). With port 0 the system chooses a free port. If a name has several
    /// addresses, the server listens only on the first one that works: `localhost` is often `::1`, and the server is
    /// then not reachable at `127.0.0.1`. The port is not bound before the server starts. (On the BSDs and macOS, one
    /// program may listen on an address and another on all addresses, on the same port; the former gets the connections
    /// to that address.)
    ///
    /// # Errors
    /// [`ServerError::Address`] when the address cannot be parsed, or its name cannot be resolved.
    pub fn bind(address: impl ToSocketAddrs + fmt::Debug) -> Result<Self, ServerError> {
        Self::new().listen(address)
    }

    /// A server that listens on a Unix-domain socket; see [`listen_unix`](Self::listen_unix).
    pub fn bind_unix(path: impl Into<PathBuf>) -> Self {
        Self::new().listen_unix(path)
    }

    /// A server that listens on the sockets, TCP or Unix-domain, that a service manager has opened and handed over
    /// (socket activation: `LISTEN_FDS` and `LISTEN_PID` in the environment, sd_listen_fds(3)). The service manager
    /// keeps them open while this process restarts, so that no client is refused.
    ///
    /// Call it early in `main`, before there are other threads, because it removes the two variables from the
    /// environment. It can be called successfully only once.
    ///
    /// # Errors
    /// [`ServerError::Inherited`] when there are no sockets, or when one of them is not a listening stream socket.
    pub fn inherit() -> Result<Self, ServerError> {
        Ok(inherit::take()?.into_iter().fold(Self::new(), Self::with_listener))
    }

    /// A server without a listener: add one with [`listen`](Self::listen), [`listen_unix`](Self::listen_unix) or
    /// [`with_listener`](Self::with_listener).
    pub fn new() -> Self {
        let config = Config::new(Vec::new());
        Self { config, signals: false, announce: Announce::Quiet, shared: Shared::new() }
    }

    /// The number of worker threads, each with its own memory, listeners and connections. The default is one per
    /// available CPU.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.config.workers = workers;
        self
    }

    /// Keeps each worker on one CPU: pass `true`, or the numbers of the CPUs to assign. By default workers move freely.
    ///
    /// This pays off when there are as many workers as CPUs and nothing else runs; a pinned worker that has to share
    /// its CPU is slower than one that may move. A worker first touches its memory after it has been pinned, so that on
    /// machines with several memory nodes its memory is local (except for buffers that an earlier server of this
    /// process returned, which stay where they are). Linux only; elsewhere the start fails with a
    /// [`ServerError::Setting`].
    pub fn pin(mut self, pin: impl Into<Pin>) -> Self {
        self.config.pin = pin.into();
        self
    }

    /// The backend that performs the I/O. The default is [`Backend::Auto`].
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.config.backend = backend;
        self
    }

    /// The most connections per worker. The default is 1024. Further ones wait in the [`backlog`](Self::backlog).
    ///
    /// If the soft limit of file descriptors is too low for them, it is raised to the hard limit.
    pub const fn connections(mut self, connections: usize) -> Self {
        self.config.connections = connections;
        self
    }

    /// Limits on sizes, times and counts. The default is [`Limits::default`].
    ///
    /// ```
    /// use aurora_http::{Limits, Server, Timeouts};
    ///
    /// # fn main() -> Result<(), aurora_http::ServerError> {
    /// let timeouts = Timeouts { idle_timeout_ms: Some(10_000), ..Timeouts::default() };
    /// let limits = Limits { content_bytes_max: 1 << 30, timeouts, ..Limits::default() };
    /// let server = Server::bind("127.0.0.1:0")?.limits(limits);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// The number of buffers of each size per worker. The default is given by
    /// [`buffers_for`](aurora_http_core::budget::buffers_for) for the number of connections.
    pub const fn buffers(mut self, buffers: ClassCounts) -> Self {
        self.config.buffers = Some(buffers);
        self
    }

    /// The value of the `Server` field (RFC 9110 §10.2.4): at most [64
    /// bytes](aurora_http_core::preamble::SERVER_BYTES_MAX) of printable ASCII. By default, and for an empty value, no
    /// such field is sent. For any other value the start fails with a [`ServerError::Setting`].
    ///
    /// ```
    /// # use aurora_http::Server;
    /// let version = "2.1"; // from a file or the command line, say
    /// let server = Server::new().server_name(format!("shop/{version}"));
    /// ```
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.config.server_name = name.into();
        self
    }

    /// Encrypts every connection, on all listeners; for some without encryption, start a second server in the same process.
    /// [`TlsConfig::reload`](aurora_http_tls::TlsConfig::reload) replaces certificates while the server runs. Handlers learn
    /// about the encryption, and the client's certificate, from [`Request::security`](crate::Request::security).
    ///
    /// TLS runs on every backend; on io_uring the ring only polls. A worker takes it by [`Worker::new`](super::Worker::new);
    /// `Worker::uring` and the like are errors. Detached connections ([`on_detached`](Self::on_detached)) are an
    /// error too, since a socket is of no use without its session.
    ///
    /// ```no_run
    /// use aurora_http::tls::TlsConfig;
    /// use aurora_http::{Server, handler_fn};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// Server::bind("127.0.0.1:8443")?
    ///     .tls(TlsConfig::from_files("chain.pem", "key.pem")?)
    ///     .serve(|_worker| handler_fn(|_request, response| response.body("hello, in secret\n")))?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: aurora_http_tls::TlsConfig) -> Self {
        self.config.tls = Some(config);
        self
    }

    /// How often within a minute a worker is replaced whose handler panicked. The default is 3; 0 means never. When the
    /// limit is exceeded, the worker ends with [`WorkerOutcome::Panicked`], and the others continue.
    ///
    /// A panic cuts off the connections of its worker. The replacement has the same memory, the same listeners, so that
    /// no connection in their backlogs is lost, and a new handler from the factory; tokens of answers that were
    /// deferred before are stale. [`Running::restarts`] counts replacements, and the [`Report`] has the message of the
    /// last panic.
    pub const fn restarts_per_minute(mut self, restarts: u32) -> Self {
        self.config.restarts_per_minute = restarts;
        self
    }

    /// Whether SIGINT and SIGTERM stop [`serve`](Self::serve): the first signal gracefully, the second one immediately.
    /// Off by default, since signals belong to the program.
    ///
    /// While a server watches these signals, neither their default action nor a handler of the program runs; both are
    /// restored before `serve` returns. The system may deliver two signals in quick succession as one, which then is a
    /// graceful stop; so a script that wants to end the server at once must pause between the two. A single signal is
    /// never lost.
    pub const fn signals(mut self, signals: bool) -> Self {
        self.signals = signals;
        self
    }

    /// Prints the start-up line, an [`Announcement`], to the standard output once the server is ready. A separate
    /// thread prints it, so that a stuck reader cannot block the server. Meant for programs whose only job is to serve.
    pub fn announce(mut self) -> Self {
        self.announce = Announce::Print;
        self
    }

    /// Calls `announce` once the server is ready, on the thread that starts the server. A signal that arrives during
    /// the call stops the server after it has returned.
    ///
    /// ```no_run
    /// # use aurora_http::{Server, handler_fn};
    /// # fn main() -> Result<(), aurora_http::ServerError> {
    /// Server::bind("127.0.0.1:0")?
    ///     .on_start(|announcement| eprintln!("ready at http://{}", announcement.address))
    ///     .serve(|_worker| handler_fn(|_request, response| response.body("hello")))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_start(mut self, announce: impl FnOnce(&Announcement) + Send + 'static) -> Self {
        self.announce = Announce::Call(Box::new(announce));
        self
    }
}

/// Handles for handlers and other threads, available before the server starts.
///
/// A server is started at most once: [`serve`](Server::serve), [`start`](Server::start) and
/// [`storage`](Server::storage) consume it. Handles of one server have no effect on another.
impl Server {
    /// A handle that resolves the tokens of deferred answers, for handlers and other threads.
    ///
    /// It resolves nothing before the server has started.
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
    /// let (tokens, deferred_tokens) = mpsc::channel();
    /// thread::spawn(move || deferred_tokens.iter().for_each(|token| drop(resumer.resume(token))));
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

    /// A handle that reads the counters of all workers, for a metrics page or another thread. They are zero until the
    /// server starts.
    #[must_use]
    pub fn counters(&self) -> ServerCounters {
        ServerCounters::new(&self.shared)
    }

    /// A handle that stops the server, for handlers and other threads. A stop that is requested before the start is not
    /// lost: the server then stops as soon as it has started.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle::new(&self.shared)
    }
}

/// Serving.
impl Server {
    /// Passes connections that a handler detaches with [`Flow::Detach`](crate::Flow::Detach) to `take`, with the open,
    /// non-blocking socket, the bytes that had arrived after the request, and the handler's state. Without it a server
    /// closes such connections. Call it after all other settings: its result can only be served or started.
    ///
    /// The worker that had the connection calls `take`, so it must not block: hand the socket to a thread, or to an
    /// event loop of your own. If it panics, the socket is closed, and the worker is
    /// [replaced](Self::restarts_per_minute) as if its handler had panicked. A graceful stop waits, up to its deadline,
    /// until a connection has been handed over, but not for what the program does with the socket afterwards.
    ///
    /// ```no_run
    /// use std::io::Write;
    /// use std::net::TcpStream;
    /// use std::thread;
    ///
    /// use aurora_http::{Flow, Handler, Request, ResponseWriter, Server};
    ///
    /// /// Switches to another protocol when a client asks for it.
    /// struct Switch;
    ///
    /// impl Handler for Switch {
    ///     /// The path of the request.
    ///     type Exchange = Vec<u8>;
    ///
    ///     fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Vec<u8>> {
    ///         match response.switch_protocols("greeting", &[]) {
    ///             Ok(()) => Flow::Detach(request.path().to_vec()),
    ///             Err(_) => Flow::Finish, // the error is answered: 426, say, if no upgrade was requested
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

    /// Serves until a [`StopHandle`] stops the server, or a signal if [`signals`](Self::signals) are on. Prints nothing
    /// unless told to [`announce`](Self::announce).
    ///
    /// `factory` makes the handler of each worker. It runs on that worker's thread, for one worker after another, and
    /// again for the replacement of a worker that [panicked](Self::restarts_per_minute).
    ///
    /// # Errors
    /// Whatever prevents the server from starting, and [`ServerError::AllWorkersFailed`] when no worker is left.
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

    /// Starts the server on its own threads and returns once it is ready, for programs that do something else
    /// meanwhile. It watches no signals and prints nothing; see [`Running::announcement`]. `factory` is called as by
    /// [`serve`](Self::serve).
    ///
    /// # Errors
    /// Whatever prevents the server from starting; no thread is left running then.
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

    /// Allocates the memory of a [`Worker`](super::Worker) for the calling thread, sized by this configuration. The
    /// settings for the number of workers, signals and announcements have no effect on it.
    ///
    /// # Errors
    /// Whatever is wrong with the configuration, and [`ServerError::Memory`] when the system has too little memory.
    pub fn storage<E>(self) -> Result<WorkerStorage<E>, ServerError> {
        self.config.validate()?;
        let config = Config { workers: 1, ..self.config };
        let (chosen, _) = choose(config.backend)?;
        super::descriptors::ensure(1, config.connections, config.listeners.len())?;
        storage::ensure::<E>(&config, chosen)?;
        WorkerStorage::new(config, chosen, Seat::single(self.shared))
    }

    /// Allocates the memory of an [`Engine`](crate::core::engine::Engine) that the program drives itself, sized by this
    /// configuration. Only connections, limits, buffers and the server's name matter to it; no listener is needed.
    /// [`HeapStorage::new`] does the same with the defaults.
    ///
    /// # Errors
    /// Whatever is wrong with the configuration, and [`ServerError::Memory`] when the system has too little memory.
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

/// A [`Server`] that passes detached connections to the program; see [`Server::on_detached`].
#[must_use = "a server does nothing until `serve` or `start` is called"]
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
