//! Ends that the rows do not cover: too few buffers, a handler that refuses, a future that is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aurora_http_core::adapter::Solo;
use aurora_http_core::error::CloseReason;
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{BufferPool, Buffers, Class, ClassCounts};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::time::Instant;
use embedded_io::ErrorKind;

use crate::handler::Paths;
use crate::rows::{cuts, limits, rows};
use crate::stream::{Fault, Stream, poll};
use crate::{DRIVERS, POLLS_MAX, assert_is_over, serve, with_solo};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_dropped_future_leaks_no_buffer() {
    with_solo(3, limits(), |solo| {
        for row in rows() {
            for polls_max in 0.. {
                let mut stream = Stream { waits: true, write_max: 100, ..Stream::new(&[row.input.as_bytes()]) };
                let served = poll(solo.serve_async(&mut stream, || Instant(0)), polls_max);
                assert_is_over(solo);
                assert!(row.output.starts_with(stream.text()));
                if let Some(served) = served {
                    assert_eq!(served, Ok(row.reason));
                    break;
                }
                if polls_max > 0 {
                    assert_eq!(solo.handler_mut().last.map(|(_, reason, _)| reason), Some(CloseReason::Aborted));
                }
                assert!(polls_max < POLLS_MAX);
            }
        }
    });
}

#[test]
fn too_few_buffers_cause_an_answer_or_an_end() {
    let chunked = b"POST /collect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    for driver in DRIVERS {
        // Collecting content that does not fit after its head needs a third one.
        with_solo(2, limits(), |solo| {
            let mut stream = Stream::new(&[chunked]);
            assert_eq!(serve(solo, &mut stream, driver), Ok(CloseReason::Shed));
            assert!(stream.text().starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{}", stream.text());
        });
        for buffers in [0, 1] {
            with_solo(buffers, limits(), |solo| {
                let mut stream = Stream::new(&[GET]);
                assert_eq!((serve(solo, &mut stream, driver), stream.text()), (Ok(CloseReason::Shed), ""));
            });
        }
    }
}

/// Runs `f` with a `Solo` that has larger buffers as well, and a loan.
fn with_growing_solo(f: impl FnOnce(&mut Solo<'_, '_, Paths>)) {
    let (mut tiny, mut small) = (Buffers::<2, 1024>::new(), Buffers::<3, 4096>::new());
    let (mut table, mut loans) = ([const { None }; 5], [const { None }; 1]);
    let counts = ClassCounts::NONE.with(Class::Tiny, 2).with(Class::Small, 3);
    let mut pool = BufferPool::new(&mut table, counts).unwrap();
    pool.add_buffers(&mut tiny).unwrap();
    pool.add_buffers(&mut small).unwrap();
    let limits = Limits { content_collected_max: 4096, response_bytes_max: 4096, ..limits() };
    let preamble = Preamble::new("").unwrap();
    f(&mut Solo::new(Paths::default(), pool, &mut loans, &mut [], limits, preamble));
}

#[test]
fn content_and_responses_use_larger_buffers() {
    let content = "0123456789".repeat(300);
    let chunks: String =
        content.as_bytes().chunks(100).map(|chunk| format!("64\r\n{}\r\n", str::from_utf8(chunk).unwrap())).collect();
    let input = format!("POST /collect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    for (driver, piece) in DRIVERS.into_iter().flat_map(|driver| [1, 99, 4096].map(|piece| (driver, piece))) {
        with_growing_solo(|solo| {
            for _ in 0..3 {
                let mut stream = Stream::new(&input.as_bytes().chunks(piece).collect::<Vec<_>>());
                assert_eq!(serve(solo, &mut stream, driver), Ok(CloseReason::PeerClosed));
                assert_eq!(
                    stream.text(),
                    format!("HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n{content}"),
                    "{piece}"
                );
            }
        });
    }
}

#[test]
fn a_handler_may_refuse_a_connection() {
    for driver in DRIVERS {
        with_solo(2, limits(), |solo| {
            solo.handler_mut().refuses = true;
            let mut stream = Stream::new(&[GET]);
            assert_eq!((serve(solo, &mut stream, driver), stream.text()), (Ok(CloseReason::Shed), ""));
            assert_eq!(stream.read, 0);
        });
    }
}

