//! The output for an input, however both are split.

use aurora_http_core::error::CloseReason;
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{Class, ClassCounts, ClassSizes};
use embedded_io::ErrorKind;

use crate::handler::LONG;
use crate::stream::{Fault, Stream};
use crate::{DRIVERS, serve, with_buffers, with_solo};

/// The input, followed by a FIN; the output; why the connection ends; how many requests were served.
pub(crate) struct Row {
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) reason: CloseReason,
    pub(crate) requests: u32,
}

fn row(input: impl Into<String>, output: impl Into<String>, reason: CloseReason, requests: u32) -> Row {
    Row { input: input.into(), output: output.into(), reason, requests }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn post(path: &str, fields: &str, content: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n{content}")
}

fn ok(content: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len())
}

fn last(content: &str) -> String {
    ok(content).replace("\r\nContent-L", "\r\nConnection: close\r\nContent-L")
}

/// An answer that the connection writes itself, with `text` or else the reason phrase.
fn refusal(status: &str, text: Option<&str>, close: bool) -> String {
    let text = text.unwrap_or(&status[4..]);
    let connection = if close { "Connection: close\r\n" } else { "" };
    let length = text.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\n{connection}Content-Length: {length}\r\n\
         Content-Type: text/plain\r\n\r\n{text}\n"
    )
}

pub(crate) fn limits() -> Limits {
    Limits { requests_per_connection_max: Some(4), ..Limits::small_device() }
}

pub(crate) fn rows() -> Vec<Row> {
    use CloseReason::{
        BadRequest, HandlerStalled, PeerAsked, PeerClosed, PeerClosedEarly, RequestLimit, TooLarge, UpgradeFinished,
    };
    let upgrade = "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";
    let produced = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let pieces = "00005\r\npiece\r\n".repeat(3);
    vec![
        row("", "", PeerClosed, 0),
        row(get("/"), ok("hello"), PeerClosed, 1),
        row(get("/").repeat(3), ok("hello").repeat(3), PeerClosed, 3),
        row(get("/").repeat(6), ok("hello").repeat(3) + &last("hello"), RequestLimit, 4),
        row(get("/") + "GET / HT", ok("hello"), PeerClosedEarly, 1),
        row(get("/").replace("x\r\n", "x\r\nConnection: close\r\n") + &get("/"), last("hello"), PeerAsked, 1),
        row(
            get("/") + "GET / HTTP/1.1\nHost: x\n\n" + &get("/"),
            ok("hello") + &refusal("400 Bad Request", None, true),
            BadRequest,
            1,
        ),
        row(get(&"/".repeat(300)), refusal("414 URI Too Long", None, true), TooLarge, 0),
        row(
            get("/").replace("x\r\n", &format!("x\r\nA: {}\r\n", "b".repeat(1000))),
            refusal("431 Request Header Fields Too Large", None, true),
            TooLarge,
            0,
        ),
        row(post("/collect", "Content-Length: 4\r\n", "abcd") + &get("/"), ok("abcd") + &ok("hello"), PeerClosed, 2),
        row(
            post("/collect", "Transfer-Encoding: chunked\r\n", "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n") + &get("/"),
            ok("abcd") + &ok("hello"),
            PeerClosed,
            2,
        ),
        row(
            post("/collect", "Content-Length: 2000\r\n", "ab"),
            refusal("413 Content Too Large", None, true),
            TooLarge,
            1,
        ),
        row(post("/receive", "Content-Length: 4\r\n", "abcd") + &get("/"), ok("4") + &ok("hello"), PeerClosed, 2),
        row(
            post("/receive", "Transfer-Encoding: chunked\r\n", "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n") + &get("/"),
            ok("3") + &ok("hello"),
            PeerClosed,
            2,
        ),
        row(post("/receive", "Content-Length: 4\r\n", "ab"), "", PeerClosedEarly, 1),
        row(post("/", "Content-Length: 4\r\n", "abcd") + &get("/"), ok("hello").repeat(2), PeerClosed, 2),
        row(get("/produce") + &get("/"), format!("{produced}{pieces}0\r\n\r\n{}", ok("hello")), PeerClosed, 2),
        row(get("/stall"), refusal("500 Internal Server Error", None, true), HandlerStalled, 1),
        row(get("/static") + &get("/"), ok(str::from_utf8(&LONG).unwrap()) + &ok("hello"), PeerClosed, 2),
        row(
            get("/full") + &get("/"),
            refusal("500 Internal Server Error", Some("Response exceeds maximum size"), false) + &ok("hello"),
            PeerClosed,
            2,
        ),
        row(get("/defer") + &get("/"), refusal("500 Internal Server Error", None, false) + &ok("hello"), PeerClosed, 2),
        row(format!("{upgrade}ab\nc"), format!("{switched}AB\n"), UpgradeFinished, 1),
        row(format!("{upgrade}ab\nc\n\n{}", get("/")), format!("{switched}AB\nC\n"), UpgradeFinished, 1),
    ]
}

/// Every split of `input`: in two at every byte, and into single bytes.
pub(crate) fn cuts(input: &[u8]) -> Vec<Vec<&[u8]>> {
    let in_two = (0..=input.len()).map(|at| vec![&input[..at], &input[at..]]);
    in_two.chain([input.chunks(1).collect()]).collect()
}

