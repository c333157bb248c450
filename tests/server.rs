//! The facade over real sockets, in this process.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use aurora_http::core::counters::Counters;
use aurora_http::core::reactor::Wake;
use aurora_http::{
    Backend, Class, ClassCounts, CloseReason, Content, Flow, Handler, Limits, Request, ResponseWriter, Running, Server,
    ServerError, StopFlag, StopHandle, Timeouts, Worker, WorkerContext, WorkerOutcome, WriteError, handler_fn,
};
use backends::backends;
use http::{Client, DEADLINE, eventually};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn local() -> Server {
    Server::bind("127.0.0.1:0").unwrap().connections(64)
}

fn path(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    assert_ne!(request.path(), b"/panic", "requested");
    response.body(request.path())
}

fn start(server: Server) -> Running {
    server.start(|_worker| handler_fn(path)).unwrap()
}

/// Receives all content, then answers with its length.
struct Length;

impl Handler for Length {
    type Exchange = usize;

    fn request(&mut self, _request: &Request<'_>, _response: &mut ResponseWriter<'_>) -> Flow<usize> {
        Flow::Receive(0)
    }

    fn receive(&mut self, before: usize, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        let length = before + content.bytes().len();
        if !content.ended() {
            return Flow::Receive(length);
        }
        let _ = response.body(length.to_string());
        Flow::Finish
    }
}

#[test]
fn it_serves_stops_and_serves_again_on_the_same_port() {
    let mut address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    for workers in [2, 1, 3] {
        let running = start(Server::bind(address).unwrap().connections(64).workers(workers));
        address = running.local_addr();
        assert_ne!(address.port(), 0);
        let mut client = Client::connect(address);
        for path in ["/a", "/b"] {
            assert_eq!(client.get(path).text(), path);
        }
        assert_eq!(running.workers_alive(), workers);
        running.stop();
        assert!(client.is_ended(), "an idle connection ends at once");
        let report = running.join().unwrap();
        assert_eq!((report.counters.accepted, report.counters.requests), (1, 2));
        assert_eq!(report.counters.closed.of(CloseReason::Stopped), 1);
        assert_eq!((report.workers.len(), report.failed_workers()), (workers, 0));
    }
}

#[test]
fn several_servers_live_in_one_process() {
    let servers: Vec<_> = (0..3).map(|_| start(local().workers(2))).collect();
    let mut clients: Vec<_> = servers.iter().map(|server| Client::connect(server.local_addr())).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.get(&format!("/{number}")).text(), format!("/{number}"));
    }
    let mut servers = servers.into_iter();
    assert_eq!(servers.next().map(Running::requests_until_now), Some(1));
    for client in &mut clients[1..] {
        assert_eq!(client.get("/still").text(), "/still");
    }
    assert_eq!(servers.map(Running::requests_until_now).sum::<u64>(), 4);
}

/// Stops a server and returns how many requests it served.
trait StopNow {
    fn requests_until_now(self) -> u64;
}

impl StopNow for Running {
    fn requests_until_now(self) -> u64 {
        self.stop();
        self.join().unwrap().counters.requests
    }
}

#[test]
fn a_worker_that_panics_is_reported_and_the_other_continues() {
    let running = start(local().workers(2).restarts_per_minute(0));
    let address = running.local_addr();
    let mut client = Client::connect(address);
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.is_ended());
    for _ in 0..20 {
        assert_eq!(Client::connect(address).get("/on").text(), "/on");
    }
    eventually(|| running.workers_alive() == 1, "one worker is left");
    running.stop();
    let report = running.join().unwrap();
    let outcomes: Vec<_> = report.workers.iter().map(|worker| &worker.outcome).collect();
    let panicked =
        |outcome: &WorkerOutcome| matches!(outcome, WorkerOutcome::Panicked(said) if said.contains("requested"));
    assert_eq!(outcomes.iter().filter(|outcome| panicked(outcome)).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| ***outcome == WorkerOutcome::Finished).count(), 1, "{outcomes:?}");
    assert_eq!(report.failed_workers(), 1);
}

