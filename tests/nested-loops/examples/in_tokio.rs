//! A server as one task of a tokio program, next to another task. Each datagram sets the greeting that the server
//! answers from then on; `stop` ends the program.

#[path = "../../../examples/support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::error::Error;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use aurora_http::{Worker, handler_fn};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

fn main() -> Result<(), Box<dyn Error>> {
    let server = support::server("in_tokio: a server as a task of tokio's; datagrams set its greeting");
    LocalSet::new().block_on(&Builder::new_current_thread().enable_all().build()?, async {
        let (stop, greeting) = (server.stop_handle(), Rc::new(RefCell::new(b"hello\n".to_vec())));
        let mut storage = server.storage()?;
        let mut worker = Worker::new(&mut storage, handler_fn(|_, response| response.body(&*greeting.borrow())))?;
        let own = UdpSocket::bind("127.0.0.1:0").await?;
        println!("listening on {} and, for datagrams, on {}", worker.local_addr(), own.local_addr()?);
        let (said, stops) = (Rc::clone(&greeting), stop.clone());
        spawn_local(async move {
            let mut datagram = [0; 512];
            while let Ok(length) = own.recv(&mut datagram).await {
                match &datagram[..length] {
                    b"stop" => stops.stop(),
                    other => *said.borrow_mut() = other.to_vec(),
                }
            }
        });
        // tokio wants to own the descriptor that it watches; to the kernel, a duplicate is equivalent.
        #[allow(deprecated)] // its replacement is unsafe, and not needed for an owned descriptor
        let watched = AsyncFd::try_with_interest(worker.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        while !worker.poll(stop.flag())? {
            if let Ok(ready) = timeout(worker.timeout().unwrap_or(Duration::MAX), watched.readable()).await {
                ready?.clear_ready(); // before the next turn, so that an edge during the turn is not lost
            }
        }
        Ok(())
    })
}
