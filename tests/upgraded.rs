//! Upgrades and tunnels over real sockets: which bytes are still HTTP (S13), and connections that are handed over to
//! the program.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use aurora_http::core::reactor::Wake;
use aurora_http::{
    Backend, CloseReason, Content, DeferToken, Flow, Handler, Method, Request, ResponseWriter, Resumer, Running,
    Server, StopFlag, Worker,
};
use backends::backends;
use http::{Client, DEADLINE, eventually};

fn server(backend: Backend) -> Server {
    Server::bind("127.0.0.1:0").unwrap().backend(backend).workers(1).connections(64)
}

/// Echoes paths before an upgrade to `echo`, and raw bytes after it. `/refuse` and `/later/refuse` refuse the upgrade;
/// `/later…` decides in a later turn.
struct Echo {
    tokens: mpsc::Sender<DeferToken>,
}

/// A decision, which may be deferred.
#[derive(Clone, Copy)]
enum Decision {
    Switch,
    Refuse,
}

impl Echo {
    fn decide(decision: Decision, response: &mut ResponseWriter<'_>) -> Flow<Decision> {
        match decision {
            Decision::Switch => {
                response.switch_protocols("echo", &[("X-Echo", b"1")]).unwrap();
                Flow::Upgrade(decision)
            }
            Decision::Refuse => {
                let _ = response.body("refused");
                Flow::Finish
            }
        }
    }
}

impl Handler for Echo {
    type Exchange = Decision;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Decision> {
        if !request.wants_upgrade() {
            let _ = response.body(request.path());
            return Flow::Finish;
        }
        let refuses = request.path().ends_with(b"/refuse");
        let decision = if refuses { Decision::Refuse } else { Decision::Switch };
        if request.path().starts_with(b"/later") {
            self.tokens.send(response.defer().unwrap()).unwrap();
            return Flow::Defer(decision);
        }
        Self::decide(decision, response)
    }

    fn resume(&mut self, decision: Decision, response: &mut ResponseWriter<'_>) -> Flow<Decision> {
        Self::decide(decision, response)
    }