#[test]
fn serving_without_any_worker_left_is_an_error() {
    let (tell, told) = mpsc::channel();
    let server = local().workers(1).restarts_per_minute(0);
    let server = server.on_start(move |announcement| tell.send(announcement.address).unwrap());
    let serving = thread::spawn(move || server.serve(|_worker| handler_fn(path)));
    let mut client = Client::connect(told.recv_timeout(DEADLINE).unwrap());
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    let error = serving.join().unwrap().unwrap_err();
    assert!(matches!(&error, ServerError::AllWorkersFailed(report) if report.failed_workers() == 1));
    assert!(error.to_string().starts_with("every worker failed; worker 0 panicked: "), "{error}");
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[test]
fn a_handler_that_cannot_be_created_fails_the_start() {
    let started = local().workers(3).start(|worker: &WorkerContext| {
        assert_ne!(worker.id(), 1, "no handler for this one");
        handler_fn(path)
    });
    let error = started.unwrap_err();
    assert!(matches!(error, ServerError::Panicked { worker: 1, .. }), "{error}");
    assert!(error.to_string().contains("no handler for this one"), "{error}");
}

#[test]
fn each_worker_has_a_handler_of_its_own() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let running = local()
        .workers(3)
        .start(|worker: &WorkerContext| {
            MADE.fetch_add(1 << (8 * worker.id()), Ordering::Relaxed);
            let name = format!("{} of {}, {}", worker.id(), worker.workers(), thread::current().name().unwrap());
            // Not `Send`: it never leaves its thread.
            let calls = std::rc::Rc::new(std::cell::Cell::new(0));
            handler_fn(move |_request, response| {
                calls.set(calls.get() + 1);
                response.body(format!("{name}, {}", calls.get()))
            })
        })
        .unwrap();
    assert_eq!(MADE.load(Ordering::Relaxed), 0x01_01_01);
    let mut client = Client::connect(running.local_addr());
    let (first, second) = (client.get("/"), client.get("/"));
    let id = &first.text()[..1];
    assert_eq!(first.text(), format!("{id} of 3, aurora-{id}, 1"));
    assert_eq!(second.text(), format!("{id} of 3, aurora-{id}, 2"));
}

#[test]
fn a_servers_name_may_be_made_at_run_time() {
    for length in [0, 1, 64] {
        let name = "n".repeat(length);
        let running = start(local().server_name(name.clone()));
        let response = Client::connect(running.local_addr()).get("/");
        assert_eq!(response.field("Server"), Some(&*name).filter(|name| !name.is_empty()));
    }
}

#[test]
fn a_port_in_use_is_an_error_whoever_uses_it() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = start(local().workers(1));
    let shared = start(local().workers(2));
    for address in [stranger.local_addr().unwrap(), one.local_addr(), shared.local_addr()] {
        for workers in [1, 2] {
            let server = Server::bind(address).unwrap().workers(workers).connections(64);
            let error = server.start(|_worker| handler_fn(path)).unwrap_err();
            assert!(matches!(error, ServerError::PortInUse(used) if used == address), "{workers}: {error}");
            assert!(error.to_string().contains("the port is in use; stop"), "{error}");
        }
    }
}

