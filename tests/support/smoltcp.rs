//! smoltcp in the harness: the clients' interface is at the other end of a wire in memory, and time is virtual.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use aurora_http_core::reactor::{IoHandle, Reactor, Wake};
use aurora_http_core::readiness::{Held, Parked, Readiness};
use aurora_http_core::sim::ClientRecv;
use aurora_http_core::time::Instant;
use aurora_http_smoltcp::{Memory, Platform, Stack};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer, State};
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address};

use super::Harness;

/// With the listener, one handle less than the tests ask for: a second listener has none.
const SOCKETS: usize = 22;
const WINDOW: usize = 4096;
const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const CLIENTS: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
const PORT: u16 = 80;

type Frames = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of the wire.
pub(crate) struct End {
    receives: Frames,
    sends: Frames,
}

pub(crate) struct Received(Vec<u8>);

pub(crate) struct Sending<'e>(&'e Frames);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.borrow_mut().push_back(frame);
        result
    }
}

impl Device for End {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.receives.borrow_mut().pop_front()?;
        Some((Received(frame), Sending(&self.sends)))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<Sending<'_>> {
        Some(Sending(&self.sends))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

fn interface(end: &mut End, address: Ipv4Address) -> Interface {
    let mac = EthernetAddress([2, 0, 0, 0, 0, address.octets()[3]]);
    let mut interface = Interface::new(Config::new(mac.into()), end, smoltcp::time::Instant::ZERO);
    interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(address.into(), 24)).expect("room for one"));
    interface
}

/// All clients.
struct Clients {
    end: End,
    interface: Interface,
    sockets: SocketSet<'static>,
    next_port: u16,
}

impl Clients {
    fn poll(&mut self, now_ms: u64) {
        let now = smoltcp::time::Instant::from_millis(now_ms as i64);
        self.interface.poll(now, &mut self.end, &mut self.sockets);
    }

    /// When they have something to do by themselves, but not before the next millisecond.
    fn due(&mut self, now_ms: u64) -> Option<u64> {
        let now = smoltcp::time::Instant::from_millis(now_ms as i64);
        let due = self.interface.poll_at(now, &self.sockets)?;
        Some((due.total_millis() as u64).max(now_ms + 1))
    }
}

#[derive(Clone, Default)]
pub(crate) struct Waker(Arc<(Mutex<bool>, Condvar)>);

impl Wake for Waker {
    fn wake(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_one();
    }
}

impl Waker {
    fn is_woken(&self) -> bool {
        *self.0.0.lock().unwrap()
    }
}

/// Sleeps until a frame comes from the clients, which go on meanwhile, or until it is woken.
#[derive(Clone)]
pub(crate) struct Board {
    now_ms: Rc<Cell<u64>>,
    clients: Rc<RefCell<Clients>>,
    waker: Waker,
}

impl Board {
    fn poll_clients(&self) {
        self.clients.borrow_mut().poll(self.now_ms.get());
    }
}

impl Platform for Board {
    fn now(&self) -> Instant {
        Instant(self.now_ms.get())
    }

    fn sleep(&mut self, until: Option<Instant>) {
        loop {
            self.poll_clients();
            let has_frame = !self.clients.borrow().end.sends.borrow().is_empty();
            let now_ms = self.now_ms.get();
            if has_frame || self.waker.is_woken() || until.is_some_and(|until| until.0 <= now_ms) {
                return;
            }
            let due = self.clients.borrow_mut().due(now_ms);
            match due.into_iter().chain(until.map(|until| until.0)).min() {
                Some(next_ms) => self.now_ms.set(next_ms),
                None => {
                    let (woken, wakes) = &*self.waker.0;
                    drop(wakes.wait_while(woken.lock().unwrap(), |woken| !*woken).unwrap());
                }
            }
        }
    }

    fn take_wake(&mut self) -> bool {
        std::mem::take(&mut *self.waker.0.0.lock().unwrap())
    }
}

pub(crate) struct SmoltcpHarness {
    reactor: Readiness<'static, 'static, Stack<'static, End, Board>>,
    board: Board,
    listeners: u32,
}

impl SmoltcpHarness {
    fn client(&mut self, client: SocketHandle, work: impl FnOnce(&mut Socket<'static>)) {
        work(self.board.clients.borrow_mut().sockets.get_mut(client));
        self.board.poll_clients();
    }
}

impl Harness for SmoltcpHarness {
    type Reactor = Readiness<'static, 'static, Stack<'static, End, Board>>;
    type Waker = Waker;
    type Client = SocketHandle;

