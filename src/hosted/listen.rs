//! Opens the listening sockets: on each address one per worker, or one for all workers.
//!
//! Where the system spreads connections over the listeners of one address (Linux by `SO_REUSEPORT`, FreeBSD by
//! `SO_REUSEPORT_LB`), every worker has a socket of its own. With that option the system would let a second server of
//! the same user bind as well, and give it a share of the connections. So a socket without the option claims the
//! address first, which fails when another program listens there. It never listens itself, so it takes no connection,
//! and is held until ours are open, if the system allows both. (Two servers that start within the same microseconds can
//! still miss each other.) A single worker has nothing to share, and does not set the option.
//!
//! Elsewhere, which means on macOS, all workers share one socket, each through a descriptor of its own. A connection
//! wakes every waiting worker; the first one takes it, and the others find nothing and wait again. The same holds
//! everywhere for Unix-domain sockets and for sockets that were opened elsewhere. (Linux could wake a single worker,
//! with `EPOLLEXCLUSIVE`; but if that one had no free slot, no worker would take the connection.)

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use aurora_http_core::reactor::IoError;
use aurora_http_sockets::{ListenOptions, listen, local_addr, stream_socket};
use rustix::io::Errno;
use rustix::net::{AddressFamily, sockopt};

use super::address::ListenAddr;
use super::auto::Chosen;
use super::config::Config;
use super::error::ServerError;
use super::source::Source;
use super::unix::{self, SocketFile};
use super::{holders, inherit};

/// All listeners of a server.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// For each worker, one socket per address.
    pub(super) sockets: Vec<Vec<OwnedFd>>,
    pub(super) addresses: Vec<ListenAddr>,
    /// The socket files to remove at the end.
    pub(super) files: Vec<SocketFile>,
}

/// Opens all listeners, or none.
pub(super) fn open(chosen: Chosen, config: &Config) -> Result<Opened, ServerError> {
    let mut opened = Opened::default();
    opened.sockets.resize_with(config.workers, Vec::new);
    for source in &config.listeners {
        let sockets = match source {
            Source::Tcp(addresses) => open_tcp(chosen, config, addresses)?,
            Source::Unix(path) => {
                let (socket, file) = unix::listen(path, shared_backlog(config))?;
                opened.files.push(file);
                share(socket, config.workers)?
            }
            Source::Given(socket) => open_given(socket, config.workers)?,
            Source::Opened => return Err(taken_already()),
        };
        if let Some(at_most) = config.defer_accept {
            defer_accept(&sockets, at_most)?;
        }
        if let Some(first) = sockets.first() {
            opened.addresses.push(ListenAddr::of(first).map_err(|error| system("read a listener's address", error))?);
        }
        for (worker, socket) in opened.sockets.iter_mut().zip(sockets) {
            worker.push(socket);
        }
    }
    Ok(opened)
}

/// Opens all listeners for a single worker.
pub(super) fn open_one_each(chosen: Chosen, config: &Config) -> Result<Opened, ServerError> {
    open(chosen, &Config { workers: 1, ..config.clone() })
}

fn taken_already() -> ServerError {
    ServerError::Inherited { number: None, reason: "it has already been taken".into() }
}

fn open_tcp(chosen: Chosen, config: &Config, addresses: &[SocketAddr]) -> Result<Vec<OwnedFd>, ServerError> {
    let mut failed = None;
    for &address in addresses {
        match open_patiently(chosen, config, address) {
            Ok(sockets) => return Ok(sockets),
            Err(error) => failed = Some(ServerError::listen(address, error)),
        }
    }
    Err(failed.unwrap_or_else(|| ServerError::setting("address", "", "the name has no address")))
}

fn open_given(socket: &OwnedFd, workers: usize) -> Result<Vec<OwnedFd>, ServerError> {
    inherit::check(socket).map_err(|reason| ServerError::Inherited { number: None, reason })?;
    // As for listeners of our own. It fails for Unix-domain sockets, which do not need it.
    let _ = sockopt::set_tcp_nodelay(socket, true);
    let own = socket.try_clone().map_err(|error| ServerError::System { what: "duplicate a listener", error })?;
    share(own, workers)
}

fn defer_accept(sockets: &[OwnedFd], at_most: Duration) -> Result<(), ServerError> {
    let seconds = u32::try_from(at_most.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
    for socket in sockets {
        match aurora_http_system::defer_accept(socket.as_fd(), seconds) {
            // It is not of TCP.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::OPNOTSUPP | Errno::NOPROTOOPT)) => {}
            outcome => {
                outcome.map_err(|error| ServerError::System { what: "let the system hold connections back", error })?;
            }
        }
    }
    Ok(())
}

/// Makes a descriptor of the same socket for each worker.
fn share(socket: OwnedFd, workers: usize) -> Result<Vec<OwnedFd>, ServerError> {
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        let duplicate = rustix::io::fcntl_dupfd_cloexec(&socket, 0);
        sockets.push(duplicate.map_err(|error| system("duplicate a listener", error))?);
    }
    sockets.push(socket);
    Ok(sockets)
}

