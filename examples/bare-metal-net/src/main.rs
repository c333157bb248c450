//! A server on Ethernet: `Engine` and `Readiness` over smoltcp, for four connections at a time, in 64 KiB of RAM.
#![no_std]
#![no_main]

mod nic;

use aurora_bare_metal_device::board::{Board, Ethernet, Late, NAME, Once, entry, give_up, now, start};
use aurora_bare_metal_device::pages::{Exchange, Pages};
use aurora_http_core::budget::buffers_for_few;
use aurora_http_core::engine::{Engine, Storage};
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{Buf, BufferPool};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::readiness::{Held, Parked, Readiness};
use aurora_http_core::run;
use aurora_http_core::tables::{Parts, Tables};
use aurora_http_core::time::Instant;
use aurora_http_smoltcp::{Memory, Platform, Stack};
use nic::Nic;
use smoltcp::iface::{Config, Interface, SocketStorage};
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address};

/// Connections that are served at the same time.
const SLOTS: usize = 4;
/// Those, newcomers, and those that have yet to close.
const SOCKETS: usize = 12;
/// Bytes that a socket can receive, or send, until the other side says that they have come.
const WINDOW: usize = 1024;
const BUFFERS: usize = buffers_for_few(SLOTS).total();

const PORT: u16 = 80;
const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
/// In the network that QEMU makes up.
const ADDRESS: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const ROUTER: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);

type Sockets = Memory<SOCKETS, WINDOW>;
/// What engine and reactor stand on.
type Server = Tables<'static, Exchange, SLOTS, BUFFERS, { Sockets::HANDLES }, 1024>;

static PLACES: Once<[SocketStorage<'static>; SOCKETS]> = Once::new([const { SocketStorage::EMPTY }; SOCKETS]);
static MEMORY: Once<Sockets> = Once::new(Memory::new());
type HttpEngine = Engine<'static, 'static, Pages<Board>>;
type HttpReactor = Readiness<'static, 'static, Stack<'static, Nic, Device>>;

static ENGINE: Late<Option<HttpEngine>> = Late::new();
static REACTOR: Late<Option<HttpReactor>> = Late::new();
static SERVER: Once<Server> = Once::new(Server::new());

struct Device;

impl Platform for Device {
    fn now(&self) -> Instant {
        now()
    }

    /// The clock ticks every millisecond, and that is soon enough for anything.
    fn sleep(&mut self, until: Option<Instant>) {
        if until.is_none_or(|until| until > now()) {
            Ethernet::sleep();
        }
    }
}

#[entry]
fn main() -> ! {
    start();
    let Some((engine, reactor)) = server() else { give_up() };
    loop {
        if run::turn_forever(engine, reactor).is_err() {
            give_up();
        }
    }
}

/// Each part is made by a function that is not inlined, so that what the stack needs for it is free again afterwards.
fn server() -> Option<(&'static mut HttpEngine, &'static mut HttpReactor)> {
    let Parts { storage, pool, parked, held, lent } = SERVER.take()?.split();
    let engine = engine(storage, pool)?;
    let reactor = reactor(parked, held, lent)?;
    engine.listen(reactor.get_ref().listener()).ok()?;
    Some((engine, reactor))
}

#[inline(never)]
fn engine(
    storage: Storage<'static, 'static, Exchange>,
    pool: BufferPool<'static, 'static>,
) -> Option<&'static mut HttpEngine> {
    let preamble = Preamble::new(NAME).ok()?;
    let make = || Engine::new(storage, pool, Pages::new(Board), Limits::small_device(), preamble).ok();
    ENGINE.fill(make)?.as_mut()
}

#[inline(never)]
fn reactor(
    parked: &'static mut [Parked],
    held: &'static mut [Held<'static>],
    lent: &'static mut [Option<Buf<'static>>],
) -> Option<&'static mut HttpReactor> {
    REACTOR.fill(|| Some(Readiness::new(stack()?, parked, held, lent)))?.as_mut()
}

#[inline(never)]
fn stack() -> Option<Stack<'static, Nic, Device>> {
    let mut nic = Nic::new(Ethernet::start(MAC))?;
    let config = Config::new(EthernetAddress(MAC).into());
    let mut interface = Interface::new(config, &mut nic, smoltcp::time::Instant::ZERO);
    interface.update_ip_addrs(|addresses| {
        // It has room for one at least.
        let _ = addresses.push(IpCidr::new(ADDRESS.into(), 24));
    });
    interface.routes_mut().add_default_ipv4_route(ROUTER).ok()?;
    Stack::new(nic, interface, PLACES.take()?, MEMORY.take()?, PORT, Device).ok()
}
