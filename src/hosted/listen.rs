//! Listening sockets: one per worker on one address, or one for all of them.
//!
//! Where the system spreads connections over the listeners of one address (Linux by `SO_REUSEPORT`, FreeBSD by
//! `SO_REUSEPORT_LB`), every worker has a socket of its own. With that option the system would let a second server of
//! the same user in as well, which then takes every other connection. So a socket without the option claims the address
//! first: that fails when anybody listens there. It never listens itself, hence takes no connection, and is held until
//! ours are open, where the system lets them in beside it. (Two servers that start within these microseconds still get
//! past each other.) One worker alone needs no sharing, and does without the option.
//!
//! Elsewhere, which is on macOS, all workers have the same socket, each by a descriptor of its own. A connection wakes
//! every worker that waits; the first one takes it, and the others find nothing and wait again.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use aurora_http_core::reactor::IoError;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, ipproto, sockopt};

use super::auto::Chosen;
use super::config::Config;
use super::error::ServerError;

/// One socket per worker, and the address they have: the first of the configured ones that works.
pub(super) fn open(chosen: Chosen, config: &Config) -> Result<(Vec<OwnedFd>, SocketAddr), ServerError> {
    let mut failed = None;
    for &address in &config.addresses {
        match open_at(chosen, config, address) {
            Ok(opened) => return Ok(opened),
            Err(error) => failed = Some(ServerError::listen(address, error)),
        }
    }
    Err(failed.unwrap_or_else(|| ServerError::setting("address", "", "it names no address of any machine")))
}

fn open_at(chosen: Chosen, config: &Config, address: SocketAddr) -> Result<(Vec<OwnedFd>, SocketAddr), IoError> {
    let shared = config.workers > 1;
    if shared && !spreads(chosen) {
        return open_one(chosen, config, address);
    }
    // A port that the system chooses is nobody else's.
    let mut claim = if shared && address.port() != 0 { Some(claim(address).map_err(os)?) } else { None };
    if cfg!(not(target_os = "linux")) {
        claim = None;
    }
    let first = listen(chosen, address, config.backlog, shared)?;
    let local = local_addr(&first)?;
    let mut sockets = Vec::with_capacity(config.workers);
    sockets.push(first);
    for _ in 1..config.workers {
        sockets.push(listen(chosen, local, config.backlog, shared)?);
    }
    drop(claim);
    Ok((sockets, local))
}

/// One socket, and a descriptor of it per worker. Its backlog is that of all of them together.
fn open_one(chosen: Chosen, config: &Config, address: SocketAddr) -> Result<(Vec<OwnedFd>, SocketAddr), IoError> {
    let workers = u32::try_from(config.workers).unwrap_or(u32::MAX);
    let socket = listen(chosen, address, config.backlog.saturating_mul(workers), false)?;
    let local = local_addr(&socket)?;
    let mut sockets = Vec::with_capacity(config.workers);
    for _ in 1..config.workers {
        sockets.push(rustix::io::fcntl_dupfd_cloexec(&socket, 0).map_err(os)?);
    }
    sockets.push(socket);
    Ok((sockets, local))
}

/// Whether the system spreads connections over several listeners on one address.
fn spreads(chosen: Chosen) -> bool {
    match chosen {
        #[cfg(has_epoll)]
        Chosen::Epoll => true,
        #[cfg(has_kqueue)]
        Chosen::Kqueue => aurora_http_kqueue::ListenOptions::SPREADS,
    }
}

/// A socket of one backend.
pub(super) fn listen(chosen: Chosen, address: SocketAddr, backlog: u32, shared: bool) -> Result<OwnedFd, IoError> {
    match chosen {
        #[cfg(has_epoll)]
        Chosen::Epoll => {
            use aurora_http_epoll::ListenOptions;
            let options = ListenOptions { backlog, reuse_port: shared, ..ListenOptions::default() };
            aurora_http_epoll::listen(address, &options)
        }
        #[cfg(has_kqueue)]
        Chosen::Kqueue => {
            use aurora_http_kqueue::ListenOptions;
            let options = ListenOptions { backlog, reuse_port: shared, ..ListenOptions::default() };
            aurora_http_kqueue::listen(address, &options)
        }
    }
}

fn claim(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, SocketType::STREAM, Some(ipproto::TCP))?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    // Past connections that the system still remembers are no obstacle, and neither will this socket be.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

pub(super) fn local_addr(socket: &OwnedFd) -> Result<SocketAddr, IoError> {
    SocketAddr::try_from(rustix::net::getsockname(socket).map_err(os)?).map_err(os)
}

fn os(error: Errno) -> IoError {
    IoError::Os(error.raw_os_error())
}
