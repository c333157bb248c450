//! Workers whose handler panics, and handlers that hold their own server. One test at a time: buffer memory belongs to the
//! process.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;

use aurora_http::{
    Backend, Content, Flow, Handler, Request, ResponseWriter, Running, Server, ServerError, WorkerOutcome,
    buffer_memory, handler_fn,
};
use backends::backends;
use http::{Client, DEADLINE, eventually};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Receives content and answers with its length; panics in a request, or in the middle of content, when told to.
struct Panics;

impl Handler for Panics {
    type Exchange = usize;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        assert_ne!(request.path(), b"/panic", "requested");
        if request.path() == b"/upload" {
            return Flow::Receive(0);
        }
        let _ = response.body("Hello");
        Flow::Finish
    }

    fn receive(&mut self, before: usize, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        assert!(!content.bytes().contains(&b'!'), "requested by content");
        let length = before + content.bytes().len();
        if content.ended() {
            let _ = response.body(length.to_string());
            return Flow::Finish;
        }
        Flow::Receive(length)
    }
}

fn server(backend: Backend) -> Server {
    Server::bind("127.0.0.1:0").unwrap().connections(64).backend(backend)
}

fn panic_once(address: SocketAddr) {
    let mut client = Client::connect(address);
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.is_ended());
}

/// With a worker that is replaced until the limit is reached, and with one that is never replaced.
#[test]
fn a_worker_that_panics_is_replaced_up_to_the_limit() {
    let _alone = alone();
    for backend in backends() {
        let running = server(backend).workers(1).restarts_per_minute(2).start(|_worker| Panics).unwrap();
        let address = running.local_addr();
        for restarts in 1..=2 {
            assert_eq!(Client::connect(address).get("/").text(), "Hello", "{backend}");
            panic_once(address);
            // The listener stays open: a client that connects now waits for the next worker.
            assert_eq!(Client::connect(address).get("/").text(), "Hello", "{backend}");
            assert_eq!((running.restarts(), running.worker_restarts(0)), (restarts, Some(restarts)));
        }
        assert_eq!((running.workers_alive(), running.worker_restarts(1)), (1, None));
        panic_once(address);
        let report = running.join().unwrap();
        let worker = &report.workers[0];
        assert!(matches!(&worker.outcome, WorkerOutcome::Panicked(said) if said.contains("requested")), "{worker:?}");
        assert!(worker.last_panic.as_ref().is_some_and(|said| said.contains("requested")), "{worker:?}");
        assert_eq!((worker.restarts, report.restarts(), report.failed_workers()), (2, 2, 1));
        // The counters of all three, up to their last complete turns.
        assert_eq!((report.counters.requests, report.counters.active), (4, 0), "{backend}");
        assert!(report.to_string().contains(" failed_workers=1 restarts=2"), "{report}");
        assert!(std::net::TcpStream::connect_timeout(&address, DEADLINE).is_err(), "the listener is closed");
    }
}

#[test]
fn connections_of_other_workers_are_unaffected() {
    let _alone = alone();
    for backend in backends() {
        let running = server(backend).workers(2).start(|_worker| Panics).unwrap();
        let address = running.local_addr();
        let mut clients: Vec<_> = (0..32).map(|_| Client::connect(address)).collect();
        for client in &mut clients {
            assert_eq!(client.get("/").text(), "Hello");
        }
        let held = |worker| running.worker_counters(worker).unwrap().active;
        eventually(|| held(0) + held(1) == 32, "both have told");
        let held = [held(0), held(1)];
        panic_once(address);
        let answered = clients.iter_mut().filter_map(|client| client.try_get("/")).count();
        // It unwinds after its connections have ended.
        eventually(|| running.restarts() == 1, "it is replaced");
        let other = if running.worker_restarts(0) == Some(0) { 0 } else { 1 };
        assert_eq!((running.restarts(), running.worker_restarts(other)), (1, Some(0)), "{backend}");
        assert_eq!(answered as u64, held[other], "{backend}: exactly the connections of the other worker are answered");
        for _ in 0..32 {
            assert_eq!(Client::connect(address).get("/").text(), "Hello", "{backend}");
        }
        drop(clients);
        running.stop();
        assert_eq!(running.join().unwrap().failed_workers(), 0, "{backend}");
    }
}

