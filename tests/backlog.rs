//! A graceful stop and connections that are still in the backlog, over real sockets.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use aurora_http::{Backend, Flow, Handler, Request, ResponseWriter, Server};
use backends::backends;
use http::{Client, DEADLINE, eventually};

/// Blocks its worker on `/hold` until it is told to continue.
struct Holds {
    held: Sender<()>,
    release: Receiver<()>,
}

impl Handler for Holds {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.path() == b"/hold" {
            self.held.send(()).unwrap();
            self.release.recv_timeout(DEADLINE).unwrap();
        }
        let _ = response.body("hello");
        Flow::Finish
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Clients that connect while the only worker is busy, and a stop that comes before it is free again.
fn a_stop_answers_the_backlog_on(backend: Backend, waiting: usize, connections: usize) {
    let (held, is_held) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let handler = std::sync::Mutex::new(Some(Holds { held, release: released }));
    let server = Server::bind("127.0.0.1:0").unwrap().backend(backend).connections(connections).workers(1);
    let running = server.start(move |_worker| handler.lock().unwrap().take().unwrap()).unwrap();
    let address = running.local_addr();

    let mut idle = Client::connect(address);
    assert_eq!(idle.get("/").text(), "hello");
    let mut busy = Client::connect(address);
    busy.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    is_held.recv_timeout(DEADLINE).unwrap();
    // Clients in the backlog with their requests; one on an open connection; and one that sends nothing.
    let mut clients: Vec<_> = (0..waiting).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    let mut silent = Client::connect(address);
    idle.send(GET);
    running.stop();
    release.send(()).unwrap();

    assert_eq!(busy.response("GET").text(), "hello");
    assert_eq!(idle.response("GET").text(), "hello", "it had arrived before the stop");
    drop((busy, idle));
    for client in clients {
        let mut client = client;
        let response = client.response("GET");
        assert_eq!((response.text(), response.field("Connection")), ("hello", Some("close")), "{backend:?}");
    }
    assert!(silent.is_ended());
    drop(silent);
    eventually(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err(), "the listener is closed");
    let report = running.join().unwrap();
    assert_eq!(report.counters.requests, 3 + waiting as u64, "{backend:?} {report}");
    assert_eq!(report.stop.unwrap().aborted, 0, "{backend:?} {report}");
}

#[test]
fn a_stop_answers_clients_in_the_backlog() {
    for backend in backends() {
        a_stop_answers_the_backlog_on(backend, 200, 512);
    }
}

#[test]
fn a_stop_answers_a_backlog_that_is_longer_than_there_are_slots() {
    for backend in backends() {
        a_stop_answers_the_backlog_on(backend, 60, 8);
    }
}

/// Connections that the system holds back are not accepted, and lose nothing.
#[cfg(target_os = "linux")]
#[test]
fn a_client_is_accepted_when_it_has_sent_something() {
    for backend in backends() {
        for (is_deferred, accepted) in [(false, 2), (true, 1)] {
            let mut server = Server::bind("127.0.0.1:0").unwrap().backend(backend).workers(1);
            if is_deferred {
                // An hour, so that it does not end during the test.
                server = server.defer_accept(Duration::from_secs(3600));
            }
            let running =
                server.start(|_worker| aurora_http::handler_fn(|_, response| response.body("hello"))).unwrap();
            let address = running.local_addr();
            let mut silent = Client::connect(address);
            if !is_deferred {
                eventually(|| running.counters().accepted == 1, "it is accepted");
            }
            let mut client = Client::connect(address);
            // Connections are accepted in the order in which they were made, and counters are published at the end of a turn.
            for _ in 0..2 {
                assert_eq!(client.get("/").text(), "hello");
            }
            assert_eq!(running.counters().accepted, accepted, "{backend} {is_deferred}");
            assert_eq!(silent.get("/").text(), "hello");
            eventually(|| running.counters().accepted == 2, "it is accepted");
            drop((client, silent));
            running.stop();
            running.join().unwrap();
        }
    }
}
