//! Connections that a server hands over to the program; see `Server::on_detached`.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use aurora_http::{Backend, CloseReason, DeferToken, Flow, Handler, Request, ResponseWriter, Server};
use backends::backends;
use http::{Client, DEADLINE, eventually};

fn server(backend: Backend) -> Server {
    Server::bind("127.0.0.1:0").unwrap().backend(backend).workers(2).connections(64)
}

/// Detaches connections that upgrade to `lines`, `/later` only once its token is resolved. The state is the path.
struct Switch(Sender<DeferToken>);

impl Switch {
    fn switch(path: String, response: &mut ResponseWriter<'_>) -> Flow<String> {
        response.switch_protocols("lines", &[]).unwrap();
        Flow::Detach(path)
    }
}

impl Handler for Switch {
    type Exchange = String;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<String> {
        let path = request.target_str().to_owned();
        if !request.upgrades_to("lines") {
            response.body(path).unwrap();
            return Flow::Finish;
        }
        if path == "/later" {
            self.0.send(response.defer().unwrap()).unwrap();
            return Flow::Defer(path);
        }
        Self::switch(path, response)
    }

    fn resume(&mut self, path: String, response: &mut ResponseWriter<'_>) -> Flow<String> {
        Self::switch(path, response)
    }
}

fn upgrade(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
}

/// Answers each line with the path and the line, on a thread of its own, until the client ends.
fn speak(socket: OwnedFd, leftover: &[u8], path: String) {
    let (mut stream, leftover) = (TcpStream::from(socket), leftover.to_vec());
    stream.set_nonblocking(false).unwrap();
    thread::spawn(move || {
        let lines = BufReader::new(std::io::Read::chain(&leftover[..], stream.try_clone().unwrap())).lines();
        for line in lines.map_while(Result::ok) {
            writeln!(stream, "{path} {line}").unwrap();
        }
    });
}

/// Sends a line and checks the echo.
fn expect_echo(client: &mut Client, path: &str, line: &str) {
    client.send(format!("{line}\n"));
    let expected = format!("{path} {line}\n");
    assert_eq!(client.take(expected.len()), expected.as_bytes());
}

#[test]
fn a_thread_of_the_program_speaks_another_protocol_after_101() {
    for backend in backends() {
        let (send, _tokens) = channel();
        let running = server(backend).on_detached(speak).start(move |_worker| Switch(send.clone())).unwrap();
        for number in 0..20 {
            let (mut client, path) = (Client::connect(running.local_addr()), format!("/{number}"));
            assert_eq!(client.get(&path).text(), path, "the connection speaks HTTP before");
            client.send([&upgrade(&path), "come with the request\nand"].concat());
            assert!(client.head().starts_with("HTTP/1.1 101 "));
            let expected = format!("{path} come with the request\n");
            assert_eq!(client.take(expected.len()), expected.as_bytes());
            client.send(" later\n");
            let expected = format!("{path} and later\n");
            assert_eq!(client.take(expected.len()), expected.as_bytes());
            expect_echo(&mut client, &path, "more");
            client.finish();
            assert!(client.is_ended());
        }
        eventually(|| running.counters().detached == 20, "every connection is counted");
        running.stop();
        let report = running.join().unwrap();
        assert_eq!((report.counters.closed.of(CloseReason::Detached), report.counters.active), (20, 0));
    }
}

#[test]
fn a_graceful_stop_waits_to_hand_over_connections_and_leaves_them_alone_afterwards() {
    for backend in backends() {
        let (send, tokens) = channel();
        let server = server(backend);
        let resumer = server.resumer();
        let running = server.on_detached(speak).start(move |_worker| Switch(send.clone())).unwrap();
        let address = running.local_addr();
        let mut before = Client::connect(address);
        before.send(upgrade("/before"));
        before.head();
        let mut waiting: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
        let mut deferred = Vec::new();
        for client in &mut waiting {
            client.send([&upgrade("/later"), "first\n"].concat());
            deferred.push(tokens.recv_timeout(DEADLINE).expect("a handler defers"));
        }
        running.stop();
        for token in deferred {
            assert!(resumer.resume(token), "the stop waits for it");
        }
        let report = running.join().unwrap();
        assert_eq!((report.counters.detached, report.stop.unwrap().aborted), (9, 0), "{backend}");
        // The server has ended; the program's connections live on.
        expect_echo(&mut before, "/before", "still alive");
        for client in &mut waiting {
            assert!(client.head().starts_with("HTTP/1.1 101 "));
            assert_eq!(client.take(13), b"/later first\n");
            expect_echo(client, "/later", "and on");
        }
    }
}

#[test]
fn a_panic_while_taking_a_connection_closes_it_and_the_worker_is_replaced() {
    for backend in backends() {
        let panicked = AtomicBool::new(false);
        let take = move |socket: OwnedFd, leftover: &[u8], path: String| {
            assert!(panicked.swap(true, Ordering::SeqCst), "this panics the first time, on purpose");
            speak(socket, leftover, path);
        };
        let (send, _tokens) = channel();
        let server = server(backend).workers(1).on_detached(take);
        let running = server.start(move |_worker| Switch(send.clone())).unwrap();
        let mut client = Client::connect(running.local_addr());
        client.send(upgrade("/lost"));
        client.head();
        assert!(client.is_ended());
        let mut client = Client::connect(running.local_addr());
        client.send(upgrade("/next"));
        client.head();
        expect_echo(&mut client, "/next", "hello");
        assert_eq!(running.restarts(), 1);
    }
}
