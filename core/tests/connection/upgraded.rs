//! Other protocols after 101 and CONNECT.

use aurora_http_core::connection::Deadline;
use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::reactor::IoError;
use aurora_http_core::request::{Method, Request};
use aurora_http_core::state::State;
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::harness::Bench;

/// Answers each line in capitals, until one is empty.
struct Lines;

impl Handler for Lines {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let switched = if request.method() == Method::Connect {
            response.open_tunnel()
        } else {
            response.switch_protocols("lines", &[("X-Lines", b"yes")])
        };
        if request.path() == b"/detach" {
            return Flow::Detach(());
        }
        if switched.is_ok() { Flow::Upgrade(()) } else { Flow::Finish }
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        while let Some(end) = content.bytes().iter().position(|byte| *byte == b'\n') {
            if end == 0 {
                return Flow::Finish;
            }
            let line = content.bytes()[..=end].to_ascii_uppercase();
            if response.write(&line).unwrap() < line.len() {
                panic!("lines are short");
            }
            content.consume(end + 1);
        }
        content.hold();
        Flow::Receive(())
    }
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nX-Lines: yes\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";

#[test]
fn leftover_bytes_come_first_and_lines_may_be_split_anywhere() {
    for split in 0..12 {
        let mut bench = Bench::new(Lines);
        let lines = b"abc\ndefg\nhi";
        bench.send(&[UPGRADE.as_bytes(), &lines[..split]].concat());
        bench.send(&lines[split..]);
        assert_eq!(bench.take_output(), format!("{SWITCHED}ABC\nDEFG\n"), "{split}");
        assert_eq!(bench.state(), State::Switched);
        bench.send(b"\n\n");
        assert_eq!(bench.take_output(), "HI\n");
        assert_eq!(bench.state(), State::Lingering);
        bench.fin();
        assert_eq!(bench.connection.close_reason(), Some(CloseReason::UpgradeFinished));
        assert_eq!(bench.pool.in_use(), 0);
    }
}

#[test]
fn connect_opens_a_tunnel_without_framing_fields() {
    let mut bench = Bench::new(Lines);
    bench.send(b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nConnection: close\r\n\r\nab\n");
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\n\r\nAB\n");
    bench.fin();
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.pool.in_use(), 0);
}

#[test]
fn a_protocol_that_was_not_offered_is_refused() {
    let mut bench = Bench::new(Lines);
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: lines\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: lines\r\n\r\n",
    ] {
        bench.send(request.as_bytes());
        assert!(bench.take_output().starts_with("HTTP/1.1 500 "), "{request}");
    }
}

#[test]
fn an_idle_upgraded_connection_is_closed() {
    let mut bench = Bench::new(Lines);
    bench.send(UPGRADE.as_bytes());
    bench.pass(60_000);
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0));
}

/// It is not the client that is late.
#[test]
fn an_upgraded_connection_that_waits_for_a_buffer_is_not_idle() {
    let mut bench = Bench::new(Lines);
    bench.send(UPGRADE.as_bytes());
    assert_eq!(bench.connection.deadline(), Some(Deadline::Upgraded));
    bench.fail_receive(IoError::NoBuffers);
    assert!(bench.connection.is_starved());
    assert_eq!((bench.state(), bench.connection.deadline()), (State::Switched, None));
    bench.fed();
    assert_eq!(bench.connection.deadline(), Some(Deadline::Upgraded));
}

#[test]
fn a_detached_connection_waits_to_be_taken() {
    let mut bench = Bench::new(Lines);
    bench.send(&UPGRADE.replace(" / ", " /detach ").replace("\r\n\r\n", "\r\n\r\nleft").into_bytes());
    assert_eq!(bench.take_output(), SWITCHED);
    assert!(bench.connection.is_detached() && !bench.is_receiving());
    assert_eq!(bench.pool.in_use(), 1, "the leftover bytes");
}

#[test]
fn a_fin_after_an_incomplete_line_ends_the_connection() {
    for extra in ["", "hi", "a\nhi"] {
        let mut bench = Bench::new(Lines);
        bench.send(&[UPGRADE.as_bytes(), extra.as_bytes()].concat());
        bench.take_output();
        bench.fin();
        assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0), "{extra:?}");
        assert_eq!(bench.connection.close_reason(), Some(CloseReason::UpgradeFinished), "{extra:?}");
    }
}

