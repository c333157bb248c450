//! Why a server cannot serve, and what to change.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use aurora_http_core::reactor::IoError;
use rustix::io::Errno;

use super::announce::Bytes;
use super::backend::Backend;
use super::report::{Report, WorkerOutcome};

/// Why a server could not start, or ended without being stopped.
///
/// `Debug` prints the same message as `Display`, so that a `main` that returns this error shows its user something
/// useful.
///
/// ```
/// use aurora_http::{Server, handler_fn};
///
/// # fn main() -> Result<(), aurora_http::ServerError> {
/// let server = Server::bind("127.0.0.1:0")?.workers(0);
/// let error = server.start(|_worker| handler_fn(|_request, response| response.body("hello"))).unwrap_err();
/// assert_eq!(error.to_string(), "workers = 0: a server needs at least 1");
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub enum ServerError {
    /// The address cannot be parsed, or its name cannot be resolved.
    Address {
        /// The address as it was given.
        address: String,
        /// What was wrong with it.
        error: io::Error,
    },
    /// A setting has an invalid value.
    Setting {
        /// The path of the setting: `workers`, `limits.head_bytes_max`, …
        name: &'static str,
        /// Its value.
        value: String,
        /// What to use instead.
        advice: String,
    },
    /// The process may not open enough file descriptors for its connections.
    Descriptors {
        /// Connections per worker.
        connections: usize,
        /// Workers.
        workers: usize,
        /// The descriptors that they need, and a few for the rest of the program.
        needed: u64,
        /// How many the process may have: the hard limit, or less where the system allows less.
        limit: u64,
    },
    /// The system refuses the memory that the workers need. All of it is requested before the first accept.
    Memory {
        /// Connections per worker.
        connections: usize,
        /// Workers.
        workers: usize,
        /// The bytes that all workers need, including their threads' stacks.
        needed: usize,
    },
    /// Another program is listening on the address.
    PortInUse(SocketAddr),
    /// Listening on the address failed.
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: IoError,
    },
    /// Another program is listening on the Unix-domain socket.
    SocketInUse(PathBuf),
    /// The Unix-domain socket could not be created.
    SocketFile {
        /// Its path.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A socket that was handed over cannot be used, or there is none.
    Inherited {
        /// The index of the socket in `LISTEN_FDS`, from 0; `None` if it did not come from there.
        number: Option<usize>,
        /// What is wrong with it.
        reason: String,
    },
    /// The backend is not available here.
    Backend {
        /// The backend that was configured.
        backend: Backend,
        /// Why it is not available.
        reason: String,
    },
    /// The system refused something that a server needs, such as a thread or a signal handler.
    System {
        /// What it refused.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
    /// The backend could not be set up.
    Reactor {
        /// The backend.
        backend: &'static str,
        /// Why not.
        error: IoError,
    },
    /// A worker panicked at the start, most likely in the factory of handlers.
    Panicked {
        /// The worker, from 0.
        worker: usize,
        /// The panic's message.
        message: String,
    },
    /// A handler called [`Running::join`](super::Running::join) on its own server: it would wait for itself.
    OwnThread,
    /// Every worker has failed, so that no connection is served any more.
    AllWorkersFailed(Box<Report>),
}

impl ServerError {
    pub(super) fn setting(name: &'static str, value: impl ToString, advice: impl Into<String>) -> Self {
        Self::Setting { name, value: value.to_string(), advice: advice.into() }
    }

    /// The error for a failure to listen on `address`.
    pub(super) fn listen(address: SocketAddr, error: IoError) -> Self {
        if error == IoError::Os(Errno::ADDRINUSE.raw_os_error()) {
            Self::PortInUse(address)
        } else {
            Self::Listen { address, error }
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, error } => {
                write!(f, "cannot listen on {address}: {error}; give an address and a port, such as 127.0.0.1:8080")
            }
            Self::Setting { name, value, advice } => write!(f, "{name} = {value}: {advice}"),
            Self::Descriptors { connections, workers, needed, limit } => {
                write!(
                    f,
                    "connections = {connections} on {workers} worker(s) need {needed} file descriptors, and the limit \
                     is {limit}: raise it (ulimit -n {needed}), or configure fewer connections or workers"
                )
            }
            Self::Memory { connections, workers, needed } => write!(
                f,
                "connections = {connections} on {workers} worker(s) need {} of memory, which the system refuses: \
                 configure fewer connections, workers or buffers, or raise the limit (ulimit -v)",
                Bytes(*needed)
            ),
            Self::PortInUse(address) => write!(
                f,
                "cannot listen on {address}: the port is in use; stop the program that listens there, or choose \
                 another port (0 lets the system choose)"
            ),
            Self::SocketInUse(path) => write!(
                f,
                "cannot listen on unix:{0}: another program is listening there; stop it, or choose another path",
                path.display()
            ),
            Self::SocketFile { path, error } => write!(f, "cannot listen on unix:{}: {error}", path.display()),
            Self::Inherited { number: None, reason } => write!(f, "cannot take over a listener: {reason}"),
            Self::Inherited { number: Some(number), reason } => {
                write!(f, "cannot take over listener {number} of LISTEN_FDS: {reason}")
            }
            Self::Listen { address, error } => fmt_listen(f, *address, *error),
            Self::Backend { backend, reason } => {
                write!(f, "backend = {backend}: {reason}; choose another one, or auto")
            }
            Self::System { what, error } => write!(f, "cannot {what}: {error}"),
            Self::Reactor { backend, error } => {
                write!(f, "cannot set up the {backend} backend: {}", system_words(*error))
            }
            Self::Panicked { worker, message } => write!(f, "worker {worker} panicked while it started: {message}"),
            Self::OwnThread => {
                f.write_str("a handler cannot wait for the end of its own server; use a StopHandle to stop the server")
            }
            Self::AllWorkersFailed(report) => fmt_failed(f, report),
        }
    }
}

fn fmt_listen(f: &mut fmt::Formatter<'_>, address: SocketAddr, error: IoError) -> fmt::Result {
    write!(f, "cannot listen on {address}: {}", system_words(error))?;
    let is = |errno: Errno| error == IoError::Os(errno.raw_os_error());
    if is(Errno::ADDRNOTAVAIL) {
        f.write_str("; use an address of this machine, 127.0.0.1, or 0.0.0.0 for all of them")
    } else if is(Errno::ACCESS) && address.port() < 1024 {
        f.write_str("; ports below 1024 need privileges, choose a higher one")
    } else if is(Errno::AFNOSUPPORT) {
        f.write_str("; this system does not support the address family")
    } else {
        Ok(())
    }
}

fn fmt_failed(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    f.write_str("every worker failed")?;
    for (id, worker) in report.workers.iter().enumerate() {
        match &worker.outcome {
            WorkerOutcome::Finished => {}
            WorkerOutcome::Panicked(message) => write!(f, "; worker {id} panicked: {message}")?,
            WorkerOutcome::Failed(error) => write!(f, "; worker {id} failed: {}", system_words(*error))?,
        }
    }
    Ok(())
}

/// The error as text, with the system's own message for an error number.
fn system_words(error: IoError) -> String {
    match error {
        IoError::Os(code) => io::Error::from_raw_os_error(code).to_string(),
        error => error.to_string(),
    }
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address { error, .. } | Self::System { error, .. } | Self::SocketFile { error, .. } => Some(error),
            Self::Listen { error, .. } | Self::Reactor { error, .. } => Some(error),
            _ => None,
        }
    }
}
