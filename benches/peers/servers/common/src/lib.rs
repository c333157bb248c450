//! What the servers share: options, listeners, and the bodies that they send.
//!
//! Each prints `listening on ADDRESS` to the standard output, and answers
//!
//! - `GET /plaintext` with [`HELLO`],
//! - `POST /echo` with the content,
//! - `GET /bytes/N` with N bytes,
//! - `POST /upload` with the length of the content, as text;
//!
//! or not, where that would take more than a few lines: then it is left out of the measurements concerned.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::time::SystemTime;

use socket2::{Domain, Protocol, Socket, Type};

/// The content of `/plaintext`.
pub const HELLO: &str = "Hello, World!";

/// The value of `Server`: every response has that field, and `Date`.
pub const SERVER: &str = "peer";

pub const TEXT: &str = "text/plain";
pub const BINARY: &str = "application/octet-stream";

/// The longest response of `/bytes/N` from memory.
pub const BYTES_MAX: usize = 10 << 20;

/// The longest content of `/echo`.
pub const ECHO_MAX: usize = 2 << 20;

/// Nothing else than connections that idle for minutes.
pub const IDLE_SECONDS: u64 = 600;

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| vec![b'x'; BYTES_MAX]);

/// The content of `/bytes/N` for this path, from the same memory every time. `None` for other paths, and for more than
/// [`BYTES_MAX`].
pub fn bytes(path: &str) -> Option<&'static [u8]> {
    let count: usize = path.strip_prefix("/bytes/")?.parse().ok()?;
    BYTES.get(..count)
}

/// What the command line asks for.
pub struct Options {
    /// `--workers`: threads that serve.
    pub workers: usize,
    /// `--connections`: the most at a time, for servers that have to know.
    pub connections: usize,
    /// `--backend`, for servers with several.
    pub backend: Option<String>,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Panics
    /// With a message, if it cannot be understood.
    pub fn read() -> Self {
        let mut options = Self { workers: 1, connections: 1024, backend: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
            match name.as_str() {
                "--workers" => options.workers = value.parse().expect("a number of workers"),
                "--connections" => options.connections = value.parse().expect("a number of connections"),
                "--backend" => options.backend = Some(value),
                _ => panic!("unknown option {name}"),
            }
        }
        options
    }
}

/// One non-blocking listener, on a free port.
pub fn listener() -> TcpListener {
    listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// A listener for each worker, all on the same free port: the kernel spreads connections over them.
pub fn listeners(workers: usize) -> Vec<TcpListener> {
    let first = listener();
    let address = first.local_addr().expect("a bound socket");
    std::iter::once(first).chain((1..workers).map(|_| listen(address))).collect()
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.set_reuse_port(true).expect("Linux");
    socket.set_nonblocking(true).expect("a socket");
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true).expect("a TCP socket");
    socket.bind(&address.into()).expect("a free port");
    socket.listen(4096).expect("a bound socket");
    socket.into()
}

/// Tells where the server listens.
pub fn announce(address: SocketAddr) {
    println!("listening on {address}");
}

/// Announces the listeners of as many workers as the command line asks for, and calls `serve` for each, on a thread of its own.
pub fn serve(serve: fn(TcpListener)) {
    let listeners = listeners(Options::read().workers);
    announce(listeners[0].local_addr().expect("a bound socket"));
    let threads: Vec<_> = listeners.into_iter().map(|each| std::thread::spawn(move || serve(each))).collect();
    for thread in threads {
        thread.join().expect("a server that does not panic");
    }
}

/// The value of `Date`, for servers that do not send it themselves; formatted once a second.
pub fn date() -> String {
    thread_local!(static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) });
    let now = SystemTime::now();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|last| {
        if last.0 != seconds {
            *last = (seconds, httpdate::fmt_http_date(now));
        }
        last.1.clone()
    })
}