/// The backlog of a socket that all workers share.
fn shared_backlog(config: &Config) -> u32 {
    config.backlog.saturating_mul(u32::try_from(config.workers).unwrap_or(u32::MAX))
}

fn system(what: &'static str, error: Errno) -> ServerError {
    ServerError::System { what, error: error.into() }
}

/// Opens the listeners on an address. If only the remains of a killed process hold it, waits until they are gone.
fn open_patiently(chosen: Chosen, config: &Config, address: SocketAddr) -> Result<Vec<OwnedFd>, IoError> {
    let begun = Instant::now();
    loop {
        let opened = open_at(chosen, config, address);
        let in_use = matches!(&opened, Err(error) if *error == os(Errno::ADDRINUSE));
        if !in_use || begun.elapsed() >= holders::PATIENCE || holders::holds_address(address) {
            return opened;
        }
        thread::sleep(holders::PAUSE);
    }
}

fn open_at(chosen: Chosen, config: &Config, address: SocketAddr) -> Result<Vec<OwnedFd>, IoError> {
    let only_v6 = only_v6(config, address);
    let shared = config.workers > 1;
    if shared && !spreads(chosen) {
        return open_one(config, address, only_v6);
    }
    // A port that the system chooses is not in use.
    let is_exclusive = shared && !config.reuse_port && address.port() != 0;
    let mut claim = if is_exclusive { Some(claim(address, only_v6).map_err(os)?) } else { None };
    if cfg!(not(target_os = "linux")) {
        claim = None;
    }
    let reuse_port = shared || config.reuse_port;
    let options = ListenOptions { backlog: config.backlog, reuse_port, only_v6, ..ListenOptions::default() };
    let first = listen(address, &options)?;
    let local = local_addr(first.as_fd())?;
    let mut sockets = Vec::with_capacity(config.workers);
    sockets.push(first);
    for _ in 1..config.workers {
        sockets.push(listen(local, &options)?);
    }
    drop(claim);
    Ok(sockets)
}

/// Opens one socket, with a descriptor of it per worker.
fn open_one(config: &Config, address: SocketAddr, only_v6: Option<bool>) -> Result<Vec<OwnedFd>, IoError> {
    let reuse_port = config.reuse_port;
    let options = ListenOptions { backlog: shared_backlog(config), reuse_port, only_v6, ..ListenOptions::default() };
    let socket = listen(address, &options)?;
    let mut sockets = Vec::with_capacity(config.workers);
    for _ in 1..config.workers {
        sockets.push(rustix::io::fcntl_dupfd_cloexec(&socket, 0).map_err(os)?);
    }
    sockets.push(socket);
    Ok(sockets)
}

/// Whether the system spreads connections over several listeners on one address.
fn spreads(chosen: Chosen) -> bool {
    match chosen {
        #[cfg(has_epoll)]
        Chosen::Epoll => ListenOptions::SPREADS,
        // The emulation on Linux also stands in for macOS, which does not.
        #[cfg(has_kqueue)]
        Chosen::Kqueue => ListenOptions::SPREADS && cfg!(not(target_os = "linux")),
        #[cfg(has_uring)]
        Chosen::Uring(_) => ListenOptions::SPREADS,
    }
}

/// Whether an IPv6 listener refuses IPv4 connections; `None` leaves that to the system. If an IPv4 listener is
/// configured on the same port, that one gets them.
fn only_v6(config: &Config, address: SocketAddr) -> Option<bool> {
    let both = config.listeners.iter().any(|source| match source {
        Source::Tcp(addresses) => addresses.iter().any(|other| other.is_ipv4() && other.port() == address.port()),
        Source::Unix(_) | Source::Given(_) | Source::Opened => false,
    });
    config.only_v6.or((both && address.port() != 0).then_some(true))
}

fn claim(address: SocketAddr, only_v6: Option<bool>) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = stream_socket(family)?;
    // So that neither old connections in TIME_WAIT nor, later, this socket make a bind fail.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if let (true, Some(only)) = (address.is_ipv6(), only_v6) {
        sockopt::set_ipv6_v6only(&socket, only)?;
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

fn os(error: Errno) -> IoError {
    IoError::Os(error.raw_os_error())
}
