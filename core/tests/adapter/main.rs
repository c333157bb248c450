//! A connection over byte streams of embedded-io, with the same rows for blocking and asynchronous ones.
#![cfg(all(feature = "embedded-io", feature = "embedded-io-async"))]

mod ends;
mod handler;
mod rows;
mod slow;
mod stops;
mod stream;

use aurora_http_core::adapter::Solo;
use aurora_http_core::error::CloseReason;
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{BufferPool, Buffers, Class, ClassCounts};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::time::Instant;
use embedded_io::ErrorKind;

use handler::Paths;
use stream::{Stream, poll};

type Served = Result<CloseReason, ErrorKind>;

/// More polls than any row needs.
const POLLS_MAX: usize = 1_000_000;

/// The names of both drivers.
const DRIVERS: [&str; 2] = ["blocking", "async"];

/// Runs `f` with a `Solo` over this many tiny buffers, without loans.
fn with_solo(buffers: u32, limits: Limits, f: impl FnOnce(&mut Solo<'_, '_, Paths>)) {
    let (mut memory, mut table) = (Buffers::<4, 1024>::new(), [const { None }; 4]);
    let mut pool = BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Tiny, buffers)).unwrap();
    memory.blocks().take(buffers as usize).try_for_each(|block| pool.add(block)).unwrap();
    f(&mut Solo::new(Paths::default(), pool, &mut [], &mut [], limits, Preamble::new("").unwrap()));
}

/// Runs `f` with a `Solo` over these buffers.
fn with_buffers(counts: ClassCounts, limits: Limits, f: impl FnOnce(&mut Solo<'_, '_, Paths>)) {
    let (mut memory, mut table) = (vec![0; counts.slab_bytes() + 63], vec![]);
    table.resize_with(counts.total(), || None);
    let mut pool = BufferPool::new(&mut table, counts).unwrap();
    pool.carve(&mut memory).unwrap();
    f(&mut Solo::new(Paths::default(), pool, &mut [], &mut [], limits, Preamble::new("").unwrap()));
}

fn serve(solo: &mut Solo<'_, '_, Paths>, stream: &mut Stream, driver: &str) -> Served {
    let now = || Instant(0);
    let served = match driver {
        "blocking" => solo.serve(stream, now),
        _ => poll(solo.serve_async(stream, now), POLLS_MAX).expect("an end"),
    };
    assert_is_over(solo);
    served
}

/// Asserts that all buffers are back, the counters are right, and the handler has been told.
fn assert_is_over(solo: &mut Solo<'_, '_, Paths>) {
    let counters = *solo.counters();
    assert_eq!((solo.pool().in_use(), counters.active), (0, 0));
    let handler = solo.handler_mut();
    assert!(handler.open.is_empty(), "the handler was not told of the end");
    assert_eq!((counters.closed.to_array(), counters.closed.total()), (handler.ends, counters.accepted));
}
