//! Limits to the byte.

use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler, handler_fn};
use aurora_http_core::reactor::IoError;
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// Answers early: at once, when the first content arrives, or in pieces without asking for the content.
struct Early;

impl Handler for Early {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match request.path() {
            b"/at-once" => Flow::Finish,
            b"/streamed" => {
                response.stream(Some(5)).expect("room");
                response.write(b"hello").expect("room");
                Flow::Finish
            }
            b"/pieces" => {
                response.stream(Some(5)).expect("room");
                Flow::Produce(())
            }
            _ => Flow::Receive(()),
        }
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.write(b"hello").expect("room");
        Flow::Finish
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        content.consume(usize::MAX);
        Flow::Finish
    }
}

#[test]
fn content_that_is_left_unread_ends_the_connection_when_it_is_longer_than_the_limit() {
    const LIMIT: usize = 100;
    // How much of the content is read, and how much is left.
    for (path, read) in [("/at-once", 0), ("/streamed", 0), ("/pieces", 0), ("/receive", 10)] {
        for (left, closes) in [(LIMIT, false), (LIMIT + 1, true)] {
            let mut bench = Bench::new(Early);
            bench.limits.discard_bytes_max = LIMIT as u32;
            let length = read + left;
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
            bench.send(&[head.as_bytes(), &vec![b'x'; read]].concat());
            let output = bench.take_output();
            assert_eq!(output.contains("\r\nConnection: close\r\n"), closes, "{path} {left}: {output}");
            bench.send(&vec![b'x'; left]);
            let state = if closes { State::Lingering } else { State::KeepAlive };
            assert_eq!((bench.state(), bench.pool.in_use()), (state, 0), "{path} {left}");
        }
        // A client that waits before it sends nothing holds nothing back.
        let mut bench = Bench::new(Early);
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n");
        bench.send(head.as_bytes());
        assert!(!bench.take_output().contains("\r\nConnection: close\r\n"), "{path}");
        assert_eq!(bench.state(), State::KeepAlive, "{path}");
        if path != "/receive" {
            bench.send(head.replace(": 0", ": 1").as_bytes());
            assert!(bench.take_output().contains("\r\nConnection: close\r\n"), "{path}: it would never come");
            assert_eq!(bench.state(), State::Lingering, "{path}");
        }
    }
}

#[test]
fn content_that_is_dropped_after_the_answer_causes_no_second_one() {
    let mut bench = Bench::new(Early);
    bench.send(b"POST /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(bench.take_output().matches("HTTP/1.1 200 ").count(), 1);
    assert_eq!(bench.state(), State::ReadingContent);
    bench.elapse(10_000);
    assert_eq!((bench.take_output().as_str(), bench.state(), bench.counters.refused), ("", State::Lingering, 0));
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::ContentTimeout));
}

#[test]
fn the_end_of_the_connection_is_announced_once() {
    for path in ["/at-once", "/streamed", "/pieces", "/receive"] {
        for fields in ["Connection: close\r\n", ""] {
            let mut bench = Bench::new(Early);
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: 900000\r\n\r\nx");
            bench.send(head.as_bytes());
            let output = bench.take_output();
            assert_eq!(output.matches("Connection: close\r\n").count(), 1, "{path} {fields}: {output}");
        }
    }
}

/// A client may read nothing before it has written everything.
#[test]
fn unread_content_is_dropped_while_the_last_response_is_being_sent() {
    type Comes = fn(&mut Bench<Early>);
    let rows: [(&str, Comes, bool); 4] = [
        ("nothing", |_| (), true),
        ("content", |bench| assert_eq!(bench.send(&[b'x'; 9_000]), 9_000), true),
        ("a FIN", |bench| bench.fin_with_buffer(), false),
        ("no buffer", |bench| bench.fail_receive(IoError::NoBuffers), false),
    ];
    for (what, comes, receives) in rows {
        let mut bench = Bench::new(Early);
        bench.hold_sends = true;
        bench.send(b"POST /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\nx");
        assert!(bench.is_sending() && bench.is_receiving());
        comes(&mut bench);
        assert_eq!((bench.is_receiving(), bench.pool.in_use()), (receives, 1), "{what}");
        bench.complete_send(10);
        let again = receives || what == "no buffer";
        assert_eq!((bench.is_receiving(), bench.is_sending()), (again, true), "{what}");
        bench.complete_send(usize::MAX);
        let state = if what == "a FIN" { State::Closed } else { State::Lingering };
        assert_eq!((bench.state(), bench.pool.in_use()), (state, 0), "{what}");
    }
}

