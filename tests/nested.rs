//! A worker inside another event loop that waits only for the worker's descriptor and its timeout:
//! level-triggered, with poll(2). The edge-triggered ones are in `embedding/tests`.
#![cfg(any(has_epoll, has_kqueue, has_uring))]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;
#[path = "support/nested.rs"]
mod nested;

use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use aurora_http::{Server, StopFlag, Worker, WorkerStorage, handler_fn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use backends::backends;
use http::Client;
use nested::{Counts, Exchange, Told};

fn serve(storage: &mut WorkerStorage<Exchange>, stop: &StopFlag, told: &Told) {
    let mut worker = Worker::new(storage, Counts).unwrap();
    told.ready(&worker);
    while !worker.poll(stop).unwrap() {
        told.turned();
        let timeout = worker.timeout().map(|timeout| Timespec::try_from(timeout).unwrap());
        poll(&mut [PollFd::new(&worker.as_fd(), PollFlags::IN)], timeout.as_ref()).unwrap();
    }
}

#[test]
fn a_request_is_answered() {
    nested::a_request_is_answered(&backends(), serve);
}

#[test]
fn thirty_megabytes_come_in() {
    nested::much_comes_in(&backends(), serve);
}

#[test]
fn thirty_megabytes_go_out() {
    nested::much_goes_out(&backends(), serve);
}

#[test]
fn nine_hundred_connections_at_once_are_answered_after_a_pause() {
    nested::a_burst_is_answered(&backends(), serve);
}

#[test]
fn it_sleeps_while_there_is_nothing_to_do() {
    nested::it_sleeps_while_there_is_nothing_to_do(&backends(), serve);
}

/// With a program that works for long between two turns, the response does not wait for the next one.
#[test]
fn what_a_turn_answers_has_left_when_it_returns() {
    for backend in backends() {
        let server = Server::bind("127.0.0.1:0").unwrap().backend(backend).connections(4);
        let mut storage = server.storage().unwrap();
        let mut worker = Worker::new(&mut storage, handler_fn(|_, response| response.body("now"))).unwrap();
        let address = worker.local_addr();
        let client = thread::spawn(move || {
            let mut client = Client::connect(address);
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            client.response("GET").body
        });
        let stop = StopFlag::new();
        while worker.counters().requests == 0 {
            worker.turn_within(&stop, Some(Duration::from_millis(1))).unwrap();
        }
        // No more turns.
        assert_eq!(client.join().unwrap(), b"now", "{backend:?}");
    }
}
