//! A proxy between a client and upstreams that do what the test says.

// Every test crate uses its own part of this.
#![allow(dead_code)]

#[path = "../../../tests/support/http.rs"]
pub(crate) mod http;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use aurora_http::{Limits, Running, Server};
use aurora_http_proxy::{Config, Proxy, ProxyLimits};
use http::{Client, DEADLINE};

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// An upstream, a proxy in front of it, and a client.
pub(crate) fn start() -> (Upstream, Rig, Client) {
    start_with(|config| config)
}

/// The same, with another configuration.
pub(crate) fn start_with(configure: impl FnOnce(Config) -> Config) -> (Upstream, Rig, Client) {
    let upstream = Upstream::new();
    let rig = Rig::new(configure(upstream.config()));
    let client = rig.client();
    (upstream, rig, client)
}

/// A server in front of upstreams. Drop it last: it ends the server, and looks whether everything was given back.
pub(crate) struct Rig {
    pub(crate) proxy: Proxy,
    pub(crate) address: SocketAddr,
    /// `None` once it ends.
    running: Option<Running>,
}

impl Rig {
    pub(crate) fn new(config: Config) -> Self {
        let server = Server::bind("127.0.0.1:0").expect("an address").workers(1).limits(Limits::default());
        let proxy = Proxy::new(config, server.resumer()).expect("a proxy");
        let its = proxy.clone();
        let running = server.start(move |_worker| its.handler()).expect("a server");
        let address = running.local_addr();
        Self { proxy, address, running: Some(running) }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let Some(running) = self.running.take().filter(|_| !thread::panicking()) else { return };
        running.stop();
        let report = running.join().expect("it ends");
        assert_eq!(report.failed_workers(), 0, "{report}");
        assert_eq!(self.proxy.counters().in_flight, 0);
    }
}

pub(crate) fn limits() -> ProxyLimits {
    ProxyLimits::default()
}

/// A server that waits for what the test does.
pub(crate) struct Upstream {
    listener: TcpListener,
}

impl Upstream {
    pub(crate) fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("an address") }
    }

    pub(crate) fn name(&self) -> String {
        self.listener.local_addr().expect("an address").to_string()
    }

    pub(crate) fn config(&self) -> Config {
        Config::new([self.name()]).expect("a configuration")
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> Peer {
        self.listener.set_nonblocking(true).expect("a listener");
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).expect("a connection");
                    return Peer::new(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < deadline, "nobody connects");
                    thread::yield_now();
                }
                Err(error) => panic!("accept: {error}"),
            }
        }
    }

    /// The next connection, after the head of its first request.
    pub(crate) fn accept_request(&self) -> Peer {
        let mut peer = self.accept();
        peer.head();
        peer
    }

    /// Answers a GET of the client's on a new connection, which is returned.
    pub(crate) fn serve_new(&self, client: &mut Client, text: &str) -> Peer {
        client.send(GET);
        let mut peer = self.accept();
        peer.serve(text);
        assert_eq!(client.response("GET").text(), text);
        peer
    }

    /// Whether nobody waits to be accepted.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.listener.set_nonblocking(true).expect("a listener");
        matches!(self.listener.accept(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

/// An address at which nobody listens.
pub(crate) fn dead() -> String {
    Upstream::new().name()
}

/// A connection from the proxy.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

impl Peer {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream }
    }

    /// The head of a request.
    pub(crate) fn head(&mut self) -> String {
        self.through("\r\n\r\n")
    }

    pub(crate) fn through(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            bytes.extend(self.take(1));
        }
        String::from_utf8(bytes).expect("text")
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("bytes");
        bytes
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the proxy takes it");
    }

    /// Sends a response of 200.
    pub(crate) fn answer(&mut self, text: &str) {
        self.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
    }

    /// Receives a request and answers it.
    pub(crate) fn serve(&mut self, text: &str) -> String {
        let head = self.head();
        self.answer(text);
        head
    }

    /// Sends our FIN.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a connection");
    }

    /// Whether the proxy ends the connection without another byte.
    pub(crate) fn is_ended(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// Everything until the proxy ends its side.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).expect("an end");
        bytes
    }
}
