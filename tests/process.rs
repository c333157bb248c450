//! The resources of its process that a server takes and gives back: descriptors, threads, buffer memory. One test at a time.
#![cfg(all(has_backend, target_os = "linux"))]

#[path = "support/http.rs"]
mod http;

use std::fs;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use aurora_http::core::budget::buffers_for;
use aurora_http::{
    Class, ClassSizes, Report, Request, ResponseWriter, Server, ServerError, WorkerOutcome, WriteError, buffer_memory,
    handler_fn,
};
use http::{Client, DEADLINE, eventually};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn local() -> Server {
    Server::bind("127.0.0.1:0").unwrap().connections(64)
}

fn answer(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    assert_ne!(request.path(), b"/panic", "requested");
    response.body("Hello")
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The threads whose name shows that they serve.
fn worker_threads() -> usize {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    names
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .filter(|n| n.starts_with("aurora-"))
        .count()
}

#[test]
fn descriptors_and_threads_are_released_however_a_server_ends() {
    let _alone = alone();
    let taken = TcpPort::taken();
    // Anything that the process opens once and keeps is open after the first round.
    let mut before = None;
    for _ in 0..3 {
        let running = local().workers(2).start(|_worker| handler_fn(answer)).unwrap();
        // The system shows a thread that has been joined for a moment longer.
        eventually(|| worker_threads() == 2, "only these two threads serve");
        let mut clients: Vec<_> = (0..20).map(|_| Client::connect(running.local_addr())).collect();
        for client in &mut clients {
            assert_eq!(client.get("/").text(), "Hello");
        }
        drop(clients.split_off(10));
        running.stop();
        assert_eq!(running.join().unwrap().counters.closed.total(), 20);
        drop(clients);

        let running = local().workers(1).restarts_per_minute(0).start(|_worker| handler_fn(answer)).unwrap();
        let mut client = Client::connect(running.local_addr());
        client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.is_ended());
        drop(client);
        assert!(matches!(running.join().unwrap().workers[0].outcome, WorkerOutcome::Panicked(_)));

        let error = Server::bind(taken.0.local_addr().unwrap()).unwrap().workers(2).start(|_worker| handler_fn(answer));
        assert!(matches!(error, Err(ServerError::PortInUse(_))));
        drop(local().workers(3).start(|worker| {
            assert_ne!(worker.id(), 2, "requested");
            handler_fn(answer)
        }));

        OneRequest::start().ask();
        eventually(|| worker_threads() == 0, "the threads are gone");
        assert_eq!(open_descriptors(), *before.get_or_insert_with(open_descriptors));
    }
}

/// A port that is in use by another listener.
struct TcpPort(std::net::TcpListener);

impl TcpPort {
    fn taken() -> Self {
        Self(std::net::TcpListener::bind("127.0.0.1:0").unwrap())
    }
}

/// A server that watches signals, and stops after its first request.
struct OneRequest {
    address: SocketAddr,
    serving: JoinHandle<Result<Report, ServerError>>,
}

impl OneRequest {
    fn start() -> Self {
        let (tell, told) = mpsc::channel();
        let server =
            local().workers(1).signals(true).on_start(move |announcement| tell.send(announcement.address).unwrap());
        let serving = thread::spawn(move || {
            server.serve(|worker| {
                let stop = worker.stop_handle();
                handler_fn(move |_request, response| {
                    stop.stop();
                    response.body("bye")
                })
            })
        });
        Self { address: told.recv_timeout(DEADLINE).unwrap(), serving }
    }

    fn ask(self) {
        assert_eq!(Client::connect(self.address).get("/").text(), "bye");
        assert_eq!(self.serving.join().unwrap().unwrap().failed_workers(), 0);
    }
}

#[test]
fn buffer_memory_is_reused_by_the_next_server() {
    let _alone = alone();
    let serve = |connections, workers| {
        let server = local().connections(connections).workers(workers);
        let running = server.start(|_worker| handler_fn(answer)).unwrap();
        let during = buffer_memory();
        let mut client = Client::connect(running.local_addr());
        assert_eq!(client.get("/").text(), "Hello");
        running.stop();
        assert_eq!(running.join().unwrap().failed_workers(), 0);
        during
    };
    let small = buffers_for(64).slab_bytes();
    let first = serve(64, 2);
    assert!(first.allocated >= 2 * small);
    let after = buffer_memory();
    assert_eq!((after.allocated, after.idle), (first.allocated, first.idle + 2 * small));
    // The same or less again allocates nothing.
    assert_eq!(serve(64, 2).allocated, first.allocated);
    assert_eq!(serve(64, 1).allocated, first.allocated);
    // More allocates only the difference.
    let more = serve(1024, 1);
    let missing: usize = Class::ALL
        .into_iter()
        .map(|class| {
            let wanted = buffers_for(1024).of(class).saturating_sub(2 * buffers_for(64).of(class));
            wanted as usize * ClassSizes::default().of(class)
        })
        .sum();
    assert!(missing > 0 && more.allocated - first.allocated <= missing);
    assert_eq!(serve(1024, 1).allocated, more.allocated);
}

#[test]
fn a_panic_loses_no_buffer() {
    let _alone = alone();
    let running = local().workers(1).restarts_per_minute(0).start(|_worker| handler_fn(answer)).unwrap();
    let during = buffer_memory();
    let mut client = Client::connect(running.local_addr());
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.is_ended());
    assert_eq!(running.join().unwrap().failed_workers(), 1);
    // Not even the buffers that the connection was receiving into and answering in.
    assert_eq!(buffer_memory().idle - during.idle, buffers_for(64).slab_bytes());
}

/// The sets of signals that are ignored, and of those that have a handler.
fn signal_sets() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .filter(|line| line.starts_with("SigIgn:") || line.starts_with("SigCgt:"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn signal_handlers_are_restored_afterwards() {
    let _alone = alone();
    let before = signal_sets();
    for _ in 0..3 {
        OneRequest::start().ask();
        assert_eq!(signal_sets(), before);
    }
    // Two at a time, of which one ends before the other.
    let outer = OneRequest::start();
    let during = signal_sets();
    assert_ne!(during, before);
    OneRequest::start().ask();
    assert_eq!(signal_sets(), during);
    outer.ask();
    assert_eq!(signal_sets(), before);
}

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap() * 4096
}

/// Many starts and stops; the kernel frees rings with a delay, so the limit on memory is generous.
#[test]
fn many_starts_and_stops_leak_nothing() {
    let _alone = alone();
    let round = || {
        let running = local().workers(2).start(|_worker| handler_fn(answer)).unwrap();
        assert_eq!(Client::connect(running.local_addr()).get("/").text(), "Hello");
        running.stop();
        assert_eq!(running.join().unwrap().failed_workers(), 0);
    };
    for _ in 0..20 {
        round();
    }
    let (descriptors, allocated, memory) = (open_descriptors(), buffer_memory().allocated, resident());
    let rounds = std::env::var("AURORA_TEST_STARTS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(150);
    for _ in 0..rounds {
        round();
    }
    eventually(|| worker_threads() == 0, "the threads are gone");
    assert_eq!((open_descriptors(), buffer_memory().allocated), (descriptors, allocated));
    assert!(resident() < memory + (4 << 20), "{} more bytes", resident() - memory);
}