/// Eight uploads are open each time, half of them with a buffer that waits for more; the panic is in a request or in
/// content.
#[test]
fn no_buffer_is_lost_by_a_hundred_panics() {
    let _alone = alone();
    for backend in backends() {
        let before = buffer_memory();
        let running = server(backend).workers(1).restarts_per_minute(u32::MAX).start(|_worker| Panics).unwrap();
        let address = running.local_addr();
        let begun = buffer_memory();
        for round in 1..=100 {
            let mut uploads: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
            for upload in &mut uploads {
                upload.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
                assert!(upload.head().starts_with("HTTP/1.1 100 "));
            }
            let mut partial: Vec<_> = (0..4).map(|_| Client::connect(address)).collect();
            for client in &mut partial {
                client.send("GET / HTTP/1.1\r\nHo");
            }
            eventually(|| running.counters().active == 12, "the worker has accepted all of them");
            if round % 2 == 0 {
                panic_once(address);
            } else {
                uploads[0].send("12!");
            }
            for client in uploads.iter_mut().chain(&mut partial) {
                assert!(client.is_ended(), "{backend}");
            }
            eventually(|| running.restarts() == round, "it is replaced");
        }
        assert_eq!(Client::connect(address).get("/").text(), "Hello", "{backend}");
        assert_eq!(buffer_memory().allocated, begun.allocated, "{backend}: the same buffers served all along");
        running.stop();
        assert_eq!(running.join().unwrap().restarts(), 100);
        let after = buffer_memory();
        assert_eq!(after.idle, before.idle + (after.allocated - before.allocated), "{backend}: all of them came back");
    }
}

#[test]
fn a_handler_that_cannot_be_recreated_ends_its_worker() {
    let _alone = alone();
    let made = std::sync::atomic::AtomicUsize::new(0);
    let running = server(Backend::Auto).workers(1).restarts_per_minute(3).start(move |_worker| {
        assert_eq!(made.fetch_add(1, std::sync::atomic::Ordering::Relaxed), 0, "only one");
        Panics
    });
    let running = running.unwrap();
    panic_once(running.local_addr());
    let report = running.join().unwrap();
    let outcome = &report.workers[0].outcome;
    assert!(matches!(outcome, WorkerOutcome::Panicked(said) if said.contains("only one")), "{outcome:?}");
    assert_eq!(report.restarts(), 3);
}

/// Where a handler finds its own server.
type Shelf = Arc<Mutex<Option<Running>>>;

fn with_its_own_server(
    backend: Backend,
    use_it: impl Fn(Running) -> String + Clone + Send + Sync + 'static,
) -> (SocketAddr, mpsc::Receiver<String>) {
    let shelf: Shelf = Arc::default();
    let (tell, told) = mpsc::channel();
    let tell = Arc::new(OnceLock::from(Mutex::new(tell)));
    let found = Arc::clone(&shelf);
    let running = server(backend).workers(2).start(move |_worker| {
        let (found, tell, use_it) = (Arc::clone(&found), Arc::clone(&tell), use_it.clone());
        handler_fn(move |_request, response| {
            let own = found.lock().unwrap().take();
            if let Some(own) = own {
                tell.get().unwrap().lock().unwrap().send(use_it(own)).unwrap();
            }
            response.body("done")
        })
    });
    let running = running.unwrap();
    let address = running.local_addr();
    *shelf.lock().unwrap() = Some(running);
    (address, told)
}

#[test]
fn a_handler_that_waits_for_its_own_server_gets_an_error() {
    let _alone = alone();
    for backend in backends() {
        let (address, told) = with_its_own_server(backend, |own| {
            let error = own.join().unwrap_err();
            assert!(matches!(error, ServerError::OwnThread));
            error.to_string()
        });
        let mut client = Client::connect(address);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let said = told.recv_timeout(DEADLINE).expect("neither a panic nor a deadlock");
        assert!(said.starts_with("a handler cannot wait for the end of its own server"), "{said}");
        gone(address);
    }
}

#[test]
fn a_handler_that_drops_its_own_server_aborts_it_without_waiting() {
    let _alone = alone();
    for backend in backends() {
        let (address, told) = with_its_own_server(backend, |own| {
            drop(own);
            "dropped".into()
        });
        let mut client = Client::connect(address);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(told.recv_timeout(DEADLINE).unwrap(), "dropped");
        gone(address);
    }
}

/// Checks that nothing listens there any more.
fn gone(address: SocketAddr) {
    eventually(
        || {
            thread::yield_now();
            std::net::TcpStream::connect_timeout(&address, DEADLINE).is_err()
        },
        "the server is gone",
    );
}
