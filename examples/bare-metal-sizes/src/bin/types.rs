//! The sizes of public types, in two symbols that `.ci/sizes` reads: they differ with the width of a pointer.
#![no_std]
#![no_main]

use core::convert::Infallible;

use aurora_bare_metal_sizes::{Sockets, entry, give_up};
use aurora_http_core::handler::{Flow, Handler};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;
use aurora_http_core::{
    adapter, connection, counters, deadlines, defer, engine, format, limits, parse, pool, preamble, reactor, readiness,
    request, stop, time, timers, writer,
};

/// A handler that keeps nothing.
struct Bare;

impl Handler for Bare {
    type Exchange = Infallible;

    fn request(&mut self, _: &Request<'_>, _: &mut ResponseWriter<'_>) -> Flow<Infallible> {
        Flow::Finish
    }
}

macro_rules! types {
    ($($type:ty,)*) => {
        // SAFETY: no other symbol has this name.
        #[unsafe(no_mangle)]
        #[used]
        static TYPE_NAMES: [u8; NAMES.len()] = {
            let mut names = [0; NAMES.len()];
            names.copy_from_slice(NAMES.as_bytes());
            names
        };
        const NAMES: &str = concat!($(stringify!($type), "\n",)*);

        // SAFETY: no other symbol has this name.
        #[unsafe(no_mangle)]
        #[used]
        static TYPE_SIZES: [u32; SIZES.len()] = SIZES;
        const SIZES: [u32; [$(stringify!($type),)*].len()] = [$(size_of::<$type>() as u32,)*];
    };
}

types! {
    engine::Engine<'static, 'static, Bare>,
    engine::Storage<'static, 'static, Infallible>,
    pool::Entry<engine::Slot<'static, Infallible>>,
    pool::Entry<engine::Slot<'static, [u32; 4]>>,
    engine::Record<'static, Infallible>,
    engine::SlotNode,
    readiness::Readiness<'static, 'static, Sockets>,
    readiness::Parked,
    readiness::Held<'static>,
    adapter::Solo<'static, 'static, Bare>,
    connection::Connection<'static, Infallible>,
    connection::Connection<'static, [u32; 4]>,
    pool::BufferPool<'static, 'static>,
    pool::Buf<'static>,
    pool::Arena<'static>,
    pool::Scope<'static>,
    pool::Handle,
    defer::DeferCell,
    defer::DeferToken,
    deadlines::DeadlineNode,
    timers::Timers<'static>,
    timers::TimerEntry,
    reactor::Submission<'static>,
    reactor::Completion<'static>,
    reactor::Op<'static>,
    reactor::Outcome<'static>,
    reactor::Attempt,
    request::Request<'static>,
    parse::FieldSlot<'static>,
    parse::HeadScan,
    parse::ChunkedDecoder,
    writer::ResponseWriter<'static>,
    limits::Limits,
    counters::Counters,
    preamble::Preamble,
    format::HttpDate,
    stop::StopFlag,
    time::Instant,
}

entry!(main);

fn main() -> ! {
    give_up()
}
