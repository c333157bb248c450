//! Deferred answers over real sockets: resolved in the same turn, from other threads, from many at once, or never.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use aurora_http::core::reactor::Wake;
use aurora_http::{
    Backend, CloseReason, DeferToken, Flow, Handler, Limits, Request, ResponseWriter, Resumer, Running, Server,
    StopFlag, Worker,
};
use backends::backends;
use http::{Client, DEADLINE, eventually};
use rustix::net::sockopt;

/// Answers each request with its own path, later: `/same…` resolves its own token, other tokens go to a channel.
struct Later {
    resumer: Resumer,
    tokens: mpsc::Sender<(String, DeferToken)>,
    vanished: Arc<AtomicUsize>,
}

/// The state of an exchange. Counts the states that are dropped without an answer.
struct State {
    /// Empty once it has been answered.
    path: String,
    dropped: Arc<AtomicUsize>,
}

impl Drop for State {
    fn drop(&mut self) {
        if !self.path.is_empty() {
            self.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Handler for Later {
    type Exchange = State;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let path = request.target_str().to_owned();
        let token = response.defer().unwrap();
        if path.starts_with("/same") {
            assert!(self.resumer.resume(token));
            assert!(!self.resumer.resume(token), "a token is resolved only once");
        } else {
            self.tokens.send((path.clone(), token)).unwrap();
        }
        Flow::Defer(State { path, dropped: Arc::clone(&self.vanished) })
    }

    fn resume(&mut self, mut state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let _ = response.body(std::mem::take(&mut state.path));
        Flow::Finish
    }

    fn half_closed(&mut self, state: State) -> Option<State> {
        drop(state);
        None
    }
}

/// A server, and what its handlers pass on.
struct Deferring {
    running: Running,
    resumer: Resumer,
    tokens: mpsc::Receiver<(String, DeferToken)>,
    vanished: Arc<AtomicUsize>,
}

impl Deferring {
    fn start(server: Server) -> Self {
        let (send, tokens) = mpsc::channel();
        let resumer = server.resumer();
        let vanished = Arc::new(AtomicUsize::new(0));
        let dropped = Arc::clone(&vanished);
        let running = server.start(move |worker| Later {
            resumer: worker.resumer(),
            tokens: send.clone(),
            vanished: Arc::clone(&dropped),
        });
        Self { running: running.unwrap(), resumer, tokens, vanished }
    }

    fn connect(&self) -> Client {
        Client::connect(self.running.local_addr())
    }

    fn next_token(&self) -> (String, DeferToken) {
        self.tokens.recv_timeout(DEADLINE).expect("a handler defers")
    }

    fn vanished(&self) -> usize {
        self.vanished.load(Ordering::SeqCst)
    }
}

fn server(backend: Backend) -> Server {
    Server::bind("127.0.0.1:0").unwrap().backend(backend).workers(2).connections(64)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[test]
fn a_token_may_be_resolved_in_the_turn_that_made_it() {
    for backend in backends() {
        let deferring = Deferring::start(server(backend));
        let mut client = deferring.connect();
        for round in 0..50 {
            let path = format!("/same{round}");
            assert_eq!(client.get(&path).text(), path);
        }
        // Pipelined requests are deferred one after the other.
        client.send(["/same/a", "/same/b", "/same/c"].map(get).concat());
        for path in ["/same/a", "/same/b", "/same/c"] {
            assert_eq!(client.response("GET").text(), path);
        }
    }
}

#[test]
fn resolving_from_another_thread_wakes_a_sleeping_worker() {
    for backend in backends() {
        let deferring = Deferring::start(server(backend));
        let mut client = deferring.connect();
        for _ in 0..50 {
            client.send(get("/other"));
            let (_, token) = deferring.next_token();
            let resumer = deferring.resumer.clone();
            assert!(thread::spawn(move || resumer.resume(token)).join().unwrap());
            assert_eq!(client.response("GET").text(), "/other");
            assert!(!deferring.resumer.resume(token), "stale");
        }
        assert_eq!(deferring.vanished(), 0);
    }
}

/// Puts items into an order other than that of arrival.
fn shuffled<T>(mut all: Vec<T>) -> Vec<T> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for at in (1..all.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        all.swap(at, (state >> 33) as usize % (at + 1));
    }
    all
}

#[test]
fn a_thousand_at_once_from_many_threads_in_any_order() {
    for backend in backends() {
        const COUNT: usize = 1_000;
        const THREADS: usize = 8;
        let deferring = Deferring::start(server(backend).connections(COUNT));
        let (mut clients, mut tokens) = (HashMap::new(), Vec::new());
        for number in 0..COUNT {
            let mut client = deferring.connect();
            let path = format!("/{number}");
            client.send(get(&path));
            clients.insert(path, client);
            // One at a time, because backlogs may be short.
            tokens.push(deferring.next_token());
        }
        let tokens = shuffled(tokens);
        let shares: Vec<Vec<_>> = tokens.chunks(COUNT / THREADS).map(<[_]>::to_vec).collect();
        let resolvers: Vec<_> = shares
            .into_iter()
            .enumerate()
            .map(|(number, share)| {
                let resumer = deferring.resumer.clone();
                thread::spawn(move || match number % 2 {
                    0 => share.iter().filter(|(_, token)| resumer.resume(*token)).count(),
                    _ => share.chunks(3).map(|few| resumer.resume_all(few.iter().map(|(_, token)| *token))).sum(),
                })
            })
            .collect();
        for (path, client) in &mut clients {
            assert_eq!(client.response("GET").text(), path, "each client gets its own answer");
        }
        let resolved: usize = resolvers.into_iter().map(|resolver| resolver.join().unwrap()).sum();
        assert_eq!((resolved, deferring.vanished()), (COUNT, 0));
        assert!(tokens.iter().all(|(_, token)| !deferring.resumer.resume(*token)), "all tokens are stale");
        assert_eq!(deferring.running.counters().requests, COUNT as u64);
    }
}

#[test]
fn when_a_client_leaves_its_state_is_dropped_and_its_token_is_stale() {
    for backend in backends() {
        let deferring = Deferring::start(server(backend));
        for (round, resets) in [true, false, true, false].into_iter().enumerate() {
            let mut client = deferring.connect();
            client.send(get("/gone"));
            let (_, token) = deferring.next_token();
            if resets {
                client.reset();
            } else {
                drop(client);
            }
            eventually(|| deferring.vanished() == round + 1, "the handler is told");
            // The exchange ends only when the worker acts on that call's result; until then the token is valid.
            eventually(|| deferring.running.counters().active == 0, "all slots are free");
            assert!(!deferring.resumer.resume(token));
        }
        // The old tokens do not resolve the next exchanges in these slots.
        let mut client = deferring.connect();
        client.send(get("/next"));
        let (_, token) = deferring.next_token();
        assert!(deferring.resumer.resume(token));
        assert_eq!(client.response("GET").text(), "/next");
        let closed = deferring.running.counters().closed;
        let (reset, early) = (closed.of(CloseReason::PeerReset), closed.of(CloseReason::PeerClosedEarly));
        assert_eq!((reset + early, early >= 2), (4, true));
    }
}

#[test]
fn a_deferred_answer_that_times_out_is_503() {
    for backend in backends() {
        let mut limits = Limits::default();
        limits.timeouts.defer_timeout_ms = Some(50);
        let deferring = Deferring::start(server(backend).limits(limits));
        let mut client = deferring.connect();
        client.send(get("/never"));
        let (_, token) = deferring.next_token();
        let response = client.response("GET");
        assert_eq!((response.status, response.field("Connection")), (503, Some("close")));
        assert!(response.field("Retry-After").is_some() && client.is_ended());
        assert!(!deferring.resumer.resume(token));
        assert_eq!(deferring.vanished(), 1);
        drop(client);
        eventually(|| deferring.running.counters().closed.of(CloseReason::DeferTimeout) == 1, "the reason is counted");
    }
}

#[test]
fn a_stop_waits_for_deferred_answers_and_loses_none() {
    for backend in backends() {
        let deferring = Deferring::start(server(backend));
        let mut clients: Vec<_> = (0..40).map(|_| deferring.connect()).collect();
        for client in &mut clients {
            client.send(get("/held"));
        }
        let tokens: Vec<_> = clients.iter().map(|_| deferring.next_token().1).collect();
        let mut idle = deferring.connect();
        assert_eq!(idle.get("/same").status, 200);
        deferring.running.stop();
        assert!(idle.is_ended(), "the stop has begun");
        for token in shuffled(tokens) {
            assert!(deferring.resumer.resume(token));
        }
        for client in &mut clients {
            let response = client.response("GET");
            assert_eq!((response.status, response.text()), (200, "/held"));
            assert_eq!(response.field("Connection"), Some("close"));
            assert!(client.is_ended());
        }
        let report = deferring.running.join().unwrap();
        assert_eq!((report.counters.closed.of(CloseReason::Aborted), report.failed_workers()), (0, 0));
    }
}

#[test]
fn a_stop_waits_for_deferred_answers_until_its_deadline() {
    for backend in backends() {
        let mut limits = Limits::default();
        limits.timeouts.stop_timeout_ms = Some(50);
        let deferring = Deferring::start(server(backend).limits(limits));
        let mut client = deferring.connect();
        client.send(get("/never"));
        let (_, token) = deferring.next_token();
        deferring.running.stop();
        let report = deferring.running.join().unwrap();
        assert_eq!(report.counters.closed.of(CloseReason::Aborted), 1);
        assert!(client.is_ended());
        assert!(!deferring.resumer.resume(token), "the server has ended");
    }
}

#[test]
fn a_token_of_one_server_is_invalid_in_another() {
    for backend in backends() {
        let both = [Deferring::start(server(backend).workers(1)), Deferring::start(server(backend).workers(1))];
        // Both tokens have the same worker, slot, generation and count.
        let mut clients = both.each_ref().map(Deferring::connect);
        let tokens = [0, 1].map(|at| {
            clients[at].send(get("/mine"));
            both[at].next_token().1
        });
        assert_ne!(tokens[0], tokens[1]);
        assert!(!both[0].resumer.resume(tokens[1]) && !both[1].resumer.resume(tokens[0]));
        for at in [0, 1] {
            assert!(both[at].resumer.resume(tokens[at]));
            assert_eq!(clients[at].response("GET").text(), "/mine");
        }
    }
}

fn worker_on(backend: Backend) {
    let mut storage = server(backend).storage().unwrap();
    let resumer = storage.resumer();
    for _ in 0..2 {
        let (send, tokens) = mpsc::channel();
        let vanished = Arc::new(AtomicUsize::new(0));
        let later = Later { resumer: storage.resumer(), tokens: send, vanished: Arc::clone(&vanished) };
        let mut worker = Worker::new(&mut storage, later).unwrap();
        let (address, stop) = (worker.local_addr(), StopFlag::new());
        let (waker, resolves, stops) = (worker.waker().unwrap(), &resumer, &stop);
        let left = thread::scope(|scope| {
            let asks = scope.spawn(move || {
                let mut client = Client::connect(address);
                client.send(get("/worker"));
                let (_, token) = tokens.recv_timeout(DEADLINE).unwrap();
                assert!(resolves.resume(token));
                assert_eq!(client.response("GET").text(), "/worker");
                client.send(get("/left"));
                let (_, token) = tokens.recv_timeout(DEADLINE).unwrap();
                stops.abort();
                waker.wake();
                token
            });
            worker.run(&stop).unwrap();
            asks.join().unwrap()
        });
        assert_eq!(vanished.load(Ordering::SeqCst), 1);
        assert!(!resumer.resume(left), "a later worker on the same storage does not accept it");
    }
}

#[test]
fn a_worker_on_the_programs_own_thread_is_woken_too() {
    for backend in backends() {
        worker_on(backend);
    }
}

impl Client {
    /// Ends the connection with a reset.
    fn reset(self) {
        sockopt::set_socket_linger(self.stream(), Some(Duration::ZERO)).unwrap();
    }
}

/// Over sockets, on each backend: the worker's wait ends in time, with nothing else to wake it.
#[test]
fn a_handler_is_called_at_the_time_that_it_set() {
    for backend in backends() {
        let server = server(backend).start(|_worker| {
            aurora_http::handler_fn(|_request: &Request<'_>, response: &mut ResponseWriter<'_>| {
                response.wake_after(50);
                aurora_http::deferred(|response| {
                    let by_time = response.is_woken_by_time();
                    response.body(if by_time { "time" } else { "token" })
                })
            })
        });
        let running = server.unwrap();
        let mut client = Client::connect(running.local_addr());
        let sent_at = Instant::now();
        client.send(get("/"));
        assert_eq!(client.response("GET").text(), "time", "{backend:?}");
        assert!(sent_at.elapsed() >= Duration::from_millis(50), "{backend:?}: early");
        running.stop();
        running.join().unwrap();
    }
}
