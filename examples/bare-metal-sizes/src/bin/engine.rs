//! Four connections over the calls of a network stack.
#![no_std]
#![no_main]

use core::hint::black_box;

use aurora_bare_metal_sizes::{App, Once, Sockets, app, entry, give_up, now};
use aurora_http_core::budget::buffers_for_few;
use aurora_http_core::defer::Deferrals;
use aurora_http_core::engine::{Engine, Slot, SlotNode, Storage};
use aurora_http_core::handler::Handler;
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{Buf, BufferPool, Buffers, Slots};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::reactor::IoHandle;
use aurora_http_core::readiness::{Parked, Readiness};
use aurora_http_core::run;
use aurora_http_core::stop::StopFlag;

const SLOTS: usize = 4;
const BUFFERS: usize = buffers_for_few(SLOTS).total();
const HANDLES: usize = SLOTS + 2;
const LISTENER: IoHandle = IoHandle(SLOTS as u32 + 1);

static BYTES: Once<Buffers<BUFFERS, 1024>> = Once::new(Buffers::new());
static TABLE: Once<[Option<Buf<'static>>; BUFFERS]> = Once::new([const { None }; BUFFERS]);
static CONNECTIONS: Once<Slots<Slot<'static, <App as Handler>::Exchange>, SLOTS>> = Once::new(Slots::new());
static NODES: Once<[SlotNode; SLOTS]> = Once::new([const { SlotNode::new() }; SLOTS]);
static PARKED: Once<[Parked<'static>; HANDLES]> = Once::new([const { Parked::new() }; HANDLES]);
static LENT: Once<[Option<Buf<'static>>; SLOTS]> = Once::new([const { None }; SLOTS]);
static STOP: StopFlag = StopFlag::new();

entry!(main);

fn main() -> ! {
    let Some(mut engine) = engine() else { give_up() };
    let (Some(parked), Some(lent)) = (PARKED.take(), LENT.take()) else { give_up() };
    let mut reactor = Readiness::new(Sockets, parked, lent);
    loop {
        if cfg!(feature = "everything") && engine.needs_date(now()) {
            engine.set_unix_time(now(), Some(black_box(0)));
        }
        let _ = run::turn(&mut engine, &mut reactor, &STOP);
    }
}

fn engine() -> Option<Engine<'static, 'static, App>> {
    let mut pool = BufferPool::new(TABLE.take()?, buffers_for_few(SLOTS)).ok()?;
    pool.add_buffers(BYTES.take()?).ok()?;
    let (slots, nodes) = (CONNECTIONS.take()?.entries(), NODES.take()?);
    let storage = Storage { slots, nodes, loans: &mut [], deferrals: Deferrals::NONE, scratch: &mut [] };
    let mut engine = Engine::new(storage, pool, app(), Limits::small_device(), Preamble::new("net").ok()?).ok()?;
    engine.listen(LISTENER).ok()?;
    Some(engine)
}
