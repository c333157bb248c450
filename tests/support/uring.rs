//! io_uring in the harness, with real sockets on the loopback interface.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use aurora_http_core::reactor::IoHandle;
use aurora_http_core::sim::ClientRecv;
use aurora_http_uring::{Entry, ListenOptions, Uring, Waker, listen};
use rustix::net::sockopt;

use super::Harness;

pub(crate) struct UringHarness {
    reactor: Uring<'static>,
}

impl Harness for UringHarness {
    type Reactor = Uring<'static>;
    type Waker = Waker;
    type Client = TcpStream;

    fn new(sockets: usize, lent: usize) -> Self {
        let table: Vec<_> = (0..sockets).map(|_| Entry::new()).collect();
        let lent: Vec<_> = (0..lent).map(|_| None).collect();
        Self { reactor: Uring::new(table.leak(), lent.leak()).expect("io_uring") }
    }

    fn reactor(&mut self) -> &mut Self::Reactor {
        &mut self.reactor
    }

    fn waker(&self) -> Waker {
        self.reactor.waker().expect("a waker")
    }

    fn listen(&mut self) -> IoHandle {
        let listener = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).expect("a listener");
        self.reactor.add_listener(listener).expect("a free entry")
    }

    fn connect(&mut self, listener: IoHandle) -> TcpStream {
        let address = self.reactor.local_addr(listener).expect("a listener");
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    fn client_send(&mut self, client: &mut TcpStream, bytes: &[u8]) -> usize {
        client.write(bytes).unwrap_or(0)
    }

    fn client_recv(&mut self, client: &mut TcpStream, into: &mut [u8]) -> ClientRecv {
        match client.read(into) {
            Ok(0) => ClientRecv::Fin,
            Ok(count) => ClientRecv::Bytes(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => ClientRecv::Nothing,
            Err(_) => ClientRecv::Reset,
        }
    }

    fn client_finish(&mut self, client: &mut TcpStream) {
        client.shutdown(Shutdown::Write).unwrap();
    }

    fn client_close(&mut self, client: TcpStream) {
        drop(client);
    }

    fn client_reset(&mut self, client: TcpStream) {
        sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        drop(client);
    }

    fn shrink(&mut self, io: IoHandle) {
        let socket = self.reactor.descriptor(io).expect("an open handle");
        sockopt::set_socket_send_buffer_size(socket, 4096).unwrap();
    }
}
