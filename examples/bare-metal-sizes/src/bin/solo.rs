//! One connection at a time over a byte stream.
#![no_std]
#![no_main]

use aurora_bare_metal_sizes::{App, Line, Once, app, entry, give_up, now, sleep};
use aurora_http_core::adapter::Solo;
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{Buf, BufferPool, Buffers, Class, ClassCounts};
use aurora_http_core::preamble::Preamble;

const BUFFERS: usize = 3;

static BYTES: Once<Buffers<BUFFERS, 1024>> = Once::new(Buffers::new());
static TABLE: Once<[Option<Buf<'static>>; BUFFERS]> = Once::new([const { None }; BUFFERS]);

entry!(main);

fn main() -> ! {
    let Some(mut solo) = server() else { give_up() };
    loop {
        let _ = solo.serve_ready(&mut Line, now, sleep);
    }
}

fn server() -> Option<Solo<'static, 'static, App>> {
    let mut pool = BufferPool::new(TABLE.take()?, ClassCounts::NONE.with(Class::Tiny, BUFFERS as u32)).ok()?;
    pool.add_buffers(BYTES.take()?).ok()?;
    Some(Solo::new(app(), pool, &mut [], &mut [], Limits::small_device(), Preamble::new("solo").ok()?))
}
