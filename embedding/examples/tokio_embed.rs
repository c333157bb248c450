//! A worker as one task of a program in tokio, beside another task: each datagram that comes is the greeting from then on.
//! SIGTERM, or the datagram `stop`, ends the program once what is under way is finished.

use std::error::Error;
use std::os::fd::AsFd;
use std::time::Duration;

use aurora_embedding::Site;
use aurora_http::{StopHandle, Worker};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

fn main() -> Result<(), Box<dyn Error>> {
    let server = aurora_embedding::server("tokio_embed: a server as a task of tokio's; datagrams set its greeting");
    LocalSet::new().block_on(&Builder::new_current_thread().enable_all().build()?, async {
        let (stop, site) = (server.stop_handle(), Site::default());
        let mut storage = server.storage()?;
        let mut worker = Worker::new(&mut storage, site.clone())?;
        let own = UdpSocket::bind("127.0.0.1:0").await?;
        println!("listening on {} and, for datagrams, on {}", worker.local_addr(), own.local_addr()?);
        spawn_local(listen(own, signal(SignalKind::terminate())?, site, stop.clone()));
        // tokio owns what it watches; to the kernel, a duplicate is the same.
        #[allow(deprecated)] // what takes its place is unsafe, and not needed for a descriptor that is owned
        let watched = AsyncFd::try_with_interest(worker.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        while !worker.poll(stop.flag())? {
            if let Ok(ready) = timeout(worker.timeout().unwrap_or(Duration::MAX), watched.readable()).await {
                ready?.clear_ready(); // before the next turn: an edge that comes during it counts
            }
        }
        Ok(())
    })
}

/// The other task. A stop wakes the worker, whoever asks for it.
async fn listen(own: UdpSocket, mut terminate: Signal, site: Site, stop: StopHandle) {
    let mut datagram = [0; 512];
    loop {
        tokio::select! {
            _ = terminate.recv() => stop.stop(),
            Ok(length) = own.recv(&mut datagram) => site.hear(&datagram[..length], &stop),
        }
    }
}
