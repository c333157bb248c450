//! A graceful stop of an asynchronous stream: who is idle ends at once, who is not ends behind the response.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::Poll;

use aurora_http_core::adapter::Solo;
use aurora_http_core::error::CloseReason;
use aurora_http_core::forward_handler;
use aurora_http_core::handler::{Handler, Needs};
use aurora_http_core::pool::{BufferPool, Buffers, Class, ClassCounts};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::time::Instant;
use embedded_io::ErrorKind;

use crate::handler::Paths;
use crate::rows::limits;
use crate::stream::poll;
use crate::{POLLS_MAX, Served, assert_is_over, with_solo};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const LAST_HELLO: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";

/// A stream on a clock of polls: it reads what has come by then, and takes a byte of what is written per poll.
struct Ticking<'c> {
    tick: &'c Cell<u32>,
    /// What comes, and the poll in which it does; behind that nothing, and no end.
    pieces: VecDeque<(u32, &'static str)>,
    written: String,
}

impl embedded_io::ErrorType for Ticking<'_> {
    type Error = ErrorKind;
}

impl embedded_io_async::Read for Ticking<'_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        let is_there = |(at, _): &(u32, &str)| *at <= self.tick.get();
        poll_fn(|_| if self.pieces.front().is_some_and(is_there) { Poll::Ready(()) } else { Poll::Pending }).await;
        let (_, piece) = self.pieces.pop_front().unwrap();
        into[..piece.len()].copy_from_slice(piece.as_bytes());
        Ok(piece.len())
    }
}

impl embedded_io_async::Write for Ticking<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let began = self.tick.get();
        poll_fn(|_| if self.tick.get() > began { Poll::Ready(()) } else { Poll::Pending }).await;
        self.written.push(char::from(bytes[0]));
        Ok(1)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// What arrives and when, the poll from which on a stop is asked for, what the client gets, why and when it ends.
type Row = (&'static str, &'static [(u32, &'static str)], u32, String, CloseReason);

fn rows() -> Vec<Row> {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";
    vec![
        ("new", &[], 5, String::new(), CloseReason::Stopped),
        ("idle", &[(0, GET)], 500, HELLO.to_owned(), CloseReason::Stopped),
        ("while it is written", &[(0, GET)], 5, HELLO.to_owned(), CloseReason::Stopped),
        ("from the beginning, and it is there", &[(0, GET)], 0, LAST_HELLO.to_owned(), CloseReason::Stopped),
        (
            "within a head",
            &[(0, "GET / HTTP/1.1\r\n"), (9, "Host: x\r\n\r\n")],
            5,
            LAST_HELLO.to_owned(),
            CloseReason::Stopped,
        ),
        (
            "within content",
            &[(0, "POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe"), (9, "llo")],
            5,
            LAST_HELLO.to_owned(),
            CloseReason::Stopped,
        ),
        (
            "it is upgraded, and says so to the handler, which goes on until its client ends it",
            &[(0, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n"), (900, "a\n\n")],
            800,
            format!("{switched}stopping\nA\n"),
            CloseReason::UpgradeFinished,
        ),
    ]
}

#[test]
fn a_stop_ends_what_is_idle_and_finishes_what_is_under_way() {
    for (name, pieces, stop_at, output, reason) in rows() {
        with_solo(3, limits(), |solo| {
            let (served, written) = serve_until(solo, pieces, stop_at);
            assert_eq!(served, Some(Ok(reason)), "{name}");
            assert_eq!(written, output, "{name}");
            assert_is_over(solo);
        });
    }
}

/// A handler that is compiled without what stops need.
struct Unstoppable(Paths);

impl Handler for Unstoppable {
    const NEEDS: Needs = Needs { stop: false, ..Needs::ALL };
    type Exchange = u32;

    forward_handler!(self => self.0);
}

/// With the handler that is told, they would end.
#[test]
fn a_handler_that_needs_no_stop_is_not_told_and_goes_on() {
    // What comes, how it ends, and the end of what the client gets.
    let upgrade = "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";
    let upgraded = (Some(Ok(CloseReason::UpgradeFinished)), "\r\n\r\nA\n");
    let nap = "GET /nap HTTP/1.1\r\nHost: x\r\n\r\n";
    for (pieces, expected) in [(&[(0, upgrade), (900, "a\n\n")][..], upgraded), (&[(0, nap)], (None, ""))] {
        let (served, written) = serve_unstoppable(pieces);
        assert_eq!(served, expected.0, "{pieces:?}");
        assert!(written.ends_with(expected.1), "{pieces:?} {written}");
    }
}

fn serve_unstoppable(pieces: &[(u32, &'static str)]) -> (Option<Served>, String) {
    let (mut memory, mut table) = (Buffers::<3, 1024>::new(), [const { None }; 3]);
    let mut pool = BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Tiny, 3)).unwrap();
    pool.add_buffers(&mut memory).unwrap();
    let handler = Unstoppable(Paths::default());
    let mut solo = Solo::new(handler, pool, &mut [], &mut [], limits(), Preamble::new("").unwrap());
    serve_until(&mut solo, pieces, 800)
}

/// How the connection ends, and what the client gets.
fn serve_until<H: Handler>(
    solo: &mut Solo<'_, '_, H>,
    pieces: &[(u32, &'static str)],
    stop_at: u32,
) -> (Option<Served>, String) {
    let tick = Cell::new(0);
    let mut stream = Ticking { tick: &tick, pieces: pieces.iter().copied().collect(), written: String::new() };
    let stop = poll_fn(|_| if tick.get() >= stop_at { Poll::Ready(()) } else { Poll::Pending });
    let served = {
        let reads = Cell::new(0);
        let clock = || {
            reads.set(reads.get() + 1);
            assert!(reads.get() < 1_000_000, "it works without end");
            Instant(0)
        };
        let serving = solo.serve_async_until(&mut stream, clock, async |_| pending().await, stop);
        let mut serving = pin!(serving);
        let ticking = poll_fn(|cx| {
            let served = serving.as_mut().poll(cx);
            tick.set(tick.get() + 1);
            served
        });
        poll(ticking, POLLS_MAX)
    };
    (served, stream.written)
}