/// Sends the head of its response, and the rest when its token is resolved.
struct HeadFirst(Option<DeferToken>);

impl Handler for HeadFirst {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.stream(Some(5)).expect("room");
        self.0 = response.defer().ok();
        Flow::Defer(())
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.write(b"hello").expect("room");
        Flow::Finish
    }
}

/// The head has promised that the connection is kept, but no client sends what it holds back for a 100 (Continue).
#[test]
fn unread_content_that_is_too_long_or_held_back_ends_the_connection_although_the_head_did_not_say_so() {
    for (fields, closes) in [
        ("Content-Length: 100", false),
        ("Content-Length: 101", true),
        ("Content-Length: 100\r\nExpect: 100-continue", true),
        ("Transfer-Encoding: chunked", true),
    ] {
        let mut bench = Bench::new(HeadFirst(None));
        bench.limits.discard_bytes_max = 100;
        bench.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n").as_bytes());
        assert!(bench.deferrals.resolve(bench.handler.0.expect("cells for deferred answers")));
        bench.resolved();
        assert!(bench.take_output().ends_with("\r\n\r\nhello"));
        let state = if closes { State::Lingering } else { State::ReadingContent };
        assert_eq!(bench.state(), state, "{fields}");
        let reason = closes.then_some(CloseReason::ContentUnread);
        assert_eq!(bench.connection.close_reason(), reason, "{fields}");
    }
}

#[test]
fn an_empty_line_alone_begins_no_request() {
    for pieces in [&["\r\n"][..], &["\r", "\n"], &["\r"]] {
        let mut bench = Bench::new(Early);
        bench.send(b"GET /at-once HTTP/1.1\r\nHost: x\r\n\r\n");
        bench.take_output();
        for piece in pieces {
            bench.send(piece.as_bytes());
            assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0), "{pieces:?}");
        }
        bench.elapse(75_000);
        assert_eq!((bench.take_output().as_str(), bench.state()), ("", State::Closed), "{pieces:?}: no 408");
        assert_eq!(bench.connection.close_reason(), Some(CloseReason::IdleTimeout));
    }
}

/// Whether a request is served, however what comes before it is split (RFC 9112 §2.2).
#[test]
fn one_empty_line_before_a_request_is_skipped_and_nothing_else() {
    let rows = [
        ("", true),
        ("\r\n", true),
        ("\r\n\r\n", false),
        ("\n", false),
        ("\r", false),
        ("\r\n\n", false),
        ("\r\n\r", false),
        ("\r\r\n", false),
        (" ", false),
        (" \r\n", false),
    ];
    for (before, served) in rows {
        for earlier in ["", "GET /earlier HTTP/1.1\r\nHost: x\r\n\r\n", "\r\nGET /earlier HTTP/1.1\r\nHost: x\r\n\r\n"]
        {
            let bytes = format!("{before}GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            for split in 0..before.len() + 6 {
                for at_once in [false, true] {
                    let mut bench = Bench::new(handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| {
                        response.body("hello")
                    }));
                    earlier.bytes().for_each(|byte| assert_eq!(bench.send(&[byte]), 1));
                    bench.take_output();
                    for byte in bytes.as_bytes()[..split].chunks(if at_once { split.max(1) } else { 1 }) {
                        bench.send(byte);
                    }
                    bench.send(&bytes.as_bytes()[split..]);
                    let output = bench.take_output();
                    let status = if served { "HTTP/1.1 200 " } else { "HTTP/1.1 400 " };
                    assert!(output.starts_with(status), "{before:?} {split} {at_once} {earlier:?}: {output}");
                    assert_eq!(output.matches("HTTP/1.1 ").count(), 1, "{before:?} {split} {at_once} {earlier:?}");
                }
            }
        }
    }
}
