//! A worker as a future of async-io, the reactor under smol and async-std. SIGTERM ends the program once what is under way
//! is finished.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::Poll;

use async_io::{Async, Timer, block_on};
use aurora_embedding::Site;
use aurora_http::Worker;

fn main() -> Result<(), Box<dyn Error>> {
    let server = aurora_embedding::server("smol_embed: a server as a future of async-io");
    let stop = server.stop_handle();
    let mut storage = server.storage()?;
    let mut worker = Worker::new(&mut storage, Site::default())?;
    let signal = Async::new(aurora_embedding::terminated()?)?;
    println!("listening on {}", worker.local_addr());
    block_on(async {
        // The reactor owns what it watches; to the kernel, a duplicate is the same.
        let watched = Async::new(worker.as_fd().try_clone_to_owned()?)?;
        while !worker.poll(stop.flag())? {
            let mut timer = worker.timeout().map_or_else(Timer::never, Timer::after);
            poll_fn(|cx| {
                if !stop.is_stopping() && signal.poll_readable(cx).is_ready() {
                    stop.stop(); // which also wakes the worker
                }
                // Each that is not ready wakes this future when it is.
                let is_due = Pin::new(&mut timer).poll(cx).is_ready();
                let is_readable = watched.poll_readable(cx).is_ready();
                if is_due || is_readable { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        Ok(())
    })
}