#[test]
fn configuration_errors_are_reported_before_anything_starts() {
    let limits = Limits { fields_max: 1000, ..Limits::default() };
    let rows = [
        (local().workers(0), "workers = 0: "),
        (local().connections(0), "connections = 0: "),
        (local().backlog(0), "backlog = 0: "),
        (local().limits(limits), "limits.fields_max = 1000: "),
        (local().buffers(ClassCounts::NONE.with(Class::Tiny, 8)), "buffers = 0 of that size: "),
        (local().server_name("a\nb"), "server_name = "),
        (local().server_name("x".repeat(65)), "server_name = "),
        (local().server_name("caf\u{e9}".to_owned()), "server_name = "),
        (local().connections(8_000_000).workers(1000), "connections = 8000000 on 1000 worker(s) need 8000"),
        (Server::bind("203.0.113.1:0").unwrap(), "cannot listen on 203.0.113.1:0: "),
    ];
    for (server, expected) in rows {
        let error = server.start(|_worker| handler_fn(path)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
    for address in ["", "8080", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:65536", "[::1]80"] {
        let error = Server::bind(address).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {address:?}: ")), "{error}");
        assert!(error.ends_with("such as 127.0.0.1:8080"), "{error}");
    }
}

#[test]
fn auto_says_why_it_chose_its_backend() {
    let plain = if cfg!(has_epoll) { Backend::Epoll } else { Backend::Kqueue };
    #[cfg(has_uring)]
    let (backend, passed_over) = match aurora_http::uring::probe() {
        Ok(_) => ("uring".to_owned(), None),
        Err(refusal) => (plain.to_string(), Some(refusal.to_string())),
    };
    #[cfg(not(has_uring))]
    let passed_over = cfg!(target_os = "linux").then(|| "this build has no io_uring backend".to_owned());
    #[cfg(not(has_uring))]
    let backend = plain.to_string();
    let running = start(local().workers(1));
    match (running.backend_note(), passed_over) {
        (Some(note), Some(expected)) => assert!(note.starts_with(&expected), "{note}"),
        (note, expected) => assert_eq!(note, expected.as_deref()),
    }
    let line = running.announcement().to_string();
    let address = running.local_addr();
    let start = format!("listening on {address} backend={backend} workers=1 connections=64 memory=");
    assert!(line.starts_with(&start), "{line}");
    assert_eq!(self::start(local().backend(plain)).backend_note(), None);
}

#[test]
fn counters_add_up() {
    let running = start(local().workers(3));
    let address = running.local_addr();
    let mut kept = Client::connect(address);
    for _ in 0..10 {
        let mut client = Client::connect(address);
        assert_eq!((client.get("/1").status, client.get("/2").status), (200, 200));
    }
    let mut bad = Client::connect(address);
    bad.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(bad.response("GET").status, 400);
    drop(bad);
    assert_eq!(kept.get("/").status, 200);
    // Each worker publishes its counters after its turn, which may be after the client has the response.
    let told = |counters: &Counters| (counters.closed.total(), counters.requests) == (11, 21);
    eventually(|| told(&running.counters()), "all but one are closed, all requests are counted");
    let counters = running.counters();
    assert_eq!((counters.accepted, counters.active), (12, 1));
    assert_eq!(counters.closed.of(CloseReason::PeerClosed), 10);
    assert_eq!(counters.closed.of(CloseReason::BadRequest), 1);
    let sum: u64 = (0..4).filter_map(|worker| running.worker_counters(worker)).map(|worker| worker.requests).sum();
    assert_eq!(sum, 21);
    running.stop();
    let report = running.join().unwrap();
    assert_eq!((report.counters.active, report.counters.closed.total()), (0, 12));
    let sum: u64 = report.workers.iter().map(|worker| worker.counters.bytes_sent).sum();
    assert_eq!(sum, report.counters.bytes_sent);
    assert!(report.to_string().starts_with("connections=12 requests=21 "), "{report}");
}

#[test]
fn a_graceful_stop_finishes_exchanges() {
    let running = local().workers(2).start(|_worker| Length).unwrap();
    let mut busy = Client::connect(running.local_addr());
    busy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
    assert!(busy.head().starts_with("HTTP/1.1 100 "));
    let mut idle = Client::connect(running.local_addr());
    idle.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1");
    assert_eq!(idle.response("POST").text(), "1");
    running.stop();
    assert!(idle.is_ended());
    busy.send("0123456789");
    let response = busy.response("POST");
    assert_eq!((response.status, response.text()), (200, "10"));
    assert!(busy.is_ended());
    assert_eq!(running.join().unwrap().counters.requests, 2);
}

#[test]
fn an_abort_does_not_wait_for_exchanges() {
    let timeouts = Timeouts { stop_timeout_ms: None, content_timeout_ms: None, rate_min: None, ..Timeouts::default() };
    let limits = Limits { timeouts, ..Limits::default() };
    let running = local().workers(1).limits(limits).start(|_worker| Length).unwrap();
    let mut stuck = Client::connect(running.local_addr());
    stuck.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
    assert!(stuck.head().starts_with("HTTP/1.1 100 "));
    running.stop();
    running.stop_handle().abort();
    let report = running.join().unwrap();
    assert_eq!(report.counters.closed.of(CloseReason::Aborted), 1);
    assert!(stuck.is_ended());
}

#[test]
fn dropping_a_server_ends_it() {
    let running = start(local().workers(2));
    let address = running.local_addr();
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").status, 200);
    drop(running);
    assert!(client.is_ended());
    drop(TcpListener::bind(address).unwrap());
}

#[test]
fn a_handler_can_stop_its_server() {
    fn stopper(stop: StopHandle) -> impl Handler {
        handler_fn(move |_request, response| {
            stop.stop();
            response.body("bye")
        })
    }
    let (tell, told) = mpsc::channel();
    let server = local().workers(2).on_start(move |announcement| tell.send(announcement.address).unwrap());
    let serving = thread::spawn(move || server.serve(|worker| stopper(worker.stop_handle())));
    let mut client = Client::connect(told.recv_timeout(DEADLINE).unwrap());
    assert_eq!(client.get("/").text(), "bye");
    assert!(client.is_ended());
    assert_eq!(serving.join().unwrap().unwrap().counters.requests, 1);
}

#[test]
fn a_worker_serves_on_the_callers_thread() {
    let (tell, told) = mpsc::channel();
    let stop = Arc::new(StopFlag::new());
    let stopped = Arc::clone(&stop);
    let serving = thread::spawn(move || {
        let mut storage = local().storage().unwrap();
        let mut worker = Worker::new(&mut storage, handler_fn(path)).unwrap();
        tell.send((worker.local_addr(), worker.waker().unwrap())).unwrap();
        worker.run(&stopped).unwrap();
        (worker.counters().requests, worker.engine().pool().in_use())
    });
    let (address, waker) = told.recv_timeout(DEADLINE).unwrap();
    assert_eq!(Client::connect(address).get("/x").text(), "/x");
    stop.drain();
    waker.wake();
    assert_eq!(serving.join().unwrap(), (1, 0));
}

#[test]
fn a_worker_nests_in_another_loop() {
    let (tell, told) = mpsc::channel();
    let stop = Arc::new(StopFlag::new());
    let stopped = Arc::clone(&stop);
    let serving = thread::spawn(move || {
        let mut storage = local().storage().unwrap();
        let mut worker = Worker::new(&mut storage, handler_fn(path)).unwrap();
        tell.send((worker.local_addr(), worker.waker().unwrap())).unwrap();
        let mut turns = 0;
        while !worker.poll(&stopped).unwrap() {
            turns += 1;
            let timeout = worker.timeout().map(|timeout| Timespec::try_from(timeout).unwrap());
            poll(&mut [PollFd::new(&worker.as_fd(), PollFlags::IN)], timeout.as_ref()).unwrap();
        }
        (worker.counters().requests, turns)
    });
    let (address, waker) = told.recv_timeout(DEADLINE).unwrap();
    let mut client = Client::connect(address);
    for _ in 0..50 {
        assert_eq!(client.get("/x").text(), "/x");
    }
    stop.drain();
    waker.wake();
    let (requests, turns) = serving.join().unwrap();
    assert_eq!(requests, 50);
    assert!(turns < 50 * 10, "it does not spin: {turns} turns");
}

#[test]
fn an_error_of_the_writer_is_answered_by_the_server() {
    let server = local().workers(1);
    let running = server.start(|_worker| {
        handler_fn(|_request, response| {
            response.field("X", "a\r\nInjected: yes")?;
            response.body("never")
        })
    });
    let running = running.unwrap();
    let response = Client::connect(running.local_addr()).get("/");
    assert_eq!((response.status, response.field("Injected")), (500, None));
}

/// Begins a response of unknown length, and fails in the next call, or says nothing more.
struct Breaks {
    begun: mpsc::Sender<()>,
}

impl Handler for Breaks {
    type Exchange = bool;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        let waits = request.path() == b"/waits";
        if response.stream(None).and_then(|()| response.write(b"a part")).is_err() {
            return Flow::Finish;
        }
        if waits && response.defer().is_ok() { Flow::Defer(true) } else { Flow::Produce(false) }
    }

    fn produce(&mut self, _: bool, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        let _ = response.fail(500);
        Flow::Finish
    }

    fn half_closed(&mut self, waits: bool) -> Option<bool> {
        let _ = self.begun.send(());
        Some(waits)
    }
}

/// A client of HTTP/1.0 knows the end of such a response by the end of the connection.
#[test]
fn a_response_that_is_cut_off_does_not_seem_complete() {
    for backend in backends() {
        for (request, aborts, end) in [
            ("GET / HTTP/1.0\r\n\r\n", false, Err(ErrorKind::ConnectionReset)),
            ("GET /waits HTTP/1.0\r\n\r\n", true, Err(ErrorKind::ConnectionReset)),
            // The last chunk is missing.
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, Ok(())),
        ] {
            let (begun, has_begun) = mpsc::channel();
            let server = local().workers(1).backend(backend);
            let running = server.start(move |_worker| Breaks { begun: begun.clone() }).unwrap();
            let mut client = Client::connect(running.local_addr());
            client.send(request);
            if aborts {
                client.finish();
                has_begun.recv_timeout(DEADLINE).unwrap();
                running.abort();
            }
            let mut received = Vec::new();
            let ended = client.into_stream().read_to_end(&mut received);
            let text = String::from_utf8_lossy(&received);
            assert_eq!(ended.map(drop).map_err(|error| error.kind()), end, "{backend} {request}: {text}");
            assert!(!text.ends_with("0\r\n\r\n"), "{backend} {request}: {text}");
        }
    }
}
