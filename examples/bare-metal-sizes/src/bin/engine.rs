//! Four connections over the calls of a network stack.
#![no_std]
#![no_main]

use core::hint::black_box;

use aurora_bare_metal_sizes::{App, Once, Sockets, app, entry, give_up, now};
use aurora_http_core::budget::{buffers_for_few, handles_max};
use aurora_http_core::engine::Engine;
use aurora_http_core::handler::Handler;
use aurora_http_core::limits::Limits;
use aurora_http_core::preamble::Preamble;
use aurora_http_core::reactor::IoHandle;
use aurora_http_core::readiness::Readiness;
use aurora_http_core::run;
use aurora_http_core::tables::Tables;

const CONNECTIONS: usize = 4;
const BUFFERS: usize = buffers_for_few(CONNECTIONS).total();
const HANDLES: usize = handles_max(CONNECTIONS, 1);
const LISTENER: IoHandle = IoHandle(CONNECTIONS as u32 + 1);

type Memory = Tables<'static, <App as Handler>::Exchange, CONNECTIONS, BUFFERS, HANDLES, 1024>;

static MEMORY: Once<Memory> = Once::new(Memory::new());

entry!(main);

fn main() -> ! {
    let (Some(memory), Ok(preamble)) = (MEMORY.take(), Preamble::new("net")) else { give_up() };
    let parts = memory.split();
    let engine = Engine::new(parts.storage, parts.pool, app(), Limits::small_device(), preamble);
    let Ok(mut engine) = engine else { give_up() };
    if engine.listen(LISTENER).is_err() {
        give_up();
    }
    let mut reactor = Readiness::new(Sockets, parts.parked, parts.held, parts.lent);
    loop {
        if cfg!(feature = "everything") && engine.needs_date(now()) {
            engine.set_unix_time(now(), Some(black_box(0)));
        }
        let _ = run::turn_forever(&mut engine, &mut reactor);
    }
}