#[test]
fn the_output_is_the_same_however_input_and_output_are_split() {
    for driver in DRIVERS {
        with_solo(3, limits(), |solo| {
            for (at, row) in rows().iter().enumerate() {
                for pieces in cuts(row.input.as_bytes()) {
                    for (write_max, interrupts, waits) in [(1, 0, false), (7, 2, true), (usize::MAX, 0, false)] {
                        let mut stream = Stream { write_max, interrupts, waits, ..Stream::new(&pieces) };
                        let served = serve(solo, &mut stream, driver);
                        let context = format!("row {at}, {driver}, {write_max}, {:?}", pieces.first());
                        assert_eq!(stream.text(), row.output, "{context}");
                        assert_eq!(served, Ok(row.reason), "{context}");
                        assert!(stream.is_flushed(), "{context}");
                        let requests = solo.handler_mut().last.map(|(.., requests)| requests);
                        assert_eq!(requests, Some(row.requests), "{context}");
                    }
                }
            }
        });
    }
}

#[test]
fn the_output_is_the_same_with_shorter_buffers() {
    for driver in DRIVERS {
        for sizes in [ClassSizes::FROM_512, ClassSizes::FROM_256] {
            with_buffers(ClassCounts::new([3, 3, 2, 0, 0]).sized(sizes), limits(), |solo| {
                for (at, row) in rows().iter().enumerate() {
                    for pieces in [vec![row.input.as_bytes()], row.input.as_bytes().chunks(1).collect()] {
                        let mut stream = Stream::new(&pieces);
                        let served = serve(solo, &mut stream, driver);
                        let context = format!("row {at}, {driver}, {sizes:?}, {} pieces", pieces.len());
                        assert_eq!((stream.text(), served), (row.output.as_str(), Ok(row.reason)), "{context}");
                    }
                }
            });
        }
    }
}

#[test]
fn a_device_with_three_buffers_of_512_bytes_serves_what_fits_and_refuses_what_does_not() {
    let head_of = |length: usize| {
        let rest = get("/").replace("x\r\n", "x\r\nA: \r\n");
        get("/").replace("x\r\n", &format!("x\r\nA: {}\r\n", "b".repeat(length - rest.len())))
    };
    let close = |status: &str| refusal(status, None, true);
    let sliced = post("/receive", "Content-Length: 5000\r\n", &"c".repeat(5_000));
    let collected = |length: usize| post("/collect", &format!("Content-Length: {length}\r\n"), &"d".repeat(length));
    let rows = [
        (head_of(512), ok("hello"), CloseReason::PeerClosed),
        (head_of(513), close("431 Request Header Fields Too Large"), CloseReason::TooLarge),
        (get(&"/".repeat(257)), close("414 URI Too Long"), CloseReason::TooLarge),
        (sliced + &get("/"), ok("5000") + &ok("hello"), CloseReason::PeerClosed),
        (collected(400) + &get("/"), ok(&"d".repeat(400)) + &ok("hello"), CloseReason::PeerClosed),
        (collected(513), close("413 Content Too Large"), CloseReason::TooLarge),
    ];
    for driver in DRIVERS {
        with_buffers(
            ClassCounts::NONE.sized(ClassSizes::FROM_512).with(Class::Tiny, 3),
            limits().within(512),
            |solo| {
                for (input, output, reason) in &rows {
                    for pieces in [vec![input.as_bytes()], input.as_bytes().chunks(7).collect()] {
                        let mut stream = Stream::new(&pieces);
                        let served = serve(solo, &mut stream, driver);
                        assert_eq!((stream.text(), served), (output.as_str(), Ok(*reason)), "{driver}");
                    }
                }
            },
        );
    }
}

#[test]
fn output_up_to_a_fault_of_the_stream_is_sent() {
    let faults = [Fault::Error(ErrorKind::ConnectionReset), Fault::Error(ErrorKind::Other), Fault::Zero];
    for driver in DRIVERS {
        with_solo(3, limits(), |solo| {
            for (row, fault) in rows().iter().flat_map(|row| faults.map(|fault| (row, fault))) {
                for at in 0..row.output.len() {
                    let mut stream = Stream { write_fault: Some((at, fault)), ..Stream::new(&[row.input.as_bytes()]) };
                    let served = serve(solo, &mut stream, driver);
                    assert_eq!(stream.text(), &row.output[..at], "{driver} {fault:?}");
                    let expected = match fault {
                        Fault::Error(kind) => Err(kind),
                        _ => Ok(CloseReason::PeerReset),
                    };
                    assert_eq!(served, expected, "{at} {driver} {fault:?}");
                }
            }
        });
    }
}

#[test]
fn a_stream_that_ends_or_fails_at_any_input_byte_leaks_no_buffer() {
    for driver in DRIVERS {
        with_solo(3, limits(), |solo| {
            for row in rows() {
                for at in 0..row.input.len() {
                    for fault in [Fault::Zero, Fault::Error(ErrorKind::Other)] {
                        let mut stream =
                            Stream { read_fault: Some((at, fault)), ..Stream::new(&[row.input.as_bytes()]) };
                        let served = serve(solo, &mut stream, driver);
                        assert!(row.output.starts_with(stream.text()), "{at} {driver} {fault:?}: {}", stream.text());
                        match fault {
                            // Unless it ended earlier.
                            Fault::Error(kind) => {
                                assert!(served == Err(kind) || served == Ok(row.reason), "{served:?}");
                            }
                            _ => assert!(served.is_ok(), "{served:?}"),
                        }
                    }
                }
            }
        });
    }
}