    fn receive(&mut self, _: Decision, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Decision> {
        let count = response.write(content.bytes()).unwrap();
        content.consume(count);
        Flow::Receive(Decision::Switch)
    }
}

fn echo(backend: Backend) -> (Running, Resumer, mpsc::Receiver<DeferToken>) {
    let (send, tokens) = mpsc::channel();
    let server = server(backend);
    let resumer = server.resumer();
    let running = server.start(move |_worker| Echo { tokens: send.clone() });
    (running.unwrap(), resumer, tokens)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn upgrade(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
}

/// A masked frame of RFC 6455, with bytes that are invalid in HTTP.
const FRAME: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";

fn expect_switched(client: &mut Client) {
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains("connection: upgrade\r\n") && lower.contains("upgrade: echo\r\n"), "{head}");
    assert!(!lower.contains("content-length") && !lower.contains("transfer-encoding"), "{head}");
}

#[test]
fn requests_before_the_upgrade_are_answered_and_bytes_after_it_are_raw_wherever_they_are_cut() {
    for backend in backends() {
        let (running, ..) = echo(backend);
        let all = [get("/a").as_bytes(), get("/b").as_bytes(), upgrade("/").as_bytes(), FRAME, get("/raw").as_bytes()]
            .concat();
        let at = all.len() - get("/raw").len() - FRAME.len();
        for cut in [0, 5, get("/a").len(), at - 1, at, at + 3, at + FRAME.len(), at + FRAME.len() + 9, all.len()] {
            let mut client = Client::connect(running.local_addr());
            client.send(&all[..cut]);
            if cut > get("/a").len() {
                assert_eq!(client.response("GET").text(), "/a", "the request was processed before the rest is sent");
            }
            client.send(&all[cut..]);
            if cut <= get("/a").len() {
                assert_eq!(client.response("GET").text(), "/a");
            }
            assert_eq!(client.response("GET").text(), "/b");
            expect_switched(&mut client);
            assert_eq!(client.take(FRAME.len()), FRAME, "{cut}");
            assert_eq!(client.take(get("/raw").len()), get("/raw").as_bytes(), "{cut}: no longer HTTP");
            client.send("more");
            assert_eq!(client.take(4), b"more");
            client.finish();
            assert!(client.is_ended(), "{cut}");
        }
        eventually(
            || running.counters().closed.of(CloseReason::UpgradeFinished) == 9,
            "each connection ends for this reason",
        );
        assert_eq!(running.counters().requests, 3 * 9);
    }
}

#[test]
fn a_refused_upgrade_leaves_the_connection_http() {
    for backend in backends() {
        let (running, ..) = echo(backend);
        let mut client = Client::connect(running.local_addr());
        client.send([upgrade("/refuse"), get("/next")].concat());
        assert_eq!(client.response("GET").text(), "refused");
        assert_eq!(client.response("GET").text(), "/next");
        assert_eq!(client.get("/and-on").text(), "/and-on");
        // Bytes of the other protocol that were sent in advance are malformed HTTP: one answer, then close.
        client.send([upgrade("/refuse").as_bytes(), FRAME, get("/hidden").as_bytes()].concat());
        assert_eq!(client.response("GET").text(), "refused");
        assert_eq!(client.response("GET").status, 400);
        assert!(client.is_ended());
    }
}

#[test]
fn until_101_is_sent_the_upgrade_may_be_refused() {
    for backend in backends() {
        let (running, resumer, tokens) = echo(backend);
        for (path, switches) in [("/later", true), ("/later/refuse", false)] {
            let mut client = Client::connect(running.local_addr());
            client.send([upgrade(path), get("/next")].concat());
            let token = tokens.recv_timeout(DEADLINE).unwrap();
            client.send(get("/third"));
            assert!(resumer.resume(token));
            if switches {
                expect_switched(&mut client);
                let raw = [get("/next"), get("/third")].concat();
                assert_eq!(client.take(raw.len()), raw.as_bytes());
            } else {
                assert_eq!(client.response("GET").text(), "refused");
                assert_eq!(client.response("GET").text(), "/next");
                assert_eq!(client.response("GET").text(), "/third");
            }
        }
    }
}

#[test]
fn an_upgraded_connection_carries_megabytes_in_both_directions() {
    for backend in backends() {
        let (running, ..) = echo(backend);
        let mut client = Client::connect(running.local_addr());
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let sending = client.send_aside([upgrade("/").as_bytes(), &bytes].concat());
        expect_switched(&mut client);
        assert!(client.take(bytes.len()) == bytes);
        sending.join().unwrap();
    }
}

#[test]
fn a_server_closes_detached_connections_and_stops_in_time() {
    for backend in backends() {
        struct GivesAway;
        impl Handler for GivesAway {
            type Exchange = ();
            fn request(&mut self, _request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
                response.open_tunnel().unwrap();
                Flow::Detach(())
            }
        }
        let running = server(backend).start(|_worker| GivesAway).unwrap();
        let mut client = Client::connect(running.local_addr());
        client.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("Connection"), "{head}");
        assert!(client.is_ended());
        eventually(|| running.counters().active == 0, "the slot is free");
        running.stop();
        assert_eq!(running.join().unwrap().counters.closed.of(CloseReason::UpgradeFinished), 1);
    }
}

/// A proxy for CONNECT only: the handler connects to the target, and detaches the connection with that socket as its
/// state.
struct Proxy;

impl Handler for Proxy {
    type Exchange = TcpStream;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<TcpStream> {
        if request.method() != Method::Connect {
            let _ = response.fail(403);
            return Flow::Finish;
        }
        let target = request.target_str().parse::<SocketAddr>().ok();
        // A real proxy would not connect on the worker's thread, where that blocks other clients.
        match target.and_then(|target| TcpStream::connect_timeout(&target, DEADLINE).ok()) {
            Some(stream) if response.open_tunnel().is_ok() => Flow::Detach(stream),
            _ => {
                let _ = response.fail(502);
                Flow::Finish
            }
        }
    }
}

