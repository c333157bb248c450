//! The checks at the end.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aurora_http::{Report, Running};

use crate::book::{Book, Count};
use crate::clients::good_of;
use crate::hostile::CROWD_MAX;
use crate::options::Options;
use crate::watch::{Sample, Watch};

/// Every client and every connection must end within this time.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// Descriptors may close shortly after they were last counted, and threads may end shortly after their last message.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);
/// Linux accepts connections that were reset before. Other systems may drop them, with or without an error.
const ACCEPTS_ALL: bool = cfg!(target_os = "linux");

/// Checks that every client ends, without a panic.
pub(crate) fn clients(book: &Book, threads: Vec<JoinHandle<()>>) {
    let all_ended = || threads.iter().all(JoinHandle::is_finished);
    eventually(END_TIMEOUT, all_ended);
    for (number, thread) in threads.into_iter().enumerate() {
        if !thread.is_finished() {
            book.fault(format!("client {number} does not end"));
        } else if thread.join().is_err() {
            book.fault(format!("client {number} panicked"));
        }
    }
}

/// Checks that the server holds nothing once its clients are gone, and that it stops immediately.
pub(crate) fn server(book: &Book, running: Running, serving: &Sample) -> Option<Report> {
    let opened = book.of(Count::Opened);
    let is_empty = || {
        let counters = running.counters();
        counters.active == 0 && (counters.accepted == opened || !ACCEPTS_ALL)
    };
    if !eventually(END_TIMEOUT, is_empty) {
        let counters = running.counters();
        book.fault(format!(
            "the server has {} connections without a client, and accepted {} of {opened}",
            counters.active, counters.accepted
        ));
    }
    if !eventually(SETTLE_TIMEOUT, || Sample::take(Duration::ZERO).is_back_to(serving)) {
        book.fault(format!(
            "without clients {}, and {} before them",
            words(&Sample::take(Duration::ZERO)),
            words(serving)
        ));
    }
    let states = book.of(Count::States);
    if states != 0 {
        book.fault(format!("the server still holds the states of {states} exchanges that are over"));
    }
    running.stop();
    match running.join() {
        Ok(report) => Some(report),
        Err(error) => {
            book.fault(format!("the server does not stop: {error}"));
            None
        }
    }
}

/// Checks that the server's counters agree with the clients'.
pub(crate) fn totals(book: &Book, report: Option<&Report>) {
    let Some(report) = report else { return };
    let counters = &report.counters;
    println!("{report}");
    println!(
        "good clients: {} responses, {} requests repeated after an idle close, {} moved after a response that closes; \
         longest wait {} ms",
        book.of(Count::Good),
        book.of(Count::Again),
        book.of(Count::Moved),
        book.of(Count::WaitMs)
    );
    println!(
        "others: slow {} served, {} too slow; hostile {} refused, {} ended; {} left",
        book.of(Count::Slow),
        book.of(Count::TooSlow),
        book.of(Count::Refused),
        book.of(Count::Dropped),
        book.of(Count::Left)
    );
    let expected_accepted = if ACCEPTS_ALL { book.of(Count::Opened) } else { counters.accepted };
    let expected_errors = if ACCEPTS_ALL { 0 } else { counters.accept_errors };
    let rows = [
        ("connections accepted and closed", counters.accepted, counters.closed.total()),
        ("connections accepted and opened by clients", counters.accepted, expected_accepted),
        ("connections still open", counters.active, 0),
        ("requests and calls of the handler", counters.requests, book.of(Count::Handled)),
        ("workers that failed", report.failed_workers() as u64, 0),
        ("workers that panicked and were replaced", report.restarts(), 0),
        ("accepts that failed", counters.accept_errors, expected_errors),
        ("connections that a stop had to wait for", counters.stopped_finished, 0),
    ];
    for (what, found, expected) in rows {
        if found != expected {
            book.fault(format!("{what}: {found} and {expected}"));
        }
    }
    let answered = book.of(Count::Good) + book.of(Count::Slow);
    if counters.requests < answered {
        book.fault(format!("only {} requests, but {answered} of them answered", counters.requests));
    }
}

/// Checks that the process did not grow during the run, and has released everything after it.
pub(crate) fn process(book: &Book, options: &Options, watch: &Watch, before: &Sample, serving: &Sample) {
    let mut judge = |result: Result<String, String>| match result {
        Ok(line) => println!("{line}"),
        Err(line) => {
            println!("{line}");
            book.fault(line);
        }
    };
    // Faults end the run early, so there is nothing to compare then.
    if book.faults().is_empty() {
        watch.judge().into_iter().for_each(&mut judge);
        judge(descriptors(options, watch, serving));
    }
    if !eventually(SETTLE_TIMEOUT, || Sample::take(Duration::ZERO).is_back_to(before)) {
        judge(Err(format!(
            "at the end {}, and {} before the start",
            words(&Sample::take(Duration::ZERO)),
            words(before)
        )));
    }
}

/// Checks that there were no more descriptors than the server's slots and the clients' connections need.
fn descriptors(options: &Options, watch: &Watch, serving: &Sample) -> Result<String, String> {
    let (Some(most), Some(base)) = (watch.descriptors_max(), serving.descriptors) else {
        return Ok("descriptors: SKIPPED, not available on this system".into());
    };
    let (workers, slots) = (options.server.workers.unwrap_or(1), options.server.connections.unwrap_or(0));
    // In addition, one newcomer per worker waits in the lobby. A client has one connection, a hostile one a crowd of
    // them.
    let server = (workers * (slots + 1)) as u64;
    let others = u64::from(options.clients - good_of(options.clients));
    let clients = u64::from(options.clients) + others.div_ceil(4) * CROWD_MAX;
    // The descriptors that are open while /proc is read.
    let bound = base + server + clients + 1;
    let line = format!("descriptors: {most} at most, {base} without clients, bound {bound}");
    if most <= bound { Ok(line) } else { Err(format!("{line}: exceeded")) }
}

fn words(sample: &Sample) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
    format!("descriptors are {} and threads {}", number(sample.descriptors), number(sample.threads))
}

/// Whether the condition holds within the timeout.
fn eventually(timeout: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
