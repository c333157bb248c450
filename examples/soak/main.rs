//! A server with good, slow, hostile and leaving clients, on real sockets, for any length of time:
//! `cargo run --release --example soak -- --minutes 20 --backend epoll`.
//!
//! Nothing may be lost, mixed up or leaked: see `clients.rs` for the clients, `response.rs` for how responses are
//! checked, `watch.rs` for the resources that must not grow, and `judge.rs` for the totals that must agree.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the examples that only serve use the rest")]
mod support;

mod body;
mod book;
mod clients;
mod dice;
mod good;
mod handler;
mod hostile;
mod judge;
mod later;
mod leaving;
mod options;
mod outgoing;
mod request;
mod response;
mod slow;
mod watch;
mod wire;

use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aurora_http::{ClassCounts, Limits, Running, Timeouts};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use book::{Book, Count};
use handler::Soaked;
use options::Options;
use slow::WRITE_TIMEOUT;
use watch::{Sample, Watch};

/// How often the resources of the process are sampled.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// How often they are printed with `--verbose`.
const TELL_EVERY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let options = Options::read();
    let book = Arc::new(Book::new(options.clients, clients::good_of(options.clients)));
    raise_descriptor_limit();
    let before = Sample::take(Duration::ZERO);
    let (running, keeper) = support::or_exit(start(&options, &book));
    println!("{}", running.announcement());
    println!("clients={} seed={} seconds={}", options.clients, options.seed, options.time.as_secs_f64());
    let serving = Sample::take(Duration::ZERO);
    let threads = clients::start(running.local_addr(), &book, options.clients, options.seed);
    let watch = watch(&options, &book, &running);
    book.finish();
    judge::clients(&book, threads);
    let report = judge::server(&book, running, &serving);
    if keeper.join().is_err() {
        book.fault("the timekeeping thread panicked".into());
    }
    judge::totals(&book, report.as_ref());
    judge::process(&book, &options, &watch, &before, &serving);
    let faults = book.faults();
    if faults.is_empty() {
        println!("nothing lost, nothing mixed up, nothing leaked");
        return ExitCode::SUCCESS;
    }
    for fault in faults {
        println!("FAILED: {fault}");
    }
    println!("to repeat it: {}", options.repeat());
    ExitCode::FAILURE
}

/// Starts the server, and the thread that resolves its deferred answers.
fn start(options: &Options, book: &Arc<Book>) -> Result<(Running, JoinHandle<()>), String> {
    let (alarms, keeper) = mpsc::channel();
    let server = options.server.server("127.0.0.1:0")?.limits(limits()).buffers(buffers(options));
    let (book, wrong, resumer) = (Arc::clone(book), options.wrong, server.resumer());
    let running = server.start(move |worker| {
        let (alarms, resumer) = (alarms.clone(), worker.resumer());
        Soaked { book: Arc::clone(&book), alarms, resumer, wrong, scratch: Vec::with_capacity(1 << 17) }
    });
    let running = running.map_err(|error| error.to_string())?;
    let keeper = thread::Builder::new().name("later".into()).spawn(move || later::keep_time(&keeper, &resumer));
    Ok((running, keeper.map_err(|error| error.to_string())?))
}

/// Short timeouts, so that each of them expires many times. Good clients stay far from all of them.
fn limits() -> Limits {
    let timeouts = Timeouts {
        first_byte_timeout_ms: Some(3_000),
        head_timeout_ms: Some(4_000),
        content_timeout_ms: Some(4_000),
        write_timeout_ms: Some(WRITE_TIMEOUT.as_millis() as u32),
        defer_timeout_ms: Some(3_000),
        upgraded_timeout_ms: Some(4_000),
        idle_timeout_ms: Some(4_000),
        linger_timeout_ms: Some(1_000),
        linger_total_timeout_ms: Some(5_000),
        stop_timeout_ms: Some(5_000),
        ..Timeouts::default()
    };
    Limits { requests_per_connection_max: Some(100), timeouts, ..Limits::default() }
}

/// Enough buffers of every size for all connections at once. If one were missing, 503 would be a legitimate answer
/// (docs/wire.md, O3), and a good client could not tell that from a fault.
fn buffers(options: &Options) -> ClassCounts {
    let connections = options.server.connections.and_then(|count| u32::try_from(count).ok()).unwrap_or(1024).max(16);
    ClassCounts::new([connections, connections, connections, connections / 2, connections / 4])
}

/// Samples the process until the time is over or there is a fault.
fn watch(options: &Options, book: &Book, running: &Running) -> Watch {
    let began = Instant::now();
    let samples = options.time.as_millis() / WATCH_EVERY.as_millis() + 1;
    let mut watch = Watch::new(usize::try_from(samples).unwrap_or(1 << 20));
    let mut told = Duration::ZERO;
    while began.elapsed() < options.time && !book.is_done() {
        thread::sleep(WATCH_EVERY.min(options.time.saturating_sub(began.elapsed())));
        let sample = Sample::take(began.elapsed());
        watch.note(sample);
        if options.verbose && sample.at >= told + TELL_EVERY {
            told = sample.at;
            tell(&sample, book, running);
        }
    }
    watch
}

fn tell(sample: &Sample, book: &Book, running: &Running) {
    let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let counters = running.counters();
    println!(
        "{:5.0} s: memory={} KiB descriptors={} threads={} active={} accepted={} requests={} good={} again={} moved={} \
         slow={} refused={} starved={}",
        sample.at.as_secs_f64(),
        number(sample.memory_kib),
        number(sample.descriptors),
        number(sample.threads),
        counters.active,
        counters.accepted,
        counters.requests,
        book.of(Count::Good),
        book.of(Count::Again),
        book.of(Count::Moved),
        book.of(Count::Slow),
        counters.refused,
        counters.starved,
    );
}

/// Clients and server share the descriptors of one process.
fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
