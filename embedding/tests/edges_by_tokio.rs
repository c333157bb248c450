//! A worker inside tokio, whose `AsyncFd` is edge-triggered.
#![cfg(target_os = "linux")]

#[macro_use]
mod backends;
#[path = "../../tests/support/nested.rs"]
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
        // tokio wants to own the descriptor that it watches; to the kernel, a duplicate is equivalent.
        let descriptor = worker.as_fd().try_clone_to_owned().unwrap();
        // Later versions of tokio replace this by an unsafe function, whose requirements an `OwnedFd` fulfils.
        #[allow(deprecated)]
        let watched = AsyncFd::try_with_interest(descriptor, Interest::READABLE).unwrap();
        told.ready(&worker);
        while !worker.poll(stop).unwrap() {
            told.turned();
            // A failed wait is repeated.
            let timeout = worker.timeout().unwrap_or(Duration::from_secs(3600));
            if let Ok(ready) = tokio::time::timeout(timeout, watched.readable()).await {
                // Before the worker's turn, so that an edge during the turn is not lost.
                ready.unwrap().clear_ready();
            }
        }
    });
}

tests!(serve);
