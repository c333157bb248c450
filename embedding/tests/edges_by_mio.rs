//! A worker inside a loop of mio, which is edge-triggered.
#![cfg(target_os = "linux")]

#[macro_use]
mod backends;
#[path = "../../tests/support/nested.rs"]
mod nested;

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};

use aurora_http::{StopFlag, Worker, WorkerStorage};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use nested::{Counts, Exchange, Told};

fn serve(storage: &mut WorkerStorage<Exchange>, stop: &StopFlag, told: &Told) {
    let mut worker = Worker::new(storage, Counts).unwrap();
    let mut poll = Poll::new().unwrap();
    let descriptor = worker.as_fd().as_raw_fd();
    poll.registry().register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE).unwrap();
    let mut events = Events::with_capacity(8);
    told.ready(&worker);
    while !worker.poll(stop).unwrap() {
        told.turned();
        match poll.poll(&mut events, worker.timeout()) {
            Err(error) if error.kind() != ErrorKind::Interrupted => panic!("{error}"),
            _ => {}
        }
    }
}

tests!(serve);
