//! A worker inside another event loop that waits only for the worker's descriptor and its timeout:
//! level-triggered, with poll(2). The edge-triggered ones are in `tests/nested-loops`.
#![cfg(any(has_epoll, has_kqueue, has_uring))]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/nested.rs"]
mod nested;

use std::os::fd::AsFd;

use aurora_http::{Backend, SocketReactor, StopFlag, Worker, WorkerStorage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use backends::backends;
use nested::{Counts, Exchange, Told};

fn nest<R: SocketReactor>(mut worker: Worker<'_, Counts, R>, stop: &StopFlag, told: &Told) {
    told.ready(&worker);
    while !worker.poll(stop).unwrap() {
        told.turned();
        let timeout = worker.timeout().map(|timeout| Timespec::try_from(timeout).unwrap());
        poll(&mut [PollFd::new(&worker.as_fd(), PollFlags::IN)], timeout.as_ref()).unwrap();
    }
}

fn serve(backend: Backend, storage: &mut WorkerStorage<Exchange>, stop: &StopFlag, told: &Told) {
    match backend {
        #[cfg(has_epoll)]
        Backend::Epoll => nest(Worker::epoll(storage, Counts).unwrap(), stop, told),
        #[cfg(has_kqueue)]
        Backend::Kqueue => nest(Worker::kqueue(storage, Counts).unwrap(), stop, told),
        #[cfg(has_uring)]
        Backend::Uring => nest(Worker::uring(storage, Counts).unwrap(), stop, told),
        other => panic!("{other:?} is not in this build"),
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