    fn new(sockets: usize, lent: usize) -> Self {
        assert!(sockets <= Memory::<SOCKETS, WINDOW>::HANDLES + 1, "the memory has {SOCKETS} and two listeners");
        let (to_server, to_clients) = (Frames::default(), Frames::default());
        let mut end = End { receives: Rc::clone(&to_clients), sends: Rc::clone(&to_server) };
        let clients_interface = interface(&mut end, CLIENTS);
        let sockets = SocketSet::new(Vec::new());
        let clients = Clients { end, interface: clients_interface, sockets, next_port: 50_000 };
        let (now_ms, clients) = (Rc::default(), Rc::new(RefCell::new(clients)));
        let board = Board { now_ms, clients, waker: Waker::default() };

        let mut end = End { receives: to_server, sends: to_clients };
        let interface = interface(&mut end, SERVER);
        let memory = Box::leak(Box::new(Memory::<SOCKETS, WINDOW>::new()));
        let places = Vec::from_iter((0..SOCKETS).map(|_| SocketStorage::EMPTY)).leak();
        let stack = Stack::new(end, interface, places, memory, PORT, board.clone()).expect("enough places");
        // One more than the stack has.
        let parked = Vec::from_iter((0..=Memory::<SOCKETS, WINDOW>::HANDLES).map(|_| Parked::new())).leak();
        let held = Vec::from_iter(parked.iter().map(|_| Held::new())).leak();
        let lent = Vec::from_iter((0..lent).map(|_| None)).leak();
        Self { reactor: Readiness::new(stack, parked, held, lent), board, listeners: 0 }
    }

    fn reactor(&mut self) -> &mut Self::Reactor {
        &mut self.reactor
    }

    fn waker(&self) -> Waker {
        self.board.waker.clone()
    }

    /// A stack has one; further ones are none of its handles.
    fn listen(&mut self) -> IoHandle {
        self.listeners += 1;
        IoHandle(self.reactor.get_ref().listener().0 + self.listeners - 1)
    }

    fn connect(&mut self, _listener: IoHandle) -> SocketHandle {
        let mut socket = Socket::new(SocketBuffer::new(vec![0; WINDOW]), SocketBuffer::new(vec![0; 1 << 17]));
        socket.set_nagle_enabled(false);
        let client = {
            let mut clients = self.board.clients.borrow_mut();
            let Clients { interface, sockets, next_port, .. } = &mut *clients;
            *next_port += 1;
            socket.connect(interface.context(), (SERVER, PORT), *next_port).expect("a fresh socket");
            sockets.add(socket)
        };
        // The handshake takes both ends.
        for _ in 0..10 {
            self.board.poll_clients();
            if self.board.clients.borrow().sockets.get::<Socket<'_>>(client).may_send() {
                return client;
            }
            self.reactor.wait(Some(Duration::ZERO)).expect("a stack in working order");
        }
        panic!("no socket listens")
    }

    fn client_send(&mut self, client: &mut SocketHandle, bytes: &[u8]) -> usize {
        let mut sent = 0;
        self.client(*client, |socket| sent = socket.send_slice(bytes).unwrap_or(0));
        sent
    }

    fn client_recv(&mut self, client: &mut SocketHandle, into: &mut [u8]) -> ClientRecv {
        self.board.poll_clients();
        let mut received = ClientRecv::Nothing;
        self.client(*client, |socket| {
            received = match socket.recv_slice(into) {
                Ok(0) => ClientRecv::Nothing,
                Ok(count) => ClientRecv::Bytes(count),
                Err(RecvError::Finished) => ClientRecv::Fin,
                Err(RecvError::InvalidState) => ClientRecv::Reset,
            };
        });
        received
    }

    fn client_finish(&mut self, client: &mut SocketHandle) {
        self.client(*client, Socket::close);
    }

    fn client_close(&mut self, client: SocketHandle) {
        // As kernels do: what was not read is answered by a reset.
        self.client(client, |socket| if socket.can_recv() { socket.abort() } else { socket.close() });
    }

    fn client_reset(&mut self, client: SocketHandle) {
        self.client(client, |socket| {
            if socket.state() != State::Closed {
                socket.abort();
            }
        });
    }

    fn shrink(&mut self, _io: IoHandle) {}
}
