//! A worker inside a loop of the program's own, which waits for nothing but the worker's descriptor and its timeout: here
//! level-triggered, by poll(2). `tests/nested-loops` has the edge-triggered ones.
#![cfg(any(has_epoll, has_kqueue, has_uring))]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/nested.rs"]
mod nested;

use std::os::fd::AsFd;

use aurora_http::{Backend, SocketReactor, StopFlag, Worker};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use nested::{Echo, Told};

fn nest<R: SocketReactor>(mut worker: Worker<'_, Echo, R>, stop: &StopFlag, told: &Told) {
    told.ready(&worker);
    while !worker.poll(stop).unwrap() {
        let timeout = worker.timeout().map(|timeout| Timespec::try_from(timeout).unwrap());
        poll(&mut [PollFd::new(&worker.as_fd(), PollFlags::IN)], timeout.as_ref()).unwrap();
        told.pause();
    }
}

fn serve(backend: Backend, stop: &StopFlag, told: &Told) {
    let mut storage = nested::storage();
    match backend {
        #[cfg(has_epoll)]
        Backend::Epoll => nest(Worker::epoll(&mut storage, Echo::default()).unwrap(), stop, told),
        #[cfg(has_kqueue)]
        Backend::Kqueue => nest(Worker::kqueue(&mut storage, Echo::default()).unwrap(), stop, told),
        #[cfg(has_uring)]
        Backend::Uring => nest(Worker::uring(&mut storage, Echo::default()).unwrap(), stop, told),
        _ => unreachable!("it is not in this build"),
    }
}

#[test]
fn a_request_is_answered() {
    nested::get(&backends::backends(), serve);
}

#[test]
fn thirty_megabytes_come_in() {
    nested::upload(&backends::backends(), serve);
}

#[test]
fn thirty_megabytes_go_out() {
    nested::download(&backends::backends(), serve);
}

#[test]
fn nine_hundred_connections_at_once_are_answered_after_a_pause() {
    nested::burst(&backends::backends(), serve);
}

#[test]
fn a_wake_from_another_thread_ends_the_wait() {
    nested::wake(&backends::backends(), serve);
}

#[test]
fn it_sleeps_when_there_is_nothing_to_do() {
    nested::rest(&backends::backends(), serve);
}
