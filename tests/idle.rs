//! Waiting costs no CPU, whatever is waited for; and the configured number of connections may wait.
#![cfg(all(has_backend, target_os = "linux"))]

#[path = "support/http.rs"]
mod http;

use std::fs;
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use aurora_http::core::pool::{Class, ClassCounts};
use aurora_http::{Content, Flow, Handler, Limits, Request, ResponseWriter, Server, Worker, handler_fn};
use http::{Client, eventually};

/// Threads are identified by name, so only one server may run at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The kernel's clock tick for accounting, in milliseconds; the same on every Linux.
const TICK_MS: u64 = 10;

/// The CPU time of the only worker, in milliseconds.
fn worker_cpu_ms() -> u64 {
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // pid (comm) state …: utime and stime are the 14th and 15th field.
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else { continue };
        if name == "aurora-0" {
            let ticks = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
            return ticks.sum::<u64>() * TICK_MS;
        }
    }
    panic!("no worker");
}

/// Whether half a second of waiting costs less than a tenth of that in CPU time.
fn waits_quietly(what: &str) {
    let before = worker_cpu_ms();
    thread::sleep(Duration::from_millis(500));
    let spent = worker_cpu_ms() - before;
    assert!(spent <= 50, "{spent} ms of CPU in 500 ms: {what}");
}

/// Receives content for `/receive`, answers at once otherwise.
struct Receiver;

impl Handler for Receiver {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.path() == b"/receive" {
            return Flow::Receive(());
        }
        let _ = response.body("ok");
        Flow::Finish
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if !content.ended() {
            return Flow::Receive(());
        }
        let _ = response.body("received");
        Flow::Finish
    }
}

/// Regression: a graceful stop used 100 % CPU.
#[test]
fn a_waiting_server_does_not_spin() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Few enough buffers that some of the clients below wait for one.
    let buffers = ClassCounts::NONE.with(Class::Tiny, 4).with(Class::Small, 4);
    let limits = Limits {
        head_bytes_max: 4_096,
        target_bytes_max: 1_024,
        content_collected_max: 4_096,
        response_bytes_max: 4_096,
        ..Limits::default()
    };
    let server = Server::bind("127.0.0.1:0").unwrap().workers(1).connections(32).buffers(buffers).limits(limits);
    let running = server.start(|_| Receiver).unwrap();
    let address = running.local_addr();
    waits_quietly("before the first connection");

    let mut idle: Vec<Client> = (0..8).map(|_| Client::connect(address)).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").text(), "ok");
    }
    waits_quietly("idle connections");

    let mut receiving = Client::connect(address);
    receiving.send("POST /receive HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    receiving.head();
    let mut partial: Vec<Client> = (0..8).map(|_| Client::connect(address)).collect();
    for client in &mut partial {
        client.send("GET /partial HTTP/1.1\r\nHost: ");
    }
    eventually(|| running.counters().accepted == 17, "all are accepted");
    waits_quietly("partial heads in every buffer");

    running.stop();
    for client in &mut idle {
        assert!(client.is_ended());
    }
    waits_quietly("a graceful stop with an exchange under way");
    drop(partial);
    receiving.send("hello");
    let response = receiving.response("POST");
    assert_eq!((response.text(), response.field("Connection")), ("received", Some("close")));
    let report = running.join().unwrap();
    assert_eq!((report.counters.active, report.failed_workers()), (0, 0));
}

/// Regression: a configured backlog was ignored.
#[test]
fn the_configured_backlog_is_used() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for (backlog, least, most) in [(1, 1, 4), (12, 12, 16)] {
        let server = Server::bind("127.0.0.1:0").unwrap().connections(4).backlog(backlog);
        let mut storage = server.storage().unwrap();
        let worker = Worker::new(&mut storage, handler_fn(|_, response| response.body("late"))).unwrap();
        // Nobody accepts.
        let mut waiting = Vec::new();
        while waiting.len() < 32 {
            match TcpStream::connect_timeout(&worker.local_addr(), Duration::from_millis(300)) {
                Ok(stream) => waiting.push(stream),
                Err(_) => break,
            }
        }
        assert!((least..=most).contains(&waiting.len()), "{} wait in a backlog of {backlog}", waiting.len());
    }
}
