//! A server on a serial line: `Solo` over a UART, in 16 KiB of RAM.
//!
//! A line carries one connection at a time and never says that the client is gone. So the connection goes on from one client
//! to the next as long as both sides agree on where a request ends, and after anything else the line has to fall silent
//! before it is served again.
#![no_std]
#![no_main]

mod line;

use aurora_bare_metal_device::board::{Board, Late, NAME, Once, Uart, entry, give_up, now, start};
use aurora_bare_metal_device::pages::Pages;
use aurora_http_core::adapter::Solo;
use aurora_http_core::limits::Limits;
use aurora_http_core::preamble::Preamble;
use aurora_http_core::tables::PoolTables;
use line::Line;

/// One to receive into, one to answer in, and one for content that is collected.
const BUFFERS: usize = 3;

static SOLO: Late<Solo<'static, 'static, Pages<Board>>> = Late::new();
static MEMORY: Once<PoolTables<'static, BUFFERS, 1024>> = Once::new(PoolTables::new());

/// How long the line has to be silent behind what could not be read.
const SILENCE_MS: u64 = 50;

/// A line has no connections to be closed after so many requests.
const LIMITS: Limits = Limits { requests_per_connection_max: None, ..Limits::small_device() };

#[entry]
fn main() -> ! {
    start();
    let mut line = Line::new(Uart::start());
    let Some(solo) = server() else { give_up() };
    loop {
        let Ok(reason) = solo.serve_ready(&mut line, now, Uart::sleep);
        if !reason.is_orderly() {
            line.skip_to_silence(SILENCE_MS);
        }
    }
}

/// Not inlined, so that what the stack needs for this is free again afterwards.
#[inline(never)]
fn server() -> Option<&'static mut Solo<'static, 'static, Pages<Board>>> {
    let (pool, preamble) = (MEMORY.take()?.pool(), Preamble::new(NAME).ok()?);
    SOLO.fill(|| Solo::new(Pages::new(Board), pool, &mut [], &mut [], LIMITS, preamble))
}