/// Switches, then does what the path says. Raw bytes must never reach `request`.
#[derive(Default)]
struct Switches {
    requests: usize,
    token: Option<DeferToken>,
}

impl Handler for Switches {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.requests += 1;
        let switched = response.switch_protocols("x", &[]);
        let expected = match (request.body_length().has_content(), self.requests) {
            (true, _) => Err(WriteError::ContentUnread),
            (_, 1) => Ok(()),
            _ => Err(WriteError::NotOffered),
        };
        assert_eq!(switched, expected);
        match request.path() {
            b"/finish" => Flow::Finish,
            b"/collect" => Flow::Collect(()),
            b"/produce" => Flow::Produce(()),
            b"/fail" => {
                let _ = response.fail(503);
                Flow::Upgrade(())
            }
            b"/defer" => {
                self.token = response.defer().ok();
                Flow::Defer(())
            }
            b"/detach" => {
                self.token = response.defer().ok();
                Flow::Detach(())
            }
            _ => Flow::Upgrade(()),
        }
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.write(b"raw").unwrap();
        Flow::Finish
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.write(b"raw").unwrap();
        Flow::Finish
    }
}

const SWITCHED_TO_X: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

/// An upgrade request followed by a whole HTTP request, which are raw bytes once 101 has been sent.
fn upgrade_to_x(path: &str, fields: &str) -> Vec<u8> {
    let next = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n{fields}\r\n{next}").into_bytes()
}

#[test]
fn after_101_nothing_is_http_whatever_the_handler_returns() {
    for (path, raw) in [("/finish", ""), ("/produce", "raw"), ("/defer", "raw")] {
        let mut bench = Bench::new(Switches::default());
        bench.send(&upgrade_to_x(path, ""));
        if let Some(token) = bench.handler.token {
            assert!(bench.deferrals.resolve(token));
            bench.resolved();
        }
        assert_eq!(bench.take_output(), format!("{SWITCHED_TO_X}{raw}"), "{path}");
        assert_eq!((bench.handler.requests, bench.in_flight), (1, 0), "{path}");
        bench.fin();
        assert_eq!(bench.connection.close_reason(), Some(CloseReason::UpgradeFinished), "{path}");
        assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0), "{path}");
    }
}

#[test]
fn a_token_of_a_detached_connection_is_stale() {
    let mut bench = Bench::new(Switches::default());
    bench.send(&upgrade_to_x("/detach", ""));
    assert!(bench.connection.is_detached());
    let token = bench.handler.token.expect("cells for deferred answers");
    assert!(!bench.deferrals.resolve(token));
}