#[test]
fn continue_is_sent_before_content_is_read() {
    let head = b"POST /receive HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    for driver in DRIVERS {
        with_solo(2, limits(), |solo| {
            let mut stream = Stream::new(&[head, b"ab"]);
            assert_eq!(serve(solo, &mut stream, driver), Ok(CloseReason::PeerClosed));
            let expected = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2";
            assert_eq!(stream.text(), expected);
        });
    }
}

#[test]
fn a_stream_that_is_always_interrupted_is_given_up() {
    for driver in DRIVERS {
        with_solo(2, limits(), |solo| {
            let mut stream = Stream { interrupts: usize::MAX, ..Stream::new(&[GET]) };
            assert_eq!(serve(solo, &mut stream, driver), Err(ErrorKind::Interrupted));
            // Only interruptions in a row count: a stream that makes progress in between is served.
            let mut stream = Stream { interrupts: 9_000, ..Stream::new(&[GET]) };
            assert_eq!(serve(solo, &mut stream, driver), Ok(CloseReason::PeerClosed));
        });
    }
}

#[test]
fn a_stream_that_counts_too_much_does_no_harm() {
    for driver in DRIVERS {
        with_solo(2, limits(), |solo| {
            // The whole buffer counts as received, and is not a head.
            let mut stream = Stream { read_fault: Some((0, Fault::Excess)), ..Stream::new(&[GET]) };
            assert!(serve(solo, &mut stream, driver).is_ok());
            assert_eq!(solo.counters().bytes_received, 1024);
            let sent = solo.counters().bytes_sent;
            let mut stream = Stream { write_fault: Some((0, Fault::Excess)), ..Stream::new(&[GET]) };
            assert_eq!(serve(solo, &mut stream, driver), Ok(CloseReason::PeerClosed));
            assert_eq!(solo.counters().bytes_sent - sent, HELLO.len() as u64);
        });
    }
}

#[test]
fn a_detached_stream_comes_with_its_leftover_bytes() {
    let head = "GET /detach HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";
    let input = format!("{head}raw bytes");
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";
    for driver in DRIVERS {
        with_solo(2, limits(), |solo| {
            for pieces in cuts(input.as_bytes()) {
                for takes in [true, false] {
                    let mut stream = Stream::new(&pieces);
                    let now = || Instant(0);
                    let served = match driver {
                        "blocking" => solo.serve(&mut stream, now),
                        _ => poll(solo.serve_async(&mut stream, now), POLLS_MAX).expect("an end"),
                    };
                    assert_eq!((served, stream.text()), (Ok(CloseReason::Detached), switched));
                    if takes {
                        let (state, leftover) = solo.take_detached().expect("a detached stream");
                        let mut raw = leftover.as_ref().map_or(Vec::new(), |buf| buf.filled().to_vec());
                        raw.extend(stream.pieces.into_iter().flatten());
                        assert_eq!((state, &*raw), (7, &b"raw bytes"[..]));
                        leftover.into_iter().for_each(|buf| solo.release(buf));
                    }
                    // A state that was not taken is dropped with the next stream; its buffer is returned.
                    assert_eq!(serve(solo, &mut Stream::new(&[GET]), driver), Ok(CloseReason::PeerClosed));
                    assert!(solo.take_detached().is_none());
                }
            }
            assert_eq!(solo.counters().detached, solo.counters().closed.of(CloseReason::Detached));
        });
    }
}

#[test]
fn a_panicking_handler_leaks_no_buffer() {
    let input = b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n";
    for driver in DRIVERS {
        let check = |solo: &mut Solo<'_, '_, Paths>| {
            let served = catch_unwind(AssertUnwindSafe(|| serve(solo, &mut Stream::new(&[input]), driver)));
            assert!(served.is_err());
            assert_is_over(solo);
            assert_eq!(solo.handler_mut().last.map(|(_, reason, _)| reason), Some(CloseReason::Aborted));
            assert_eq!(serve(solo, &mut Stream::new(&[GET]), driver), Ok(CloseReason::PeerClosed));
        };
        with_solo(2, limits(), check);
        with_growing_solo(check);
    }
}

#[test]
fn a_future_may_move_to_another_thread() {
    fn is_send(_: impl Send) {}
    with_solo(2, limits(), |solo| {
        let mut stream = Stream::new(&[]);
        is_send(solo.serve_async(&mut stream, || Instant(0)));
        is_send(solo.serve_async_timed(&mut stream, || Instant(0), async |_| {}));
    });
}
