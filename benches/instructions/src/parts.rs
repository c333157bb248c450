//! Workloads for the parts of the core on their own.

use std::convert::Infallible;
use std::hint::black_box;

use aurora_http_core::adapter::Solo;
use aurora_http_core::handler::handler_fn;
use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{HeadScan, with_head};
use aurora_http_core::pool::{BufferPool, Class, ClassCounts};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::request::Method;
use aurora_http_core::time::Instant;
use aurora_http_core::timers::{TimerEntry, Timers};
use aurora_http_core::writer::ResponseWriter;
use aurora_http_web::Table;

use crate::world::leak;
use crate::{Repetition, Workload, heads, responses};

const HUNDRED: usize = 100;

pub(crate) fn workloads() -> Vec<Workload> {
    let workload = |name, unit, units, repetitions, prepare| Workload { name, unit, units, repetitions, prepare };
    vec![
        workload("parse, shortest head", "head", 1, 1_000, || parse("bare")),
        workload("parse, head of wrk", "head", 1, 1_000, || parse("wrk")),
        workload("parse, head of a browser", "head", 1, 1_000, || parse("browser")),
        workload("parse, head of an API client", "head", 1, 1_000, || parse("api")),
        workload("response with ten fields", "response", 1, 1_000, response),
        workload("Solo, plaintext", "request", HUNDRED as u32, 10, solo),
        workload("buffer, taken and returned", "buffer", HUNDRED as u32, 20, pool),
        workload("timers, armed, cancelled, fired", "timer", HUNDRED as u32, 20, timers),
        workload("look-up among 100 routes", "look-up", HUNDRED as u32, 20, look_up),
    ]
}

fn parse(name: &str) -> Repetition {
    let (_, head) = heads::HEADS.into_iter().find(|(known, _)| *known == name).expect("one of the heads");
    let limits = Limits::default();
    Box::new(move || {
        let complete = with_head(black_box(head), &limits, &mut HeadScan::default(), |parsed| {
            matches!(black_box(&parsed), Ok(Some(_)))
        });
        assert!(complete);
    })
}

fn response() -> Repetition {
    let date = responses::date();
    let mut out = [0; 1024];
    Box::new(move || responses::build_ten_fields(&date, &mut out))
}

/// A stream on which a hundred requests arrive one by one.
struct Stream {
    requests_left: usize,
    written: usize,
}

impl embedded_io::ErrorType for Stream {
    type Error = Infallible;
}

impl embedded_io::Read for Stream {
    fn read(&mut self, spare: &mut [u8]) -> Result<usize, Infallible> {
        if self.requests_left == 0 {
            return Ok(0);
        }
        self.requests_left -= 1;
        spare[..heads::WRK.len()].copy_from_slice(heads::WRK);
        Ok(heads::WRK.len())
    }
}

impl embedded_io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.written += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// One connection without an engine.
fn solo() -> Repetition {
    let counts = ClassCounts::NONE.with(Class::Tiny, 2);
    let mut pool = BufferPool::new(leak(2, || None), counts).expect("the table is long enough");
    pool.carve(vec![0; counts.slab_bytes() + 63].leak()).expect("the slab is long enough");
    let answer = handler_fn(|_, response: &mut ResponseWriter<'_>| response.body("Hello, World!"));
    let limits = Limits { requests_per_connection_max: None, ..Limits::default() };
    let mut solo = Solo::new(answer, pool, &mut [], &mut [], limits, Preamble::new("aurora").expect("a short name"));
    Box::new(move || {
        let before = solo.counters().requests;
        let mut stream = Stream { requests_left: HUNDRED, written: 0 };
        let Ok(_reason) = solo.serve(&mut stream, || Instant(0));
        assert_eq!(solo.counters().requests - before, HUNDRED as u64);
        assert!(stream.written > HUNDRED * 50);
    })
}

fn pool() -> Repetition {
    let counts = ClassCounts::NONE.with(Class::Tiny, HUNDRED as u32);
    let mut pool = BufferPool::new(leak(HUNDRED, || None), counts).expect("the table is long enough");
    pool.carve(vec![0; counts.slab_bytes() + 63].leak()).expect("the slab is long enough");
    let mut taken = Vec::with_capacity(HUNDRED);
    Box::new(move || {
        taken.extend((0..HUNDRED).map_while(|_| pool.acquire(Class::Tiny)));
        assert_eq!(taken.len(), HUNDRED);
        for buf in taken.drain(..) {
            assert!(pool.release(black_box(buf)).is_ok());
        }
    })
}

/// A hundred timers, half of which are cancelled before the others fire.
fn timers() -> Repetition {
    let mut timers = Timers::new(leak(HUNDRED, TimerEntry::new));
    let mut ids = Vec::with_capacity(HUNDRED);
    let mut now = Instant(0);
    Box::new(move || {
        ids.extend((0..HUNDRED as u32).filter_map(|at| timers.create(now, at * 37 % 101).ok()));
        for id in ids.drain(..).step_by(2) {
            assert!(timers.cancel(id));
        }
        now = now.plus_ms(101);
        let mut fired = 0;
        timers.fire(now, |_, _| fired += 1);
        assert_eq!(fired, HUNDRED / 2);
    })
}

fn look_up() -> Repetition {
    let path = |at: usize| match at % 2 {
        0 => format!("/api/group{}/resource{at}/:id", at % 25),
        _ => format!("/api/group{}/resource{at}/:id/parts/:part", at % 25),
    };
    let paths: Vec<String> = (0..HUNDRED).map(path).collect();
    let routes: Vec<_> = paths.iter().map(|path| (Method::Get, &*path.clone().leak())).collect();
    let table = Box::new(Table::<512>::new(&routes));
    let asked: Vec<String> = paths.iter().map(|path| path.replace(":id", "12345").replace(":part", "wheel")).collect();
    Box::new(move || {
        for (at, path) in asked.iter().enumerate() {
            assert_eq!(table.find(Method::Get, black_box(path.as_bytes())), Ok(at));
        }
    })
}
