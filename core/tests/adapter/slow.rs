//! Deadlines: with a stream whose calls time out, with one that tells whether it is ready, and with a timer.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use aurora_http_core::adapter::Clock;
use aurora_http_core::error::CloseReason;
use aurora_http_core::time::Instant;
use embedded_io::ErrorKind;

use crate::rows::limits;
use crate::stream::poll;
use crate::{POLLS_MAX, assert_is_over, with_solo};

/// One step of the clock, in milliseconds.
const STEP_MS: u64 = 100;

/// A stream of bytes that arrive after a while, on a clock that advances while a call waits. After the last ones,
/// nothing arrives.
struct Slow<'c> {
    now_ms: &'c Cell<u64>,
    /// When they arrive.
    pieces: VecDeque<(u64, Vec<u8>)>,
    /// The longest that a blocking call takes, in milliseconds.
    timeout_ms: u64,
    /// The number of bytes that it takes; then it takes no more.
    room: usize,
    written: Vec<u8>,
}

impl Slow<'_> {
    fn is_ready(&self) -> bool {
        self.pieces.front().is_some_and(|(at, _)| *at <= self.now_ms.get())
    }

    fn take(&mut self, into: &mut [u8]) -> usize {
        let (_, bytes) = self.pieces.pop_front().unwrap();
        into[..bytes.len()].copy_from_slice(&bytes);
        bytes.len()
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room);
        self.room -= count;
        self.written.extend(&bytes[..count]);
        count
    }

    fn block(&self, is_ready: impl Fn() -> bool) -> Result<(), ErrorKind> {
        let until = self.now_ms.get().saturating_add(self.timeout_ms);
        while !is_ready() {
            if self.now_ms.get() >= until {
                return Err(ErrorKind::TimedOut);
            }
            self.now_ms.update(|now| now + STEP_MS);
            assert!(self.now_ms.get() < 10_000_000, "waits forever");
        }
        Ok(())
    }
}

impl embedded_io::ErrorType for Slow<'_> {
    type Error = ErrorKind;
}

impl embedded_io::Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        self.block(|| self.is_ready())?;
        Ok(self.take(into))
    }
}

impl embedded_io::ReadReady for Slow<'_> {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(self.is_ready())
    }
}

impl embedded_io::Write for Slow<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.block(|| self.room > 0)?;
        Ok(self.put(bytes))
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl embedded_io_async::Read for Slow<'_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| if self.is_ready() { Poll::Ready(()) } else { Poll::Pending }).await;
        Ok(self.take(into))
    }
}

