//! A worker inside tokio, whose `AsyncFd` is edge-triggered.
#![cfg(target_os = "linux")]

#[macro_use]
mod backends;
#[path = "../../support/nested.rs"]
mod nested;

use std::os::fd::AsFd;
use std::time::Duration;

use aurora_http::{StopFlag, Worker, WorkerStorage};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use nested::{Counts, Exchange, Told};

fn serve(storage: &mut WorkerStorage<Exchange>, stop: &StopFlag, told: &Told) {
    let mut worker = Worker::new(storage, Counts).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // tokio wants to own what it watches; a duplicate is the same to the kernel.
        let descriptor = worker.as_fd().try_clone_to_owned().unwrap();
        // Its successor in later versions of tokio is unsafe; an `OwnedFd` keeps what that one asks for.
        #[allow(deprecated)]
        let watched = AsyncFd::try_with_interest(descriptor, Interest::READABLE).unwrap();
        told.ready(&worker);
        while !worker.poll(stop).unwrap() {
            told.turned();
            // What cannot be waited for is waited for again.
            let timeout = worker.timeout().unwrap_or(Duration::from_secs(3600));
            if let Ok(ready) = tokio::time::timeout(timeout, watched.readable()).await {
                // Before the worker's turn: an edge that comes during it counts.
                ready.unwrap().clear_ready();
            }
        }
    });
}

tests!(serve);
