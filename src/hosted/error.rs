//! What keeps a server from serving, in words that say what to change.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use aurora_http_core::reactor::IoError;
use rustix::io::Errno;

use super::announce::Bytes;
use super::backend::Backend;
use super::report::{Report, WorkerOutcome};

/// Why a server cannot start, or ended by itself.
///
/// `Debug` prints the same words as `Display`, so that a `main` that returns it tells its user something useful.
#[non_exhaustive]
pub enum ServerError {
    /// The address is none, or the name is not known.
    Address {
        /// As it was given.
        address: String,
        /// What was wrong with it.
        error: io::Error,
    },
    /// A setting has a value that cannot be.
    Setting {
        /// The setting, by its path: `workers`, `limits.head_bytes_max`, …
        name: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        advice: String,
    },
    /// The process may not open as many files as there can be connections.
    Descriptors {
        /// Connections per worker.
        connections: usize,
        /// Workers.
        workers: usize,
        /// Descriptors that they need, with some to spare.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// The system does not give the memory that the workers need, all of which is asked for before the first accept.
    Memory {
        /// Connections per worker.
        connections: usize,
        /// Workers.
        workers: usize,
        /// Bytes that all workers need, their threads' stacks included.
        needed: usize,
    },
    /// Somebody listens on the address already.
    PortInUse(SocketAddr),
    /// The address cannot be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: IoError,
    },
    /// Somebody listens on the Unix-domain socket already.
    SocketInUse(PathBuf),
    /// The Unix-domain socket cannot be made.
    SocketFile {
        /// Its path.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A socket that somebody else opened cannot be used, or there is none.
    Inherited {
        /// Which one, from 0; `None` where that says nothing.
        number: Option<usize>,
        /// What is wrong with it.
        reason: String,
    },
    /// The backend does not exist here.
    Backend {
        /// What was asked for.
        backend: Backend,
        /// Why there is none.
        reason: String,
    },
    /// The system refused something that a server needs: a thread, a signal handler.
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
    /// A worker did not start because its handler could not be made.
    Panicked {
        /// The worker, from 0.
        worker: usize,
        /// What the panic said.
        message: String,
    },
    /// A thread of the server's own, which is a handler, wanted to wait for the server's end.
    OwnThread,
    /// Every worker failed, so that nobody serves any more.
    AllWorkersFailed(Box<Report>),
}

impl ServerError {
    pub(super) fn setting(name: &'static str, value: impl ToString, advice: impl Into<String>) -> Self {
        Self::Setting { name, value: value.to_string(), advice: advice.into() }
    }

    /// What listening on `address` failed with.
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
                "connections = {connections} on {workers} worker(s) need {} of memory, and the system does not give it: \
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
                "cannot listen on unix:{0}: somebody listens there; stop that program, or choose another path",
                path.display()
            ),
            Self::SocketFile { path, error } => write!(f, "cannot listen on unix:{}: {error}", path.display()),
            Self::Inherited { number: None, reason } => write!(f, "cannot take a listener over: {reason}"),
            Self::Inherited { number: Some(number), reason } => {
                write!(f, "cannot take listener {number} of LISTEN_FDS over: {reason}")
            }
            Self::Listen { address, error } => fmt_listen(f, *address, *error),
            Self::Backend { backend, reason } => {
                write!(f, "backend = {backend}: {reason}; choose another one, or auto")
            }
            Self::System { what, error } => write!(f, "cannot {what}: {error}"),
            Self::Reactor { backend, error } => {
                write!(f, "cannot set up the {backend} backend: {}", system_words(*error))
            }
            Self::Panicked { worker, message } => write!(f, "worker {worker} panicked at its start: {message}"),
            Self::OwnThread => f.write_str(
                "a handler cannot wait for the end of the server that calls it; stop it by a StopHandle instead",
            ),
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
        f.write_str("; this system has no such address family")
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

/// The system's own words for its numbers.
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
