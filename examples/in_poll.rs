//! A server inside a program's own loop around poll(2), next to a socket of the program: `cargo run --release --example
//! in_poll`. Each datagram sets the greeting that the server answers from then on; `stop` ends the program.

mod support;

use std::cell::RefCell;
use std::error::Error;
use std::net::UdpSocket;

use aurora_http::{Worker, handler_fn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

fn main() -> Result<(), Box<dyn Error>> {
    let server = support::server("in_poll: a server in a loop around poll(2); datagrams set its greeting");
    let (stop, greeting) = (server.stop_handle(), RefCell::new(b"hello\n".to_vec()));
    let mut storage = server.storage()?;
    let mut worker = Worker::new(&mut storage, handler_fn(|_, response| response.body(&*greeting.borrow())))?;
    let own = UdpSocket::bind("127.0.0.1:0")?;
    println!("listening on {} and, for datagrams, on {}", worker.local_addr(), own.local_addr()?);
    while !worker.poll(stop.flag())? {
        let timeout = worker.timeout().map(Timespec::try_from).transpose()?;
        let mut watched = [PollFd::new(&worker, PollFlags::IN), PollFd::new(&own, PollFlags::IN)];
        retry_on_intr(|| poll(&mut watched, timeout.as_ref()))?;
        if watched[1].revents().contains(PollFlags::IN) {
            let mut datagram = [0; 512];
            match own.recv(&mut datagram)? {
                4 if datagram.starts_with(b"stop") => stop.stop(),
                length => *greeting.borrow_mut() = datagram[..length].to_vec(),
            }
        }
    }
    Ok(())
}
