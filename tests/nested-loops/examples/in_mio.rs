//! A server inside a program's mio loop, next to a socket of the program. Each datagram sets the greeting that the
//! server answers from then on; `stop` ends the program.

#[path = "../../../examples/support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::error::Error;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};

use aurora_http::{Worker, handler_fn};
use mio::net::UdpSocket;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

fn main() -> Result<(), Box<dyn Error>> {
    let server = support::server("in_mio: a server in a loop of mio; datagrams set its greeting");
    let (stop, greeting) = (server.stop_handle(), RefCell::new(b"hello\n".to_vec()));
    let mut storage = server.storage()?;
    let mut worker = Worker::new(&mut storage, handler_fn(|_, response| response.body(&*greeting.borrow())))?;
    let mut own = UdpSocket::bind("127.0.0.1:0".parse()?)?;
    println!("listening on {} and, for datagrams, on {}", worker.local_addr(), own.local_addr()?);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    poll.registry().register(&mut SourceFd(&worker.as_fd().as_raw_fd()), Token(0), Interest::READABLE)?;
    poll.registry().register(&mut own, Token(1), Interest::READABLE)?;
    while !worker.poll(stop.flag())? {
        match poll.poll(&mut events, worker.timeout()) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let mut datagram = [0; 512];
        while let Ok(length) = own.recv(&mut datagram) {
            match &datagram[..length] {
                b"stop" => stop.stop(),
                other => *greeting.borrow_mut() = other.to_vec(),
            }
        }
    }
    Ok(())
}
