//! Servers that share a listener, as during a hand-over: its blocking mode belongs to the open file, which all of them share.
#![cfg(all(has_epoll, has_uring))]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use aurora_http::core::reactor::Wake;
use aurora_http::{Backend, Server, StopFlag, Worker, WorkerStorage, handler_fn};
use rustix::fs::{OFlags, fcntl_getfl};

use backends::backends;
use http::Client;

const PATIENCE: Duration = Duration::from_secs(10);

/// Serves on a duplicate of the listener until it is stopped.
fn serve(backend: Backend, listener: OwnedFd, stop: &StopFlag, ready: &mpsc::Sender<Box<dyn Wake>>) -> u64 {
    let server = Server::bind("127.0.0.1:0").unwrap().connections(64).backend(backend);
    let mut storage: WorkerStorage<Infallible> = server.storage().unwrap();
    let handler = handler_fn(|_request, response| response.body("hello"));
    let mut worker = Worker::with_listeners(&mut storage, [listener], handler).unwrap();
    assert_eq!(worker.reactor().backend(), backend);
    ready.send(Box::new(worker.waker().unwrap())).unwrap();
    worker.run(stop).unwrap();
    worker.counters().accepted
}

fn is_blocking(listener: &TcpListener) -> bool {
    !fcntl_getfl(listener).unwrap().contains(OFlags::NONBLOCK)
}

/// Serves on one listener with these backends, in this order, and checks that clients are answered.
///
/// The servers' threads are detached: in a scope, a blocked one would keep this test from failing.
fn share(servers: &[Backend]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    assert!(is_blocking(&listener));
    let stop = Arc::new(StopFlag::new());
    let (ready, started) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let mut wakers = Vec::new();
    for &backend in servers {
        let (duplicate, ready, end) = (listener.try_clone().unwrap(), ready.clone(), end.clone());
        let stop = Arc::clone(&stop);
        thread::spawn(move || end.send(serve(backend, duplicate.into(), &stop, &ready)));
        wakers.push(started.recv_timeout(PATIENCE).expect("a server"));
        assert!(!is_blocking(&listener), "{backend:?} of {servers:?}");
    }
    for _ in 0..50 {
        let mut client = Client::connect(address);
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(client.rest().ends_with(b"hello"));
    }
    stop.abort();
    for waker in &wakers {
        waker.wake();
    }
    let accepted: u64 = servers.iter().map(|_| ended.recv_timeout(PATIENCE).expect("no server blocks in accept")).sum();
    assert_eq!(accepted, 50);
    assert!(!is_blocking(&listener));
}

#[test]
fn an_epoll_server_and_an_io_uring_server_share_a_listener() {
    if !backends().contains(&Backend::Uring) {
        eprintln!("SKIPPED: io_uring is not allowed here");
        return;
    }
    share(&[Backend::Epoll, Backend::Uring]);
    share(&[Backend::Uring, Backend::Epoll]);
    share(&[Backend::Uring, Backend::Uring]);
}
