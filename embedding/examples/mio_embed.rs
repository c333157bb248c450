//! A worker in a program's loop of mio, beside a socket of the program's own: each datagram that comes is the greeting from
//! then on. SIGTERM, or the datagram `stop`, ends the program once what is under way is finished.

use std::error::Error;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};

use aurora_embedding::Site;
use aurora_http::Worker;
use mio::net::{UdpSocket, UnixStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

const WORKER: Token = Token(0);
const DATAGRAMS: Token = Token(1);
const SIGNAL: Token = Token(2);

fn main() -> Result<(), Box<dyn Error>> {
    let server = aurora_embedding::server("mio_embed: a server in a loop of mio; datagrams set its greeting");
    let (stop, site) = (server.stop_handle(), Site::default());
    let mut storage = server.storage()?;
    let mut worker = Worker::new(&mut storage, site.clone())?;
    let mut own = UdpSocket::bind("127.0.0.1:0".parse()?)?;
    let mut signal = UnixStream::from_std(aurora_embedding::terminated()?);
    println!("listening on {} and, for datagrams, on {}", worker.local_addr(), own.local_addr()?);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    poll.registry().register(&mut SourceFd(&worker.as_fd().as_raw_fd()), WORKER, Interest::READABLE)?;
    poll.registry().register(&mut own, DATAGRAMS, Interest::READABLE)?;
    poll.registry().register(&mut signal, SIGNAL, Interest::READABLE)?;
    // The worker has its turn whatever woke the loop: that is cheap, and nothing of its edges can be lost.
    while !worker.poll(stop.flag())? {
        match poll.poll(&mut events, worker.timeout()) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        if events.iter().any(|event| event.token() == SIGNAL) {
            stop.stop();
        }
        let mut datagram = [0; 512];
        while let Ok(length) = own.recv(&mut datagram) {
            site.hear(&datagram[..length], &stop);
        }
    }
    Ok(())
}
