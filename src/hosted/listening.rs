//! Where a server listens, and how.

use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::ServerError;
use super::server::Server;
use super::source::Source;

/// # Listeners
impl Server {
    /// Adds an address to listen on; see [`bind`](Self::bind). There may be any number of listeners. Where the system
    /// distributes connections over several sockets on one address (Linux, FreeBSD), each worker has a socket of its own.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
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

    /// Adds a Unix-domain socket to listen on. Its file is created when the server starts and removed when it stops. A
    /// socket left behind by a killed server is replaced. If another program is listening on it, the start fails with
    /// [`ServerError::SocketInUse`]; if the path is something other than a socket, with [`ServerError::SocketFile`].
    ///
    /// Users who may write to the file may connect. Its mode follows the process's umask (with 022 only the owner may
    /// connect, with 0 everybody). The surest way to restrict access is a directory that only the right users can
    /// enter.
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.listeners.push(Source::Unix(path.into()));
        self
    }

    /// Adds a listening socket that was opened elsewhere: a stream socket, TCP or Unix-domain, on which listen(2) has
    /// been called. `TCP_NODELAY` is set. All workers share it. Its file, if it has one, is not removed.
    ///
    /// The server closes it when it begins to stop. New connections are then refused, unless there is another
    /// descriptor of the socket: in that case they wait until another process or server accepts them. (A
    /// [`WorkerStorage`](crate::WorkerStorage) keeps a descriptor of its own until it is dropped, since another worker may be made on it.)
    pub fn with_listener(mut self, listener: impl Into<OwnedFd>) -> Self {
        self.config.listeners.push(Source::Given(Arc::new(listener.into())));
        self
    }

    /// Whether IPv6 listeners accept only IPv6 connections. By default they do if the server also listens on an IPv4
    /// address with the same port, so that `0.0.0.0:80` and `[::]:80` can be combined. Otherwise a listener on `[::]`
    /// follows the system's default: Linux and macOS (unless configured otherwise) accept IPv4 connections too, the
    /// BSDs do not. (OpenBSD never does.)
    pub const fn only_v6(mut self, only: bool) -> Self {
        self.config.only_v6 = Some(only);
        self
    }

    /// The number of connections that the system holds for each worker until they are accepted. The default is 1024.
    /// The system imposes a maximum: `net.core.somaxconn` on Linux; `kern.ipc.somaxconn` on the BSDs and on macOS,
    /// where it is 128 by default, for all workers together.
    pub const fn backlog(mut self, backlog: u32) -> Self {
        self.config.backlog = backlog;
        self
    }

    /// Has the system hold a connection back until the client has sent something, for about this time, rounded up to a second:
    /// `TCP_DEFER_ACCEPT`, on Linux only. It is off by default; elsewhere, and for Unix-domain sockets, it has no effect.
    ///
    /// A connection that is used for one request costs less then, because the request is there when it is accepted, and clients
    /// that connect and say nothing take no place for that long. Only then does
    /// [`Timeouts::first_byte_timeout_ms`](crate::Timeouts::first_byte_timeout_ms) begin. A stop resets connections that are held back.
    pub const fn defer_accept(mut self, at_most: Duration) -> Self {
        self.config.defer_accept = Some(at_most);
        self
    }

    /// Lets other processes of the same user that ask for it as well listen on the same addresses (`SO_REUSEPORT`), so that
    /// a new version can start before the old one stops. It has no effect on Unix-domain sockets and on sockets that were
    /// opened elsewhere. Linux and FreeBSD distribute connections over both, until the old one has served its backlog. A
    /// client that connects just before its listener is closed is refused, unless `net.ipv4.tcp_migrate_req` is 1 (Linux
    /// 5.14). With [`inherit`](Self::inherit), no client is ever refused.
    pub const fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.config.reuse_port = reuse_port;
        self
    }

    /// Every connection, on all listeners, has to begin with a header of [the PROXY
    /// protocol](https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt), version 1 or 2, before TLS if there is any: a
    /// balancer or proxy in front tells who the client is. [`Request::peer`](crate::Request::peer) is then that client; in
    /// [`Handler::accepted`](crate::Handler::accepted), before the header has arrived, it is still the balancer.
    ///
    /// Anybody who can connect can claim anything, so listen where only the balancer can: on a private address, or on a
    /// Unix-domain socket. A connection without a header is closed, and one whose header does not come is too, after
    /// [`first_byte_timeout_ms`](crate::Timeouts::first_byte_timeout_ms). For direct clients, start a second server.
    /// On io_uring the ring only polls then, as with TLS.
    ///
    /// ```no_run
    /// # use aurora_http::{Server, ServerError, handler_fn};
    /// // haproxy: server one 10.0.0.5:8080 send-proxy-v2
    /// Server::bind("10.0.0.5:8080")?.proxy_headers().serve(|_worker| {
    ///     handler_fn(|request, response| response.body(format!("hello, {:?}\n", request.peer())))
    /// })?;
    /// # Ok::<(), ServerError>(())
    /// ```
    pub const fn proxy_headers(mut self) -> Self {
        self.config.proxy_headers = true;
        self
    }
}
