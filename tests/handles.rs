//! Handles of a server from before its start: to resolve tokens, to read counters, to stop it.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use aurora_http::core::counters::Counters;
use aurora_http::{
    Backend, DeferToken, Either, Flow, Handler, Request, ResponseWriter, Server, StopHandle, Worker, WriteError,
    deferred, handler_fn,
};
use backends::backends;
use http::{Client, DEADLINE, eventually};

fn server(backend: Backend) -> Server {
    Server::bind("127.0.0.1:0").unwrap().backend(backend).workers(2).connections(64)
}

/// Defers `/later`, and answers everything else at once.
struct Later(Sender<DeferToken>);

impl Handler for Later {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.path() == b"/later" {
            self.0.send(response.defer().unwrap()).unwrap();
            return Flow::Defer(());
        }
        response.body("now").unwrap();
        Flow::Finish
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.body("later").unwrap();
        Flow::Finish
    }
}

fn later(client: &mut Client, tokens: &Receiver<DeferToken>) -> DeferToken {
    client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    tokens.recv_timeout(DEADLINE).expect("a handler defers")
}

#[test]
fn a_resumer_from_before_the_start_resolves_only_tokens_of_its_own_server() {
    for backend in backends() {
        let (send, tokens) = channel();
        let never_started = server(backend).resumer();
        let (first, second) = (server(backend), server(backend));
        let resumers = [first.resumer(), second.resumer()];
        let factory = |send: &Sender<DeferToken>| {
            let send = send.clone();
            move |_: &_| Later(send.clone())
        };
        let running = first.start(factory(&send)).unwrap();
        let mut client = Client::connect(running.local_addr());
        let token = later(&mut client, &tokens);
        assert!(!never_started.resume(token) && !resumers[1].resume(token), "a token of another server");
        assert!(resumers[0].resume(token));
        assert_eq!(client.response("GET").text(), "later");
        let left = later(&mut client, &tokens);
        running.abort();
        running.join().unwrap();
        assert!(!resumers[0].resume(left), "the server has ended");

        // The second server, started after the first has ended, has its own resumers.
        let running = second.start(factory(&send)).unwrap();
        let mut client = Client::connect(running.local_addr());
        let token = later(&mut client, &tokens);
        assert!(!resumers[0].resume(token), "it belongs to the server that ended");
        assert!(resumers[1].resume(token));
        assert_eq!(client.response("GET").text(), "later");
    }
}

#[test]
fn counters_from_before_the_start_sum_all_workers_even_after_the_end() {
    for backend in backends() {
        let server = server(backend);
        let counters = server.counters();
        assert_eq!((counters.read(), counters.read_worker(0)), (Counters::default(), None));
        let (send, _tokens) = channel();
        let running = server.start(move |_worker| Later(send.clone())).unwrap();
        for _ in 0..10 {
            assert_eq!(Client::connect(running.local_addr()).get("/").text(), "now");
        }
        eventually(|| counters.read().requests == 10, "all requests are counted");
        assert_eq!(counters.clone().read().accepted, 10);
        let of_workers = [0, 1].map(|worker| counters.read_worker(worker).expect("a worker").requests);
        assert_eq!(of_workers.iter().sum::<u64>(), 10);
        assert_eq!(counters.read_worker(2), None);
        running.stop();
        assert_eq!(running.join().unwrap().counters, counters.read());
    }
}

#[test]
fn a_handler_may_read_the_counters_of_its_own_server() {
    let server = server(Backend::Auto).workers(1);
    let counters = server.counters();
    let running = server.start(move |_worker| {
        let counters = counters.clone();
        handler_fn(move |_: &Request<'_>, response: &mut ResponseWriter<'_>| {
            response.body(counters.read().requests.to_string())
        })
    });
    let running = running.unwrap();
    let mut client = Client::connect(running.local_addr());
    for before in ["0", "1", "2"] {
        assert_eq!(client.get("/metrics").text(), before);
    }
}

