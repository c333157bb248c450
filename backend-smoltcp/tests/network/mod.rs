//! A server and its clients on one wire in memory, in virtual time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use aurora_http_core::defer::Deferrals;
use aurora_http_core::engine::{Engine, Listener, Records, Slot, SlotNode, Storage};
use aurora_http_core::handler::{Flow, Handler};
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{BufferPool, Buffers, Class, ClassCounts, Slots};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::readiness::{Held, Parked, Readiness};
use aurora_http_core::request::Request;
use aurora_http_core::run::turn_within;
use aurora_http_core::stop::StopFlag;
use aurora_http_core::time::Instant;
use aurora_http_core::writer::ResponseWriter;
use aurora_http_smoltcp::{Memory, Platform, Stack};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketStorage};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::Socket as AnySocket;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, TcpPacket};

pub(crate) const PORT: u16 = 80;
pub(crate) const SLOTS: usize = 2;
pub(crate) const SOCKETS: usize = 4;
const CLIENTS_MAX: usize = 16;
const BUFFERS: usize = 2 * SLOTS + 1;
const ADDRESS: IpAddress = IpAddress::v4(10, 0, 0, 1);
/// The first port of a client.
const CLIENT_PORT: u16 = 50_000;

pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: device\r\n\r\n";

/// Whether a segment is lost.
type Loses = fn(&TcpPacket<&[u8]>) -> bool;

/// Every frame that is sent is received, unless `loses` says otherwise.
#[derive(Default)]
pub(crate) struct Wire {
    frames: VecDeque<Vec<u8>>,
    loses: Option<Loses>,
}

#[derive(Clone, Default)]
pub(crate) struct Ends(Rc<RefCell<Wire>>);

impl Ends {
    pub(crate) fn is_silent(&self) -> bool {
        self.0.borrow().frames.is_empty()
    }

    /// From here on these segments are lost.
    pub(crate) fn lose(&self, which: Loses) {
        self.0.borrow_mut().loses = Some(which);
    }
}

pub(crate) struct Frame(Vec<u8>);

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for &Ends {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        let mut wire = self.0.borrow_mut();
        // Ethernet, IPv4 without options, TCP.
        let is_tcp = frame[12..14] == [8, 0] && frame[23] == 6;
        let is_lost = is_tcp && wire.loses.is_some_and(|loses| loses(&TcpPacket::new_unchecked(&frame[34..])));
        if !is_lost {
            wire.frames.push_back(frame);
        }
        result
    }
}

