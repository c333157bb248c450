//! A server on Ethernet: `Engine` and `Readiness` over smoltcp, for four connections at a time, in 64 KiB of RAM.
#![no_std]
#![no_main]

mod nic;

use aurora_bare_metal_device::board::{Board, Ethernet, NAME, Once, entry, give_up, now, start};
use aurora_bare_metal_device::pages::{Exchange, Pages};
use aurora_http_core::budget::buffers_for_few;
use aurora_http_core::defer::Deferrals;
use aurora_http_core::engine::{Engine, Slot, SlotNode, Storage};
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{Buf, BufferPool, Buffers, Slots};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::readiness::{Parked, Readiness};
use aurora_http_core::run;
use aurora_http_core::stop::StopFlag;
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

static PLACES: Once<[SocketStorage<'static>; SOCKETS]> = Once::new([const { SocketStorage::EMPTY }; SOCKETS]);
static MEMORY: Once<Sockets> = Once::new(Memory::new());
// On its own, because it is all zeros, and the tables are not: it would lie in flash with them.
static BYTES: Once<Buffers<BUFFERS, 1024>> = Once::new(Buffers::new());
static SERVER: Once<Server> = Once::new(Server::new());
static STOP: StopFlag = StopFlag::new();

/// What engine and reactor stand on.
struct Server {
    slots: Slots<Slot<'static, Exchange>, SLOTS>,
    nodes: [SlotNode; SLOTS],
    table: [Option<Buf<'static>>; BUFFERS],
    parked: [Parked<'static>; Sockets::HANDLES],
    lent: [Option<Buf<'static>>; SLOTS],
}

impl Server {
    const fn new() -> Self {
        Self {
            slots: Slots::new(),
            nodes: [const { SlotNode::new() }; SLOTS],
            table: [const { None }; BUFFERS],
            parked: [const { Parked::new() }; Sockets::HANDLES],
            lent: [const { None }; SLOTS],
        }
    }
}

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
    let Some(stack) = stack() else { give_up() };
    let Some(server) = SERVER.take() else { give_up() };
    let Server { slots, nodes, table, parked, lent } = server;
    let listener = stack.listener();
    let storage =
        Storage { slots: slots.entries(), nodes, loans: &mut [], deferrals: Deferrals::NONE, scratch: &mut [] };
    let Some(mut engine) = engine(storage, table) else { give_up() };
    if engine.listen(listener).is_err() {
        give_up();
    }
    let mut reactor = Readiness::new(stack, parked, lent);
    loop {
        if run::turn(&mut engine, &mut reactor, &STOP).is_err() {
            give_up();
        }
    }
}

fn engine(
    storage: Storage<'static, 'static, Exchange>,
    table: &'static mut [Option<Buf<'static>>; BUFFERS],
) -> Option<Engine<'static, 'static, Pages<Board>>> {
    let mut pool = BufferPool::new(table, buffers_for_few(SLOTS)).ok()?;
    pool.add_buffers(BYTES.take()?).ok()?;
    Engine::new(storage, pool, Pages::new(Board), Limits::small_device(), Preamble::new(NAME).ok()?).ok()
}

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