#[test]
fn a_stop_requested_before_the_start_takes_effect_after_it() {
    for backend in backends() {
        for ask in [StopHandle::stop, StopHandle::abort] {
            let server = server(backend);
            ask(&server.stop_handle());
            let report = server.start(|_worker| handler_fn(|_, response| response.body("x"))).unwrap().join().unwrap();
            assert_eq!(report.failed_workers(), 0);
            assert!(report.stop.is_some());
            // During the start, from another thread than the one that makes the workers.
            let running = self::server(backend).start(move |worker| {
                let stop = worker.stop_handle();
                thread::spawn(move || ask(&stop)).join().unwrap();
                handler_fn(|_, response| response.body("x"))
            });
            assert_eq!(running.unwrap().join().unwrap().failed_workers(), 0);
        }
    }
}

#[test]
fn a_health_check_answers_503_once_a_stop_is_requested() {
    for backend in backends() {
        let server = server(backend).workers(1);
        let (stop, outside) = (server.stop_handle(), server.stop_handle());
        assert!(!outside.is_stopping());
        let (send, tokens) = channel();
        let resumer = server.resumer();
        let running = server.start(move |worker| {
            assert!(!worker.is_stopping());
            let (stop, send) = (stop.clone(), send.clone());
            handler_fn(move |request: &Request<'_>, response: &mut ResponseWriter<'_>| {
                let health = |stop: &StopHandle| if stop.is_stopping() { 503 } else { 200 };
                if request.path() == b"/health" {
                    response.status(health(&stop))?;
                    return Ok::<_, WriteError>(Either::Left(()));
                }
                send.send(response.defer()?).unwrap();
                let stop = stop.clone();
                Ok(Either::Right(deferred(move |response| response.status(health(&stop)))))
            })
        });
        let running = running.unwrap();
        let mut client = Client::connect(running.local_addr());
        assert_eq!(client.get("/health").status, 200);
        let token = later(&mut client, &tokens);
        running.stop();
        assert!(running.is_stopping() && outside.is_stopping());
        assert!(resumer.resume(token));
        assert_eq!(client.response("GET").status, 503, "a request that arrived before the stop sees it");
        drop(client);
        running.join().unwrap();
        assert!(outside.is_stopping());
    }
}

#[test]
fn the_handles_also_observe_and_stop_a_worker_on_the_programs_own_thread() {
    let server = server(Backend::Auto);
    let (counters, stop) = (server.counters(), server.stop_handle());
    let mut storage = server.storage().unwrap();
    for round in 1..=2 {
        let handler = handler_fn(|_, response| response.body("hello"));
        let mut worker = Worker::new(&mut storage, handler).unwrap();
        let address = worker.local_addr();
        let (counters, stop) = (&counters, &stop);
        thread::scope(|scope| {
            scope.spawn(move || {
                assert_eq!(Client::connect(address).get("/").text(), "hello");
                eventually(|| counters.read().requests == round, "this one's, and those of the worker before it");
                if round == 2 {
                    stop.stop(); // it wakes the worker
                }
            });
            if round == 2 {
                worker.run(stop.flag()).unwrap();
            } else {
                while worker.counters().closed.total() == 0 {
                    worker.turn(stop.flag()).unwrap();
                }
            }
        });
    }
    assert_eq!(counters.read().accepted, 2);
}

#[test]
fn a_worker_uses_the_configured_backend_and_reports_it() {
    for backend in backends() {
        let mut storage = server(backend).storage().unwrap();
        assert_eq!(storage.backend(), backend);
        let worker = Worker::new(&mut storage, handler_fn(|_, response| response.body("x"))).unwrap();
        assert_eq!(worker.reactor().backend(), backend);
    }
    let mut storage = server(Backend::Auto).storage().unwrap();
    let found = storage.backend();
    assert!(backends().contains(&found), "{found}");
    let worker = Worker::new(&mut storage, handler_fn(|_, response| response.body("x"))).unwrap();
    assert_eq!(worker.reactor().backend(), found);
}