#[test]
fn a_switch_that_fails_is_the_last_response() {
    // Switching drops what the request said about the connection, so it must be closed.
    let rows = [("/fail", "", "503"), ("/collect", "", "500"), ("/body", "Content-Length: 1\r\n", "413")];
    for (path, fields, status) in rows {
        let mut bench = Bench::new(Switches::default());
        bench.send(&upgrade_to_x(path, &format!("Connection: close\r\n{fields}")));
        let output = bench.take_output();
        assert!(output.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {output}");
        assert!(output.contains("\r\nConnection: close\r\n"), "{path}: {output}");
        assert_eq!((output.matches("HTTP/1.1").count(), bench.handler.requests), (1, 1), "{path}: {output}");
        bench.fin();
        assert_eq!((bench.state(), bench.pool.in_use(), bench.in_flight), (State::Closed, 0, 0), "{path}");
    }
}

#[test]
fn an_upgraded_connection_does_not_count_as_in_flight() {
    for path in ["/", "/detach"] {
        let mut bench = Bench::new(Lines);
        bench.send(UPGRADE.replace(" / ", &format!(" {path} ")).as_bytes());
        assert_eq!((bench.state(), bench.in_flight), (State::Switched, 0), "{path}");
        bench.with(|connection, cx| connection.close(cx, CloseReason::Aborted));
        bench.act();
        assert_eq!((bench.state(), bench.in_flight, bench.pool.in_use()), (State::Closed, 0, 0), "{path}");
    }
}

/// Switches after it was given all content, or earlier.
struct Reads {
    token: Option<DeferToken>,
}

impl Reads {
    fn switch(response: &mut ResponseWriter<'_>) -> Flow<()> {
        match response.switch_protocols("x", &[]) {
            Ok(()) => Flow::Upgrade(()),
            Err(_) => Flow::Finish,
        }
    }
}

impl Handler for Reads {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.path() == b"/collect" { Flow::Collect(()) } else { Flow::Receive(()) }
    }

    fn collected(&mut self, (): (), _: &Request<'_>, content: &[u8], response: &mut ResponseWriter<'_>) -> Flow<()> {
        assert_eq!(content, b"hello");
        Self::switch(response)
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match content.bytes() {
            // Content.
            b"early" => return Self::switch(response),
            b"unread" => {
                content.hold();
                let switched = response.switch_protocols("x", &[]);
                assert_eq!(switched.is_ok(), content.ended());
                return Flow::Upgrade(());
            }
            b"later" if content.ended() => {
                content.consume(5);
                self.token = response.defer().ok();
                return Flow::Defer(());
            }
            bytes if !bytes.starts_with(b"raw") => {
                content.consume(bytes.len());
                return if content.ended() { Self::switch(response) } else { Flow::Receive(()) };
            }
            _ => {}
        }
        // Raw bytes.
        let count = response.write(content.bytes()).unwrap();
        content.consume(count);
        Flow::Receive(())
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        Self::switch(response)
    }
}

#[test]
fn content_that_is_read_first_may_precede_another_protocol() {
    let chunks = |content: &str| format!("{:x}\r\n{content}\r\n0\r\n\r\n", content.len());
    for (path, content) in [("/collect", "hello"), ("/receive", "hello"), ("/receive", "later")] {
        for (framing, body) in
            [("Content-Length: 5", content.to_owned()), ("Transfer-Encoding: chunked", chunks(content))]
        {
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n{framing}\r\n\r\n");
            let input = [head.as_bytes(), body.as_bytes(), b"raw bytes"].concat();
            // However the bytes are split, except within the content, from which the handler tells what to do.
            for at in [head.len(), head.len() + body.len(), input.len()] {
                let mut bench = Bench::new(Reads { token: None });
                bench.send(&input[..at]);
                bench.send(&input[at..]);
                if let Some(token) = bench.handler.token {
                    assert!(bench.deferrals.resolve(token));
                    bench.resolved();
                }
                assert_eq!(bench.take_output(), format!("{SWITCHED_TO_X}raw bytes"), "{path} {content} {framing} {at}");
                assert_eq!((bench.state(), bench.in_flight), (State::Switched, 0));
            }
        }
    }
}