impl Device for Ends {
    type RxToken<'a> = Frame;
    type TxToken<'a> = &'a Self;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(Frame, &Self)> {
        let frame = self.0.borrow_mut().frames.pop_front()?;
        Some((Frame(frame), self))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<&Self> {
        Some(self)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// Time passes when somebody sleeps while the wire is empty, and then as much as he wants.
#[derive(Clone)]
pub(crate) struct Clock {
    now_ms: Rc<Cell<u64>>,
    ends: Ends,
}

impl Platform for Clock {
    fn now(&self) -> Instant {
        Instant(self.now_ms.get())
    }

    fn sleep(&mut self, until: Option<Instant>) {
        let until = until.expect("no turn of these tests is without an end");
        if self.ends.is_silent() {
            self.now_ms.set(self.now_ms.get().max(until.0));
        }
    }
}

pub(crate) type TestStack<'a> = Stack<'a, Ends, Clock>;

/// Runs `test` with a stack of [`SOCKETS`] sockets, with room for the clients' in the same set.
pub(crate) fn with_stack(test: impl FnOnce(TestStack<'_>, &Ends)) {
    let mut ends = Ends::default();
    let clock = Clock { now_ms: Rc::default(), ends: ends.clone() };
    let mac = EthernetAddress([2, 0, 0, 0, 0, 1]);
    let mut interface = Interface::new(Config::new(mac.into()), &mut ends, smoltcp::time::Instant::ZERO);
    interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(ADDRESS, 24)).expect("room for one"));
    let mut places = [const { SocketStorage::EMPTY }; SOCKETS + CLIENTS_MAX];
    let mut memory = Memory::<SOCKETS, 1024>::new();
    let stack = Stack::new(ends.clone(), interface, &mut places, &mut memory, PORT, clock).expect("enough places");
    test(stack, &ends);
}

/// A client's socket on its way to the server.
pub(crate) fn connect(stack: &mut TestStack<'_>, number: u16) -> SocketHandle {
    let mut socket = Socket::new(SocketBuffer::new(vec![0; 4096]), SocketBuffer::new(vec![0; 4096]));
    socket.set_nagle_enabled(false);
    let context = stack.interface_mut().context();
    socket.connect(context, (ADDRESS, PORT), CLIENT_PORT + number).expect("a fresh socket");
    stack.sockets_mut().add(socket)
}

pub(crate) fn socket<'s, 'a>(stack: &'s mut TestStack<'a>, client: SocketHandle) -> &'s mut Socket<'a> {
    stack.sockets_mut().get_mut(client)
}

/// What a client has received and not taken.
pub(crate) fn take(stack: &mut TestStack<'_>, client: SocketHandle) -> String {
    let mut bytes = [0; 4096];
    let count = socket(stack, client).recv_slice(&mut bytes).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

/// A server of [`SLOTS`] connections that says hello.
pub(crate) struct Server<'s, 'p, 'a, H: Handler> {
    engine: Engine<'s, 'p, H>,
    reactor: Readiness<'s, 'p, TestStack<'a>>,
    clock: Clock,
}

/// Runs `test` with a server over a stack.
pub(crate) fn with_server(test: impl FnOnce(&mut Server<'_, '_, '_, Hello>, &Ends)) {
    with_stack(|mut stack, ends| {
        let clock = stack.platform_mut().clone();
        let (mut bytes, mut table) = (Buffers::<BUFFERS, 1024>::new(), [const { None }; BUFFERS]);
        let (mut slots, mut nodes) = (Slots::<Slot<'_, _>, SLOTS>::new(), [const { SlotNode::new() }; SLOTS]);
        let mut records = Records::<'_, _, SLOTS>::new();
        let mut parked = [const { Parked::new() }; Memory::<SOCKETS, 1024>::HANDLES];
        let (mut held, mut lent) = ([const { Held::new() }; SLOTS], [const { None }; SLOTS]);
        let mut pool =
            BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Tiny, BUFFERS as u32)).expect("a table");
        pool.add_buffers(&mut bytes).expect("room for all");
        let storage = Storage {
            slots: slots.entries(),
            records: records.records(),
            nodes: &mut nodes,
            listeners: &mut [Listener::new()],
            loans: &mut [],
            deferrals: Deferrals::NONE,
            scratch: &mut [],
        };
        let preamble = Preamble::new("").expect("a server without a name");
        let mut engine =
            Engine::new(storage, pool, Hello, Limits::small_device(), preamble).expect("enough of everything");
        engine.listen(stack.listener()).expect("it is the first");
        let reactor = Readiness::new(stack, &mut parked, &mut held, &mut lent);
        test(&mut Server { engine, reactor, clock }, ends);
    });
}

pub(crate) struct Hello;

impl Handler for Hello {
    type Exchange = ();

    fn request(&mut self, _request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.body("hello\n");
        Flow::Finish
    }
}

impl<'a, H: Handler> Server<'_, '_, 'a, H> {
    pub(crate) fn stack(&mut self) -> &mut TestStack<'a> {
        self.reactor.get_mut()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now().0
    }

    pub(crate) fn connect(&mut self, number: u16) -> SocketHandle {
        connect(self.stack(), number)
    }

    pub(crate) fn socket(&mut self, client: SocketHandle) -> &mut Socket<'a> {
        socket(self.stack(), client)
    }

    pub(crate) fn take(&mut self, client: SocketHandle) -> String {
        take(self.stack(), client)
    }

    /// Turns until `is_done`, for a minute at most; in what time that was.
    pub(crate) fn turn_until(&mut self, mut is_done: impl FnMut(&mut Self) -> bool) -> u64 {
        let began = self.now_ms();
        while !is_done(self) {
            assert!(self.now_ms() - began < 60_000, "it did not happen within a minute");
            let stop = StopFlag::new();
            turn_within(&mut self.engine, &mut self.reactor, &stop, Some(Duration::from_millis(10))).expect("a wait");
        }
        self.now_ms() - began
    }

    /// One turn that does not wait; how many requests have been answered.
    pub(crate) fn turn_at_once(&mut self) -> u64 {
        let stop = StopFlag::new();
        turn_within(&mut self.engine, &mut self.reactor, &stop, Some(Duration::ZERO)).expect("a wait");
        self.engine.counters().requests
    }

    pub(crate) fn turn_for(&mut self, ms: u64) {
        let end = self.now_ms() + ms;
        self.turn_until(|server| server.now_ms() >= end);
    }

    /// How many of the server's sockets are in a state.
    pub(crate) fn count(&mut self, state: State) -> usize {
        let sockets = self.stack().sockets_mut().iter().take(SOCKETS);
        sockets.filter(|(_, socket)| matches!(socket, AnySocket::Tcp(socket) if socket.state() == state)).count()
    }
}