/// Copies from one socket to the other until the FIN, and forwards the FIN.
fn pump(mut from: TcpStream, mut to: TcpStream) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    })
}

/// A server that echoes in capitals and, after the client's FIN, sends the number of bytes.
fn target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let (mut bytes, mut total) = ([0; 16 * 1024], 0);
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    bytes[..count].make_ascii_uppercase();
                    stream.write_all(&bytes[..count]).unwrap();
                    total += count;
                }
                let _ = stream.write_all(format!("[{total}]").as_bytes());
            });
        }
    });
    address
}

fn proxy_on(backend: Backend) {
    let mut storage = server(backend).storage().unwrap();
    let mut worker = Worker::new(&mut storage, Proxy).unwrap();
    let (address, waker, stop) = (worker.local_addr(), worker.waker().unwrap(), StopFlag::new());
    let target = target();
    thread::scope(|scope| {
        let stops = &stop;
        let clients = scope.spawn(move || {
            through_the_tunnel(address, target);
            stops.drain();
            waker.wake();
        });
        let (mut taken, mut pumps) = (0, Vec::new());
        while !worker.engine().is_drained() {
            worker.turn(&stop).unwrap();
            worker.take_detached(|socket, leftover, mut upstream| {
                let client = TcpStream::from(socket);
                client.set_nonblocking(false).unwrap();
                upstream.write_all(leftover).unwrap();
                let (from, to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                pumps.extend([pump(from, to), pump(upstream, client)]);
                taken += 1;
            });
        }
        clients.join().unwrap();
        for pump in pumps {
            pump.join().unwrap();
        }
        assert_eq!(taken, TUNNELS);
        let counters = worker.counters();
        assert_eq!((counters.closed.of(CloseReason::Detached), counters.detached), (TUNNELS, TUNNELS));
        assert_eq!(counters.active, 0);
    });
}

#[test]
fn a_proxy_tunnels_in_both_directions_beginning_with_bytes_that_had_arrived() {
    for backend in backends() {
        proxy_on(backend);
    }
}

/// How many tunnels [`through_the_tunnel`] opens.
const TUNNELS: u64 = 6;

fn through_the_tunnel(address: SocketAddr, target: SocketAddr) {
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    for (together, apart) in [("", "later"), ("first ", "second"), ("only", "")] {
        let mut client = Client::connect(address);
        client.send([&head, together].concat());
        let answer = client.head();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        client.send(apart);
        client.finish();
        let expected = format!("{}[{}]", [together, apart].concat().to_uppercase(), together.len() + apart.len());
        assert_eq!(String::from_utf8(client.rest()).unwrap(), expected);
    }
    // The proxy still speaks HTTP to others, and on the same connection before the tunnel.
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").status, 403);
    client.send(["GET / HTTP/1.1\r\nHost: x\r\n\r\n", &head, "mixed"].concat());
    assert_eq!(client.response("GET").status, 403);
    client.head();
    client.finish();
    assert_eq!(client.rest(), b"MIXED[5]");
    // Nothing listens on this port: the proxy answers 502.
    let closed_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut client = Client::connect(address);
    client.send(format!("CONNECT {closed_port} HTTP/1.1\r\nHost: a:1\r\n\r\n"));
    assert_eq!(client.response("GET").status, 502);
    for length in [1, 2_000_000] {
        let mut client = Client::connect(address);
        client.send(&head);
        client.head();
        let sending = client.send_aside(vec![b'x'; length]);
        assert!(client.take(length).iter().all(|byte| *byte == b'X'));
        sending.join().unwrap();
        client.finish();
        assert_eq!(client.rest(), format!("[{length}]").as_bytes());
    }
}