#[test]
fn unread_content_before_another_protocol_is_413() {
    for (content, length) in [("early", 9), ("unread", 9), ("unread", 6)] {
        let mut bench = Bench::new(Reads { token: None });
        let fields = format!("Connection: upgrade\r\nUpgrade: x\r\nContent-Length: {length}");
        bench.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{content}").as_bytes());
        let output = bench.take_output();
        assert!(output.starts_with("HTTP/1.1 413 "), "{content} of {length}: {output}");
        assert_eq!(output.matches("HTTP/1.1").count(), 1, "{output}");
    }
    let mut bench = Bench::new(Lines);
    bench.send(b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nContent-Length: 3\r\n\r\nab\n");
    assert!(bench.take_output().starts_with("HTTP/1.1 413 "), "a tunnel");
}

/// Switches in the call with the end of its content, and returns `Receive` from the same call.
struct SwitchesAtTheEnd;

impl Handler for SwitchesAtTheEnd {
    type Exchange = bool;

    fn request(&mut self, _: &Request<'_>, _: &mut ResponseWriter<'_>) -> Flow<bool> {
        Flow::Receive(false)
    }

    fn receive(
        &mut self,
        mut is_raw: bool,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<bool> {
        if is_raw {
            response.write(content.bytes()).unwrap();
        }
        if content.ended() && !is_raw {
            response.switch_protocols("x", &[]).unwrap();
            is_raw = true;
        }
        Flow::Receive(is_raw)
    }
}

#[test]
fn a_handler_that_switches_at_the_end_of_content_then_receives_raw_bytes() {
    for (field, body) in [("Content-Length: 2", "hi"), ("Transfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n")] {
        for raw in ["raw", ""] {
            let mut bench = Bench::new(SwitchesAtTheEnd);
            let fields = format!("Host: x\r\nConnection: upgrade\r\nUpgrade: x\r\n{field}");
            bench.send(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n{body}{raw}").as_bytes());
            bench.send(b"more");
            let output = bench.take_output();
            assert_eq!(output.matches("HTTP/1.1 101 ").count(), 1, "{field}: {output}");
            assert!(output.ends_with(&format!("\r\n\r\n{raw}more")), "{field}: {output}");
            assert_eq!((bench.state(), bench.in_flight), (State::Switched, 0));
        }
    }
}

/// Switches and defers, before or after it was given the first bytes; then consumes everything.
#[derive(Default)]
struct Pauses {
    token: Option<DeferToken>,
    taken: Vec<u8>,
    ended: bool,
    waits_for_half_closed: bool,
}

impl Handler for Pauses {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.switch_protocols("x", &[]).unwrap();
        if request.path() == b"/at-once" {
            self.token = response.defer().ok();
            return Flow::Defer(());
        }
        Flow::Upgrade(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.taken.extend_from_slice(content.bytes());
        self.ended = content.ended();
        if self.token.is_none() {
            self.token = response.defer().ok();
            return Flow::Defer(());
        }
        if self.ended { Flow::Finish } else { Flow::Receive(()) }
    }

    fn resume(&mut self, (): (), _: &mut ResponseWriter<'_>) -> Flow<()> {
        Flow::Receive(())
    }

    fn half_closed(&mut self, (): ()) -> Option<()> {
        self.waits_for_half_closed.then_some(())
    }
}

#[test]
fn input_of_a_deferred_upgraded_connection_reaches_the_handler_with_its_end() {
    for (path, extra) in [("/at-once", ""), ("/at-once", "lo"), ("/later", "lo")] {
        // How much arrives before the answer; the rest and the FIN arrive after it.
        for before in 0..=4 {
            let mut bench = Bench::new(Pauses { waits_for_half_closed: true, ..Pauses::default() });
            let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
            bench.send(format!("{head}{extra}").as_bytes());
            assert_eq!(bench.take_output(), SWITCHED_TO_X, "{path} {extra:?}");
            for (at, piece) in ["abc", "d", "efghi", ""].into_iter().enumerate() {
                if at == before {
                    resolve(&mut bench);
                }
                match piece {
                    "" => bench.fin(),
                    piece => assert_eq!(bench.send(piece.as_bytes()), piece.len()),
                }
            }
            if before == 4 {
                resolve(&mut bench);
            }
            let taken = String::from_utf8_lossy(&bench.handler.taken);
            assert_eq!((taken, bench.handler.ended), (format!("{extra}abcdefghi").into(), true), "{path} {before}");
            assert_eq!((bench.state(), bench.pool.in_use(), bench.in_flight), (State::Closed, 0, 0), "{path} {before}");
            assert_eq!(bench.connection.close_reason(), Some(CloseReason::UpgradeFinished), "{path} {before}");
        }
    }
}

fn resolve(bench: &mut Bench<Pauses>) {
    let token = bench.handler.token.expect("cells for deferred answers");
    assert!(bench.deferrals.resolve(token));
    bench.resolved();
}

/// Says goodbye at the end, and asks for more as ever.
struct Polite;

impl Handler for Polite {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.switch_protocols("lines", &[]).unwrap();
        Flow::Upgrade(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if content.ended() {
            response.write(b"bye").unwrap();
        }
        Flow::Receive(())
    }
}

#[test]
fn the_end_of_another_protocol_is_told_once() {
    for last in [&b""[..], b"a line"] {
        let mut bench = Bench::new(Polite);
        bench.send(UPGRADE.as_bytes());
        bench.take_output();
        bench.send(last);
        bench.fin();
        assert_eq!(bench.take_output(), "bye");
        assert_eq!(bench.connection.close_reason(), Some(CloseReason::UpgradeFinished));
        assert_eq!(bench.pool.in_use(), 0);
    }
}
