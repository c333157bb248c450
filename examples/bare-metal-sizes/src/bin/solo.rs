//! One connection at a time over a byte stream.
#![no_std]
#![no_main]

use aurora_bare_metal_sizes::{App, Line, Once, app, entry, give_up, now, sleep};
use aurora_http_core::adapter::Solo;
use aurora_http_core::limits::Limits;
use aurora_http_core::preamble::Preamble;
use aurora_http_core::tables::PoolTables;

static MEMORY: Once<PoolTables<'static, 3, 1024>> = Once::new(PoolTables::new());

entry!(main);

fn main() -> ! {
    let Some(mut solo) = server() else { give_up() };
    loop {
        let _ = solo.serve_ready(&mut Line, now, sleep);
    }
}

fn server() -> Option<Solo<'static, 'static, App>> {
    Some(Solo::new(app(), MEMORY.take()?.pool(), &mut [], &mut [], Limits::small_device(), Preamble::new("solo").ok()?))
}