impl embedded_io_async::Write for Slow<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| if self.room > 0 { Poll::Ready(()) } else { Poll::Pending }).await;
        Ok(self.put(bytes))
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Milliseconds, and the bytes that arrive after them.
type Pieces = Vec<(u64, &'static str)>;

/// Serves pieces that arrive after a number of milliseconds each; returns the output, why the connection ends, and
/// when.
fn serve(driver: &str, pieces: &[(u64, &str)], room: usize) -> (String, CloseReason, u64) {
    serve_by(STEP_MS, driver, pieces, room)
}

/// Like [`serve`], on a clock that advances by steps of `step_ms` while no call is made.
fn serve_by(step_ms: u64, driver: &str, pieces: &[(u64, &str)], room: usize) -> (String, CloseReason, u64) {
    let now_ms = Cell::new(0);
    let mut at = 0;
    let pieces = pieces.iter().map(|(after, bytes)| {
        at += after;
        (at, bytes.as_bytes().to_vec())
    });
    let timeout_ms = if driver == "unlimited" { u64::MAX } else { 1_000 };
    let mut io = Slow { now_ms: &now_ms, pieces: pieces.collect(), timeout_ms, room, written: Vec::new() };
    let now = || Instant(now_ms.get());
    let mut reason = None;
    with_solo(3, limits(), |solo| {
        let served = match driver {
            "ready" => solo.serve_ready(&mut io, now, || now_ms.update(|now| now + step_ms)),
            "timer" => {
                let sleep = async |at: Instant| {
                    poll_fn(|_| {
                        now_ms.update(|now| now + step_ms);
                        if now_ms.get() >= at.0 { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                };
                poll(solo.serve_async_timed(&mut io, now, sleep), POLLS_MAX).expect("an end")
            }
            _ => solo.serve(&mut io, now),
        };
        assert_is_over(solo);
        reason = Some(served.unwrap());
    });
    (String::from_utf8(io.written).unwrap(), reason.unwrap(), now_ms.get())
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const TIMEOUT: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 16\r\nContent-Type: text/plain\r\n\r\nRequest Timeout\n";
const POST: &str = "POST /receive HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n";
const UPGRADE: &str = "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";

#[test]
fn each_phase_has_its_deadline() {
    let drip = |first: &'static str| [vec![(0, first)], vec![(900, "x"); 99]].concat();
    let rows: [(Pieces, usize, &str, CloseReason, u64); 8] = [
        (vec![], 9999, "", CloseReason::FirstByteTimeout, 5_000),
        (vec![(900, GET)], 9999, HELLO, CloseReason::IdleTimeout, 900 + 2_000),
        (vec![(900, "GET")], 9999, TIMEOUT, CloseReason::HeadTimeout, 900 + 5_000),
        (drip("GET /"), 9999, TIMEOUT, CloseReason::HeadTimeout, 5_000),
        (vec![(0, POST), (900, "x")], 9999, TIMEOUT, CloseReason::ContentTimeout, 5_000),
        (drip(POST), 9999, TIMEOUT, CloseReason::ContentTimeout, 5_000),
        (vec![(0, UPGRADE)], 9999, SWITCHED, CloseReason::IdleTimeout, 10_000),
        (vec![(0, GET)], 20, &HELLO[..20], CloseReason::WriteTimeout, 5_000),
    ];
    for (pieces, room, output, reason, at_ms) in rows {
        for driver in ["limited", "ready", "timer"] {
            let (written, why, when) = serve(driver, &pieces, room);
            assert_eq!((&*written, why), (output, reason), "{driver}");
            // The stream's own timeout ends a call earlier; a timer is exact.
            assert!(when <= at_ms + 1_000, "{driver}: {reason} after {when} ms");
            assert!(driver != "timer" || when.abs_diff(at_ms) <= STEP_MS, "{driver}: {reason} after {when} ms");
        }
    }
}

#[test]
fn a_handler_is_called_at_the_time_that_it_set() {
    let nap = GET.replace("GET /", "GET /nap");
    for driver in ["limited", "ready", "timer"] {
        // Meanwhile the client sends its next request, which waits.
        let (output, reason, _) = serve(driver, &[(0, &nap), (1_000, GET)], usize::MAX);
        let rested = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nrested";
        assert_eq!((output, reason), (format!("{rested}{HELLO}"), CloseReason::IdleTimeout), "{driver}");
    }
}

#[test]
fn deadlines_are_checked_between_blocking_calls() {
    let drip = [vec![(0, "GET /")], vec![(900, "x"); 99]].concat();
    let (written, reason, _) = serve("unlimited", &drip, 9999);
    assert_eq!((&*written, reason), (TIMEOUT, CloseReason::HeadTimeout));
    // A late request is still answered, because the program could not do anything else meanwhile.
    let last = GET.replace("x\r\n", "x\r\nConnection: close\r\n");
    let (written, reason, _) = serve("unlimited", &[(60_000, GET), (60_000, &last)], 9999);
    assert_eq!((written.matches("hello").count(), reason), (2, CloseReason::PeerAsked));
}

/// A clock with the time of day.
struct WallClock<'c>(&'c Cell<u64>);

impl Clock for WallClock<'_> {
    fn now(&mut self) -> Instant {
        Instant(self.0.get())
    }

    fn unix_time(&mut self) -> Option<u64> {
        Some(784_111_777 + self.0.get() / 1_000)
    }
}

#[test]
fn each_response_has_the_current_date() {
    let now_ms = Cell::new(0);
    with_solo(2, limits(), |solo| {
        let pieces = [0, 1_500].map(|at| (at, GET.as_bytes().to_vec()));
        let mut io =
            Slow { now_ms: &now_ms, pieces: pieces.into(), timeout_ms: 2_000, room: 9999, written: Vec::new() };
        assert_eq!(solo.serve(&mut io, WallClock(&now_ms)), Ok(CloseReason::IdleTimeout));
        let text = String::from_utf8(io.written).unwrap();
        let dates: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("Date: ")).collect();
        assert_eq!(dates, ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"]);
    });
}

#[test]
fn input_that_arrives_during_a_suspension_is_served() {
    let content = "c".repeat(100);
    let head = &GET[..9];
    for driver in ["ready", "timer"] {
        // At once, in the middle of a head, between two requests, or within content; then a minute passes, in which
        // everything arrives.
        for (pieces, expected) in [
            (vec![(3_000, GET)], HELLO.to_owned()),
            (vec![(0, head), (3_000, &GET[9..])], HELLO.to_owned()),
            (vec![(0, head), (3_000, &GET[9..12]), (1, &GET[12..])], HELLO.to_owned()),
            (vec![(0, GET), (1_000, GET)], HELLO.repeat(2)),
            (vec![(0, POST), (3_000, &content)], "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n100".to_owned()),
        ] {
            let (output, reason, _) = serve_by(60_000, driver, &pieces, usize::MAX);
            assert_eq!((&output, reason), (&expected, CloseReason::IdleTimeout), "{driver} {pieces:?}");
        }
    }
}

#[test]
fn trickling_through_repeated_suspensions_is_ended() {
    for driver in ["ready", "timer"] {
        let drips: Pieces = [(0, "GET /")].into_iter().chain(std::iter::repeat_n((1, "x"), 200)).collect();
        let (output, reason, _) = serve_by(60_000, driver, &drips, usize::MAX);
        assert_eq!((output.as_str(), reason), (TIMEOUT, CloseReason::HeadTimeout), "{driver}");
    }
}
